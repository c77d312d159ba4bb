"""Tests of independence: exact by permutation, or approximate by a gamma law (chapter `hsic`)."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from derive._typing import typed
from derive._validate import check_finite, finite_or_explained
from derive.independence._evaluate import evaluators
from derive.independence.estimators import gram_sums, hsic_v
from derive.independence.kernels import Gaussian, Kernel, median_gamma
from derive.independence.null import (
    centred_sums,
    gamma_pvalue,
    gretton_moments,
    permutation_moments_from_sums,
)
from derive.independence.shifts import shift_statistics

_BATCH_ELEMENTS = 2**20

Method = Literal["shifts", "permutation", "gamma-permutation", "gamma-gretton"]


class TestResult(NamedTuple):
    """Outcome of a test of independence."""

    statistic: float
    """HSIC of the sample, V-statistic."""
    pvalue: float
    """Probability under independence of a statistic at least as large."""
    method: str
    num_permutations: int
    """Pairings compared with, the observed one included; 0 for a gamma approximation."""


# A result, not a test: pytest must not collect it. Inside the class mypy takes this for a field,
# and out here for an unknown attribute.
TestResult.__test__ = False  # type: ignore[attr-defined]


@typed
def independence_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n p"],
    *,
    kernel_x: Kernel | None = None,
    kernel_y: Kernel | None = None,
    method: Method = "shifts",
    n_perm: int = 999,
    generator: Generator | None = None,
    block: int | None = None,
) -> TestResult:
    r"""Test whether x and y are independent, with HSIC as the statistic.

    Methods:
        "shifts" relabels the sample at random and compares the statistic with that of all n
            cyclic shifts of y (book equation `hsic-shift`); when n_perm >= n, with all shifts of
            further random relabellings. Exact at every n, because shifts form a group.
            O(n²(d + p + log n)) time for each n permutations, O(n block) memory.
        "permutation" draws n_perm random permutations: exact too (`hsic-pvalue`), O(n²) time
            each, O(n²) memory; permutations index the Gram matrix of y, which is never copied.
        "gamma-permutation" fits a gamma law to the exact permutation moments: O(n²(d + p)) time
            and O(n) memory, no randomness, approximate.
        "gamma-gretton" fits it to the moments of Gretton et al.: O(n²) time and memory.

    Args:
        x: First variable, one observation a row.
        y: Second variable, same observations in the same order. Rows must be exchangeable: a
            time series is not, and no permutation test knows.
        kernel_x: Kernel on x; the Gaussian with `median_gamma(x)` if left out.
        kernel_y: Kernel on y, likewise.
        method: See above.
        n_perm: Permutations to compare with at least ("shifts": rounded up to whole sets of
            shifts, at most one such set more than asked for).
        generator: Source of randomness, on the CPU; needed by the first two methods. The same
            seed gives the same p-value.
        block: Elements of a tile (gamma methods) or diagonals at a time ("shifts").

    Returns:
        A `TestResult`. A constant variable gives statistic 0 and p-value 1.

    Raises:
        TypeError: If the lengths disagree or the entries are not floating point.
        ValueError: If n < 6, the data hold NaN or infinity, a kernel gives such or overflows,
            n_perm < 1, block < 1, or a generator is missing.

    Source:
        Gretton et al. (NeurIPS 20, 2007) for the test; Hemerik and Goeman (Test 27, 2018) for
        why a random relabelling keeps the subgroup exact.

    Example:
        >>> x = torch.linspace(-1, 1, 50)[:, None]
        >>> rng = torch.Generator().manual_seed(0)
        >>> independence_test(x, x.square(), generator=rng).pvalue
        0.001
    """
    n = len(x)
    if n < 6:
        raise ValueError(f"independence_test needs at least 6 observations, got n={n}.")
    check_finite("x", x)
    check_finite("y", y)
    kernel_x = kernel_x or _median_kernel(x)
    kernel_y = kernel_y or _median_kernel(y)
    if method == "gamma-permutation":
        return _gamma_permutation(x, y, kernel_x, kernel_y, block)
    if method == "gamma-gretton":
        K, L = _grams(x, y, kernel_x, kernel_y)
        statistic = max(hsic_v(K, L).item(), 0.0)
        return TestResult(statistic, gamma_pvalue(statistic, gretton_moments(K, L)), method, 0)
    if n_perm < 1:
        raise ValueError(f"independence_test needs n_perm >= 1, got {n_perm}.")
    if generator is None:
        raise ValueError(f"method '{method}' draws permutations: give a generator, got None.")
    by_chance = _by_shifts if method == "shifts" else _by_permutations
    statistics, rounding = by_chance(x, y, kernel_x, kernel_y, n_perm, generator, block)
    observed = statistics[0].item()
    # Ties count against the alternative; those that rounding has split must stay ties.
    pvalue = (statistics >= observed - rounding).double().mean().item()
    return TestResult(max(observed, 0.0), pvalue, method, len(statistics))


def _by_shifts(x, y, kernel_x, kernel_y, n_perm, generator, block) -> tuple[Tensor, float]:
    n = len(x)
    start = torch.randperm(n, generator=generator)
    # Identity first: its shifts hold the observed pairing, and random cosets come after it.
    cosets = -(-(n_perm + 1) // n)
    drawn = [torch.arange(n)] + [torch.randperm(n, generator=generator) for _ in range(cosets - 1)]
    orders = torch.stack(drawn).to(x.device)
    x, y = x[start.to(x.device)], y[start.to(x.device)]
    statistics, rounding = shift_statistics(x, y, kernel_x, kernel_y, orders, block)
    return statistics.flatten(), rounding


def _by_permutations(x, y, kernel_x, kernel_y, n_perm, generator, block) -> tuple[Tensor, float]:
    n = len(x)
    K, L = _grams(x, y, kernel_x, kernel_y)
    # One centred matrix is enough: H is idempotent, tr(KHLH) = <HKH, L>.
    K = K - K.mean(dim=0) - K.mean(dim=1, keepdim=True) + K.mean()
    L = L - L.mean()
    orders = [torch.arange(n)] + [torch.randperm(n, generator=generator) for _ in range(n_perm)]
    parts = []
    for some in torch.stack(orders).to(x.device).split(max(1, _BATCH_ELEMENTS // n**2)):
        entries = L.take(some[:, :, None] * n + some[:, None, :]).flatten(1)
        parts.append(entries @ K.flatten() / n**2)
    rounding = 2 * torch.finfo(K.dtype).eps * (K.norm() * L.norm()).item() / n**2
    statistics = finite_or_explained("HSIC of permutations", torch.cat(parts), x=x, y=y)
    return statistics.double(), rounding


def _gamma_permutation(x, y, kernel_x, kernel_y, block) -> TestResult:
    sums, n = gram_sums(x, y, kernel_x, kernel_y, squares=True, block=block), len(x)
    assert sums.square_k is not None  # both squares were asked for
    assert sums.square_l is not None
    k, ell = sums.k, sums.ell
    inner = sums.inner + k.sum() * ell.sum() / n**2 - 2 * torch.dot(k, ell) / n
    moments = permutation_moments_from_sums(
        centred_sums(k, sums.diagonal_k, sums.square_k),
        centred_sums(ell, sums.diagonal_l, sums.square_l),
        n,
    )
    statistic = max(inner.item() / n**2, 0.0)
    return TestResult(statistic, gamma_pvalue(statistic, moments), "gamma-permutation", 0)


@torch.no_grad()
def _grams(x: Tensor, y: Tensor, kernel_x: Kernel, kernel_y: Kernel) -> list[Tensor]:
    everything, n = slice(0, len(x)), len(x)
    return [
        source.tile(everything, everything, torch.empty(n, n, dtype=source.dtype, device=x.device))
        for source in evaluators(kernel_x, x, kernel_y, y)
    ]


def _median_kernel(x: Tensor) -> Gaussian:
    # A constant sample has no scale, and every bandwidth gives it the same Gram matrix: all ones.
    return Gaussian(1.0 if (x == x[0]).all() else median_gamma(x))
