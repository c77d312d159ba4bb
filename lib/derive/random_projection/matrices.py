"""Dense projection matrices with independent entries (chapter `jl-lemma`)."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive.device import as_device

# Entries drawn at a time: the float64 draw stays small beside the matrix it fills.
_DRAW = 2**20


@typed
def gaussian_matrix(
    k: int,
    d: int,
    *,
    generator: Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Float[Tensor, "k d"]:
    r"""Matrix of independent $N(0, 1/k)$ entries: `y = x @ A.T` keeps squared norms on average.

    For one fixed vector, $\|Ax\|^2 / \|x\|^2$ is a chi-square variable with k degrees of freedom
    divided by k (book equation `jl-norm`), whatever the vector. O(kd) time and memory.

    Args:
        k: Dimension to project to.
        d: Dimension of the data.
        generator: Source of randomness; the numbers are drawn on its device in float64, then
            rounded, so that all dtypes and devices see the same matrix.
        dtype: Floating-point type of the matrix.
        device: Where to put it.

    Returns:
        The matrix, one projected coordinate a row.

    Raises:
        ValueError: If k < 1, d < 1, or dtype is not a real floating-point type.

    Source:
        Dasgupta & Gupta (Random Struct. Alg. 2003), who scale a random subspace by sqrt(d/k)
        instead; Indyk & Motwani (STOC 1998) for independent entries.

    Example:
        >>> import torch
        >>> A = gaussian_matrix(400, 50, generator=torch.Generator().manual_seed(0))
        >>> (A**2).sum(dim=0).mean().round(decimals=1)  # columns have unit length on average
        tensor(1.)
    """
    A = _empty(k, d, dtype, device)
    for part in A.view(-1).split(_DRAW):
        part.copy_(_draw(torch.randn, len(part), generator) / k**0.5)
    return A


@typed
def sign_matrix(
    k: int,
    d: int,
    density: float = 1.0,
    *,
    generator: Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Float[Tensor, "k d"]:
    r"""Matrix of independent entries $\pm 1/\sqrt{k s}$ with probability s = `density`, else 0.

    The entries have variance 1/k and kurtosis 1/s, so that (book equations `jl-var`,
    `jl-achlioptas`) $\mathrm{Var}\|Ax\|^2 = \frac1k (2 + (\frac1s - 3) \sum_j x_j^4)$ for a unit
    vector: from s = 1/3 upwards never more than a Gaussian matrix has. O(kd) time and memory.

    Args:
        k: Dimension to project to.
        d: Dimension of the data.
        density: Share of entries that are not zero, in (0, 1].
        generator: Source of randomness (see `gaussian_matrix`).
        dtype: Floating-point type of the matrix.
        device: Where to put it.

    Returns:
        The matrix, one projected coordinate a row.

    Raises:
        ValueError: If k < 1, d < 1, density is outside (0, 1], or dtype is not floating point.

    Source:
        Achlioptas (JCSS 2003), density 1 and 1/3; Li, Hastie & Church (KDD 2006), below 1/3.

    Example:
        >>> import torch
        >>> sign_matrix(4, 2, generator=torch.Generator().manual_seed(0)).abs()[0]
        tensor([0.5000, 0.5000])
    """
    if not 0 < density <= 1:
        raise ValueError(f"density must lie in (0, 1], got {density}.")
    A = _empty(k, d, dtype, device)
    scale = (k * density) ** -0.5
    for part in A.view(-1).split(_DRAW):
        # One uniform number decides both: [0, s/2) is -1, [s/2, s) is +1, the rest 0.
        u = _draw(torch.rand, len(part), generator)
        part.copy_(((u < density).double() - 2 * (u < density / 2).double()) * scale)
    return A


def random_signs(count: int, generator: Generator | None) -> Tensor:
    """`count` independent signs, float64, on the generator's device."""
    return 1.0 - 2.0 * (_draw(torch.rand, count, generator) < 0.5)


def check_dims(**dims: int) -> None:
    """Refuse a dimension below 1, naming it."""
    for name, value in dims.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {name}={value}.")


def check_finite(**tensors: Tensor) -> None:
    """Refuse NaN and infinity, naming the tensor and the first row that has one."""
    for name, x in tensors.items():
        # The sum of finite numbers is finite unless it overflows: one cheap pass, then a sure one.
        if torch.isfinite(x.sum()):
            continue
        bad = torch.nonzero(~torch.isfinite(x))
        if len(bad):
            raise ValueError(
                f"{name} must be finite, got {x[tuple(bad[0])].item()} at {tuple(bad[0].tolist())}."
            )


def _draw(draw, count: int, generator: Generator | None) -> Tensor:
    device = "cpu" if generator is None else generator.device
    return draw(count, generator=generator, dtype=torch.float64, device=device)


def _empty(k: int, d: int, dtype: torch.dtype, device: str | torch.device) -> Tensor:
    check_dims(k=k, d=d)
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a real floating-point type, got {dtype}.")
    return torch.empty(k, d, dtype=dtype, device=as_device(device))
