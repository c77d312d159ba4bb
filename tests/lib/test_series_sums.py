"""Coefficients, Padé, sequence transformations and Borel sums."""

import math
from fractions import Fraction as Q

import mpmath
import numpy as np
import pytest

from derive.series import (
    Rational,
    alternating,
    borel_coefficients,
    borel_conformal,
    borel_enclosure,
    borel_pade,
    laplace,
    levin,
    optimal_truncation,
    pade,
    pade_enclosure,
    partial_sums,
    quartic_coefficients,
    quartic_ratio,
    series_terms,
    shanks,
    stieltjes_fraction,
    weniger_delta,
)
from oracles import pade_residual, quartic_integral

C = quartic_coefficients(40)
FACTORIALS = [Q(math.factorial(n)) for n in range(31)]  # moments of exp(-x)
EULER = 0.596347362323194074341  # integral of exp(-x)/(1+x), DLMF 6.6


def truth(g):
    return float(quartic_ratio(g, digits=25))


# coefficients


def test_the_coefficients_are_the_moments_of_the_gaussian():
    # c_n = E[x^(4n)] / n! for x of variance 1/2, by quadrature
    for n, c in enumerate(C[:8]):
        moment = mpmath.quad(lambda x, n=n: x ** (4 * n) * mpmath.exp(-(x**2)), [-12, 0, 12])
        assert float(c) == pytest.approx(
            float(moment / mpmath.sqrt(mpmath.pi) / mpmath.factorial(n)), rel=1e-13
        )


@pytest.mark.parametrize("dimension", [1, 2, 3, 7])
def test_the_coefficients_in_n_dimensions_are_gamma_ratios(dimension):
    half = mpmath.mpf(dimension) / 2
    for n, c in enumerate(quartic_coefficients(6, dimension=dimension)):
        assert float(c) == pytest.approx(
            float(mpmath.gamma(half + 2 * n) / mpmath.gamma(half) / mpmath.factorial(n)), rel=1e-13
        )


def test_the_list_in_the_source():
    assert [*map(str, C[:5])] == ["1", "3/4", "105/32", "3465/128", "675675/2048"]


@pytest.mark.parametrize("g", [Q(1, 100), Q(1, 10), Q(1), Q(3)])
def test_consecutive_partial_sums_enclose_the_truth(g):
    exact = quartic_ratio(g, digits=60)
    for n, (s, t) in enumerate(zip(partial_sums(C, g), partial_sums(C, g)[1:], strict=False)):
        low, high = sorted([s, t])
        with mpmath.workdps(60):
            assert mpmath.mpf(low.numerator) / low.denominator < exact, n
            assert exact < mpmath.mpf(high.numerator) / high.denominator, n


def test_optimal_truncation_is_the_best_bound_and_holds():
    for g in (Q(1, 100), Q(1, 30), Q(1, 10), Q(2)):
        best = optimal_truncation(C, g)
        assert best.bound == min(C[n] * g**n for n in range(1, len(C)))
        assert best.enclosure.lower < truth(g) < best.enclosure.upper
        assert abs(float(best.value) - truth(g)) <= float(best.bound)
        assert best.at_smallest_term


def test_optimal_truncation_says_when_more_coefficients_would_help():
    assert not optimal_truncation(C[:10], Q(1, 100)).at_smallest_term


def test_the_bound_would_catch_a_wrong_coefficient():
    wrong = [*C[:5], 2 * C[5], *C[6:]]
    best = optimal_truncation(wrong, Q(1, 30))
    assert abs(float(best.value) - truth(Q(1, 30))) > float(best.bound)


# Padé


@pytest.mark.parametrize(("L", "M"), [(0, 0), (0, 3), (3, 0), (2, 2), (4, 5), (12, 12), (3, 1)])
def test_a_pade_approximant_matches_its_series(L, M):
    a = alternating(C)
    approximant = pade(a, L, M)
    assert pade_residual(a, L, M, *approximant) == [0] * (L + M + 1)
    assert len(approximant.numerator) == L + 1
    assert len(approximant.denominator) == M + 1


def test_the_residual_rejects_an_approximant_of_one_order_less():
    a = alternating(C)
    assert any(pade_residual(a, 3, 3, *pade(a, 2, 3)))


def test_pade_agrees_with_mpmath_and_scipy():
    from scipy.interpolate import pade as scipy_pade

    a = alternating(C)
    with mpmath.workdps(50):
        p, q = mpmath.pade([mpmath.mpf(x.numerator) / x.denominator for x in a[:13]], 6, 6)
        expected = float(mpmath.polyval(p[::-1], 1) / mpmath.polyval(q[::-1], 1))
    assert pade(a, 6, 6)(1.0) == pytest.approx(expected, rel=1e-12)
    p, q = scipy_pade([float(x) for x in a[:5]], 2, 2)
    assert pade(a, 2, 2)(0.5) == pytest.approx(p(0.5) / q(0.5), rel=1e-10)


def test_a_rational_evaluates_every_kind_of_number():
    r = Rational((Q(1),), (Q(1), Q(1, 3)))
    assert r(Q(3, 2)) == Q(2, 3)
    assert r(1.5) == pytest.approx(2 / 3)
    np.testing.assert_allclose(r(np.array([0.0, 1.5])), [1, 2 / 3])
    assert r(3j) == pytest.approx(1 / (1 + 1j))
    assert abs(r(mpmath.mpf(1.5)) - mpmath.mpf(2) / 3) < 1e-15


def test_poles_are_zeros_of_the_denominator():
    r = pade(alternating(C), 5, 5)
    poles = r.poles(digits=20)
    assert len(poles) == 5
    with mpmath.workdps(40):
        for z in poles:
            assert z.imag == 0
            assert z.real < 0  # a Stieltjes series: on the cut
            terms = [
                mpmath.mpf(q.numerator) / q.denominator * z**k for k, q in enumerate(r.denominator)
            ]
            assert abs(sum(terms)) < mpmath.mpf(10) ** -18 * max(map(abs, terms))


@pytest.mark.parametrize("N", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("g", [Q(1, 10), Q(1), Q(10)])
def test_pade_encloses_the_truth(N, g):
    even, odd = pade_enclosure(C[: 2 * N], g), pade_enclosure(C[: 2 * N + 1], g)
    assert float(even.lower) < truth(g) < float(even.upper)
    assert float(odd.lower) < truth(g) < float(odd.upper)
    a = alternating(C)
    assert even.lower == odd.lower == pade(a, N - 1, N)(g)
    assert odd.upper == pade(a, N, N)(g)


def test_the_float_enclosure_contains_the_exact_one():
    g = np.array([0.01, 0.3, 1.0, 10.0, 1e4])
    for size in (2, 3, 8, 17, 30):
        low, high = pade_enclosure(C[:size], g)
        for i, x in enumerate(g):
            exact = pade_enclosure(C[:size], Q(float(x)))
            assert low[i] <= exact.lower
            assert exact.upper <= high[i]
            assert float(exact.lower) == pytest.approx(low[i], rel=1e-13)


def test_the_continued_fraction_of_the_factorials():
    assert stieltjes_fraction(FACTORIALS[:9]) == [1, 1, 1, 2, 2, 3, 3, 4, 4]


# sequence transformations


def test_shanks_is_pade():
    for g in (Q(1, 10), Q(1)):
        assert shanks(partial_sums(C[:11], g)) == pade(alternating(C), 5, 5)(g)


def test_shanks_agrees_with_mpmath():
    sums = [float(s) for s in partial_sums(C[:9], Q(1, 10))]
    with mpmath.workdps(30):
        table = mpmath.shanks(partial_sums_mp(9), randomized=False)
    assert float(shanks(sums)) == pytest.approx(float(table[-1][-1]), rel=1e-7)


def partial_sums_mp(n):
    return [mpmath.mpf(s.numerator) / s.denominator for s in partial_sums(C[:n], Q(1, 10))]


def test_shanks_sums_geometric_series_and_stops():
    assert shanks([sum(Q(-2) ** k for k in range(n)) for n in range(1, 9)]) == Q(1, 3)
    two = [sum(Q(1, 2) ** k + Q(-3) ** k for k in range(n)) for n in range(1, 10)]
    assert shanks(two) == 2 + Q(1, 4)


def levin_by_definition(terms, power):
    """Solve S_j = S + omega_j * (polynomial in powers or factorials) for S, as a linear system."""
    k = len(terms) - 2
    rows, right = [], []
    for j in range(k + 1):
        total = sum(terms[: j + 1])
        omega = terms[j + 1]
        basis = [1 / power(Q(1) + j, i) for i in range(k)]
        rows.append([mpmath.mpf(1), *[to_mp(omega * b) for b in basis]])
        right.append(to_mp(total))
    return mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(right))[0]


def to_mp(q):
    return mpmath.mpf(q.numerator) / q.denominator


@pytest.mark.parametrize(
    ("transform", "power"),
    [
        (levin, lambda x, i: x**i),
        (weniger_delta, lambda x, i: math.prod((x + m for m in range(i)), start=Q(1))),
    ],
    ids=["levin", "weniger"],
)
def test_the_transforms_solve_their_defining_system(transform, power):
    terms = series_terms(C[:10], Q(1, 5))
    with mpmath.workdps(80):
        expected = levin_by_definition(terms, power)
        assert abs(to_mp(transform(terms)) / expected - 1) < 1e-40
        other = weniger_delta if transform is levin else levin
        assert abs(to_mp(other(terms)) / expected - 1) > 1e-9


def test_levin_agrees_with_mpmath():
    g = Q(1, 10)
    with mpmath.workdps(50):
        machine = mpmath.levin(variant="t")
        value, _ = machine.update([to_mp(t) for t in series_terms(C[:10], g)])
    assert float(levin(series_terms(C[:10], g), remainder="t")) == pytest.approx(
        float(value), rel=1e-12
    )


@pytest.mark.parametrize("remainder", ["next", "t", "u", "v"])
@pytest.mark.parametrize("transform", [levin, weniger_delta])
def test_every_remainder_estimate_sums_the_factorial_series(transform, remainder):
    value = transform(series_terms(FACTORIALS[:25], 1), remainder=remainder)
    assert float(value) == pytest.approx(EULER, abs=1e-7)


@pytest.mark.parametrize("transform", [levin, weniger_delta])
def test_rounded_terms_are_refused_when_their_noise_would_show(transform):
    terms = [float(t) for t in series_terms(C[:25], Q(1))]
    with pytest.raises(ValueError, match="give exact terms"):
        transform(terms)
    exact = float(transform(series_terms(C[:25], Q(1))))
    noisy = float(transform(terms, wanted=math.inf))
    assert abs(exact - truth(1)) < 1e-9
    assert abs(noisy - truth(1)) > 1e-8  # the refusal was for a reason
    with mpmath.workdps(60):
        precise = transform([to_mp(t) for t in series_terms(C[:25], Q(1))])
    assert float(precise) == pytest.approx(exact, rel=1e-15)


# Borel


def test_laplace_of_a_power_is_a_factorial():
    for n in range(6):
        assert laplace(lambda x, n=n: x**n, 1) == pytest.approx(math.factorial(n), rel=1e-14)
    assert float(laplace(lambda x: x**3, 2, digits=30)) == pytest.approx(48, rel=1e-15)


@pytest.mark.parametrize("g", [0.001, 0.1, 1.0, 10.0, 100.0])
def test_the_float_quadrature_keeps_its_promise(g):
    # the hardest integrand of the chapter: the transform itself, with its bend at s = 1/(4g)
    B = np.vectorize(lambda x: float(mpmath.hyp2f1(0.25, 0.75, 1, -4 * x)))
    assert laplace(B, g) == pytest.approx(truth(g), rel=1e-13)


def test_borel_sums_approach_the_truth():
    a = alternating(C)
    errors = [abs(borel_pade(a, 1, N, N) - truth(1)) for N in (2, 5, 8)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    errors = [abs(borel_conformal(a[:n], 1) - truth(1)) for n in (5, 11, 17)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


def test_floats_and_digits_agree():
    a = alternating(C)[:11]
    assert borel_pade(a, 1, 5, 5) == pytest.approx(float(borel_pade(a, 1, 5, 5, digits=25)))
    assert borel_conformal(a, 1) == pytest.approx(
        float(borel_conformal(a, 1, digits=25)), rel=1e-13
    )


def test_the_conformal_map_finds_a_function_of_its_own_kind_exactly():
    # B(x) = 1/sqrt(1+x) = (1-w)/(1+w): the coefficients in w are 1, -2, 2, -2, ...
    b = [mpmath.binomial(-0.5, n) for n in range(30)]
    c = [Q(float(x)) * math.factorial(n) for n, x in enumerate(b)]
    expected = mpmath.quad(lambda s: mpmath.exp(-s) / mpmath.sqrt(1 + s), [0, 10, mpmath.inf])
    assert borel_conformal(c, 1, singularity=-1) == pytest.approx(float(expected), abs=2e-4)
    wrong = borel_conformal(c, 1, singularity=-2)
    assert wrong != pytest.approx(float(expected), abs=2e-4)


@pytest.mark.parametrize("g", [Q(1, 10), Q(1), Q(10)])
@pytest.mark.parametrize("size", [2, 3, 6, 11, 20])
def test_borel_encloses_the_truth_more_closely_than_pade(g, size):
    low, high = borel_enclosure(C[:size], g)
    plain = pade_enclosure(C[:size], g)
    assert float(plain.lower) <= low < truth(g) < high <= float(plain.upper) * (1 + 1e-12)
    assert high - low < float(plain.upper - plain.lower)


def test_a_quadrature_oracle_agrees_on_the_truth():
    assert truth(0.3) == pytest.approx(float(quartic_integral(1, 0.3) / mpmath.sqrt(mpmath.pi)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: quartic_coefficients(-1), ValueError, "order must be >= 0"),
        (lambda: quartic_coefficients(3, dimension=0), ValueError, "dimension must be >= 1"),
        (lambda: optimal_truncation(C, -0.1), ValueError, "must be > 0"),
        (lambda: optimal_truncation(C, float("nan")), ValueError, "finite"),
        (lambda: optimal_truncation([1], 1), ValueError, "needs 2 coefficients"),
        (lambda: pade(C[:4], 2, 2), ValueError, "needs 5 coefficients, got 4"),
        (lambda: pade(C, -1, 2), ValueError, "L must be >= 0"),
        (lambda: pade([1, -1, 1, -1], 1, 2), ArithmeticError, r"degenerate at \[1/2\]"),
        (lambda: pade_enclosure(C, 0), ValueError, "must be > 0"),
        (lambda: pade_enclosure(C, np.array([1.0, -1.0])), ValueError, "every coupling"),
        (lambda: pade_enclosure(alternating(C), 1), ValueError, "without signs"),
        (lambda: stieltjes_fraction([1, 1, 1, 1]), ValueError, "must be positive"),
        (lambda: stieltjes_fraction([1, 2, 3, 4]), ValueError, "not the moments"),
        (lambda: stieltjes_fraction([1, 1, 2, 6, 18]), ValueError, "not the moments"),
        (lambda: shanks([1, 2, 4, 6, 8]), ArithmeticError, "equal neighbours"),
        (lambda: levin([1, 2]), ValueError, "order of the transform must be >= 1"),
        (lambda: levin([1, 0, 1, 2]), ValueError, "zero term"),
        (lambda: levin([1, 2, 3], beta=0), ValueError, "beta must be > 0"),
        (lambda: levin([1, 2, 3], remainder="w"), TypeError, "remainder"),
        (lambda: borel_pade(alternating(C), -1, 3, 3), ValueError, "must be > 0"),
        (lambda: borel_pade(C, 1, 3, 3), ValueError, "on the positive axis"),
        (lambda: borel_conformal(alternating(C), 1, singularity=1), ValueError, "must be < 0"),
        (lambda: borel_enclosure(FACTORIALS, 1), ValueError, "must be positive"),
        (lambda: borel_coefficients("abc"), TypeError, "c"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
