"""derive.diffusion: exact models of Gaussian, mixture and finite data."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from derive.diffusion import EmpiricalModel, ExactModel, GaussianModel, MixtureModel, mmse

F64 = torch.float64
WEIGHTS, MEANS = [0.2, 0.5, 0.3], [[0.0, 1.0], [-1.0, 0.5], [2.0, -1.0]]
FORMS = {
    "isotropic": torch.tensor([0.3, 0.1, 0.5], dtype=F64),
    "diagonal": torch.tensor([[0.3, 0.2], [0.1, 0.4], [0.5, 0.05]], dtype=F64),
    "full": torch.tensor(
        [[[0.3, 0.1], [0.1, 0.2]], [[0.1, 0.0], [0.0, 0.4]], [[0.5, -0.1], [-0.1, 0.05]]],
        dtype=F64,
    ),
}


def matrices(covs):
    if covs.ndim == 3:
        return covs
    return torch.stack([torch.eye(2, dtype=F64) * c for c in covs])


def mixture(form="full"):
    return MixtureModel(
        torch.tensor(WEIGHTS, dtype=F64), torch.tensor(MEANS, dtype=F64), FORMS[form]
    )


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(11)


@pytest.fixture
def x(rng):
    return 2 * torch.randn(7, 2, generator=rng, dtype=F64)


@pytest.fixture
def points(rng):
    return torch.randn(30, 2, generator=rng, dtype=F64)


def posterior_by_grid(model_log_prob, x, alpha, sigma, width=9, num=601):
    """Mean and covariance of x_0 given x in two dimensions, by Bayes' rule on a grid."""
    axis = torch.linspace(-width, width, num, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    log = model_log_prob(grid) - (x - alpha * grid).square().sum(dim=1) / (2 * sigma**2)
    share = (log - log.max()).exp()
    share = share / share.sum()
    mean = share @ grid
    offset = grid - mean
    return mean, (offset * share[:, None]).T @ offset


# --- mixtures and Gaussians


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.0), (0.8, 0.6), (0.0, 1.0), (0.3, 2.0)])
def test_log_prob_is_scipys(form, alpha, sigma, x):
    covs, floor = matrices(FORMS[form]), sigma**2 * np.eye(2)
    expected = sum(
        w * multivariate_normal.pdf(x, alpha * np.array(m), alpha**2 * C.numpy() + floor)
        for w, m, C in zip(WEIGHTS, MEANS, covs, strict=True)
    )
    torch.testing.assert_close(
        mixture(form).log_prob(x, alpha, sigma), torch.from_numpy(np.log(expected))
    )


def test_log_prob_is_scikit_learns(x):
    theirs = GaussianMixture(3, covariance_type="full")
    theirs.weights_, theirs.means_ = np.array(WEIGHTS), np.array(MEANS)
    precisions = np.linalg.inv(FORMS["full"].numpy())
    theirs.precisions_cholesky_ = np.linalg.cholesky(precisions)
    torch.testing.assert_close(
        mixture().log_prob(x), torch.from_numpy(theirs.score_samples(x.numpy()))
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_score_is_the_gradient(form, x):
    x.requires_grad_()
    model = mixture(form)
    gradient = torch.autograd.grad(model.log_prob(x, 0.7, 0.5).sum(), x)[0]
    torch.testing.assert_close(model.score(x, 0.7, 0.5), gradient)


@pytest.mark.parametrize("form", FORMS)
def test_denoising_is_bayes_rule(form, x):
    model, alpha, sigma = mixture(form), 0.7, 0.8
    mean, cov = posterior_by_grid(model.log_prob, x[0], alpha, sigma)
    torch.testing.assert_close(model.denoise(x[:1], alpha, sigma)[0], mean, atol=1e-8, rtol=0)
    torch.testing.assert_close(model.denoise_cov(x[:1], alpha, sigma)[0], cov, atol=1e-8, rtol=0)


def test_the_oracle_rejects_a_forgotten_alpha(x):
    model = mixture()
    mean, _ = posterior_by_grid(model.log_prob, x[0], 0.7, 0.8)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(model.denoise(x[:1], 1.0, 0.8)[0], mean, atol=1e-8, rtol=0)


@pytest.mark.parametrize("model", [mixture(), "points"], ids=["mixture", "points"])
def test_tweedie_and_the_traces_agree(model, x, points):
    model = EmpiricalModel(points) if model == "points" else model
    alpha, sigma = 0.6, 0.7
    tweedie = (x + sigma**2 * model.score(x, alpha, sigma)) / alpha
    torch.testing.assert_close(model.denoise(x, alpha, sigma), tweedie)
    traces = model.denoise_cov(x, alpha, sigma).diagonal(dim1=1, dim2=2).sum(dim=1)
    torch.testing.assert_close(model.denoise_cov_trace(x, alpha, sigma), traces)
    # Second Tweedie formula: the covariance is the derivative of the mean.
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: model.denoise(v[None], alpha, sigma)[0]))
    torch.testing.assert_close(jacobian(x) * sigma**2 / alpha, model.denoise_cov(x, alpha, sigma))


def test_far_points_do_not_overflow():
    model = mixture()
    x = torch.tensor([[1e6, -1e6]], dtype=F64)
    for sigma in (1e-3, 1.0):
        assert torch.isfinite(model.log_prob(x, 1.0, sigma)).all()
        assert torch.isfinite(model.denoise(x, 1.0, sigma)).all()


def test_a_gaussian_is_the_mixture_of_one_and_may_be_flat(rng):
    cov = torch.diag(torch.tensor([2.0, 0.0, 0.5], dtype=F64))
    model = GaussianModel(torch.ones(3, dtype=F64), cov)
    x = torch.randn(4, 3, generator=rng, dtype=F64)
    shrink = 0.5 * cov @ torch.linalg.inv(0.25 * cov + 0.09 * torch.eye(3, dtype=F64))
    expected = 1 + (x - 0.5) @ shrink.T
    torch.testing.assert_close(model.denoise(x, 0.5, 0.3), expected)
    assert model.eigenvalues.tolist() == [0, 0.5, 2]
    with pytest.raises(ValueError, match="no density"):
        model.log_prob(x)


def test_samples_have_the_moments(rng):
    model, n = mixture(), 100_000
    x = model.sample(n, generator=rng)
    mean = torch.tensor(WEIGHTS, dtype=F64) @ torch.tensor(MEANS, dtype=F64)
    assert ((x.mean(dim=0) - mean).abs() < 4.9 * x.std(dim=0) / n**0.5).all()
    # Given nothing (alpha = 0) the posterior is the prior.
    cov = model.denoise_cov(torch.zeros(1, 2, dtype=F64), 0.0, 1.0)[0]
    torch.testing.assert_close(torch.cov(x.T), cov, atol=0.05, rtol=0)


# --- finite data


def test_points_are_a_kernel_density(points, x):
    theirs = KernelDensity(bandwidth=0.4).fit(0.8 * points.numpy()).score_samples(x.numpy())
    torch.testing.assert_close(
        EmpiricalModel(points, chunk=7).log_prob(x, 0.8, 0.4), torch.from_numpy(theirs)
    )


@pytest.mark.parametrize("chunk", [1, 7, 4096])
@pytest.mark.parametrize("sigma", [1e-4, 0.3, 50.0])
def test_points_are_a_mixture_of_points(chunk, sigma, points, x, rng):
    weights = torch.rand(30, generator=rng, dtype=F64)
    weights[:8] = 0  # whole blocks of nothing
    weights = weights / weights.sum()
    model = EmpiricalModel(points, weights, chunk=chunk)
    slow = MixtureModel(weights, points, torch.zeros(30, dtype=F64))
    for name in ("denoise", "denoise_cov_trace", "denoise_cov", "score"):
        found, expected = (getattr(m, name)(x, 0.9, sigma) for m in (model, slow))
        # As sigma goes to 0, logits grow to 1e8 and keep nine digits.
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_gradients_go_through_the_blocks(chunk, points, x, rng):
    weights = torch.rand(30, generator=rng, dtype=F64)
    given = [y.requires_grad_() for y in (points, weights / weights.sum(), x)]
    slow = MixtureModel(given[1], points, torch.zeros(30, dtype=F64))
    for name in ("log_prob", "denoise", "denoise_cov_trace", "denoise_cov"):
        found, expected = (
            torch.autograd.grad(getattr(model, name)(x, 0.9, 0.6).square().sum(), given)
            for model in (EmpiricalModel(*given[:2], chunk=chunk), slow)
        )
        torch.testing.assert_close(found, expected)
    score = torch.autograd.grad(slow.log_prob(x, 0.9, 0.6).sum(), x)[0]
    torch.testing.assert_close(EmpiricalModel(points, given[1]).score(x, 0.9, 0.6), score)


def test_a_little_noise_picks_the_nearest(points):
    near = points + 1e-3
    model = EmpiricalModel(points)
    torch.testing.assert_close(model.denoise(near, 1.0, 1e-3), points)
    assert model.denoise_cov_trace(near, 1.0, 1e-3).max() < 1e-9


def test_one_point_and_equal_points(x):
    one = EmpiricalModel(torch.tensor([[1.0, -2.0]], dtype=F64))
    assert (one.denoise(x, 0.5, 0.5) == torch.tensor([1.0, -2.0], dtype=F64)).all()
    assert (one.denoise_cov_trace(x, 0.5, 0.5) == 0).all()
    twice = EmpiricalModel(torch.tensor([[0.0], [0.0], [3.0]], dtype=F64))
    found = twice.denoise(torch.zeros(1, 1, dtype=F64), 0.0, 1.0)
    assert found.item() == pytest.approx(1.0)


def test_float32_points(points, x):
    found = EmpiricalModel(points.float()).denoise(x.float(), 0.5, 0.5)
    assert found.dtype == torch.float32
    expected = EmpiricalModel(points).denoise(x, 0.5, 0.5)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


MEMORY = """
import resource, torch
from derive.diffusion import EmpiricalModel
points = torch.randn(50_000, 64, dtype=torch.float64)
x = torch.randn(64, 64, dtype=torch.float64)
EmpiricalModel(points[:100]).denoise(x, 0.5, 0.8)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
EmpiricalModel(points).denoise(x, 0.5, 0.8)
print(peak() - before)
"""


def test_fifty_thousand_points_need_little_memory():
    """A full matrix of distances, in blocks or not, would be seen: one block is 2 MB here."""
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 200


# --- mmse


def test_mmse_of_a_gaussian(rng):
    cov = torch.tensor([[2.0, 0.3], [0.3, 0.5]], dtype=F64)
    snr = torch.tensor([0.0, 0.1, 1.0, 30.0], dtype=F64)
    found = mmse(GaussianModel(torch.ones(2, dtype=F64), cov), snr)
    expected = [
        torch.linalg.inv(torch.linalg.inv(cov) + g * torch.eye(2, dtype=F64)).trace() for g in snr
    ]
    torch.testing.assert_close(found.value, torch.stack(expected))
    assert (found.standard_error == 0).all()


def test_quadrature_and_monte_carlo_agree(rng):
    line = MixtureModel(
        torch.tensor([0.3, 0.7], dtype=F64), torch.tensor([[-1.0], [0.6]], dtype=F64),
        torch.tensor([0.09, 0.04], dtype=F64),
    )  # fmt: skip
    plane = MixtureModel(line.weights, torch.cat([line.means, line.means], dim=1) / 2**0.5,
                         torch.tensor([0.09, 0.04], dtype=F64))  # fmt: skip
    snr = torch.tensor([0.0, 0.5, 5.0, 500.0], dtype=F64)
    exact = mmse(line, snr)
    # In the plane the same two bells stand on the diagonal: one more direction, a scale mixture.
    estimate = mmse(plane, snr, generator=rng, num_draws=20_000)
    # No signal: the variance of the data. Strong signal: the variance of the noise.
    assert exact.value[0].item() == pytest.approx(0.055 + 0.21 * 1.6**2, rel=1e-12)
    assert exact.value[-1].item() == pytest.approx(1 / 500, rel=0.06)
    line_mc = mmse(EmpiricalModel(line.sample(4000, generator=rng)), snr[:2], generator=rng)
    assert ((line_mc.value - exact.value[:2]).abs() < 5 * line_mc.standard_error + 0.02).all()
    assert (estimate.value > exact.value).all()


@pytest.mark.parametrize("c", [3.0, 8.0, 12.0, 20.0])
def test_quadrature_is_exact_where_two_narrow_components_hand_over(c):
    """v/(1 + v) within, c^2/4(1 + v) E sech^2(c y/2) between: an integral that SciPy does too."""
    v = 1e-6
    apart = c * (1 + v) ** 0.5  # c is the distance in units of the noisy spread, as y is the place
    model = MixtureModel(
        torch.tensor([0.5, 0.5], dtype=F64),
        torch.tensor([[-apart / 2], [apart / 2]], dtype=F64),
        torch.tensor([v, v], dtype=F64),
    )

    def sech_squared(y):
        bells = math.exp(-((y - c / 2) ** 2) / 2) + math.exp(-((y + c / 2) ** 2) / 2)
        return bells / math.sqrt(2 * math.pi) * (1 / math.cosh(c * y / 2)) ** 2

    mean, error = integrate.quad(sech_squared, 0, 12, epsabs=0, epsrel=1e-12, limit=500)
    assert error < 1e-11 * mean
    found = mmse(model, torch.ones(1, dtype=F64)).value.item()
    assert found == pytest.approx((v + c**2 / 4 * mean) / (1 + v), rel=1e-12, abs=0)


def test_models_keep_the_protocol(points):
    assert isinstance(mixture(), ExactModel)
    assert isinstance(EmpiricalModel(points), ExactModel)


# --- refusals

ONE = torch.ones(1, dtype=F64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MixtureModel(0.5 * ONE, ONE[None], ONE), "sum to 1, got 0.5"),
        (lambda: MixtureModel(torch.tensor([1.5, -0.5]), torch.ones(2, 1), torch.ones(2)), ">= 0"),
        (lambda: MixtureModel(ONE, ONE[None], -ONE), "variances must be >= 0, got -1"),
        (lambda: MixtureModel(ONE, ONE[None] * math.nan, ONE), "means must be finite"),
        (lambda: MixtureModel(ONE, ONE[None], ONE * math.inf), "covs must be finite"),
        (lambda: GaussianModel(torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])), "-1"),
        (lambda: GaussianModel(torch.zeros(2), torch.ones(2, 2).triu()), "symmetric"),
        (lambda: mixture().denoise(torch.zeros(1, 2, dtype=F64), 1.0, -1.0), "sigma >= 0"),
        (lambda: mixture().denoise(torch.zeros(1, 2, dtype=F64), 0.0, 0.0), "neither signal"),
        (lambda: EmpiricalModel(torch.zeros(0, 2)), "not empty"),
        (lambda: EmpiricalModel(torch.ones(2, 1), torch.tensor([0.5, 0.6])), "sum to 1"),
        (lambda: EmpiricalModel(torch.ones(2, 1), chunk=0), "chunk must be >= 1"),
        (lambda: EmpiricalModel(torch.ones(2, 1)).score(torch.ones(1, 1), 1.0, 0.0), "sigma = 0"),
        (lambda: mmse(EmpiricalModel(torch.ones(2, 1)), ONE), "needs a generator"),
        (lambda: mmse(mixture(), -ONE), "finite and >= 0"),
        (lambda: mmse(mixture(), ONE, generator=torch.Generator(), num_draws=1), "num_draws >= 2"),
        (lambda: mixture().sample(0, generator=torch.Generator()), "needs n >= 1, got 0"),
        (lambda: mixture().denoise(torch.ones(1, 3, dtype=F64), 1.0, 1.0), r"2 columns .* \(1, 3"),
        (lambda: mixture().denoise(torch.ones(1, 2, dtype=F64) * 1e200, 1.0, 1.0), "up to 1e.200"),
        (lambda: mixture().score(torch.ones(1, 2, dtype=F64) / 0, 1.0, 1.0), "x must be finite"),
    ],
)  # fmt: skip
def test_models_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_models_refuse_shapes_and_strangers():
    with pytest.raises(TypeError, match="K=1"):
        MixtureModel(ONE, torch.ones(2, 1, dtype=F64), ONE)
    with pytest.raises(TypeError, match=r"float64 .*got torch\.float32"):
        mixture().denoise(torch.zeros(1, 2), 1.0, 1.0)
    with pytest.raises(TypeError, match="float32 or float64"):
        EmpiricalModel(torch.zeros(1, 2).half())
    with pytest.raises(TypeError, match="ExactModel"):
        mmse("a network", ONE)
