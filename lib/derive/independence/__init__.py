"""Kernel measures of statistical dependence (chapter `hsic`)."""

from derive.independence.bottleneck import hsic_bottleneck_loss, nhsic
from derive.independence.estimators import (
    dcov2,
    hsic,
    hsic_gaussian_population,
    hsic_u,
    hsic_v,
)
from derive.independence.features import hsic_rff
from derive.independence.kernels import Distance, Gaussian, Linear, median_gamma, rbf_gram
from derive.independence.null import (
    gamma_pvalue,
    gretton_moments,
    permutation_moments,
)
from derive.independence.shifts import cyclic_shift_statistics
from derive.independence.similarity import cka
from derive.independence.testing import TestResult, independence_test

__all__ = [
    "Distance",
    "Gaussian",
    "Linear",
    "TestResult",
    "cka",
    "cyclic_shift_statistics",
    "dcov2",
    "gamma_pvalue",
    "gretton_moments",
    "hsic",
    "hsic_bottleneck_loss",
    "hsic_gaussian_population",
    "hsic_rff",
    "hsic_u",
    "hsic_v",
    "independence_test",
    "median_gamma",
    "nhsic",
    "permutation_moments",
    "rbf_gram",
]
