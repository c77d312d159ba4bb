"""Exact optimal transport by a solver that fits the problem (chapter `wasserstein`)."""

from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive.transport._validate import (
    ConvergenceError,
    check_cost,
    check_same_total,
    check_weights,
)

Solver = Literal["auto", "assignment", "network-simplex", "highs"]


class Transport(NamedTuple):
    """An optimal plan and the prices that prove it optimal."""

    cost: Tensor
    """The optimum, exact up to `gap`."""
    plan: Tensor
    """Shape (n, m): how much of row i goes to column j. A vertex: at most n + m - 1 entries."""
    f: Tensor
    """Prices of the rows; f_i + g_j <= C_ij everywhere."""
    g: Tensor
    """Prices of the columns."""
    gap: float
    """Cost minus the prices' value: no plan can be cheaper by more than that."""
    solver: str


@typed
def emd(
    p: Float[Tensor, " n"],
    q: Float[Tensor, " m"],
    C: Float[Tensor, "n m"],
    *,
    solver: Solver = "auto",
) -> Transport:
    r"""Optimal transport between two weighted sets: plan, cost and dual prices.

    Minimises $\langle\gamma, C\rangle$ over $\gamma \ge 0$ with row sums p and column sums q
    (book equation `eq-ot-lp`). Solved in float64 on the CPU; nothing flows back through it (the
    gradient with respect to C is the plan, with respect to p it is f).

    Args:
        p: Weights of the rows, >= 0; zeros are allowed.
        q: Weights of the columns, of the same total.
        C: Costs; +inf forbids a route.
        solver: "assignment" is for equal uniform weights, O(n³) at worst; "network-simplex" is
            POT's, imported when first needed; "highs" is SciPy's linear programme, 40 times
            slower and always there. "auto" takes the first of the three that fits.

    Returns:
        A `Transport`. The prices are made feasible by c-transforms (`eq-ot-ctrans`), so the
        gap proves the cost: it is at most 1e-9 times the largest cost and mass.

    Raises:
        TypeError: If the shapes disagree or the entries are not floating point.
        ValueError: If a weight is negative or not finite, the totals differ, a cost is NaN, or
            forbidden routes leave no plan.
        ConvergenceError: If a solver gives up, or its gap is larger than promised.

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> emd(half, half, torch.tensor([[4.0, 1.0], [2.0, 3.0]])).cost
        tensor(1.5000)
    """
    check_weights("p", p)
    check_weights("q", q)
    check_same_total(p, q)
    check_cost(C)
    weights_p, weights_q, costs = _numpy(p), _numpy(q), _numpy(C)
    rows, columns = weights_p > 0, weights_q > 0
    weights_q = weights_q * (weights_p.sum() / weights_q.sum())  # equal up to rounding: checked
    a, b = weights_p[rows], weights_q[columns]
    inner = costs[np.ix_(rows, columns)]
    chosen = _choose(solver, a, b, inner)
    plan_inner, f_inner = _SOLVERS[chosen](a, b, inner)

    plan = np.zeros_like(costs)
    plan[np.ix_(rows, columns)] = plan_inner
    moved = plan > 0
    cost = float((plan[moved] * costs[moved]).sum())
    g = _lowest(costs[rows] - f_inner[:, None], axis=0)
    f = _lowest(costs - g, axis=1)
    gap = cost - float(f @ weights_p + g @ weights_q)
    scale = np.abs(costs[np.isfinite(costs)]).max() * a.sum()
    if gap > 1e-9 * scale:
        raise ConvergenceError(
            f"emd: the {chosen} solver leaves a gap of {gap:.2e} between plan and prices, allowed "
            f"are 1e-9 of the largest cost; rescale the cost (now up to {scale / a.sum():.3g})."
        )
    plan_back, f_back, g_back = (torch.from_numpy(array).to(C) for array in (plan, f, g))
    return Transport(C.new_tensor(cost), plan_back, f_back, g_back, max(gap, 0.0), chosen)


@typed
def emd_cost(
    C: Float[Tensor, "*b n m"],
    p: Float[Tensor, "*b n"] | None = None,
    q: Float[Tensor, "*b m"] | None = None,
    *,
    solver: Solver = "auto",
) -> Float[Tensor, "*b"]:
    """Optimal costs of a batch of transport problems, without plans and prices.

    Input is checked once for the batch, so that small problems cost little more than the solver
    itself: the way to compute thousands of distances. Exact up to rounding.

    Args:
        C: Cost matrices; +inf forbids a route.
        p: Weights of the rows; uniform if left out.
        q: Weights of the columns, of the same totals; uniform if left out.
        solver: As for `emd`.

    Raises:
        TypeError, ValueError, ConvergenceError: As for `emd`.

    Example:
        >>> emd_cost(torch.tensor([[4.0, 1.0], [2.0, 3.0]]))
        tensor(1.5000)
    """
    check_cost(C)
    n, m = C.shape[-2:]
    costs = _numpy(C).reshape(-1, n, m)
    if p is None and q is None and n == m and solver in ("auto", "assignment"):
        values: np.ndarray | list[float] = _assignment_costs(costs)
    else:
        p = C.new_full(C.shape[:-1], 1 / n) if p is None else p
        q = C.new_full((*C.shape[:-2], m), 1 / m) if q is None else q
        check_weights("p", p)
        check_weights("q", q)
        check_same_total(p, q)
        weights = zip(_numpy(p).reshape(-1, n), _numpy(q).reshape(-1, m), costs, strict=True)
        values = [_positive_cost(a, b, one, solver) for a, b, one in weights]
    return torch.as_tensor(values, dtype=C.dtype, device=C.device).reshape(C.shape[:-2])


def solve_cost(C: np.ndarray, p: np.ndarray | None = None, q: np.ndarray | None = None) -> float:
    """The optimal cost for NumPy arrays in float64, with no check at all.

    For inner loops whose author has checked the input once: C finite or +inf, weights >= 0 with
    equal totals, both left out for uniform ones (then C is square).
    """
    if p is None:
        return _assignment_cost(C)
    assert q is not None  # given with p, or both left out
    return _positive_cost(p, q, C, "auto")


def _positive_cost(p: np.ndarray, q: np.ndarray, C: np.ndarray, solver: Solver) -> float:
    rows, columns = p > 0, q > 0
    if not (rows.all() and columns.all()):
        p, q, C = p[rows], q[columns], C[np.ix_(rows, columns)]
    q = q * (p.sum() / q.sum())
    chosen = _choose(solver, p, q, C)
    if chosen == "assignment":
        return _assignment_cost(C) * p.sum()
    plan, _ = _SOLVERS[chosen](p, q, C)
    moved = plan > 0
    return float((plan[moved] * C[moved]).sum())


def _choose(solver: Solver, p: np.ndarray, q: np.ndarray, C: np.ndarray) -> str:
    # Uniform up to rounding: weights that came from a division still count as equal.
    even = len(p) == len(q) and all(np.ptp(w) <= 4 * np.finfo(float).eps * w[0] for w in (p, q))
    if solver == "assignment" and not even:
        raise ValueError("the assignment solver needs as many rows as columns, all weights equal.")
    allowed = bool(np.isfinite(C).all())
    if solver == "network-simplex" and not allowed:
        raise ValueError("the network simplex knows no forbidden routes; take solver='highs'.")
    if solver == "network-simplex" and not _has_pot():
        raise ModuleNotFoundError("solver='network-simplex' needs the package POT.")
    if solver != "auto":
        return solver
    if even:
        return "assignment"
    return "network-simplex" if allowed and _has_pot() else "highs"


def _has_pot() -> bool:
    return find_spec("ot") is not None  # finds it without the seconds of importing it


def _assignment_cost(C: np.ndarray) -> float:
    order = _match(_reduced(C) if len(C) >= 24 else C)
    return float(C.ravel().take(np.arange(0, C.size, C.shape[1]) + order).sum()) / len(C)


def _assignment_costs(C: np.ndarray) -> np.ndarray:
    orders = np.array([_match(one) for one in _reduced(C)])
    return np.take_along_axis(C, orders[:, :, None], axis=2).mean(axis=(1, 2))


def _reduced(C: np.ndarray) -> np.ndarray:
    """The same problem with prices to begin with, which shorten the search."""
    with np.errstate(invalid="ignore"):  # a column without a route is found out by the solver
        return C - C.min(axis=-2, keepdims=True)


def _match(C: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    try:
        return linear_sum_assignment(C)[1]
    except ValueError as error:
        raise ValueError("infeasible: the forbidden routes leave no plan.") from error


def _by_assignment(p: np.ndarray, q: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = _match(_reduced(C))
    plan = np.zeros_like(C)
    plan[np.arange(len(C)), order] = p
    # Prices: shortest paths in the residual graph (Bellman-Ford); the optimum has no negative
    # cycle, so n rounds suffice, and a handful does in practice.
    matched = C[np.arange(len(C)), order]
    excess = C - matched[:, None]
    g = np.zeros(len(C))
    for _ in range(len(C)):
        lower = np.minimum(g, (excess + g[order][:, None]).min(axis=0))
        if (lower == g).all():
            break
        g = lower
    return plan, matched - g[order]


def _by_network_simplex(p, q, C) -> tuple[np.ndarray, np.ndarray]:
    import ot  # 1 to 3 s, and only where it is used

    steps = max(100_000, 50 * C.size)
    p, q = np.ascontiguousarray(p), np.ascontiguousarray(q)
    plan, log = ot.emd(
        p, q, np.ascontiguousarray(C), steps, log=True, center_dual=False, check_marginals=False
    )
    if log["warning"] is not None:
        raise ConvergenceError(f"emd: POT's network simplex reports: {log['warning']}")
    return plan, log["u"]


def _by_highs(p: np.ndarray, q: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix

    n, m = C.shape
    i, j = np.nonzero(np.isfinite(C))
    if not (np.isin(np.arange(n), i).all() and np.isin(np.arange(m), j).all()):
        raise ValueError("infeasible: the forbidden routes leave no plan.")
    # The n + m sums have rank n + m - 1 (`eq-ot-rank`): the last column's is left out.
    kept, route = j < m - 1, np.arange(len(i))
    ones = np.ones(len(i) + kept.sum())
    sums = (np.concatenate([i, n + j[kept]]), np.concatenate([route, route[kept]]))
    A = csr_matrix((ones, sums), shape=(n + m - 1, len(i)))
    scale, total = max(np.abs(C[i, j]).max(), np.finfo(float).tiny), p.sum()
    result = linprog(
        C[i, j] / scale,
        A_eq=A,
        b_eq=np.concatenate([p, q[:-1]]) / total,
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if result.status == 2:
        raise ValueError("infeasible: the forbidden routes leave no plan.")
    if result.status != 0:
        raise ConvergenceError(f"emd: HiGHS reports: {result.message}")
    plan = np.zeros_like(C)
    plan[i, j] = result.x * total
    return plan, result.eqlin.marginals[:n] * scale


_SOLVERS = {
    "assignment": _by_assignment,
    "network-simplex": _by_network_simplex,
    "highs": _by_highs,
}


def _lowest(C: np.ndarray, axis: int) -> np.ndarray:
    # A place that no route reaches may have any price: 0.
    lowest = C.min(axis=axis)
    return np.where(np.isinf(lowest), 0.0, lowest)


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().to("cpu", torch.float64).numpy()
