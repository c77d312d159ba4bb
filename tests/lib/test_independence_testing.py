"""Permutation and gamma tests of independence: exact where they say so."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch

import oracles
from derive.independence import (
    Distance,
    Gaussian,
    Linear,
    TestResult,
    cyclic_shift_statistics,
    gamma_pvalue,
    gretton_moments,
    hsic_v,
    independence_test,
    permutation_moments,
    rbf_gram,
)
from derive.independence.null import Moments

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
KERNELS = [Gaussian(0.7), Linear(), Distance(), lambda a, b: (1 + a @ b.T) ** 2]
NAMES = ["gaussian", "linear", "distance", "a function"]
METHODS = ["shifts", "permutation", "gamma-permutation", "gamma-gretton"]


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(4)


@pytest.fixture
def grams(rng):
    x = torch.randn(6, 2, generator=rng, dtype=torch.float64)
    y = torch.randn(6, 1, generator=rng, dtype=torch.float64)
    return rbf_gram(x, 0.5) + x @ x.T, rbf_gram(y, 1.0) + y @ y.T


def dependent(n, d, rng, dtype=torch.float64, device="cpu"):
    x = torch.randn(n, d, generator=rng, dtype=torch.float64)
    y = x.square() + torch.randn(n, d, generator=rng, dtype=torch.float64)
    return x.to(device, dtype), y.to(device, dtype)


# --- all cyclic shifts ---------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS, ids=NAMES)
@pytest.mark.parametrize("d", [1, 5])
@pytest.mark.parametrize("n", [9, 10, 512, 520, 521], ids=lambda n: f"n={n}")
@pytest.mark.parametrize("device", DEVICES)
def test_every_shift_equals_the_statistic_of_shifted_data(kernel, d, n, device, rng):
    # 512 is the last stored size; 520 takes the bands; 521 is prime and takes padded transforms
    x, y = dependent(n, d, rng, device=device)
    statistics = cyclic_shift_statistics(x, y, kernel, kernel, block=None if n < 520 else 37)[0]
    K, L = kernel(x, x), kernel(y, y)
    for s in (0, 1, 4, n // 2, n - 1):
        p = (torch.arange(n, device=device) + s) % n
        torch.testing.assert_close(
            statistics[s], hsic_v(K, L[p][:, p]), rtol=1e-12, atol=1e-13 * statistics[0].item()
        )


@pytest.mark.parametrize("n", [12, 600])
def test_relabelled_shifts_are_shifts_of_relabelled_data(n, rng):
    x, y = dependent(n, 2, rng)
    kernel = Gaussian(0.5)
    orders = torch.stack([torch.randperm(n, generator=rng) for _ in range(3)])
    statistics = cyclic_shift_statistics(x, y, kernel, kernel, orders=orders)
    K, L = kernel(x, x), kernel(y, y)
    for c, s in [(0, 0), (1, 5), (2, n - 1)]:
        p = orders[c][(torch.arange(n) + s) % n]
        torch.testing.assert_close(statistics[c, s], hsic_v(K, L[p][:, p]), rtol=1e-11, atol=0)


def test_shifting_both_samples_is_not_the_same(rng):
    # the published error: a test that permutes both samples alike permutes nothing
    x, y = dependent(10, 1, rng)
    kernel = Gaussian(0.5)
    both = [hsic_v(kernel(a, a), kernel(b, b)) for a, b in [(x.roll(-3, 0), y.roll(-3, 0))]]
    statistics = cyclic_shift_statistics(x, y, kernel, kernel)[0]
    with pytest.raises(AssertionError):
        torch.testing.assert_close(both[0], statistics[3])
    torch.testing.assert_close(both[0], statistics[0])


def test_single_precision_shifts_agree_with_double(rng):
    x, y = dependent(1500, 10, rng)
    kernel = Gaussian(0.05)
    double = cyclic_shift_statistics(x, y, kernel, kernel)
    single = cyclic_shift_statistics(x.float(), y.float(), kernel, kernel)
    assert (single - double).abs().max() < 1e-3 * double.std()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [60, 1200])
def test_ties_stay_ties(n, dtype, rng):
    # Two values each: every statistic is one of a few dozen numbers, each reached many times.
    x = (torch.arange(n) % 2).to(dtype)[:, None]
    y = (torch.arange(n) % 4 < 2).to(dtype)[:, None]
    result = independence_test(
        x, y, kernel_x=Gaussian(1.0), kernel_y=Gaussian(1.0), generator=rng, n_perm=n - 1
    )
    # x and y are exactly independent in the sample, so no pairing has a smaller statistic
    assert result.pvalue == 1.0


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        (torch.tensor([[0, 1, 1, 3]]), "permutation of 0 … 3"),
        (torch.tensor([[1, 2, 3, 4]]), "permutation of 0 … 3"),
    ],
)
def test_shifts_reject(orders, message):
    x = torch.arange(4.0)[:, None]
    with pytest.raises(ValueError, match=message):
        cyclic_shift_statistics(x, x, Linear(), Linear(), orders=orders)
    with pytest.raises(ValueError, match="got n=1"):
        cyclic_shift_statistics(x[:1], x[:1], Linear(), Linear())
    with pytest.raises(ValueError, match="y must be finite"):
        cyclic_shift_statistics(x, x * math.nan, Linear(), Linear())
    with pytest.raises(TypeError, match="orders"):
        cyclic_shift_statistics(x, x, Linear(), Linear(), orders=torch.zeros(1, 3).long())


# --- p-values ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["shifts", "permutation"])
def test_the_pvalue_is_exact_whatever_the_data(method):
    """Over all pairings of the data, P(p <= a) <= a: five points leave nothing to chance.

    n = 6 is the smallest sample the library takes: 720 pairings, each with its own draws.
    """
    x = torch.tensor([0.0, 0.1, 0.5, 1.1, 2.3, 2.4], dtype=torch.float64)[:, None]
    y = torch.tensor([-1.0, 0.0, 0.2, 0.9, 3.0, 5.0], dtype=torch.float64)[:, None]
    generator = torch.Generator().manual_seed(0)
    kernels = {"kernel_x": Gaussian(1.0), "kernel_y": Gaussian(0.5)}
    pvalues = np.array(
        [
            independence_test(
                x, y[list(p)], method=method, n_perm=5, generator=generator, **kernels
            ).pvalue
            for p in permutations(range(6))
        ]
    )
    for level in (1 / 6, 1 / 3, 1 / 2):
        bound = level + 4.9 * (level * (1 - level) / 720) ** 0.5
        assert (pvalues <= level + 1e-12).mean() <= bound


def test_the_set_of_shifts_is_exact_without_any_error():
    """Within a coset the p-values are exactly the ranks 1/n, 2/n, …: no approximation at all."""
    rng = torch.Generator().manual_seed(5)
    x, y = dependent(11, 1, rng)
    kernel = Gaussian(1.0)
    pvalues = []
    for s in range(11):
        statistics = cyclic_shift_statistics(x, y.roll(-s, 0), kernel, kernel)[0]
        pvalues.append((statistics >= statistics[0] - 1e-14).double().mean())
    torch.testing.assert_close(
        torch.stack(pvalues).sort().values, torch.arange(1, 12, dtype=torch.float64) / 11
    )


def test_too_liberal_a_count_is_caught():
    """The check can fail: #/B without the observed pairing puts p = 0 at the best pairing."""
    rng = torch.Generator().manual_seed(5)
    x, y = dependent(11, 1, rng)
    kernel = Gaussian(1.0)
    zeros = 0
    for s in range(11):
        statistics = cyclic_shift_statistics(x, y.roll(-s, 0), kernel, kernel)[0]
        zeros += (statistics[1:] >= statistics[0] + 1e-14).double().mean().item() == 0
    assert zeros == 1  # P(p <= 0) = 1/11 > 0


@pytest.mark.parametrize("method", ["shifts", "permutation"])
def test_the_same_seed_gives_the_same_pvalue(method, rng):
    x, y = dependent(40, 1, rng)
    y = torch.randn(40, 1, generator=rng, dtype=torch.float64)
    results = [
        independence_test(x, y, method=method, generator=torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    ]
    assert results[0] == results[1]
    assert results[0].pvalue != results[2].pvalue
    assert results[0].statistic == pytest.approx(results[2].statistic, rel=1e-12)


@pytest.mark.parametrize("n", [8, 30, 700], ids=lambda n: f"n={n}")
def test_at_least_the_permutations_asked_for_are_used(n, rng):
    x, y = dependent(n, 1, rng)
    result = independence_test(x, y, n_perm=999, generator=rng)
    assert 1000 <= result.num_permutations < 1000 + n
    assert result.num_permutations % n == 0
    assert 1 / result.num_permutations <= result.pvalue <= 1


@pytest.mark.parametrize("method", METHODS)
def test_dependence_is_found_and_the_statistic_is_hsic(method, rng):
    x, y = dependent(120, 1, rng)
    kernels = {"kernel_x": Gaussian(0.5), "kernel_y": Gaussian(0.2)}
    result = independence_test(x, y, method=method, generator=rng, **kernels)
    assert result.pvalue < 0.01
    assert result.method == method
    expected = hsic_v(kernels["kernel_x"](x, x), kernels["kernel_y"](y, y)).item()
    assert result.statistic == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [12, 600])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_is_independent_of_everything(method, n, dtype, rng):
    if method == "permutation" and n == 600:
        pytest.skip("a second of work, and n=12 says the same")
    x = torch.randn(n, 2, generator=rng).to(dtype)
    result = independence_test(x, torch.full_like(x, 7.3), method=method, generator=rng)
    assert result.pvalue == 1.0
    assert result.statistic == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_the_level_is_kept(method):
    # 400 null data sets; the gamma laws are approximations and get 0.03 on top
    rng = torch.Generator().manual_seed(8)
    approximate = 0.03 if method.startswith("gamma") else 0.0
    x, y = torch.randn(2, 400, 20, 1, generator=rng, dtype=torch.float64)
    kernels = {"kernel_x": Gaussian(0.5), "kernel_y": Gaussian(0.5)}
    pvalues = np.array(
        [
            independence_test(a, b, method=method, n_perm=79, generator=rng, **kernels).pvalue
            for a, b in zip(x, y, strict=True)
        ]
    )
    for level in (0.05, 0.25):
        allowed = 4.9 * (level * (1 - level) / 400) ** 0.5 + approximate
        assert abs((pvalues <= level).mean() - level) < allowed


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 5}, ValueError, "got n=5"),
        ({"n_perm": 0}, ValueError, "n_perm >= 1"),
        ({"generator": None}, ValueError, "give a generator"),
        ({"method": "shift"}, TypeError, "method"),
        ({"y": torch.zeros(9, 1)}, TypeError, "n="),
        ({"y": torch.zeros(10, 1).long()}, TypeError, "i64"),
        ({"y": torch.full((10, 1), math.inf)}, ValueError, "y must be finite"),
    ],
    ids=["small", "no permutation", "no generator", "method", "lengths", "integers", "infinity"],
)
def test_tests_reject(arguments, error, message):
    n = arguments.pop("n", 10)
    x = torch.arange(float(n))[:, None]
    everything = {"y": x, "generator": torch.Generator().manual_seed(0)} | arguments
    with pytest.raises(error, match=message):
        independence_test(x, **everything)


def test_a_result_says_what_it_is():
    result = TestResult(0.1, 0.02, "shifts", 100)
    assert result.pvalue == 0.02
    assert result.num_permutations == 100


# --- moments under independence ------------------------------------------------------------


def test_permutation_moments_are_those_of_all_permutations(grams):
    everything = oracles.hsic_over_all_permutations(*grams)
    mean, variance = permutation_moments(*grams)
    assert mean == pytest.approx(everything.mean().item(), rel=1e-12)
    assert variance == pytest.approx(everything.var(correction=0).item(), rel=1e-12)


def test_all_permutations_reject_wrong_moments(grams):
    everything = oracles.hsic_over_all_permutations(*grams)
    mean, variance = permutation_moments(*grams)
    assert mean * 5 / 6 != pytest.approx(everything.mean().item(), rel=1e-3)
    assert variance != pytest.approx(everything.var(correction=1).item(), rel=1e-4)
    estimated = gretton_moments(*grams)
    assert estimated.mean != pytest.approx(everything.mean().item(), rel=1e-3)


def test_moments_scale_with_the_kernels(grams):
    K, L = grams
    mean, variance = permutation_moments(K, L)
    scaled = permutation_moments(2 * K, 5 * L)
    assert scaled == pytest.approx(Moments(10 * mean, 100 * variance))


def test_grettons_mean_is_exact_for_the_identity():
    # K = I, L = I: A = B = 1 and HSIC_b = (n - 1)/n^2, which his 1/n approximates
    assert gretton_moments(torch.eye(50), torch.eye(50)).mean == pytest.approx(1 / 50)
    assert permutation_moments(torch.eye(50), torch.eye(50)).mean == pytest.approx(49 / 2500)


def test_both_kinds_of_moments_agree_for_large_samples(rng):
    x, y = torch.randn(2, 400, 1, generator=rng, dtype=torch.float64)
    K, L = rbf_gram(x, 0.5), rbf_gram(y, 0.5)
    exact, estimated = permutation_moments(K, L), gretton_moments(K, L)
    assert estimated.mean == pytest.approx(exact.mean, rel=0.01)
    assert estimated.variance == pytest.approx(exact.variance, rel=0.2)


def test_the_gamma_pvalue_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    mean, variance, value = 0.3, 0.02, 0.55
    law = stats.gamma(a=mean**2 / variance, scale=variance / mean)
    assert gamma_pvalue(value, Moments(mean, variance)) == pytest.approx(law.sf(value), rel=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: permutation_moments(torch.eye(3), torch.eye(3)), ValueError, "n=3"),
        (lambda: gretton_moments(torch.eye(5), torch.eye(5)), ValueError, "n=5"),
        (lambda: permutation_moments(torch.eye(4), torch.eye(5)), TypeError, "n=4"),
        (lambda: gamma_pvalue(1.0, Moments(math.nan, 1.0)), ValueError, "finite mean, got nan"),
        (lambda: gamma_pvalue(1.0, Moments(1.0, -1.0)), ValueError, "non-negative"),
    ],
)
def test_moments_reject(call, error, message):
    with pytest.raises(error, match=message):
        call()
