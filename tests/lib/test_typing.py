"""derive._typing: what is checked at every call beside the annotations."""

import inspect

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from derive._typing import typed


@typed
def scaled(
    x: Float[Tensor, " n"],
    y: Float[Tensor, " n"] | None = None,
    *,
    k: int | Int[Tensor, ""] = 1,
    flag: bool = False,
) -> Float[Tensor, " n"]:
    """k (x + y)."""
    return k * (x if y is None else x + y)


def test_a_call_is_passed_on():
    x = torch.arange(3.0)
    assert torch.equal(scaled(x, x, k=2, flag=True), 4 * x)
    assert torch.equal(scaled(x, k=torch.tensor(3)), 3 * x)
    assert scaled.__doc__ == "k (x + y)."
    assert list(inspect.signature(scaled).parameters) == ["x", "y", "k", "flag"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.ones(2), torch.ones(3)), {}, "n=2"),
        ((torch.ones(2), torch.ones(2).double()), {}, "x is torch.float32, but y is torch.float64"),
        ((torch.ones(2, device="meta"),), {}, "x is on the meta device"),
        ((torch.ones(2), torch.ones(2, device="meta")), {}, "x is on cpu, but y on meta"),
        ((torch.ones(2),), {"k": True}, "k must be a number, got True"),
        ((torch.ones(2),), {"k": 1.5}, "k"),
    ],
    ids=["shapes", "dtypes", "no numbers", "devices", "True for a number", "a float for an int"],
)
def test_arguments_that_do_not_go_together_are_refused(arguments, options, message):
    with pytest.raises(TypeError, match=message):
        scaled(*arguments, **options)
