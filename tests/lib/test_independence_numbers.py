"""derive.independence: numbers by hand, where large samples or loose limits tell too little."""

import pytest
import torch

from derive.independence import (
    Gaussian,
    cyclic_shift_statistics,
    gamma_pvalue,
    gretton_moments,
    hsic_u,
    hsic_v,
    independence_test,
    median_gamma,
)
from derive.independence.null import Moments
from derive.independence.shifts import _is_smooth, _transform_length
from derive.independence.similarity import _hsic_u_of_features, _hsic_v_of_features

F64 = torch.float64


@pytest.mark.parametrize("n", [6, 9])
def test_grettons_moments_of_the_identity_are_those_by_hand(n):
    # Centred: 1 - 1/n on the diagonal, -1/n beside it. All other entries are equal.
    moments = gretton_moments(torch.eye(n, dtype=F64), torch.eye(n, dtype=F64))
    fourth = n * (n - 1) * (n - 2) * (n - 3)
    assert moments.mean == pytest.approx(1 / n, rel=1e-12)
    assert moments.variance == pytest.approx(2 * (n - 4) * (n - 5) / fourth / n**4, rel=1e-12)


def test_grettons_moments_take_the_mean_off_the_diagonal_from_the_one_on_it():
    # k(x, x) is 3 on average, k(x, y) is 0.5: each contrast is 2.5.
    K = torch.full((8, 8), 0.5, dtype=F64)
    K.diagonal().copy_(torch.tensor([1.0, 5, 2, 4, 3, 3, 0, 6], dtype=F64))
    moments = gretton_moments(K, 2 * K)
    assert moments.mean == pytest.approx(2.5 * 5 / 8, rel=1e-12)


def test_the_median_heuristic_takes_every_ceil_of_n_over_m_th_row():
    # Rows 0, 3 and 6 hold 0, 2 and 9: distances 2, 7, 9.
    x = torch.tensor([0.0, 50.0, 51.0, 2.0, 77.0, 78.0, 9.0])[:, None]
    assert median_gamma(x, max_points=3) == pytest.approx(1 / 98)


@pytest.mark.parametrize(("n_perm", "counted"), [(9, 10), (10, 20), (19, 20), (20, 30)])
def test_shifts_come_in_whole_turns_that_hold_the_observed_pairing_too(n_perm, counted):
    x = torch.linspace(0, 1, 10, dtype=F64)[:, None]
    result = independence_test(
        x, x.square(), method="shifts", n_perm=n_perm, generator=torch.Generator().manual_seed(0)
    )
    assert result.num_permutations == counted


@pytest.mark.parametrize("n", [512, 521, 600, 601, 1021])
def test_a_transform_has_the_length_of_the_circle_or_room_for_both_ends(n):
    length = _transform_length(n)
    if n <= 512 or _is_smooth(n):
        assert length == n
    else:
        assert 2 * n <= length < 2.2 * n
        assert _is_smooth(length)
    assert [_is_smooth(k) for k in (1, 2 * 3 * 5 * 7 * 11 * 13, 17, 2 * 17)] == [1, 1, 0, 0]


@pytest.mark.parametrize("mean", [1.0, 1000.0])
def test_a_law_is_a_point_when_its_width_is_a_trillionth_of_its_mean(mean):
    wide, narrow = (Moments(mean, k * 1e-24 * mean**2) for k in (1.5, 0.7))
    assert gamma_pvalue(mean, wide) == pytest.approx(0.5, abs=1e-3)
    assert gamma_pvalue(mean, narrow) == 1


def test_a_constant_on_top_of_a_gram_matrix_costs_no_digits():
    x = torch.linspace(0, 1, 40, dtype=F64)[:, None]
    # In steps of 1/256, so that single precision holds them with the constant on top as well.
    K, L = (((x - x.T) ** power * 256).round() / 256 for power in (2, 4))
    exact = hsic_v(K, L).item()
    high = hsic_v((K + 4096).float(), (L + 4096).float())
    assert high.item() == pytest.approx(exact, rel=1e-5)
    only_one = hsic_v(K.float(), (L + 4096).float())
    assert only_one.item() == pytest.approx(exact, rel=1e-5)


def test_hsic_of_centred_features_is_that_of_their_gram_matrices():
    generator = torch.Generator().manual_seed(3)
    X, Y = (torch.randn(9, d, generator=generator, dtype=F64) for d in (2, 3))
    Y = Y + X[:, :1]
    X, Y = X - X.mean(dim=0), Y - Y.mean(dim=0)
    K, L = X @ X.T, Y @ Y.T
    torch.testing.assert_close(_hsic_v_of_features(X, Y), hsic_v(K, L))
    torch.testing.assert_close(_hsic_u_of_features(X, Y), hsic_u(K, L))


def test_the_last_diagonal_counts_when_it_stands_alone_in_its_block():
    # 600 points have diagonals 0 … 300; blocks of 100 leave the last for a block of its own.
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(600, 1, generator=generator, dtype=F64)
    y, kernel = x.square(), Gaussian(0.5)
    many, even = (cyclic_shift_statistics(x, y, kernel, kernel, block=block) for block in (64, 100))
    torch.testing.assert_close(even, many, rtol=1e-9, atol=0)
