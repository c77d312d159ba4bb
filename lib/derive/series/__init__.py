"""Divergent series and their resummation (chapter `gaussian-integrals`).

The example throughout is the integral of exp(-a x^2 - epsilon x^4) and its expansion in
g = epsilon / a^2; the functions named after it, the bounds and the re-expansions know of it, the
Padé, Borel and Levin sums work for any series.
"""

from derive.series.acceleration import levin, shanks, weniger_delta
from derive.series.borel import (
    borel_coefficients,
    borel_conformal,
    borel_enclosure,
    borel_pade,
    laplace,
)
from derive.series.coefficients import (
    Enclosure,
    Truncation,
    alternating,
    optimal_truncation,
    partial_sums,
    quartic_coefficients,
    series_terms,
)
from derive.series.diagrams import (
    is_connected,
    log_series,
    loop_polynomial,
    pairings,
    vacuum_diagrams,
    wick_moment,
)
from derive.series.drawing import draw_diagram
from derive.series.exact import (
    StrongCouplingSum,
    quartic_partition,
    quartic_partition_precise,
    quartic_ratio,
    strong_coupling_sum,
)
from derive.series.lattice import RingBound, ring_gaussian_bound, ring_log_partition
from derive.series.pade import Rational, pade, pade_enclosure, stieltjes_fraction
from derive.series.variational import (
    DeltaExpansion,
    delta_expansion,
    gaussian_bound,
    stationary_ratio,
    two_point_approximant,
)

__all__ = [
    "DeltaExpansion",
    "Enclosure",
    "Rational",
    "RingBound",
    "StrongCouplingSum",
    "Truncation",
    "alternating",
    "borel_coefficients",
    "borel_conformal",
    "borel_enclosure",
    "borel_pade",
    "delta_expansion",
    "draw_diagram",
    "gaussian_bound",
    "is_connected",
    "laplace",
    "levin",
    "log_series",
    "loop_polynomial",
    "optimal_truncation",
    "pade",
    "pade_enclosure",
    "pairings",
    "partial_sums",
    "quartic_coefficients",
    "quartic_partition",
    "quartic_partition_precise",
    "quartic_ratio",
    "ring_gaussian_bound",
    "ring_log_partition",
    "series_terms",
    "shanks",
    "stationary_ratio",
    "stieltjes_fraction",
    "strong_coupling_sum",
    "two_point_approximant",
    "vacuum_diagrams",
    "weniger_delta",
    "wick_moment",
]
