"""Random maps: exact laws by enumeration, transforms against scipy, blocks, refusals."""

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.harness import peak_extra_mb
from derive.random_projection import (
    count_sketch,
    fwht,
    gaussian_matrix,
    project,
    random_map,
    sign_matrix,
    srht,
)
from derive.random_projection.hadamard import (
    hadamard_entries,
    is_hadamard_order,
    next_hadamard_order,
)
from derive.random_projection.maps import CosineMap, HadamardMap, KroneckerMap
from oracles import sampled_kronecker_variance, stratified_draws

EXACT = {"dtype": torch.float64, "device": "cpu"}
STRUCTURED = ["kronecker", "dct", "srht"]
KINDS = ["gaussian", "sign", *STRUCTURED]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def all_signs(d):
    return torch.tensor(list(product([1.0, -1.0], repeat=d)), dtype=torch.float64)


def squared_norms(maps, x):
    """|y|^2 for every map and every choice of signs: signs before the map are part of its law."""
    signed = all_signs(len(x)) * x
    return torch.cat([m(signed).square().sum(dim=1) for m in maps])


# --- the matrices -----------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 8, 32, 64, 512, 2048])
def test_fwht_equals_the_hadamard_matrix(d):
    x = torch.randn(3, d, generator=seeded(), dtype=torch.float64)
    expected = x.numpy() @ scipy.linalg.hadamard(d, dtype=float) / d**0.5
    torch.testing.assert_close(fwht(x), torch.from_numpy(expected), rtol=0, atol=1e-12)


def test_fwht_undoes_itself_on_any_axis_layout_and_leaves_its_input_alone():
    x = torch.randn(2, 1024, 3, generator=seeded(), dtype=torch.float64).transpose(1, 2)
    kept = x.clone()
    torch.testing.assert_close(fwht(fwht(x)), x, rtol=0, atol=1e-12)
    assert torch.equal(x, kept)
    assert fwht(torch.zeros(0, 4)).shape == (0, 4)


def test_the_oracle_rejects_a_transform_without_its_scale():
    x = torch.randn(3, 64, generator=seeded(), dtype=torch.float64)
    expected = torch.from_numpy(x.numpy() @ scipy.linalg.hadamard(64)) / 8
    with pytest.raises(AssertionError):
        torch.testing.assert_close(8 * fwht(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [0, 3, 12, 1000])
def test_fwht_refuses_other_lengths(d):
    with pytest.raises(ValueError, match=f"got d={d}"):
        fwht(torch.zeros(2, d))


def test_hadamard_matrices_of_every_order_offered_have_orthogonal_rows_of_signs():
    orders = [m for m in range(1, 130) if is_hadamard_order(m)]
    assert {4, 12, 20, 28, 36, 76, 108, 124} <= set(orders)
    assert {52, 92, 100}.isdisjoint(orders)  # these exist, but not by these constructions
    for m in orders:
        i = torch.arange(m)
        H = hadamard_entries(m, i[:, None], i[None, :])
        assert torch.equal(H.abs(), torch.ones(m, m, dtype=torch.float64))
        assert torch.equal(H @ H.T, m * torch.eye(m, dtype=torch.float64))
    assert [next_hadamard_order(m) for m in (1, 3, 89, 313)] == [1, 4, 96, 316]


@pytest.mark.parametrize("kind", ["gaussian", "sign"])
def test_dense_maps_multiply_by_the_matrix_of_the_same_seed(kind):
    draw = {"gaussian": gaussian_matrix, "sign": sign_matrix}[kind]
    A = draw(7, 30, generator=seeded(3), dtype=torch.float64)
    m = random_map(30, 7, kind=kind, generator=seeded(3), dtype=torch.float64)
    x = torch.randn(5, 30, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(m(x), x @ A.T, rtol=1e-13, atol=1e-13)


def test_gaussian_entries_have_the_moments_of_a_normal_variable():
    A = gaussian_matrix(1000, 1000, generator=seeded(), dtype=torch.float64) * 1000**0.5
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        z = ((A**power).mean().item() - mean) / (variance / A.numel()) ** 0.5
        assert abs(z) < 4.9
    z = ((A**2).mean().item() - 1.01) / (2 / A.numel()) ** 0.5
    assert abs(z) > 4.9  # a variance one per cent off would have been seen


@pytest.mark.parametrize("density", [1.0, 1 / 3, 0.05])
def test_sign_entries_take_three_values_with_the_right_shares(density):
    A = sign_matrix(500, 2000, density, generator=seeded(1), dtype=torch.float64)
    value = (500 * density) ** -0.5
    assert set(A.unique().tolist()) <= {-value, 0.0, value}
    for share, count in ((density / 2, (A > 0).sum()), (1 - density, (A == 0).sum())):
        deviation = (A.numel() * share * (1 - share)) ** 0.5
        assert abs(count.item() - A.numel() * share) <= 4.9 * deviation


@pytest.mark.parametrize("density", [1.0, 1 / 3, 0.1])
def test_sign_matrices_have_the_variance_of_their_kurtosis(density):
    # The rows are independent: one matrix of many rows is a sample of single projections.
    x = torch.tensor([0.8, 0.6, 0.0], dtype=torch.float64)
    rows = 400_000
    A = sign_matrix(rows, 3, density, generator=seeded(2), dtype=torch.float64)
    squares = rows * (A @ x) ** 2
    errors = (squares - 1) ** 2
    expected = 2 + (1 / density - 3) * (x**4).sum().item()
    spread = errors.std().item() / rows**0.5
    assert abs(squares.mean().item() - 1) < 4.9 * squares.std().item() / rows**0.5
    assert abs(errors.mean().item() - expected) < 4.9 * spread
    assert abs(errors.mean().item() - (2 + (1 / density - 1) * (x**4).sum().item())) > 4.9 * spread


@pytest.mark.parametrize("draw", [gaussian_matrix, sign_matrix])
def test_all_dtypes_see_the_same_matrix(draw):
    A = draw(3, 5, generator=seeded(), dtype=torch.float64)
    assert torch.equal(draw(3, 5, generator=seeded()), A.float())
    assert draw(3, 5).shape == (3, 5)  # and without a generator


# --- sampled transforms: their exact laws -----------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 7])
@pytest.mark.parametrize("x", [[1, 2, 3, 4, 5, 6, 7, 8], [1, 0, 0, 0, 0, 0, 0, 0],
                               [1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0]])  # fmt: skip
def test_sampled_kronecker_has_its_mean_and_variance_exactly(x, k):
    a, b = 4, 2
    x = torch.tensor(x, dtype=torch.float64) / np.linalg.norm(x)
    ones = torch.ones(8)
    counts = [[k // b + (i == extra) for i in range(b)] for extra in range(b)]
    moments = []
    for choice in counts if k % b else [[k // b] * b]:
        maps = [
            KroneckerMap(ones, [torch.tensor(s, dtype=torch.long) for s in draws], a, **EXACT)
            for draws in stratified_draws(choice, a)
        ]
        t = squared_norms(maps, x)
        moments.append((t.mean().item(), t.square().mean().item()))
    mean, square = np.mean(moments, axis=0)
    expected = sampled_kronecker_variance(x.tolist(), k, a, b)
    assert mean == pytest.approx(1, abs=1e-12)
    assert square - mean**2 == pytest.approx(expected, abs=1e-12)
    assert expected <= 2 / k * (1 - (x**4).sum().item()) + 1e-12


def test_enumeration_rejects_the_kronecker_variance_of_sampling_without_strata():
    x = torch.arange(1.0, 9.0, dtype=torch.float64)
    x /= x.norm()
    maps = [
        KroneckerMap(torch.ones(8), [torch.tensor(s) for s in draws], 4, **EXACT)
        for draws in stratified_draws([2, 2], 4)
    ]
    t = squared_norms(maps, x)
    unstratified = 2 / 4 * (1 - (x**4).sum().item()) * (8 - 4) / (8 - 1)
    assert abs(t.var(correction=0).item() - unstratified) > 1e-3


def test_srht_has_its_mean_and_variance_exactly():
    x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    x /= x.norm()
    for k in (1, 2, 3, 4):
        maps = [
            HadamardMap(torch.ones(3), torch.tensor(s), **EXACT) for s in combinations(range(4), k)
        ]
        t = squared_norms(maps, x)
        expected = 2 / k * (1 - (x**4).sum().item()) * (4 - k) / (4 - 1)
        assert t.mean().item() == pytest.approx(1, abs=1e-12)
        assert t.var(correction=0).item() == pytest.approx(expected, abs=1e-12)
    repeated = [
        HadamardMap(torch.ones(3), torch.tensor(s), **EXACT) for s in product(range(4), repeat=2)
    ]
    t = squared_norms(repeated, x)
    assert t.mean().item() == pytest.approx(1, abs=1e-12)
    assert t.var(correction=0).item() == pytest.approx(1 - (x**4).sum().item(), abs=1e-12)


@pytest.mark.parametrize("p", [5, 6])
@pytest.mark.parametrize("x", [[1, 2, 3, 4, 5], [1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [1, 1, 1, 1, 1]])
def test_sampled_dct_has_its_mean_exactly_and_at_most_the_bound_of_its_variance(x, p):
    x = torch.tensor(x, dtype=torch.float64) / np.linalg.norm(x)
    for k in range(1, p + 1):
        maps = [
            CosineMap(torch.ones(5), torch.tensor(s), p, **EXACT) for s in combinations(range(p), k)
        ]
        t = squared_norms(maps, x)
        assert t.mean().item() == pytest.approx(1, abs=1e-12)
        assert t.var(correction=0).item() <= 2 / k * (p - k) / (p - 1) + 1e-12


@pytest.mark.parametrize("p", [1, 2, 5, 8, 15])
def test_the_dct_map_is_scipys_transform_of_the_features_in_ffts_order(p):
    x = torch.randn(4, p, generator=seeded(), dtype=torch.float64)
    order = [*range(0, p, 2), *reversed(range(1, p, 2))]  # Makhoul's reordering
    y = CosineMap(torch.ones(p), torch.arange(p), p, **EXACT)(x[:, order])
    expected = scipy.fft.dct(x.numpy(), norm="ortho")
    torch.testing.assert_close(y, torch.from_numpy(expected), rtol=0, atol=1e-13)


def test_the_kronecker_map_computes_rows_of_the_kronecker_product():
    a, b, d = 12, 4, 45  # the last column of the table holds one feature only
    i = torch.arange(a * b)
    # Feature c b + i of output (i', s): H_b[i', i] H_a[s, c].
    F = hadamard_entries(b, i[:, None] // a, i[None, :] % b) * hadamard_entries(
        a, i[:, None] % a, i[None, :] // b
    )
    signs = torch.where(torch.arange(d) % 3 == 0, -1.0, 1.0).double()
    draws = [torch.tensor(s) for s in ([0, 5, 11], [1, 2], [7], [3, 4, 8])]
    rows = torch.cat([j * a + s for j, s in enumerate(draws)])
    x = torch.randn(3, d, generator=seeded(), dtype=torch.float64)
    expected = (x * signs) @ F[rows, :d].T / len(rows) ** 0.5
    y = KroneckerMap(signs, draws, a, **EXACT)(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-13)


HARD = {
    "basis vector": lambda d: torch.eye(d)[3],
    "constant": torch.ones,
    "alternating": lambda d: (-1.0) ** torch.arange(d),
    "period 16": lambda d: torch.sin(torch.arange(d) * torch.pi / 8),
    "two of a column": lambda d: torch.eye(d)[0] + torch.eye(d)[1],
    "mirror pair": lambda d: torch.eye(d)[0] + torch.eye(d)[-1],
    "first block": lambda d: (torch.arange(d) < 16).double(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_map_is_biased_or_wider_than_a_gaussian_one(kind):
    d, k, draws = 240, 48, 400
    x = torch.stack([make(d).double() for make in HARD.values()])
    x = x / x.norm(dim=1, keepdim=True)
    g = seeded(5)
    t = torch.stack([project(x, k, kind=kind, generator=g).square().sum(1) for _ in range(draws)])
    # The mean by its own spread; the spread (kurtosis about 3) by 4.9 standard errors.
    bias = (t.mean(dim=0) - 1).abs()
    assert (bias <= 4.9 * t.std(dim=0) / draws**0.5 + 1e-12).all()
    assert (t.std(dim=0) <= (2 / k) ** 0.5 * (1 + 4.9 * (1 / (2 * draws)) ** 0.5 * 1.2)).all()


@pytest.mark.parametrize("kind", STRUCTURED)
def test_sampling_without_replacement_gains_its_factor(kind):
    d, k, draws = 64, 48, 500
    x = torch.randn(1, d, generator=seeded(), dtype=torch.float64)
    x /= x.norm()
    g = seeded(6)
    maps = [random_map(d, k, kind=kind, generator=g, dtype=torch.float64) for _ in range(draws)]
    t = torch.stack([m(x).square().sum() for m in maps])
    predicted = (2 / k * (1 - k / maps[0].p)) ** 0.5
    assert t.std().item() == pytest.approx(predicted, rel=4.9 * (1 / (2 * draws)) ** 0.5 * 1.3)


@pytest.mark.parametrize("kind", STRUCTURED)
@pytest.mark.parametrize("d", [1, 2, 13, 48, 100])
def test_all_coordinates_together_are_a_rotation(kind, d):
    p = random_map(d, 1, kind=kind).p
    for k in {p, random_map(d, p, kind=kind).p}:
        m = random_map(d, k, kind=kind, generator=seeded(), dtype=torch.float64)
        if m.k == m.p:
            y = m(torch.eye(d, dtype=torch.float64))
            eye = torch.eye(d, dtype=torch.float64)
            torch.testing.assert_close(y @ y.T, eye, rtol=0, atol=1e-12)


# --- count sketches ---------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "nnz"), [(6, 1), (6, 2), (6, 6), (1, 1)])
def test_count_sketch_puts_one_sign_into_each_block(k, nnz):
    S = count_sketch(torch.eye(50, dtype=torch.float64), k, nnz, generator=seeded())
    blocks = S.view(50, nnz, k // nnz)
    assert ((blocks != 0).sum(dim=2) == 1).all()
    torch.testing.assert_close(blocks.abs().sum(dim=2), torch.full((50, nnz), nnz**-0.5).double())


def test_count_sketch_is_linear_and_works_in_blocks():
    d = 2**18  # four rows at a time
    x = torch.randn(6, d, generator=seeded(), dtype=torch.float64)
    together = count_sketch(x, 8, 2, generator=seeded(1))
    each = torch.cat([count_sketch(row[None], 8, 2, generator=seeded(1)) for row in x])
    torch.testing.assert_close(together, each, rtol=0, atol=1e-9)
    torch.testing.assert_close(
        count_sketch(2 * x[:1] - x[1:2], 8, 2, generator=seeded(1)),
        2 * together[:1] - together[1:2],
        rtol=0,
        atol=1e-9,
    )


def test_count_sketch_has_the_moments_of_scipys():
    x = torch.tensor([[0.5, 0.1, -0.7, 0.5]], dtype=torch.float64)
    x /= x.norm()
    g, rng, draws, k = seeded(2), np.random.default_rng(0), 3000, 3
    ours = np.array([count_sketch(x, k, generator=g).square().sum().item() for _ in range(draws)])
    column = x.numpy().T
    theirs = np.array(
        [
            (scipy.linalg.clarkson_woodruff_transform(column, k, rng=rng) ** 2).sum()
            for _ in range(draws)
        ]
    )
    expected = 2 / k * (1 - (x**4).sum().item())
    for sample in (ours, theirs):
        errors = (sample - 1) ** 2
        assert abs(sample.mean() - 1) < 4.9 * sample.std() / draws**0.5
        assert abs(errors.mean() - expected) < 4.9 * errors.std() / draws**0.5
        assert abs(errors.mean() - 2 / k) > 4.9 * errors.std() / draws**0.5


# --- applying a map ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_a_stream_give_the_same_as_all_at_once(kind):
    n, d, k = 4500, 100, 30  # more rows than any block
    x = torch.randn(n, d, generator=seeded(), dtype=torch.float64)
    m = random_map(d, k, kind=kind, generator=seeded(1), dtype=torch.float64)
    together, out = m(x), torch.full((n, k), torch.nan, dtype=torch.float64)
    for start in range(0, n, 1000):
        result = m(x[start : start + 1000], out=out[start : start + 1000])
        assert result.data_ptr() == out[start : start + 1000].data_ptr()
    torch.testing.assert_close(out, together, rtol=0, atol=1e-12)
    torch.testing.assert_close(together, m(x.T.contiguous().T), rtol=0, atol=1e-12)
    assert m(x[:0]).shape == (0, k)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_map_in_both_precisions(kind):
    x = torch.randn(10, 60, generator=seeded(), dtype=torch.float64)
    exact = project(x, 20, kind=kind, generator=seeded(4))
    torch.testing.assert_close(project(x, 20, kind=kind, generator=seeded(4)), exact)
    rough = project(x.float(), 20, kind=kind, generator=seeded(4))
    torch.testing.assert_close(rough.double(), exact, rtol=0, atol=1e-5)
    assert project(x, 20, kind=kind).shape == (10, 20)  # and without a generator


def test_srht_is_the_map_of_that_name():
    x = torch.randn(4, 20, generator=seeded(), dtype=torch.float64)
    assert torch.equal(
        srht(x, 9, generator=seeded(1)), project(x, 9, kind="srht", generator=seeded(1))
    )
    assert srht(x, 100, generator=seeded(1), replace=True).shape == (4, 100)
    assert srht(x, 100, replace=True).shape == (4, 100)


@pytest.mark.parametrize(
    ("d", "k", "kinds"),
    [
        (50, 10, {"sign"}),  # small: one product
        (1000, 64, {"sign"}),
        (1024, 900, {"kronecker"}),  # a fifth less work than by the other route
        (30_000, 1100, {"dct"}),  # a quarter less
        (10_000, 1100, {"kronecker", "dct"}),
        (10_000, 2, {"sign"}),
        (100, 500, {"sign"}),  # more dimensions than a transform has coordinates
    ],
)
def test_auto_takes_the_cheapest_kind_and_says_why(d, k, kinds):
    m = random_map(d, k, generator=seeded())
    assert m.kind in kinds
    assert f"d={d}, k={k}" in m.reason
    assert m.kind in m.reason
    assert repr(m).startswith(f"RandomMap(kind='{m.kind}', d={d}, k={k}")


def test_low_precision_is_possible_and_unbiased():
    x = torch.randn(2000, 64, generator=seeded())
    for kind in ("sign", "kronecker", "srht"):
        m = random_map(64, 48, kind=kind, generator=seeded(1), dtype=torch.bfloat16)
        y = m(x.bfloat16()).float()
        assert (y.square().sum() / x.square().sum()).item() == pytest.approx(1, abs=0.01)
    assert random_map(1024, 900, dtype=torch.bfloat16).kind == "kronecker"
    with pytest.raises(ValueError, match=r"needs float32 or float64, got torch\.bfloat16"):
        random_map(64, 8, kind="dct", dtype=torch.bfloat16)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_a_map_needs_no_more_than_its_output_and_32_megabytes():
    n, k = 40_000, 663
    # Pages of a library that are read in during the call count too: the least of several says it.
    peak = peak_extra_mb(
        "bench.random_projection", "map_case", processes=4, kind="auto", n=n, d=1024, k=k
    )
    extra = peak - n * k * 4 / 2**20
    assert extra < 32


# --- refusals ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["auto", *KINDS]),
    d=st.integers(1, 70),
    k=st.integers(-2, 140),
    seed=st.integers(0, 5),
)
def test_every_map_is_either_drawn_and_linear_or_refused_by_name(kind, d, k, seed):
    try:
        m = random_map(d, k, kind=kind, generator=seeded(seed), dtype=torch.float64)
    except ValueError as error:
        refused = str(error)
    else:
        refused = None
    if refused:
        assert k < 1 or k > d
        assert f"k={k}" in refused
        return
    assert m.k == k
    x = torch.randn(3, d, generator=seeded(seed), dtype=torch.float64)
    y = m(x)
    torch.testing.assert_close(m(x[:1] - 2 * x[1:2]), y[:1] - 2 * y[1:2], rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(
    bad=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    row=st.integers(0, 3),
    column=st.integers(0, 39),
)
def test_maps_refuse_what_is_not_finite(kind, bad, row, column):
    x = torch.ones(4, 40)
    x[row, column] = bad
    with pytest.raises(ValueError, match=rf"x must be finite, got {bad} at \({row}, {column}\)"):
        project(x, 8, kind=kind, generator=seeded())
    with pytest.raises(ValueError, match="x must be finite"):
        count_sketch(x, 8)


def test_finite_data_whose_sum_overflows_are_taken():
    x = torch.full((2, 64), 1e37)
    assert torch.isfinite(project(x, 32, kind="srht", generator=seeded())).all()
    assert torch.isfinite(count_sketch(x * 10, 64, generator=seeded())).all()


m_30_10 = random_map(30, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random_map(0, 3), ValueError, "got d=0"),
        (lambda: random_map(3, 0), ValueError, "got k=0"),
        (lambda: random_map(10, 17, kind="srht"), ValueError, "samples from p=16 .* got k=17"),
        (lambda: random_map(10, 17, kind="dct"), ValueError, "samples from p=16"),
        (lambda: random_map(5, 99, kind="kronecker"), ValueError, "without replacement, got k=99"),
        (lambda: random_map(5, 3, kind="fast"), TypeError, "fast"),
        (lambda: random_map(5, 3, dtype=torch.int64), ValueError, "torch.int64"),
        (lambda: gaussian_matrix(0, 3), ValueError, "got k=0"),
        (lambda: gaussian_matrix(3, -1), ValueError, "got d=-1"),
        (lambda: gaussian_matrix(3, 3, dtype=torch.complex64), ValueError, "complex64"),
        (lambda: sign_matrix(3, 3, 0.0), ValueError, r"density must lie in \(0, 1\], got 0.0"),
        (lambda: sign_matrix(3, 3, 1.5), ValueError, "got 1.5"),
        (lambda: sign_matrix(3, 3, float("nan")), ValueError, "got nan"),
        (lambda: count_sketch(torch.ones(2, 3), 4, 3), ValueError, "nnz=3, k=4"),
        (lambda: count_sketch(torch.ones(2, 3), 4, 0), ValueError, "got nnz=0"),
        (lambda: count_sketch(torch.ones(2, 0), 4), ValueError, "got d=0"),
        (lambda: count_sketch(torch.ones(3), 4), TypeError, "x"),
        (lambda: srht(torch.ones(2, 3), 5), ValueError, "samples from p=4"),
        (lambda: srht(torch.ones(2, 3), 0), ValueError, "got k=0"),
        (lambda: srht(torch.ones(2, 3, dtype=torch.int64), 2), TypeError, "x"),
        (lambda: project(torch.ones(3), 2), TypeError, "x"),
        (lambda: project(torch.ones(2, 3, dtype=torch.int32), 2), TypeError, "x"),
        (lambda: fwht(torch.ones(4, dtype=torch.int64)), TypeError, "x"),
        (lambda: m_30_10(torch.ones(2, 31)), ValueError, "takes d=30 features, got x with 31"),
        (lambda: m_30_10(torch.ones(2, 30).double()), ValueError, "got x in torch.float64"),
        (lambda: m_30_10(torch.ones(2, 30), out=torch.ones(2, 9)), ValueError, "gives k=10 .* 9"),
        (lambda: m_30_10(torch.ones(2, 30), out=torch.ones(3, 10)), TypeError, "out"),
        (lambda: m_30_10(torch.ones(2, 30), out=torch.ones(2, 10).double()), TypeError, "out is"),
        (lambda: m_30_10(torch.ones(2, 30, requires_grad=True)), ValueError, "x.detach"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
