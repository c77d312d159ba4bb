"""Costs between points (chapter `wasserstein`)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive._validate import check_precision, finite_or_explained

Cost = Literal["sqeuclidean", "euclidean"]


@typed
def cost_matrix(
    x: Float[Tensor, "*b n d"], y: Float[Tensor, "*b m d"], *, cost: Cost = "sqeuclidean"
) -> Float[Tensor, "*b n m"]:
    r"""Squared or plain Euclidean distances between the rows of two matrices.

    $|x_i|^2 + |y_j|^2 - 2\langle x_i, y_j\rangle$ on points centred at the mean of y, which
    keeps digits; rounding below zero is clamped, and the diagonal is exactly zero when y is x.
    O(nmd) time, O(nm) memory. Plain distances are summed coordinate by coordinate: a root would
    turn a rounding error of 1e-16 into a distance of 1e-8.

    Args:
        x: Points, one a row.
        y: Points of the same dimension.
        cost: "sqeuclidean" or "euclidean"; the latter in float32 or float64.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If a coordinate is not finite, or so large that a cost overflows.

    Example:
        >>> cost_matrix(torch.tensor([[0.0], [3.0]]), torch.tensor([[4.0]]))
        tensor([[16.],
                [ 1.]])
    """
    given = {"x": x, "y": y}
    if cost == "euclidean":
        check_precision("the Euclidean cost", x)
        C = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        return finite_or_explained("cost_matrix", C, **given)
    centre = y.mean(dim=-2, keepdim=True)
    same = x is y
    x, y = x - centre, y - centre
    C = x.square().sum(dim=-1)[..., :, None] + y.square().sum(dim=-1)[..., None, :]
    C = (C - 2 * x @ y.mT).clamp(min=0)
    if same:
        C = C - torch.diag_embed(C.diagonal(dim1=-2, dim2=-1))
    return finite_or_explained("cost_matrix", C, **given)
