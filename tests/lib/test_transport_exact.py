"""derive.transport: exact solvers, prices, rounding, certificates."""

import doctest
import importlib
import subprocess
import sys

import pytest
import torch

from derive.transport import (
    ConvergenceError,
    c_transform,
    certificate,
    cost_matrix,
    emd,
    emd_cost,
    exact,
    gibbs_plan,
    round_plan,
    sinkhorn,
)
from oracles import (
    rounded_plan,
    transport_by_dense_programme,
    transport_by_permutations,
)

MODULES = (
    "_validate _sweeps _blocks costs exact certificates entropic streaming divergence "
    "line gaussian critics"
)
F64 = torch.float64
INF = float("inf")


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(4)


def weights(n, rng):
    p = torch.rand(n, generator=rng, dtype=F64) + 0.1
    return p / p.sum()


def problem(rng, n=None, m=None):
    if n is None:
        n, m = torch.randint(2, 9, (2,), generator=rng).tolist()
    return weights(n, rng), weights(m, rng), torch.rand(n, m, generator=rng, dtype=F64)


@pytest.mark.parametrize("module", MODULES.split())
def test_the_examples_in_the_documentation_hold(module):
    failed, _ = doctest.testmod(importlib.import_module(f"derive.transport.{module}"))
    assert failed == 0


def test_importing_it_loads_neither_pot_nor_scipys_solvers():
    code = (
        "import sys, derive.transport; "
        "print([m for m in ('ot', 'scipy.optimize', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- emd


@pytest.mark.parametrize("solver", ["highs", "network-simplex"])
def test_emd_equals_the_linear_programme_as_defined(solver, rng):
    if solver == "network-simplex":
        pytest.importorskip("ot")
    for _ in range(20):
        p, q, C = problem(rng)
        found = emd(p, q, C, solver=solver)
        assert found.solver == solver
        assert found.cost.item() == pytest.approx(transport_by_dense_programme(p, q, C), abs=1e-7)
        assert 0 <= found.gap < 1e-12


def test_emd_agrees_with_pot(rng):
    ot = pytest.importorskip("ot")
    for _ in range(20):
        p, q, C = problem(rng)
        expected = ot.emd2(p.numpy(), q.numpy(), C.numpy())
        assert emd(p, q, C, solver="highs").cost.item() == pytest.approx(expected, abs=1e-12)


def test_emd_with_equal_weights_equals_all_permutations(rng):
    even = torch.full((6,), 1 / 6, dtype=F64)
    for _ in range(5):
        C = torch.rand(6, 6, generator=rng, dtype=F64)
        found = emd(even, even, C)
        assert found.solver == "assignment"
        assert found.cost.item() == pytest.approx(transport_by_permutations(C.tolist()), abs=1e-14)
        assert found.gap < 1e-14
        assert emd(even, even, C, solver="highs").cost.item() == pytest.approx(found.cost.item())


def test_the_oracle_of_permutations_rejects_the_greedy_assignment():
    C = [[0.0, 1.0], [1.0, 10.0]]  # the cheapest route first forces the dearest one
    assert transport_by_permutations(C) == 1.0
    assert (C[0][0] + C[1][1]) / 2 == 5.0


@pytest.mark.parametrize("solver", ["auto", "highs"])
def test_plan_and_prices_are_feasible_and_complementary(solver, rng):
    for _ in range(10):
        p, q, C = problem(rng)
        found = emd(p, q, C, solver=solver)
        torch.testing.assert_close(found.plan.sum(dim=1), p)
        torch.testing.assert_close(found.plan.sum(dim=0), q)
        slack = C - found.f[:, None] - found.g
        assert slack.min() > -1e-12
        assert (found.plan * slack).abs().max() < 1e-12
        assert (found.plan > 1e-12).sum() <= len(p) + len(q) - 1


def test_ties_do_not_matter(rng):
    for _ in range(50):
        p, q, _ = problem(rng, 5, 6)
        C = torch.randint(0, 3, (5, 6), generator=rng).to(F64)
        expected = transport_by_dense_programme(p, q, C)
        assert emd(p, q, C).cost.item() == pytest.approx(expected, abs=1e-7)
        even = torch.full((5,), 0.2, dtype=F64)
        found = emd(even, even, C[:, :5])
        assert found.gap < 1e-14


@pytest.mark.parametrize("solver", ["auto", "highs"])
def test_weights_of_zero_are_as_good_as_absent(solver, rng):
    p, q, C = problem(rng, 5, 4)
    more_p, more_q = torch.cat([p, p.new_zeros(2)]), torch.cat([q.new_zeros(1), q])
    more_C = torch.rand(7, 5, generator=rng, dtype=F64)
    more_C[:5, 1:] = C
    expected, found = emd(p, q, C, solver=solver), emd(more_p, more_q, more_C, solver=solver)
    torch.testing.assert_close(found.cost, expected.cost)
    torch.testing.assert_close(found.plan[:5, 1:], expected.plan)
    assert (more_C - found.f[:, None] - found.g).min() > -1e-12


def test_any_common_total_is_allowed_and_scales_the_cost(rng):
    p, q, C = problem(rng)
    torch.testing.assert_close(emd(50 * p, 50 * q, C).cost, 50 * emd(p, q, C).cost)


@pytest.mark.parametrize("even", [True, False])
def test_forbidden_routes_are_not_used(even, rng):
    p, q, C = problem(rng, 5, 5)
    if even:
        p = q = torch.full((5,), 0.2, dtype=F64)
    C[0, :3] = INF
    C[1:, 4] = INF
    C[0, 4] = 9.0
    if not even:
        p = torch.tensor([0.4, 0.15, 0.15, 0.15, 0.15], dtype=F64)
        q = torch.tensor([0.2, 0.2, 0.2, 0.1, 0.3], dtype=F64)
    found = emd(p, q, C)
    large = torch.where(torch.isinf(C), 1e3, C)
    assert found.cost.item() == pytest.approx(transport_by_dense_programme(p, q, large), abs=1e-6)
    assert (found.plan[torch.isinf(C)] == 0).all()
    assert torch.isfinite(found.f).all()
    assert torch.isfinite(found.g).all()


def test_float32_in_float32_out(rng):
    exactly = problem(rng)
    found = emd(*(x.float() for x in exactly))
    assert {x.dtype for x in (found.cost, found.plan, found.f, found.g)} == {torch.float32}
    assert found.cost.item() == pytest.approx(emd(*exactly).cost.item(), rel=1e-6)


def test_input_is_left_as_it_was(rng):
    p, q, C = problem(rng)
    before = [x.clone() for x in (p, q, C)]
    found = emd(p, q, C)
    certificate(p, q, C, found.f, found.plan)
    sinkhorn(p, q, C, epsilon=0.1)
    assert all(torch.equal(x, y) for x, y in zip((p, q, C), before, strict=True))


def test_without_pot_the_linear_programme_does_it(rng, monkeypatch):
    monkeypatch.setattr(exact, "_has_pot", lambda: False)
    p, q, C = problem(rng)
    assert emd(p, q, C).solver == "highs"
    with pytest.raises(ModuleNotFoundError, match="POT"):
        emd(p, q, C, solver="network-simplex")


def test_a_solver_that_is_wrong_is_found_out_by_its_prices(rng, monkeypatch):
    p, q, C = problem(rng, 4, 5)
    monkeypatch.setitem(
        exact._SOLVERS, "highs", lambda a, b, costs: (a[:, None] * b, 0 * costs[:, 0])
    )
    with pytest.raises(ConvergenceError, match="gap"):
        emd(p, q, C, solver="highs")


def test_emd_cost_of_a_batch_equals_emd_one_by_one(rng):
    C = torch.rand(2, 3, 4, 5, generator=rng, dtype=F64)
    p = torch.stack([weights(4, rng) for _ in range(6)]).reshape(2, 3, 4)
    q = torch.stack([weights(5, rng) for _ in range(6)]).reshape(2, 3, 5)
    p[0, 0, 1] = 0.0
    p[0, 0] /= p[0, 0].sum()
    costs = emd_cost(C, p, q)
    each = [emd(p[i, j], q[i, j], C[i, j]).cost for i in range(2) for j in range(3)]
    torch.testing.assert_close(costs.flatten(), torch.stack(each))
    square = torch.rand(7, 4, 4, generator=rng, dtype=F64)
    expected = torch.tensor([transport_by_permutations(one.tolist()) for one in square], dtype=F64)
    torch.testing.assert_close(emd_cost(square), expected)
    torch.testing.assert_close(emd_cost(square[:, :3])[0], emd_cost(square[0, :3]))


def test_equal_weights_with_absent_atoms_are_an_assignment(rng):
    C = torch.rand(4, 5, generator=rng, dtype=F64)
    p = torch.tensor([1, 0, 1, 1], dtype=F64) / 3
    q = torch.tensor([0, 1, 1, 0, 1], dtype=F64) / 3
    inner = C[p > 0][:, q > 0]
    expected = transport_by_permutations(inner.tolist())
    assert emd_cost(C, p, q).item() == pytest.approx(expected, abs=1e-15)
    assert emd(p, q, C).solver == "assignment"


def test_a_row_without_a_route_is_infeasible_for_any_weights():
    C = torch.tensor([[INF, INF], [1.0, 2.0]])
    with pytest.raises(ValueError, match="infeasible"):
        emd(torch.tensor([0.3, 0.7]), torch.tensor([0.4, 0.6]), C)


def test_a_programme_that_gives_up_is_an_error(rng, monkeypatch):
    import scipy.optimize

    class GaveUp:
        status, message = 1, "iteration limit"

    monkeypatch.setattr(scipy.optimize, "linprog", lambda *args, **options: GaveUp)
    with pytest.raises(ConvergenceError, match="iteration limit"):
        emd(*problem(rng, 4, 5), solver="highs")


def test_solve_cost_is_emd_without_checks(rng):
    p, q, C = problem(rng)
    found = exact.solve_cost(C.numpy(), p.numpy(), q.numpy())
    assert found == pytest.approx(emd(p, q, C).cost.item(), abs=1e-12)
    for n in (5, 40):
        C = torch.rand(n, n, generator=rng, dtype=F64)
        assert exact.solve_cost(C.numpy()) == pytest.approx(emd_cost(C).item(), abs=1e-15)


HALF = torch.tensor([0.5, 0.5])
ONE = torch.ones(2, 2)


@pytest.mark.parametrize(
    ("p", "q", "C", "error", "message"),
    [
        (HALF, HALF, torch.ones(2, 3), TypeError, "m=2"),
        (HALF.long(), HALF, ONE, TypeError, "i64"),
        (torch.tensor([1.5, -0.5]), HALF, ONE, ValueError, "-0.5 to 1.5"),
        (torch.tensor([float("nan"), 0.5]), HALF, ONE, ValueError, "p must hold finite"),
        (HALF, torch.zeros(2), ONE, ValueError, "q has total weight 0"),
        (HALF, 0.6 * torch.ones(2), ONE, ValueError, "equal totals, got 1 and 1.2"),
        (HALF, HALF, torch.tensor([[1.0, float("nan")], [1, 1]]), ValueError, "no NaN"),
        (HALF, HALF, torch.tensor([[1.0, -INF], [1, 1]]), ValueError, "no -inf"),
        (HALF, HALF, torch.tensor([[INF, INF], [1, 1]]), ValueError, "infeasible"),
        (torch.zeros(0), HALF, torch.zeros(0, 2), ValueError, "nothing to nothing"),
    ],
    ids=[
        "shapes disagree",
        "integer weights",
        "negative weight",
        "NaN weight",
        "no mass",
        "unequal totals",
        "NaN cost",
        "cost -inf",
        "no route out",
        "empty",
    ],
)
def test_emd_rejects(p, q, C, error, message):
    with pytest.raises(error, match=message):
        emd(p, q, C)


@pytest.mark.parametrize("solver", ["highs", "auto"])
def test_emd_says_when_forbidden_routes_leave_no_plan(solver):
    # every row and every column has a route, and still there is no plan
    C = torch.tensor([[1.0, INF, INF], [1.0, INF, INF], [1.0, 1.0, 1.0]])
    p = torch.tensor([0.3, 0.3, 0.4])
    for weight in (p, torch.full((3,), 1 / 3)):
        with pytest.raises(ValueError, match="infeasible"):
            emd(weight, weight, C, solver=solver)


def test_an_assignment_without_a_plan_is_infeasible_at_every_size():
    for n in (3, 40):
        C = torch.ones(n, n)
        C[:, 0] = INF
        for call in (lambda C=C: emd_cost(C), lambda C=C: exact.solve_cost(C.double().numpy())):
            with pytest.raises(ValueError, match="infeasible"):
                call()


def test_solvers_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="all weights equal"):
        emd(torch.tensor([0.3, 0.7]), HALF, ONE, solver="assignment")
    pytest.importorskip("ot")
    with pytest.raises(ValueError, match="forbidden routes"):
        emd(HALF, HALF, torch.tensor([[INF, 1.0], [1, 1]]), solver="network-simplex")


def test_pots_complaint_becomes_an_error(rng, monkeypatch):
    ot = pytest.importorskip("ot")
    log = {"warning": "numItermax reached", "u": torch.zeros(4).numpy()}
    monkeypatch.setattr(ot, "emd", lambda *args, **options: (torch.zeros(4, 5).numpy(), log))
    with pytest.raises(ConvergenceError, match="numItermax reached"):
        emd(*problem(rng, 4, 5), solver="network-simplex")


# --- costs


def test_cost_matrix_equals_the_distances(rng):
    x, y = (
        torch.randn(2, 4, 3, generator=rng, dtype=F64),
        torch.randn(2, 5, 3, generator=rng, dtype=F64),
    )
    squares = (x[:, :, None] - y[:, None]).square().sum(dim=-1)
    torch.testing.assert_close(cost_matrix(x, y), squares)
    torch.testing.assert_close(cost_matrix(x, y, cost="euclidean"), squares.sqrt())


def test_a_point_is_at_distance_zero_from_itself_and_nothing_is_negative(rng):
    x = 1e4 + torch.randn(50, 3, generator=rng)
    assert (cost_matrix(x, x).diagonal() == 0).all()
    assert (cost_matrix(x, x.clone()) >= 0).all()
    assert (cost_matrix(x, x.clone(), cost="euclidean").diagonal() == 0).all()
    torch.testing.assert_close(
        cost_matrix(x, x), cost_matrix(x.double(), x.double()).float(), rtol=1e-4, atol=1e-4
    )


# --- prices, rounding, certificates


def test_c_transform_is_the_minimum_and_stops_improving(rng):
    C, f = torch.rand(6, 4, generator=rng, dtype=F64), torch.randn(6, generator=rng, dtype=F64)
    g = c_transform(f, C)
    expected = [min(C[i, j].item() - f[i].item() for i in range(6)) for j in range(4)]
    assert g.tolist() == pytest.approx(expected)
    twice = c_transform(g, C.mT)
    assert (twice >= f - 1e-15).all()
    torch.testing.assert_close(c_transform(twice, C), g)


def test_round_plan_equals_the_published_algorithm(rng):
    p, q, _ = problem(rng, 5, 7)
    G = torch.rand(5, 7, generator=rng, dtype=F64) / 20
    R = round_plan(G, p, q)
    expected = torch.tensor(rounded_plan(G.tolist(), p.tolist(), q.tolist()), dtype=F64)
    torch.testing.assert_close(R, expected)
    torch.testing.assert_close(R.sum(dim=1), p)
    torch.testing.assert_close(R.sum(dim=0), q)
    moved = (R - G).abs().sum()
    assert moved <= 2 * ((G.sum(dim=1) - p).abs().sum() + (G.sum(dim=0) - q).abs().sum())


def test_the_oracle_of_rounding_rejects_a_missing_repair(rng):
    p, q, _ = problem(rng, 5, 7)
    G = torch.rand(5, 7, generator=rng, dtype=F64) / 20
    scaled = G * (p / G.sum(dim=1)).clamp(max=1)[:, None]
    scaled = scaled * (q / scaled.sum(dim=0)).clamp(max=1)
    expected = torch.tensor(rounded_plan(G.tolist(), p.tolist(), q.tolist()), dtype=F64)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(scaled, expected)


def test_a_feasible_plan_and_an_empty_one_can_be_rounded(rng):
    p, q, C = problem(rng)
    plan = emd(p, q, C).plan
    torch.testing.assert_close(round_plan(plan, p, q), plan)
    torch.testing.assert_close(round_plan(torch.zeros_like(C), p, q), p[:, None] * q)


def test_a_certificate_contains_the_truth_from_any_prices_and_any_plan(rng):
    for _ in range(100):
        p, q, C = problem(rng)
        f = torch.randn(len(p), generator=rng, dtype=F64)
        G = torch.rand(len(p), len(q), generator=rng, dtype=F64)
        bounds = certificate(p, q, C, f, G)
        truth = emd(p, q, C, solver="highs").cost
        assert bounds.lower <= truth <= bounds.upper
        assert (C - bounds.f[:, None] - bounds.g).min() >= -1e-12
        torch.testing.assert_close(bounds.plan.sum(dim=1), p)


def test_a_certificate_of_the_optimum_is_tight(rng):
    p, q, C = problem(rng)
    found = emd(p, q, C)
    bounds = certificate(p, q, C, found.f, found.plan)
    assert bounds.lower <= found.cost <= bounds.upper
    assert (bounds.upper - bounds.lower).item() < 1e-13


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_a_thousand_sinkhorn_iterates_are_certified(dtype, rng):
    n, m, num = 12, 15, 1000
    p = torch.rand(num, n, generator=rng, dtype=F64) + 0.05
    q = torch.rand(num, m, generator=rng, dtype=F64) + 0.05
    p, q = p / p.sum(dim=1, keepdim=True), q / q.sum(dim=1, keepdim=True)
    C = torch.rand(num, n, m, generator=rng, dtype=F64)
    truth = emd_cost(C, p, q)
    p, q, C = (x.to(dtype) for x in (p, q, C))
    for epsilon, sweeps in ((0.3, 1), (0.1, 5), (0.03, 20), (0.02, 100)):
        rough = sinkhorn(p, q, C, epsilon=epsilon, num_sweeps=sweeps)
        bounds = certificate(
            p, q, C, rough.f, gibbs_plan(p, q, C, rough.f, rough.g, epsilon=epsilon)
        )
        assert ((bounds.lower <= truth) & (truth <= bounds.upper)).all()
        assert (bounds.upper > bounds.lower).all()


def test_rows_of_weight_zero_do_not_weaken_the_certificate(rng):
    p, q, C = problem(rng, 4, 5)
    found = emd(p, q, C)
    more_p, more_C = torch.cat([p, p.new_zeros(1)]), torch.cat([C, torch.zeros_like(C[:1])])
    f, G = torch.cat([found.f, found.f.new_tensor([50.0])]), torch.zeros_like(more_C)
    bounds = certificate(more_p, q, more_C, f, G)
    assert bounds.lower.item() == pytest.approx(found.cost.item(), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: certificate(HALF, HALF, ONE, torch.tensor([0.0, INF]), ONE), "finite prices"),
        (lambda: certificate(HALF, HALF, ONE, HALF, -ONE), "entries >= 0"),
        (lambda: round_plan(torch.tensor([[INF, 1.0], [1, 1]]), HALF, HALF), "overflowed"),
        (lambda: round_plan(ONE, HALF, 2 * HALF), "equal totals"),
        (lambda: c_transform(HALF, torch.tensor([[float("nan"), 1], [1, 1]])), "no NaN"),
        (lambda: c_transform(HALF, torch.zeros(2, 0)), "cost matrix is empty"),
    ],
    ids=["infinite price", "negative plan", "overflow", "totals", "NaN cost", "empty"],
)
def test_certificates_reject(call, message):
    with pytest.raises(ValueError, match=message):
        call()
