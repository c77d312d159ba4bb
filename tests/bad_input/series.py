"""Valid calls of `derive.series`."""

from fractions import Fraction

import numpy as np

from bad_input.entry import Entry
from derive import series


def moments(n: int = 6) -> list[Fraction]:
    return series.quartic_coefficients(n)


def signed(n: int = 6) -> list[Fraction]:
    return series.alternating(moments(n))


def terms(n: int = 6) -> list[Fraction]:
    return series.series_terms(moments(n), Fraction(1, 10))


def values() -> dict:
    return {"a": np.array([0.5, 1.0, 2.0]), "epsilon": np.array([1.0, 0.5, 0.2])}


G = Fraction(1, 5)
DIAGRAM = ((1, 2), (2, 1))
RING = {"n": 3, "a": 1.0, "kappa": 0.5, "epsilon": 0.3}


def rational() -> series.Rational:
    return series.pade(signed(), 2, 2)


def draw(**given) -> None:
    from matplotlib.figure import Figure

    series.draw_diagram(**{"ax": Figure().subplots()} | given)


ENTRIES = (
    Entry(series.alternating, lambda: {"c": moments()}),
    Entry(series.borel_coefficients, lambda: {"c": signed()}),
    Entry(
        series.borel_conformal,
        lambda: {"c": signed(), "g": G, "singularity": Fraction(-1, 4), "digits": 5},
    ),
    Entry(series.borel_enclosure, lambda: {"c": moments(4), "g": 0.2}),
    Entry(series.borel_pade, lambda: {"c": signed(), "g": G, "L": 1, "M": 2, "digits": 5}),
    Entry(
        series.delta_expansion,
        lambda: {"order": 3, "a": 1, "epsilon": 0.5, "A": 2.0, "digits": 8, "working_digits": 30},
    ),
    Entry(series.draw_diagram, lambda: {"diagram": DIAGRAM}, call=draw),
    Entry(series.gaussian_bound, lambda: values() | {"best": True, "log": False}),
    Entry(series.is_connected, lambda: {"diagram": DIAGRAM}),
    Entry(series.laplace, lambda: {"B": lambda x: 1 / (1 + x), "g": 0.5, "digits": 5}),
    Entry(series.levin, lambda: {"terms": terms(), "beta": 1, "remainder": "next", "wanted": 1e-8}),
    Entry(series.log_series, lambda: {"c": moments()}),
    Entry(series.loop_polynomial, lambda: {"factors": 2}),
    Entry(series.optimal_truncation, lambda: {"c": moments(), "g": G}),
    Entry(series.pade, lambda: {"c": signed(), "L": 2, "M": 2}, finish=lambda found: found(G)),
    Entry(series.pade_enclosure, lambda: {"c": moments(), "g": np.array([0.1, 0.2])}),
    Entry(series.pairings, lambda: {"points": 4}, finish=list),
    Entry(series.partial_sums, lambda: {"c": moments(), "g": G}),
    Entry(series.quartic_coefficients, lambda: {"order": 4, "dimension": 2}),
    Entry(series.quartic_partition, lambda: values() | {"log": True}),
    Entry(series.quartic_partition_precise, lambda: {"a": 1.0, "epsilon": 0.5, "digits": 20}),
    Entry(series.quartic_ratio, lambda: {"g": G, "digits": 20}),
    Entry(series.Rational.__call__, lambda: {"x": 0.3}, call=lambda **given: rational()(**given)),
    Entry(
        series.Rational.poles,
        lambda: {"digits": 10},
        call=lambda **given: rational().poles(**given),
    ),
    Entry(series.ring_gaussian_bound, lambda: dict(RING)),
    Entry(series.ring_log_partition, lambda: RING | {"points": 101}),
    Entry(series.series_terms, lambda: {"c": moments(), "g": G}),
    Entry(series.shanks, lambda: {"s": series.partial_sums(moments(), Fraction(1, 10))}),
    Entry(series.stationary_ratio, lambda: {"order": 3, "digits": 10}),
    Entry(series.stieltjes_fraction, lambda: {"c": moments()}),
    Entry(
        series.strong_coupling_sum,
        lambda: {"a": 1.0, "epsilon": 0.5, "terms": 20, "working_digits": 20, "wanted_digits": 6},
    ),
    Entry(series.two_point_approximant, values),
    Entry(series.vacuum_diagrams, lambda: {"vertices": 2, "degree": 4}),
    Entry(
        series.weniger_delta,
        lambda: {"terms": terms(), "beta": 1, "remainder": "next", "wanted": 1e-8},
    ),
    Entry(
        series.wick_moment,
        lambda: {"covariance": [[2, Fraction(1, 2)], [Fraction(1, 2), 3]], "indices": [0, 0, 1, 1]},
    ),
)
