"""WMD, WRD and their bounds: oracles, laws, checks that can fail, refusals."""

import math

import numpy as np
import pytest
import torch

import oracles
from derive.words import ict, projected_bound, rwmd, wcd, wmd, wrd, wrd_bounds, wrd_similarity

F64 = torch.float64


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def cloud(n, d, generator):
    """Vectors of different norms, and integer counts."""
    x = torch.randn(n, d, generator=generator, dtype=F64)
    return x + 0.5, torch.randint(1, 5, (n,), generator=generator).to(F64)


def pairs(num, generator, d=5):
    for _ in range(num):
        n, m = torch.randint(1, 9, (2,), generator=generator).tolist()
        (x, p), (y, q) = cloud(n, d, generator), cloud(m, d, generator)
        yield x, y, p, q


def euclidean(x, y):
    return (x[:, None] - y[None]).norm(dim=-1)


def cosine_cost(x, y):
    return 1 - torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T


def shares(p):
    return p / p.sum()


def test_wmd_is_the_transport_cost_of_normalised_counts(rng):
    for x, y, p, q in pairs(10, rng):
        expected = oracles.transport_by_dual(euclidean(x, y).numpy(), shares(p), shares(q))
        torch.testing.assert_close(wmd(x, y, p, q).item(), expected, rtol=1e-8, atol=1e-9)


def test_wmd_agrees_with_pot(rng):
    ot = pytest.importorskip("ot")
    for x, y, p, q in pairs(10, rng):
        expected = ot.emd2(shares(p).numpy(), shares(q).numpy(), euclidean(x, y).numpy())
        torch.testing.assert_close(wmd(x, y, p, q).item(), expected, rtol=0, atol=1e-9)


def test_wmd_of_texts_of_equal_length_is_the_best_matching(rng):
    from itertools import permutations

    x, y = (torch.randn(5, 3, generator=rng, dtype=F64) for _ in range(2))
    C = euclidean(x, y)
    best = min(sum(C[i, j] for i, j in enumerate(order)) for order in permutations(range(5)))
    torch.testing.assert_close(wmd(x, y), best / 5)
    repeated = torch.full((5,), 3.0, dtype=F64)
    torch.testing.assert_close(wmd(x, y, repeated, repeated), best / 5)


def test_the_oracle_rejects_the_root_mean_square_cost(rng):
    """A copied implementation averages over coordinates: too small by the root of d."""
    x, y, p, q = next(pairs(1, rng, d=4))
    expected = oracles.transport_by_dual(euclidean(x, y).numpy(), shares(p), shares(q))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(wmd(x, y, p, q).item() / math.sqrt(4), expected)
    assert wmd(torch.zeros(1, 4), torch.ones(1, 4)).item() == 2.0


def test_wmd_is_a_metric_on_texts(rng):
    for _ in range(50):
        (x, p), (y, q), (z, r) = (cloud(4, 2, rng) for _ in range(3))
        torch.testing.assert_close(wmd(x, y, p, q), wmd(y, x, q, p))
        assert wmd(x, z, p, r) <= wmd(x, y, p, q) + wmd(y, z, q, r) + 1e-12


@pytest.mark.parametrize("distance", [wmd, wrd])
def test_identical_texts_are_at_distance_zero(distance, rng):
    x, p = cloud(7, 50, rng)
    order = torch.randperm(7, generator=rng)
    assert distance(x, x.clone(), p, p).item() == 0.0
    assert distance(x, x[order], p, p[order]).item() == 0.0
    assert distance(x, x).item() == 0.0


@pytest.mark.parametrize("distance", [wmd, wrd])
def test_a_repeated_word_is_a_word_of_twice_the_weight(distance, rng):
    (x, p), (y, q) = cloud(3, 4, rng), cloud(5, 4, rng)
    twice = torch.cat([x, x[:1]])
    counts = torch.cat([p, p[:1]])
    merged = p * torch.tensor([2.0, 1.0, 1.0], dtype=F64)
    torch.testing.assert_close(distance(twice, y, counts, q), distance(x, y, merged, q))


@pytest.mark.parametrize("function", [wmd, wrd, wcd, rwmd, ict, projected_bound])
def test_words_of_weight_zero_are_padding(function, rng):
    x, y, p, q = next(pairs(1, rng))
    padding = torch.zeros(2, x.shape[1], dtype=F64)
    none = torch.zeros(2, dtype=F64)
    padded = function(torch.cat([x, padding]), y, torch.cat([p, none]), q)
    torch.testing.assert_close(padded, function(x, y, p, q))


@pytest.mark.parametrize("function", [wmd, wrd, wcd, rwmd, ict, projected_bound])
def test_a_batch_is_its_pairs_one_by_one(function, rng):
    x, y = torch.randn(2, 3, 4, 6, generator=rng, dtype=F64).unbind()
    p = torch.rand(3, 4, generator=rng, dtype=F64) + 0.1
    expected = torch.stack([function(a, b, w, None) for a, b, w in zip(x, y, p, strict=True)])
    torch.testing.assert_close(function(x, y, p, None), expected)


def test_dtype_follows_the_input(rng):
    x = torch.randn(3, 4, generator=rng)
    for value in (wmd(x, x + 1), wrd(x, x + 1), rwmd(x, x + 1), *wrd_bounds(x, x + 1)):
        assert value.dtype == torch.float32


def test_wrd_is_transport_of_norms_under_one_minus_cosine(rng):
    for x, y, p, q in pairs(10, rng):
        a, b = shares(p * x.norm(dim=1)), shares(q * y.norm(dim=1))
        expected = oracles.transport_by_dual(cosine_cost(x, y).numpy(), a, b)
        torch.testing.assert_close(wrd(x, y, p, q).item(), expected, rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(wrd_similarity(x, y, p, q), 1 - wrd(x, y, p, q))


def test_wrd_ignores_the_scale_of_a_text_but_not_of_a_word(rng):
    x, y, p, q = next(pairs(1, rng))
    torch.testing.assert_close(wrd(3 * x, y / 7, p, q), wrd(x, y, p, q))
    x = torch.cat([x, x[:1] + 1])
    one = x.clone()
    one[0] *= 2
    assert abs(wrd(one, y) - wrd(x, y)) > 1e-6


def test_the_root_of_wrd_is_a_metric_and_wrd_is_not():
    at = lambda degrees: torch.tensor([[math.cos(a := math.radians(degrees)), math.sin(a)]])  # noqa: E731
    near, far = wrd(at(0), at(45)), wrd(at(0), at(90))
    assert 2 * near < far - 0.4
    assert 2 * near.sqrt() >= far.sqrt()


def test_rwmd_and_ict_equal_their_definitions(rng):
    for x, y, p, q in pairs(20, rng):
        C, p, q = euclidean(x, y), shares(p), shares(q)
        expected = max(oracles.relaxed_one_side(C, p), oracles.relaxed_one_side(C.T, q))
        torch.testing.assert_close(rwmd(x, y, p, q), expected)
        expected = max(oracles.capacity_one_side(C, p, q), oracles.capacity_one_side(C.T, q, p))
        torch.testing.assert_close(ict(x, y, p, q).item(), float(expected))


def test_projected_bound_is_the_area_between_cdfs(rng):
    for x, y, p, q in pairs(20, rng):
        u = torch.randn(5, generator=rng, dtype=F64)
        u /= u.norm()
        expected = oracles.area_between_cdfs(
            (x @ u).tolist(), (y @ u).tolist(), shares(p).tolist(), shares(q).tolist()
        )
        torch.testing.assert_close(projected_bound(x, y, p, q, direction=9 * u).item(), expected)


def test_all_bounds_on_wmd_hold_in_their_order(rng):
    for x, y, p, q in pairs(100, rng):
        args = x, y, p, q
        assert wcd(*args) <= projected_bound(*args) + 1e-12
        assert rwmd(*args) <= ict(*args) + 1e-12
        assert max(projected_bound(*args), ict(*args)) <= wmd(*args) + 1e-12


def test_wcd_equals_wmd_of_a_shifted_text(rng):
    x, p = cloud(6, 3, rng)
    torch.testing.assert_close(wcd(x, x + 2, p, p), wmd(x, x + 2, p, p))


def test_the_folklore_chain_is_false():
    words = torch.tensor([[0.0], [1.0]], dtype=F64)
    p, q = torch.tensor([9.0, 1.0], dtype=F64), torch.tensor([1.0, 9.0], dtype=F64)
    torch.testing.assert_close(wcd(words, words, p, q), torch.tensor(0.8, dtype=F64))
    assert rwmd(words, words, p, q).item() == 0.0
    torch.testing.assert_close(ict(words, words, p, q), wmd(words, words, p, q))


def test_equal_means_leave_no_direction_and_no_bound():
    x, y = torch.tensor([[-1.0, 0], [1, 0]]), torch.tensor([[0.0, 0]])
    assert projected_bound(x, y).item() == 0.0 == wcd(x, y).item()


def test_wrd_bounds_equal_their_definitions(rng):
    for x, y, p, q in pairs(20, rng):
        a, b = shares(p * x.norm(dim=1)).numpy(), shares(q * y.norm(dim=1)).numpy()
        u, v = ((t / t.norm(dim=1, keepdim=True)).numpy() for t in (x, y))
        C = 1 - u @ v.T
        bounds = wrd_bounds(x, y, p, q)
        expected = (
            ((a @ u - b @ v) ** 2).sum() / 2,
            oracles.gelbrich_by_matrix_roots(u, v, a, b),
            max(oracles.relaxed_one_side(C, a), oracles.relaxed_one_side(C.T, b)),
            a @ C @ b,
        )
        # matrix roots of singular covariances lose half of the digits
        np.testing.assert_allclose([t.item() for t in bounds], expected, atol=1e-7)


def test_all_bounds_on_wrd_hold_in_their_order(rng):
    for x, y, p, q in pairs(100, rng):
        bounds, exact = wrd_bounds(x, y, p, q), wrd(x, y, p, q)
        assert bounds.mean <= bounds.gelbrich + 1e-12
        assert max(bounds.gelbrich, bounds.relaxed) <= exact + 1e-12
        assert exact <= bounds.upper + 1e-12


def test_a_gelbrich_bound_without_centring_would_be_no_bound_or_another(rng):
    x, y, p, q = next(pairs(1, rng))
    a, b = shares(p * x.norm(dim=1)).numpy(), shares(q * y.norm(dim=1)).numpy()
    u, v = ((t / t.norm(dim=1, keepdim=True)).numpy() for t in (x, y))
    uncentred = 1 - np.linalg.norm(np.sqrt(a)[:, None] * (u @ v.T) * np.sqrt(b), "nuc")
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(wrd_bounds(x, y, p, q).gelbrich, uncentred, atol=1e-6)


ONE, TWO = torch.ones(1, 2), torch.ones(2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wmd(ONE, torch.ones(1, 3)), TypeError, "d=2"),
        (lambda: wmd(ONE.long(), ONE), TypeError, "i64"),
        (lambda: wmd(torch.ones(0, 2), ONE), ValueError, "x has no word"),
        (lambda: wmd(ONE, ONE * math.nan), ValueError, "y must hold finite"),
        (lambda: wmd(TWO, ONE, torch.tensor([1.0, -1.0])), ValueError, "weights of x"),
        (lambda: wmd(ONE, TWO, None, torch.zeros(2)), ValueError, "weights of y"),
        (
            lambda: wrd(ONE, TWO * torch.tensor([[1.0], [0]])),
            ValueError,
            "word 1 of y has the zero",
        ),
        (lambda: wrd_bounds(0 * ONE, ONE), ValueError, "word 0 of x has the zero"),
        (
            lambda: projected_bound(ONE, TWO, direction=torch.zeros(2)),
            ValueError,
            "other than zero",
        ),
    ],
    ids=range(9),
)
def test_distances_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()
