"""derive.recurrent: products, Lyapunov exponents and what theory predicts of them."""

import math
from dataclasses import replace

import pytest
import torch

from derive import recurrent as rec
from oracles import mean_field_by_quadrature, terms_of_bptt

F64 = torch.float64
KINDS = ["tanh", "relu", "linear", "lstm", "gru", "gru_paper"]


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(21)


def normal(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=F64)


def cell_of(kind, rng, n=4, d=3):
    rows = {"lstm": 4, "gru": 3, "gru_paper": 3}.get(kind, 1) * n
    return rec.Cell(
        kind, normal(rng, rows, d), normal(rng, rows, n), normal(rng, rows), normal(rng, rows)
    )


# --- products and gradients by lag


def test_the_product_is_in_time_order(rng):
    J = normal(rng, 4, 3, 3)
    torch.testing.assert_close(rec.product(J), J[3] @ J[2] @ J[1] @ J[0])
    with pytest.raises(AssertionError):
        torch.testing.assert_close(rec.product(J), J[0] @ J[1] @ J[2] @ J[3])


def test_products_by_lag_end_in_the_whole_product(rng):
    J = normal(rng, 6, 2, 3, 3)
    by_lag = rec.products_by_lag(J)
    for k in range(6):
        torch.testing.assert_close(by_lag[k], rec.product(J[5 - k :]))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_by_lag_adds_up_to_autograd_term_by_term(kind, rng):
    cell = cell_of(kind, rng)
    x, read = normal(rng, 5, 2, 3), normal(rng, 2, cell.state_size)
    found = rec.gradient_by_lag(cell, x, lambda s: (s * read).sum().sin())

    # A copy of U for each step: autograd then keeps the terms apart.
    copies = [cell.U.clone().requires_grad_() for _ in x]
    state, states = torch.zeros(2, cell.state_size, dtype=F64), []
    for x_t, U in zip(x, copies, strict=True):
        state.requires_grad_()
        state.retain_grad()
        states.append(state)
        state = rec.step(replace(cell, U=U), x_t, state)
    state.retain_grad()
    (state * read).sum().sin().backward()
    grads = torch.stack([U.grad for U in copies])
    torch.testing.assert_close(found.gradient, grads.sum(dim=0), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.terms, grads.flatten(1).norm(dim=1).flip(0))
    norms = torch.stack([s.grad.norm(dim=1) for s in [*states, state]]).flip(0)
    torch.testing.assert_close(found.states, norms)


def test_gradient_by_lag_equals_the_formula(rng):
    cell = cell_of("tanh", rng)
    x, read = normal(rng, 6, 3), normal(rng, 4)
    states = rec.trajectory(cell, x)
    terms = terms_of_bptt(cell.U, states, read)
    found = rec.gradient_by_lag(cell, x, lambda h: h @ read)
    torch.testing.assert_close(found.terms, terms.flatten(1).norm(dim=1).flip(0))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(found.terms, terms.flatten(1).norm(dim=1))


def test_gradient_by_lag_takes_one_backward_sweep(rng):
    cell, calls = cell_of("gru", rng), []

    def loss(state):
        calls.append(1)
        return state.sum()

    rec.gradient_by_lag(cell, normal(rng, 30, 3), loss)
    assert len(calls) == 1


def test_log_norms_equal_those_of_the_products_and_do_not_overflow(rng):
    J, v = normal(rng, 7, 2, 3, 3), normal(rng, 2, 3)
    logs = rec.log_norms_by_lag(J, v)
    plain = (rec.products_by_lag(J).mT @ v[..., None])[..., 0].norm(dim=-1).log()
    torch.testing.assert_close(logs[1:], plain)
    assert rec.log_norms_by_lag(100 * J.repeat(200, 1, 1, 1), v)[-1].isfinite().all()
    assert rec.log_norms_by_lag(0 * J, v)[-1].isneginf().all()
    for scale in (1e-300, 1e300):  # whose squares are no float64
        wanted = logs + torch.arange(8)[:, None] * math.log(scale)
        torch.testing.assert_close(rec.log_norms_by_lag(scale * J, v), wanted)
        assert rec.log_norms_by_lag(J, scale * v)[-1].isfinite().all()


# --- Lyapunov exponents


@pytest.mark.parametrize(("n", "steps"), [(8, 300), (32, 60)])
def test_exponents_of_gaussian_products_are_newmans(n, steps, rng):
    factors = normal(rng, steps, 40, n, n) / n**0.5
    found = rec.lyapunov(factors)
    exact = rec.gaussian_product_exponents(n)
    assert ((found.exponents - exact).abs() < 4.9 * found.stderr).all()
    wrong = exact - math.log(2) / 2
    assert ((found.exponents - wrong).abs() > 4.9 * found.stderr).any()


def test_exponents_add_up_to_the_determinant(rng):
    J = normal(rng, 60, 5, 5)
    total = torch.linalg.slogdet(J)[1].mean()
    torch.testing.assert_close(rec.lyapunov(J).exponents.sum(), total)


def test_exponents_of_one_matrix_are_the_logs_of_its_eigenvalues(rng):
    """Triangular and far from normal; the axes are invariant, and out of order."""
    A = torch.triu(normal(rng, 4, 4), 1) + torch.diag(torch.tensor([0.1, 3.0, 0.5, 1.5], dtype=F64))
    found = rec.lyapunov(A.expand(300, 4, 4), burn_in=100)
    expected = torch.tensor([3.0, 1.5, 0.5, 0.1], dtype=F64).log()
    torch.testing.assert_close(found.exponents, expected, rtol=0, atol=1e-8)
    top = rec.lyapunov(A.expand(300, 4, 4), k=2, burn_in=100)
    torch.testing.assert_close(top.exponents, expected[:2], rtol=0, atol=1e-8)


def test_fewer_decompositions_give_the_same_exponents(rng):
    J = normal(rng, 200, 3, 3)
    often, rarely = rec.lyapunov(J), rec.lyapunov(J, reorth=4)
    torch.testing.assert_close(often.exponents, rarely.exponents)
    assert often.num_steps == rarely.num_steps == 200


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_products_between_decompositions_neither_overflow_nor_vanish(scale, rng):
    J = normal(rng, 200, 3, 3).float()
    usual, scaled = rec.lyapunov(J, reorth=4), rec.lyapunov(scale * J, reorth=4)
    wanted = usual.exponents + math.log(scale)
    torch.testing.assert_close(scaled.exponents, wanted, rtol=1e-5, atol=1e-5)


def test_an_iterable_is_as_good_as_a_tensor(rng):
    J = normal(rng, 60, 3, 3)
    torch.testing.assert_close(rec.lyapunov(iter(J)).exponents, rec.lyapunov(J).exponents)


def test_dead_directions_are_counted_not_averaged(rng):
    J = normal(rng, 60, 4, 4)
    J[:, 2] = 0
    found = rec.lyapunov(J)
    assert found.num_dead == 1
    assert found.exponents[3].isneginf()
    assert found.stderr[3].isnan()
    assert found.exponents[:3].isfinite().all()


def test_block_errors_are_honest(rng):
    """The standard error of many runs equals what a single run says, within 30 %."""
    J = normal(rng, 80, 200, 1, 1)
    single = [rec.lyapunov(J[:, k]).exponents.item() for k in range(200)]
    stated = torch.tensor([rec.lyapunov(J[:, k]).stderr.item() for k in range(200)])
    assert torch.tensor(single).std().item() == pytest.approx(stated.mean().item(), rel=0.3)


# --- theory


@pytest.mark.parametrize(
    ("g", "sigma2"), [(0.9, 0.1), (1.5, 0.05), (1.5, 0.0), (3.0, 1.0), (75.0, 1.0)]
)
def test_mean_field_equals_its_definition(g, sigma2):
    found = rec.mean_field(g, sigma2)
    q, chi = mean_field_by_quadrature(found.q, g, sigma2)
    assert found.q == pytest.approx(q, rel=1e-9)
    assert found.chi == pytest.approx(chi, rel=1e-9)
    assert found.q > 0


def test_mean_field_of_a_quiet_network_is_rest():
    assert rec.mean_field(0.8, 0.0) == (0.0, pytest.approx(0.64))
    assert rec.mean_field(0.5, 0.3, act="linear") == pytest.approx((0.4, 0.25))
    assert rec.mean_field(1.0, 0.3, act="relu") == pytest.approx((0.6, 0.5))


def test_a_wide_network_follows_mean_field(rng):
    n, g = 400, 0.9
    U = g * normal(rng, n, n) / n**0.5
    cell = rec.Cell("tanh", torch.eye(n, dtype=F64), U, *torch.zeros(2, n, dtype=F64))
    J = rec.jacobians(cell, 0.1**0.5 * normal(rng, 60, n))
    found = rec.lyapunov(J, k=1, burn_in=20).exponents.item()
    assert found == pytest.approx(math.log(rec.mean_field(g, 0.1).chi) / 2, abs=0.05)
    assert found != pytest.approx(math.log(g), abs=0.05)


def test_the_rate_of_a_closed_gate_is_finite():
    assert rec.lstm_rate(-1000.0, 0.0) == -1000
    assert rec.lstm_rate(-1000.0, 4.0) == 0
    assert rec.lstm_rate(1000.0, 0.0) == 0


def test_the_rate_of_a_fresh_lstm_is_that_of_its_spectral_radius(rng):
    n = 6
    U = normal(rng, 4 * n, n) / n**0.5
    zero = torch.zeros(4 * n, dtype=F64)
    b = rec.stack_gates(
        "lstm", **{k: torch.full((n,), 1.0 if k == "f" else 0.0, dtype=F64) for k in "ifgo"}
    )
    U[2 * n : 3 * n] = torch.diag(torch.tensor([0.9, 0.5, 0.1, -0.2, 0.3, 0.7]))  # real spectrum
    cell = rec.Cell("lstm", zero[:, None], U, b, zero)
    J = rec.jacobians(cell, torch.zeros(400, 1, dtype=F64))
    found = rec.lyapunov(J, k=1, burn_in=200).exponents.item()
    assert found == pytest.approx(rec.lstm_rate(1.0, 0.9), abs=1e-6)


# --- refusals

ONES = torch.ones(60, 2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rec.product(ONES[:0]), ValueError, "T=0"),
        (lambda: rec.product(torch.ones(3, 2, 3)), TypeError, "n"),
        (lambda: rec.product(1e30 * ONES), ValueError, "not finite"),
        (lambda: rec.products_by_lag(1e30 * ONES), ValueError, "not finite"),
        (lambda: rec.log_norms_by_lag(ONES, torch.zeros(2)), ValueError, "v != 0"),
        (lambda: rec.log_norms_by_lag(ONES * torch.nan, torch.ones(2)), ValueError, "got nan at"),
        (lambda: rec.lyapunov(ONES * torch.inf), ValueError, "factor 0 is not finite"),
        (lambda: rec.lyapunov(ONES, k=3), ValueError, "k=3"),
        (lambda: rec.lyapunov(ONES[:39]), ValueError, "at least 40"),
        (lambda: rec.lyapunov(ONES, reorth=0), ValueError, "reorth >= 1"),
        (lambda: rec.gaussian_product_exponents(0), ValueError, "n=0"),
        (lambda: rec.gaussian_product_exponents(3, 0.0), ValueError, "g=0"),
        (lambda: rec.mean_field(-1, 0.1), ValueError, "g=-1"),
        (lambda: rec.mean_field(1.5, 0.1, act="relu"), ValueError, "g < 1.41"),
        (lambda: rec.lstm_rate(0.0, -1.0), ValueError, "got -1"),
        (
            lambda: rec.gradient_by_lag(
                rec.Cell("tanh", torch.eye(2), torch.eye(2), *torch.zeros(2, 2)),
                torch.ones(3, 2),
                lambda h: h.sum() * torch.inf,
            ),
            ValueError,
            "finite loss",
        ),
    ],
)
def test_bad_products_and_parameters_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
