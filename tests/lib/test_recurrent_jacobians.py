"""derive.recurrent: cells, and Jacobians against autograd and torch's own cells."""

import doctest
import importlib
from dataclasses import replace

import pytest
import torch

from derive import recurrent as rec
from derive.recurrent.cells import GATES

F64 = torch.float64
KINDS = list(GATES)
TORCH = {
    "tanh": lambda d, n: torch.nn.RNN(d, n, dtype=F64),
    "relu": lambda d, n: torch.nn.RNN(d, n, nonlinearity="relu", dtype=F64),
    "lstm": lambda d, n: torch.nn.LSTM(d, n, dtype=F64),
    "gru": lambda d, n: torch.nn.GRU(d, n, dtype=F64),
}


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(20)


def normal(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=F64)


def cell_of(kind, rng, n=4, d=3):
    rows = len(GATES[kind]) * n
    return rec.Cell(
        kind, normal(rng, rows, d), normal(rng, rows, n), normal(rng, rows), normal(rng, rows)
    )


@pytest.mark.parametrize(
    "module",
    ["cells", "clipping", "initial", "jacobians", "lyapunov", "products", "tasks", "theory"],
)
def test_the_examples_in_the_docstrings_are_right(module):
    failed, tried = doctest.testmod(importlib.import_module(f"derive.recurrent.{module}"))
    assert failed == 0
    assert tried > 0


# --- cells


@pytest.mark.parametrize("kind", TORCH)
def test_a_run_equals_torchs_layer(kind, rng):
    cell = cell_of(kind, rng)
    x = normal(rng, 6, 2, 3)
    expected, _ = rec.to_torch(cell)(x)
    torch.testing.assert_close(rec.trajectory(cell, x)[1:, ..., -cell.size :], expected.detach())


@pytest.mark.parametrize("kind", TORCH)
def test_weights_go_into_torch_and_come_back(kind, rng):
    cell = cell_of(kind, rng)
    back = rec.from_torch(rec.to_torch(cell))
    assert back.kind == kind
    for name in ("W", "U", "b", "b_h"):
        assert torch.equal(getattr(back, name), getattr(cell, name))


def test_from_torch_reads_upper_layers_single_cells_and_layers_without_bias(rng):
    deep = torch.nn.LSTM(3, 4, num_layers=2)
    assert torch.equal(rec.from_torch(deep, layer=1).U, deep.weight_hh_l1)
    one = torch.nn.GRUCell(3, 4)
    assert torch.equal(rec.from_torch(one).W, one.weight_ih)
    plain = rec.from_torch(torch.nn.RNN(3, 4, bias=False))
    assert torch.equal(plain.b, torch.zeros(4))


def test_the_two_forms_of_the_gru_agree_only_without_the_reset_gate(rng):
    """With r = 1 (bias 50), no b_h, and z turned round, they are one and the same."""
    n = 4
    U, W, b = normal(rng, 3 * n, n), normal(rng, 3 * n, 3), normal(rng, 3 * n)
    b[:n] = 50
    flip = torch.cat([torch.ones(n), -torch.ones(n), torch.ones(n)]).to(F64)
    ours = rec.Cell("gru", W, U, b, torch.zeros(3 * n, dtype=F64))
    other = rec.Cell("gru_paper", flip[:, None] * W, flip[:, None] * U, flip * b, ours.b_h)
    x, h = normal(rng, 3), normal(rng, n)
    torch.testing.assert_close(rec.step(ours, x, h), rec.step(other, x, h))
    torch.testing.assert_close(rec.jacobian(ours, x, h), rec.jacobian(other, x, h))
    half = replace(ours, b=torch.zeros(3 * n, dtype=F64))
    twin = replace(other, b=half.b)
    assert (rec.step(half, x, h) - rec.step(twin, x, h)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_biases_are_added_except_where_the_reset_gate_stands_between_them(kind, rng):
    cell = cell_of(kind, rng)
    states = 2 * cell.size if kind == "lstm" else cell.size
    x, state = normal(rng, 3), normal(rng, states)
    one = replace(cell, b=cell.b + cell.b_h, b_h=torch.zeros_like(cell.b_h))
    apart = (rec.step(cell, x, state) - rec.step(one, x, state)).abs().max()
    assert (apart > 1e-3) if kind == "gru" else (apart < 1e-14)


def test_stacked_gates_are_found_again_by_name():
    parts = {name: torch.full((2, 2), float(k)) for k, name in enumerate("gofi")}
    U = rec.stack_gates("lstm", **parts)
    cell = rec.Cell("lstm", torch.zeros(8, 1), U, torch.zeros(8), torch.zeros(8))
    for name, part in parts.items():
        assert torch.equal(cell.gate(name), part)


# --- Jacobians


@pytest.mark.parametrize("kind", KINDS)
def test_jacobians_equal_autograd_over_batch_and_time(kind, rng):
    cell = cell_of(kind, rng)
    x, state = normal(rng, 5, 2, 3), normal(rng, 2, cell.state_size)
    found = rec.jacobians(cell, x, state)
    before = rec.trajectory(cell, x, state)[:-1]
    by_autograd = torch.func.vmap(torch.func.vmap(torch.func.jacrev(
        lambda s, x: rec.step(cell, x, s)
    )))(before, x)  # fmt: skip
    torch.testing.assert_close(found, by_autograd, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "module"),
    [("tanh", torch.nn.RNNCell), ("lstm", torch.nn.LSTMCell), ("gru", torch.nn.GRUCell)],
)
def test_jacobians_equal_those_of_torchs_cells(kind, module, rng):
    one = module(3, 4, dtype=F64)
    cell = rec.from_torch(one)
    x, state = normal(rng, 3), normal(rng, cell.state_size)

    def step(s):
        if kind != "lstm":
            return one(x[None], s[None])[0]
        c, h = s.chunk(2)
        h, c = one(x[None], (h[None], c[None]))
        return torch.cat([c[0], h[0]])

    expected = torch.autograd.functional.jacobian(step, state)
    torch.testing.assert_close(rec.jacobian(cell, x, state), expected, rtol=0, atol=1e-12)


def test_the_c_only_jacobian_is_right_for_one_step_and_wrong_for_two(rng):
    cell, n = cell_of("lstm", rng), 4
    x, c, o = normal(rng, 2, 3), normal(rng, n), normal(rng, n).sigmoid()

    def after(c, steps):
        return rec.trajectory(cell, x[:steps], torch.cat([c, o * c.tanh()]))[-1, :n]

    states = rec.trajectory(cell, x, torch.cat([c, o * c.tanh()]))
    outputs = torch.stack([o, states[1, n:] / states[1, :n].tanh()])
    found = rec.lstm_cell_jacobian(cell, x, states[:-1], outputs)
    one, two = (torch.func.jacrev(lambda c, k=k: after(c, k))(c) for k in (1, 2))
    torch.testing.assert_close(found[0], one, rtol=0, atol=1e-12)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(rec.product(found), two, rtol=0.01, atol=0)


def test_nothing_can_be_looked_at_under_vmap_and_nothing_is_refused():
    x = torch.tensor([[1.0, torch.nan], [1.0, 2.0]])
    found = torch.func.vmap(lambda x: rec.step(TANH, x, ZERO))(x)
    assert found.isnan().any(dim=1).tolist() == [True, False]
    with pytest.raises(ValueError, match="x must be finite, got nan at"):
        rec.step(TANH, x, torch.zeros(2, 2))


def test_a_run_that_overflows_is_refused_and_says_so():
    cell = rec.Cell("linear", EYE, 1e20 * EYE, ZERO, ZERO)
    assert rec.trajectory(cell, torch.ones(2, 2)).isfinite().all()
    with pytest.raises(
        ValueError, match=r"trajectory overflows in torch.float32: .* U up to 1e\+20"
    ):
        rec.trajectory(cell, torch.ones(4, 2))


def test_autograd_rejects_what_people_get_wrong(rng):
    """The oracle can tell: a missing gate's derivative, the other GRU, a transpose."""
    cell = cell_of("gru", rng)
    x, h = normal(rng, 3), normal(rng, 4)
    exact = torch.func.jacrev(lambda s: rec.step(cell, x, s))(h)
    other = rec.jacobian(replace(cell, kind="gru_paper"), x, h)
    for wrong in (other, rec.jacobian(cell, x, h).T, exact - torch.eye(4)):
        with pytest.raises(AssertionError):
            torch.testing.assert_close(wrong, exact, rtol=1e-3, atol=1e-3)


def test_gradients_flow_through_jacobians(rng):
    cell = cell_of("lstm", rng)
    x, state = normal(rng, 3), normal(rng, 8).requires_grad_()
    rec.jacobian(cell, x, state).square().sum().backward()
    assert torch.isfinite(state.grad).all()
    assert state.grad.abs().max() > 0


# --- refusals

EYE = torch.eye(2)
ZERO = torch.zeros(2)
TANH = rec.Cell("tanh", EYE, EYE, ZERO, ZERO)
LSTM = rec.Cell("lstm", torch.zeros(8, 2), torch.zeros(8, 2), torch.zeros(8), torch.zeros(8))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rec.Cell("lstm", EYE, EYE, ZERO, ZERO), ValueError, "stacks 4 square matrices"),
        (lambda: rec.Cell("tanh", EYE, torch.ones(3, 2), ZERO, ZERO), ValueError, "got \\(3, 2\\)"),
        (lambda: rec.Cell("tanh", EYE, EYE, torch.zeros(3), ZERO), ValueError, "2 rows"),
        (lambda: rec.Cell("elman", EYE, EYE, ZERO, ZERO), ValueError, "got 'elman'"),
        (lambda: TANH.gate("f"), ValueError, "has the gates h"),
        (lambda: rec.stack_gates("gru", i=EYE, f=EYE, n=EYE), ValueError, "gates r, z, n"),
        (
            lambda: rec.stack_gates("gru", r=EYE, z=EYE, n=ZERO),
            ValueError,
            "differ in shape",
        ),
        (lambda: rec.step(TANH, torch.ones(3), ZERO), ValueError, "inputs of size 2"),
        (lambda: rec.trajectory(TANH, torch.ones(0, 2)), ValueError, "T=0"),
        (lambda: rec.rnn_jacobian(torch.ones(2, 3), ZERO), TypeError, "n"),
        (lambda: rec.rnn_jacobian(EYE, 2 * torch.ones(2)), ValueError, "lies in \\[-1, 1\\]"),
        (lambda: rec.rnn_jacobian(EYE * torch.inf, ZERO), ValueError, "got inf at \\(0, 0\\)"),
        (lambda: rec.lstm_jacobian(TANH, ZERO, ZERO), ValueError, "needs an lstm"),
        (lambda: rec.gru_jacobian(TANH, ZERO, ZERO), ValueError, "needs a gru"),
        (
            lambda: rec.lstm_cell_jacobian(LSTM, ZERO, torch.ones(4), torch.ones(2)),
            ValueError,
            "off by 0.24",
        ),
        (
            lambda: rec.lstm_cell_jacobian(LSTM, ZERO, torch.zeros(4), torch.ones(3)),
            ValueError,
            "has 3 units, the cell 2",
        ),
        (lambda: rec.from_torch(torch.nn.LSTM(1, 2), layer=1), ValueError, "1 layers"),
        (lambda: rec.from_torch(torch.nn.GRU(1, 2, bidirectional=True)), ValueError, "one way"),
        (lambda: rec.to_torch(rec.Cell("linear", EYE, EYE, ZERO, ZERO)), ValueError, "no linear"),
    ],
)  # fmt: skip
def test_bad_cells_and_states_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
