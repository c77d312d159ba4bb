"""derive.diffusion: schedules, losses and what they refuse."""

import math
from itertools import pairwise

import pytest
import torch

from derive.diffusion import (
    NoiseSchedule,
    add_noise,
    ddpm_loss,
    loss_weight,
    sample_times,
    step_grid,
    to_eps,
    to_x0,
    two_noise_loss,
)

F64 = torch.float64
HO = NoiseSchedule.ho_linear(1000)
GONE = NoiseSchedule(*torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.8, 1.0]], dtype=F64))


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(3)


# --- schedules


@pytest.mark.parametrize(
    "schedule",
    [HO, NoiseSchedule.su_linear(50), NoiseSchedule.cosine(100), NoiseSchedule.ho_linear(1)],
    ids=["ho", "su", "cosine", "one step"],
)
def test_squares_sum_to_one_and_the_signal_fades(schedule):
    torch.testing.assert_close(
        schedule.alpha**2 + schedule.sigma**2, torch.ones(schedule.T + 1, dtype=F64)
    )
    assert (schedule.log_snr(torch.arange(1, schedule.T + 1)).diff() < 0).all()


def test_a_schedule_keeps_digits_that_float32_loses():
    beta = 1e-7
    s = NoiseSchedule.from_betas(torch.tensor([beta, beta], dtype=F64))
    exact = [beta, 2 * beta - beta**2]
    assert (s.sigma[1:] ** 2).tolist() == pytest.approx(exact, rel=1e-14)
    lost = 1 - torch.cumprod(1 - torch.tensor([beta, beta], dtype=torch.float32), 0)
    assert lost[0].item() != pytest.approx(beta, rel=0.01)


def test_cosine_follows_its_curve():
    s = NoiseSchedule.cosine(200)
    t = torch.arange(0, 150, dtype=F64) / 200
    curve = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(s.alpha[:150] ** 2, curve / curve[0])


def test_transitions_compose(rng):
    first, second, both = HO.transition(300, 100), HO.transition(700, 300), HO.transition(700, 100)
    assert (first.ratio * second.ratio).item() == pytest.approx(both.ratio.item(), rel=1e-13)
    composed = second.ratio**2 * first.variance + second.variance
    assert composed.item() == pytest.approx(both.variance.item(), rel=1e-13)


def test_single_steps_return_the_betas():
    t = torch.arange(1, 1001)
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=F64)
    torch.testing.assert_close(HO.transition(t, t - 1).variance, betas, rtol=1e-10, atol=0)


def test_the_bridge_is_conditioning_of_a_joint_gaussian():
    """x_s given x_t and x_0, by the textbook formula for (x_s, x_t) given x_0."""
    for t, s in [(2, 1), (500, 300), (1000, 1)]:
        ratio, _ = HO.transition(t, s)
        a_s, s_s, a_t, s_t = HO.alpha[s], HO.sigma[s], HO.alpha[t], HO.sigma[t]
        gain = ratio * s_s**2 / s_t**2  # Cov(x_s, x_t) / Var(x_t), both given x_0
        found = HO.posterior(t, s)
        assert found.x_t.item() == pytest.approx(gain.item(), rel=1e-12)
        assert found.x_0.item() == pytest.approx((a_s - gain * a_t).item(), rel=1e-8)
        left = s_s**2 - gain * ratio * s_s**2
        assert found.variance.item() == pytest.approx(left.item(), rel=1e-8)


def test_the_last_bridge_is_the_data_itself():
    x_t, x_0, variance = HO.posterior(1, 0)
    assert (x_t.item(), variance.item()) == (0, 0)
    assert x_0.item() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseSchedule.from_betas(torch.tensor([0.1, 1.0])), "values from 0.1 to 1"),
        (lambda: NoiseSchedule.from_betas(torch.tensor([0.1, math.nan])), "must lie in"),
        (lambda: NoiseSchedule.from_betas(torch.zeros(0)), "got nothing"),
        (lambda: NoiseSchedule.ho_linear(0), "T >= 1"),
        (lambda: NoiseSchedule(*torch.tensor([[0.9, 0.5], [0.0, 0.9]], dtype=F64)), "0.9 and 0"),
        (lambda: NoiseSchedule(*torch.tensor([[1, 0.5, 0.6], [0, 0.7, 0.8]], dtype=F64)), "grow"),
        (lambda: NoiseSchedule(*torch.tensor([[1, 1, 1], [0, 0.7, 0.7]], dtype=F64)), "fall"),
        (lambda: NoiseSchedule(torch.ones(1, dtype=F64), 0 * torch.ones(1, dtype=F64)), "at least"),
        (lambda: HO.transition(5, 5), "s < t"),
        (lambda: HO.transition(torch.ones(2).long(), torch.zeros(3).long()), r"\(2,\) and \(3,\)"),
        (lambda: HO.to("nowhere"), "cannot be moved to 'nowhere'"),
        (lambda: HO.transition(1001, 5), "1..1000, got values from 1001"),
        (lambda: HO.snr(-1), "0..1000"),
        (lambda: step_grid(10, 11), "num_steps"),
    ],
)  # fmt: skip
def test_schedules_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_schedule_is_float64():
    with pytest.raises(TypeError, match="f32"):
        NoiseSchedule(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.5]))


def test_a_variance_exploding_schedule_is_one_too():
    s = NoiseSchedule(torch.ones(4, dtype=F64), torch.tensor([0, 0.1, 1, 10], dtype=F64))
    ratio, variance = s.transition(3, 2)
    assert (ratio.item(), round(variance.item(), 9)) == (1, 99)


@pytest.mark.parametrize("kind", ["trailing", "leading"])
@pytest.mark.parametrize("num", [1, 3, 7, 1000])
def test_grids_increase_from_zero(kind, num):
    grid = step_grid(1000, num, kind=kind)
    assert len(grid) == num + 1
    assert grid[0] == 0
    assert all(a < b for a, b in pairwise(grid))
    assert (grid[-1] == 1000) == (kind == "trailing" or num == 1000)


# --- losses


def network(x, t):
    return 0.3 * x + t.view(-1, *[1] * (x.ndim - 1)).to(x) / 2000


def test_ddpm_loss_is_its_definition(rng):
    x0 = torch.randn(5, 2, 3, generator=rng, dtype=F64)
    noise, t = torch.randn(5, 2, 3, generator=rng, dtype=F64), torch.tensor([1, 2, 50, 500, 1000])
    expected = []
    for i in range(5):
        x = HO.alpha[t[i]] * x0[i] + HO.sigma[t[i]] * noise[i]
        expected.append(((noise[i] - 0.3 * x - t[i] / 2000) ** 2).mean())
    found = ddpm_loss(network, x0, HO, t, noise=noise)
    torch.testing.assert_close(found.per_sample, torch.stack(expected))
    torch.testing.assert_close(found.loss, torch.stack(expected).mean())


@pytest.mark.parametrize("parameterization", ["eps", "x0", "v"])
@pytest.mark.parametrize("weight", ["simple", "vlb", "way1", "way3"])
def test_the_loss_does_not_depend_on_what_the_network_returns(parameterization, weight, rng):
    x0 = torch.randn(4, 6, generator=rng, dtype=F64)
    noise, t = torch.randn(4, 6, generator=rng, dtype=F64), torch.tensor([1, 30, 400, 900])
    alpha, sigma = HO.alpha[t][:, None], HO.sigma[t][:, None]

    def other(x, t):
        eps = network(x, t)
        clean = (x - sigma * eps) / alpha
        return {"eps": eps, "x0": clean, "v": alpha * eps - sigma * clean}[parameterization]

    found = ddpm_loss(
        other, x0, HO, t, noise=noise, weight=weight, parameterization=parameterization
    )
    plain = ddpm_loss(network, x0, HO, t, noise=noise, weight=weight)
    torch.testing.assert_close(found.per_sample, plain.per_sample, rtol=1e-8, atol=0)


def test_x0_with_weight_way3_is_the_plain_error_of_the_picture(rng):
    x0 = torch.randn(4, 6, generator=rng, dtype=F64)
    noise, t = torch.randn(4, 6, generator=rng, dtype=F64), torch.tensor([1, 30, 400, 900])
    found = ddpm_loss(
        network, x0, HO, t, noise=noise, weight="way3", parameterization="x0"
    ).per_sample
    x = add_noise(x0, t, HO, noise)
    torch.testing.assert_close(found, (x0 - network(x, t)).square().mean(dim=1))


def test_conversions_are_inverse_to_each_other(rng):
    x, output = torch.randn(2, 3, 4, generator=rng, dtype=F64)
    t = torch.tensor([10, 500, 990])
    alpha, sigma = HO.alpha[t][:, None], HO.sigma[t][:, None]
    for kind in ("eps", "x0", "v"):
        clean = to_x0(output, x, t, HO, parameterization=kind)
        eps = to_eps(output, x, t, HO, parameterization=kind)
        torch.testing.assert_close(alpha * clean + sigma * eps, x)


def test_weights_are_way_one_over_twice_the_variance():
    t = torch.tensor([1, 2, 100, 1000])
    betas = HO.transition(t, t - 1).variance
    torch.testing.assert_close(
        loss_weight(HO, t, kind="vlb"), loss_weight(HO, t, kind="way1") / (2 * betas)
    )
    published = torch.tensor([0.50005, 0.2727, 0.0101, 0.0102], dtype=F64)
    torch.testing.assert_close(loss_weight(HO, t, kind="vlb"), published, rtol=5e-3, atol=0)


def test_two_noises_give_the_same_mean_gradient_and_more_noise(rng):
    n = 200_000
    x0, t = torch.randn(n, 1, generator=rng, dtype=F64), torch.full((n,), 100)
    constant = HO.posterior(100, 99).variance.item()
    two = two_noise_loss(network, x0, HO, t, generator=rng).per_sample - constant
    one = ddpm_loss(network, x0, HO, t, weight="way1", generator=rng).per_sample
    error = math.hypot(two.std() / n**0.5, one.std() / n**0.5)
    assert abs(two.mean() - one.mean()) < 4.9 * error
    assert two.std() > 2 * one.std()


def test_two_noises_are_one_at_the_first_step(rng):
    x0, t = torch.randn(100, 3, generator=rng, dtype=F64), torch.ones(100, dtype=torch.int64)
    two = two_noise_loss(network, x0, HO, t, generator=torch.Generator().manual_seed(5))
    g = torch.Generator().manual_seed(5)
    torch.randn(100, 3, generator=g, dtype=F64)  # the noise of x_0, times zero
    noise = torch.randn(100, 3, generator=g, dtype=F64)
    one = ddpm_loss(network, x0, HO, t, weight="way1", noise=noise)
    torch.testing.assert_close(two.per_sample, one.per_sample, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("stratified", [False, True])
def test_times_are_uniform(stratified, rng):
    schedule = NoiseSchedule.ho_linear(10)
    t = sample_times(50_000, schedule, generator=rng, stratified=stratified)
    counts = torch.bincount(t, minlength=11)[1:]
    assert t.min() == 1
    assert t.max() == 10
    spread = 1 if stratified else 5000**0.5
    assert (counts - 5000).abs().max() < 5 * spread


def test_float32_stays_float32_and_follows_float64(rng):
    x0 = torch.randn(64, 5, generator=rng)
    t, noise = torch.randint(1, 1001, (64,), generator=rng), torch.randn(64, 5, generator=rng)
    single = ddpm_loss(network, x0, HO, t, noise=noise)
    double = ddpm_loss(network, x0.double(), HO, t, noise=noise.double())
    assert single.loss.dtype == torch.float32
    torch.testing.assert_close(single.loss.double(), double.loss, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, t: ddpm_loss(network, x, HO, t), "needs a generator"),
        (lambda x, t: ddpm_loss(network, x, HO, 0 * t, noise=x), "1..1000, got 0 to 0"),
        (lambda x, t: ddpm_loss(lambda x, t: x[:, :1], x, HO, t, noise=x), r"\(4, 3\), got \(4, 1"),
        (lambda x, t: ddpm_loss(lambda x, t: 1.0, x, HO, t, noise=x), "got float"),
        (
            lambda x, t: two_noise_loss(
                lambda x, t: x[:, :1], x, HO, t, generator=torch.Generator()
            ),
            r"\(4, 3\), got \(4, 1",
        ),
        (
            lambda x, t: two_noise_loss(network, x, GONE, 0 * t + 2, generator=torch.Generator()),
            "no signal",
        ),
        (lambda x, t: ddpm_loss(network, x * 1e30, HO, t, noise=x), "x0 up to 1e.30"),
        (lambda x, t: ddpm_loss(network, x, HO, t, noise=x / 0), "noise must be finite"),
        (lambda x, t: add_noise(x / 0, t, HO, x), "x0 must be finite"),
        (lambda x, t: loss_weight(HO, 0 * t), "1..1000, got 0 to 0"),
        (lambda x, t: loss_weight(GONE, 0 * t + 2, kind="way3"), "infinite where .* t=2"),
        (lambda x, t: to_x0(x, x, 0 * t + 2, GONE), "where alpha = 0"),
        (lambda x, t: to_eps(x, x, 0 * t, HO, parameterization="x0"), "got 0 to 0"),
        (lambda x, t: sample_times(0, HO, generator=torch.Generator()), "n >= 1"),
    ],
)
def test_losses_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(4, 3), torch.full((4,), 7))


def test_a_network_that_answers_nan_has_the_loss_nan():
    x, t = torch.ones(4, 3), torch.full((4,), 7)
    assert ddpm_loss(lambda x, t: x * math.nan, x, HO, t, noise=x).loss.isnan()


def test_losses_refuse_shapes():
    with pytest.raises(TypeError, match="n=4"):
        ddpm_loss(network, torch.ones(4, 3), HO, torch.ones(5, dtype=torch.int64))


def test_su_linear_by_hand():
    """Factors 1 - 0.02 t/T are 0.995, 0.99, 0.985 and 0.98 for T = 4."""
    found = NoiseSchedule.su_linear(4).alpha.square()
    expected = torch.tensor([1, 0.995, 0.98505, 0.97027425, 0.950868765], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
