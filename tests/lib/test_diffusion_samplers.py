"""derive.diffusion: reverse steps, samplers and the closed forms for Gaussian data."""

import math
from itertools import pairwise

import pytest
import torch

from derive.diffusion import (
    EmpiricalModel,
    GaussianModel,
    MixtureModel,
    NoiseSchedule,
    ReverseStep,
    apply_step,
    ddim_sample,
    ddpm_sample,
    denoiser_of,
    exact_denoiser,
    gaussian_elbo,
    gaussian_sampler_variance,
    mmse,
    reverse_steps,
    reverse_variance,
    run_reverse,
    step_grid,
)

F64 = torch.float64
HO = NoiseSchedule.ho_linear(1000)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(4)


def gaussian(*variances):
    v = torch.tensor(variances, dtype=F64)
    return GaussianModel(torch.zeros(len(v), dtype=F64), torch.diag(v))


# --- steps


def test_eta_one_is_ddpm_with_the_posterior_variance():
    grid = step_grid(1000, 30)
    for ours, theirs in zip(reverse_steps(HO, grid, eta=1.0), reverse_steps(HO, grid), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_every_eta_keeps_the_marginals():
    """Given x_0 exactly, x_s is N(alpha_s x_0, sigma_s^2) whatever eta is."""
    for eta in (0.0, 0.3, 1.0):
        for step in reverse_steps(HO, [0, 1, 40, 500, 1000], eta=eta)[:-1]:
            mean = step.x_t * HO.alpha[step.t] + step.x_0
            variance = step.x_t**2 * HO.sigma[step.t] ** 2 + step.std**2
            assert mean.item() == pytest.approx(HO.alpha[step.s].item(), rel=1e-9)
            assert variance.item() == pytest.approx(HO.sigma[step.s].item() ** 2, rel=1e-9)


def test_the_largest_eta_is_named():
    grid = [0, 10, 11]
    with pytest.raises(ValueError, match="at most") as refused:
        reverse_steps(HO, grid, eta=9.0)
    largest = float(str(refused.value).split()[-1].rstrip("."))
    assert largest > 2
    assert reverse_steps(HO, grid, eta=0.999 * largest)[0].x_t < 0.05
    with pytest.raises(ValueError, match="at most"):
        reverse_steps(HO, grid, eta=1.001 * largest)


def test_the_last_step_adds_no_noise():
    for options in ({"variance": "beta"}, {"variance": "posterior"}, {"eta": 1.0}):
        assert reverse_steps(HO, [0, 1, 2], **options)[-1].std == 0


def test_the_optimal_variance_lies_between_its_bounds():
    t, s = torch.tensor([2, 100, 900]), torch.tensor([1, 50, 100])
    error = mmse(gaussian(0.25), HO.snr(t)).value
    best = reverse_variance(HO, t, s, kind="optimal", mmse_per_dim=error)
    low, high = (reverse_variance(HO, t, s, kind=k) for k in ("posterior", "beta"))
    assert (low < best).all()
    assert (best < high).all()
    # N(0, 1): beta is exact. One point: the posterior's is.
    unit = mmse(gaussian(1.0), HO.snr(t)).value
    torch.testing.assert_close(reverse_variance(HO, t, s, kind="optimal", mmse_per_dim=unit), high)
    torch.testing.assert_close(
        reverse_variance(HO, t, s, kind="optimal", mmse_per_dim=torch.zeros(3)), low
    )


def test_a_step_is_what_it_says(rng):
    x, clean, z = torch.randn(3, 5, 2, generator=rng, dtype=F64)
    step = reverse_steps(HO, [100, 500])[0]
    bridge = HO.posterior(500, 100)
    expected = bridge.x_t * x + bridge.x_0 * clean + bridge.variance.sqrt() * z
    before = x.clone()
    torch.testing.assert_close(apply_step(step, x, clean, z), expected)
    assert (x == before).all()  # not in place


# --- samplers


@pytest.mark.parametrize("options", [{"variance": "beta"}, {"variance": "optimal"}, {"eta": 0.0},
                                     {"eta": 0.7}])  # fmt: skip
@pytest.mark.parametrize("num", [1, 7])
def test_gaussian_samples_have_the_variance_of_the_recursion(options, num, rng):
    """Each sampler is linear here: push the identity through it with the noise switched off and
    add up the noise of each step by hand."""
    model = gaussian(0.25, 2.0)
    grid = step_grid(1000, num)
    error = mmse(model, HO.snr(torch.tensor(grid[1:]))).value / 2
    steps = reverse_steps(HO, grid, mmse_per_dim=error, **options)
    denoiser = exact_denoiser(model, HO)
    total = torch.zeros(2, dtype=F64)
    for k in range(num + 1):  # noise k enters before step k
        silent = [step._replace(std=0.0) for step in steps[k:]]
        one = torch.ones(1, 2, dtype=F64)
        gain = run_reverse(denoiser, silent, one)[0] if silent else one[0]
        total += (gain * (steps[k - 1].std if k else 1.0)) ** 2
    found = gaussian_sampler_variance(model.eigenvalues, HO, grid, **options)
    torch.testing.assert_close(found, total)


def test_ddpm_samples_a_mixture(rng):
    model = MixtureModel(
        torch.tensor([0.3, 0.7], dtype=F64), torch.tensor([[-1.0], [0.6]], dtype=F64),
        torch.tensor([0.09, 0.04], dtype=F64),
    )  # fmt: skip
    n, start = 4000, torch.randn(4000, 1, generator=rng, dtype=F64)
    x = ddpm_sample(exact_denoiser(model, HO), HO, start, num_steps=200, generator=rng)
    share = (x < -0.3).double().mean().item()
    assert abs(share - 0.3) < 4.9 * math.sqrt(0.21 / n) + 0.01
    assert abs(x.mean().item() - 0.12) < 4.9 * 0.77 / n**0.5 + 0.01


def test_ddim_is_deterministic_and_reaches_the_data(rng):
    points = torch.randn(20, 3, generator=rng, dtype=F64)
    start = torch.randn(6, 3, generator=rng, dtype=F64)
    denoiser = exact_denoiser(EmpiricalModel(points), HO)
    first, second = (ddim_sample(denoiser, HO, start, num_steps=40) for _ in range(2))
    assert (first == second).all()
    assert torch.cdist(first, points).amin(dim=1).max() < 1e-8


def test_paths_callbacks_and_float32(rng):
    seen = []
    start = torch.randn(3, 1, 4, 4, generator=rng)
    steps = reverse_steps(HO, step_grid(1000, 5))
    path = run_reverse(
        lambda x, t: 0.5 * x, steps, start, generator=rng, return_path=True,
        callback=lambda step, x: seen.append(step.s),
    )  # fmt: skip
    assert path.shape == (6, 3, 1, 4, 4)
    assert path.dtype == torch.float32
    assert (path[0] == start).all()
    assert seen == [800, 600, 400, 200, 0]


@pytest.mark.parametrize("parameterization", ["eps", "x0", "v"])
def test_networks_become_denoisers(parameterization, rng):
    model, x = gaussian(0.5, 2.0), torch.randn(4, 2, generator=rng, dtype=F64)

    def network(x, t):
        alpha, sigma = HO.alpha[t[0]].item(), HO.sigma[t[0]].item()
        assert t.shape == (4,)
        clean = model.denoise(x, alpha, sigma)
        eps = (x - alpha * clean) / sigma
        return {"eps": eps, "x0": clean, "v": alpha * eps - sigma * clean}[parameterization]

    found = denoiser_of(network, HO, parameterization=parameterization)(x, 300)
    torch.testing.assert_close(found, exact_denoiser(model, HO)(x, 300))
    clipped = denoiser_of(network, HO, parameterization=parameterization, clip=0.1)(x, 300)
    torch.testing.assert_close(clipped, found.clamp(-0.1, 0.1))


# --- closed forms


def test_the_bound_is_tight_on_isotropic_data_and_not_with_beta():
    for num in (1, 10, 1000):
        grid = step_grid(1000, num)
        bound = gaussian_elbo(torch.full((3,), 0.25, dtype=F64), HO, grid)
        assert bound.gap == pytest.approx(bound.prior_gap, rel=1e-5)
        assert bound.gap / 3 == pytest.approx(2.2905e-10, rel=1e-3)
        assert bound.elbo == pytest.approx(bound.log_likelihood - bound.gap, rel=1e-12)
    published = {10: 0.0937506, 100: 0.0107995, 1000: 0.0010923}
    for num, gap in published.items():
        one = torch.tensor([0.25], dtype=F64)
        found = gaussian_elbo(one, HO, step_grid(1000, num), variance="beta").gap
        assert found == pytest.approx(gap, rel=1e-4)


def test_the_bound_is_a_monte_carlo_mean(rng):
    """log q(path) - log p(path | x_0), averaged over demolished paths."""
    lam, grid, n = torch.tensor([0.3, 1.7], dtype=F64), [0, 300, 1000], 100_000
    model = gaussian(*lam.tolist())
    normal = torch.distributions.Normal
    x0 = torch.randn(n, 2, generator=rng, dtype=F64) * lam.sqrt()
    states, forward = [x0], 0
    for s, t in pairwise(grid):
        ratio, kick = HO.transition(t, s)
        x = ratio * states[-1] + kick.sqrt() * torch.randn(n, 2, generator=rng, dtype=F64)
        forward = forward + normal(ratio * states[-1], kick.sqrt()).log_prob(x)
        states.append(x)
    backward = normal(0.0, 1.0).log_prob(states[-1])
    for step, x_s, x_t in zip(reverse_steps(HO, grid), states[-2::-1], states[:0:-1], strict=True):
        clean = model.denoise(x_t, HO.alpha[step.t].item(), HO.sigma[step.t].item())
        nu2 = HO.transition(step.t, step.s).variance
        backward = backward + normal(step.x_t * x_t + step.x_0 * clean, nu2.sqrt()).log_prob(x_s)
    draws = (backward - forward).sum(dim=1)
    bound = gaussian_elbo(lam, HO, grid, variance="beta")
    assert abs(draws.mean().item() - bound.elbo) < 4.9 * draws.std().item() / n**0.5


# --- refusals

START = torch.zeros(2, 2, dtype=F64)
GONE = NoiseSchedule(*torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.8, 1.0]], dtype=F64))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: reverse_steps(HO, [0]), ValueError, "two increasing"),
        (lambda: reverse_steps(HO, [0, 5, 5]), ValueError, "two increasing"),
        (lambda: reverse_steps(HO, [0, 5, 9], variance="optimal"), ValueError, "mmse_per_dim at t"),
        (lambda: reverse_steps(HO, [0, 500, 1000], eta=1e300), ValueError, "at most 1"),
        (lambda: reverse_steps(HO, [0, 2.5, 5]), TypeError, "grid"),
        (lambda: reverse_variance(HO, 5, 4, kind="optimal", mmse_per_dim=torch.ones(3)),
         ValueError, r"shape \(\), got shape \(3,\)"),
        (lambda: apply_step(reverse_steps(HO, [0, 9])[0], START, START / 0), ValueError,
         "x_0 must be finite, got nan"),
        (lambda: exact_denoiser(gaussian(1.0), HO)(START, -1), ValueError, "0..1000, got -1"),
        (lambda: denoiser_of(lambda x, t: x, GONE)(START, 2), ValueError, "t=2: alpha is 0"),
        (lambda: run_reverse(lambda x, t: x[:1], reverse_steps(HO, [0, 9]), START), ValueError,
         r"must return shape \(2, 2\), got \(1, 2\)"),
        (lambda: run_reverse(lambda x, t: x, [ReverseStep(3, 5, 1.0, 1.0, 0.0)], START), ValueError,
         "0 <= s < t"),
        (lambda: run_reverse(lambda x, t: x, reverse_steps(HO, [0, 9]), START / 0), ValueError,
         "x_T must be finite"),
        (lambda: reverse_steps(HO, [0, 500, 1000], eta=-1.0), ValueError, "eta must be >= 0"),
        (lambda: reverse_steps(HO, [0, 2000]), ValueError, "1..1000"),
        (lambda: reverse_variance(HO, 5, 4, kind="optimal", mmse_per_dim=-1.0), ValueError, ">= 0"),
        (lambda: denoiser_of(lambda x, t: x, HO, clip=0), ValueError, "clip must be > 0"),
        (lambda: run_reverse(lambda x, t: x, [], START), ValueError, "at least one step"),
        (lambda: run_reverse(lambda x, t: x, reverse_steps(HO, [0, 9, 99]), START), ValueError,
         "needs a generator"),
        (lambda: run_reverse(lambda x, t: x / 0, reverse_steps(HO, [0, 9]), START),
         FloatingPointError, "finite"),
        (lambda: gaussian_elbo(torch.zeros(1, dtype=F64), HO, [0, 1000]), ValueError, "> 0"),
        (lambda: gaussian_elbo(torch.ones(1, dtype=F64), HO, [0, 1000], variance="posterior"),
         ValueError, "last step"),
        (lambda: gaussian_elbo(torch.ones(1, dtype=F64), HO, [0, 900]), ValueError, "0 to T=1000"),
        (lambda: gaussian_sampler_variance(-torch.ones(1, dtype=F64), HO, [0, 9]), ValueError,
         ">= 0"),
    ],
)  # fmt: skip
def test_samplers_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()
