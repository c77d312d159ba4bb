"""derive.recurrent: initialisations, clipping and the three tasks."""

import math

import pytest
import torch

from derive import recurrent as rec


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(22)


# --- initialisations


@pytest.mark.parametrize("layer", [torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU])
def test_every_gate_of_every_layer_becomes_orthogonal(layer, rng):
    module = rec.orthogonal_(layer(3, 6, num_layers=2), generator=rng, gain=1.5)
    for level in range(2):
        for U in rec.from_torch(module, layer=level).U.split(6):
            torch.testing.assert_close(U @ U.T, 2.25 * torch.eye(6))
    stack = torch.nn.init.orthogonal_(torch.empty(24, 6), generator=rng)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(stack[:6] @ stack[:6].T, torch.eye(6))


def test_orthogonal_matrices_have_no_preferred_sign(rng):
    """Without fixing the signs of R, LAPACK's QR gives matrices of mostly negative trace."""
    traces = [
        rec.from_torch(rec.orthogonal_(torch.nn.RNN(1, 3), generator=rng)).U.trace().item()
        for _ in range(300)
    ]
    traces = torch.tensor(traces)
    assert abs(traces.mean()) < 4.9 * traces.std() / 300**0.5


def test_the_forget_bias_counts_once(rng):
    lstm = rec.forget_bias_(torch.nn.LSTM(2, 5, num_layers=2), 1.0)
    for level in range(2):
        cell = rec.from_torch(lstm, layer=level)
        total = (cell.b + cell.b_h).view(4, 5)
        assert torch.equal(total, torch.tensor([0.0, 1.0, 0.0, 0.0])[:, None].expand(4, 5))
    torch.nn.init.constant_(lstm.bias_hh_l0[5:10].detach(), 1.0)  # what many tutorials do
    assert (rec.from_torch(lstm).b + rec.from_torch(lstm).b_h)[5] == 2


def test_a_cell_with_nothing_but_a_forget_bias_decays_with_its_time_constant():
    lstm = rec.forget_bias_(torch.nn.LSTM(1, 1), 2.0)
    with torch.no_grad():
        lstm.weight_hh_l0.zero_()
        lstm.weight_ih_l0.zero_()
        _, (_, c) = lstm(torch.zeros(20, 1, 1), (torch.zeros(1, 1, 1), torch.ones(1, 1, 1)))
    tau = 1 / math.log1p(math.exp(-2))
    assert c.item() == pytest.approx(math.exp(-20 / tau), rel=1e-4)


def test_chrono_spreads_time_constants_up_to_the_horizon(rng):
    lstm = rec.chrono_(torch.nn.LSTM(1, 4000), horizon=100, generator=rng)
    i, f, g, o = rec.from_torch(lstm).b.view(4, 4000)
    u = f.exp()
    assert u.min() >= 1
    assert u.max() <= 99
    assert abs(u.mean() - 50) < 4.9 * 98 / 12**0.5 / 4000**0.5
    assert torch.equal(i, -f)
    assert torch.equal(torch.stack([g, o]), torch.zeros(2, 4000))
    assert torch.equal(lstm.bias_hh_l0.detach(), torch.zeros(16000))


def test_the_identity_start_keeps_a_state(rng):
    rnn = rec.identity_(torch.nn.RNN(2, 4, nonlinearity="relu"))
    h = torch.rand(1, 1, 4, generator=rng)
    _, last = rnn(torch.zeros(30, 1, 2), h)
    torch.testing.assert_close(last.detach(), h)


# --- clipping


def test_clipping_equals_torchs_and_keeps_the_direction(rng):
    grads = [torch.randn(3, 4, generator=rng), torch.randn(5, generator=rng)]
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in grads]
    for p, g in zip(parameters, grads, strict=True):
        p.grad = g.clone()
    norm = rec.clip_by_norm_(grads, 0.5)
    expected = torch.nn.utils.clip_grad_norm_(parameters, 0.5)
    torch.testing.assert_close(norm, expected)
    for p, g in zip(parameters, grads, strict=True):
        torch.testing.assert_close(g, p.grad)


def test_short_and_zero_gradients_are_left_alone():
    g, zero = torch.tensor([0.3, 0.4]), torch.zeros(3)
    assert rec.clip_by_norm_([g], 1.0).item() == pytest.approx(0.5)
    assert g.tolist() == pytest.approx([0.3, 0.4])
    assert rec.clip_by_norm_([zero], 1.0) == 0
    assert torch.equal(zero, torch.zeros(3))


def test_clipping_by_value_turns_the_gradient():
    g = torch.tensor([10.0, 0.1])
    rec.clip_by_value_([g], 1.0)
    turned = math.degrees(math.atan2(0.1, 1) - math.atan2(0.1, 10))
    assert turned == pytest.approx(5.1, abs=0.05)
    assert math.degrees(math.atan2(g[1], g[0])) == pytest.approx(5.7, abs=0.05)


# --- tasks


@pytest.mark.parametrize("T", [2, 3, 10, 51])
def test_adding_marks_one_number_in_each_half(T, rng):
    x, y = rec.adding(200, T, rng)
    marks = x[:, :, 1]
    assert (marks[:, : T // 2].sum(dim=1) == 1).all()
    assert (marks[:, T // 2 :].sum(dim=1) == 1).all()
    torch.testing.assert_close(y, (x[:, :, 0] * marks).sum(dim=1))
    assert x.dtype == torch.float32


def test_always_answering_one_has_a_sixth(rng):
    _, y = rec.adding(40_000, 4, rng)
    error = (y - 1).square()
    assert abs(error.mean() - 1 / 6) < 4.9 * error.std() / 200
    assert abs(error.mean() - 1 / 12) > 4.9 * error.std() / 200


def test_copying_asks_for_the_symbols_after_the_sign(rng):
    x, y = rec.copying(50, 7, rng)
    assert x.shape == y.shape == (50, 27)
    assert torch.equal(x[:, :10], y[:, -10:])
    assert (x[:, :10] < 8).all()
    assert (x[:, 16] == 9).all()
    assert (x == 9).sum() == 50
    assert (y[:, :17] == 8).all()


def test_digits_are_read_pixel_by_pixel_in_one_order_for_all(rng):
    plain, mixed = rec.sequential_digits(), rec.sequential_digits(generator=rng)
    assert plain.x_train.shape == (1347, 64, 1)
    assert plain.x_train.amin() == 0
    assert plain.x_train.amax() == 1
    assert torch.equal(plain.y_test, mixed.y_test)
    assert not torch.equal(plain.x_test, mixed.x_test)
    assert torch.equal(plain.x_test.sum(dim=1), mixed.x_test.sum(dim=1))
    order = [
        int((plain.x_train == mixed.x_train[:, k : k + 1]).all(dim=0).nonzero()[0, 0])
        for k in (20, 35)
    ]
    assert torch.equal(plain.x_test[:, order[0]], mixed.x_test[:, 20])


# --- refusals

G = torch.Generator()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rec.adding(5, 1, G), ValueError, "T=1"),
        (lambda: rec.adding(0, 9, G), ValueError, "got 0"),
        (lambda: rec.copying(5, 0, G), ValueError, "T=0"),
        (lambda: rec.sequential_digits(test_share=1.0), ValueError, "got 1.0"),
        (lambda: rec.clip_by_norm_([torch.ones(2)], 0), ValueError, "c=0"),
        (lambda: rec.clip_by_norm_([], 1.0), ValueError, "no gradient"),
        (lambda: rec.clip_by_norm_([torch.tensor([torch.nan])], 1.0), ValueError, "not finite"),
        (lambda: rec.clip_by_value_([torch.ones(2)], -1.0), ValueError, "c=-1"),
        (lambda: rec.chrono_(torch.nn.LSTM(1, 2), horizon=2, generator=G), ValueError, "got 2"),
        (lambda: rec.chrono_(torch.nn.GRU(1, 2), horizon=9, generator=G), TypeError, "LSTM"),
        (lambda: rec.forget_bias_(torch.nn.LSTM(1, 2), math.nan), ValueError, "nan"),
        (lambda: rec.forget_bias_(torch.nn.LSTM(1, 2, bias=False), 1.0), ValueError, "without"),
        (lambda: rec.orthogonal_(torch.nn.RNN(1, 2), generator=G, gain=0), ValueError, "got 0"),
        (lambda: rec.identity_(torch.nn.RNN(1, 2), gain=-1), ValueError, "got -1"),
    ],
)
def test_bad_settings_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
