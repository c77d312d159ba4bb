"""Shape and type checking at call time, for every public function of the library."""

from beartype import beartype
from jaxtyping import jaxtyped

typed = jaxtyped(typechecker=beartype)
