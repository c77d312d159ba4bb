"""Optimal transport that says by how much it may be wrong (chapter `wasserstein`)."""

from derive.transport._sweeps import Sinkhorn
from derive.transport._validate import ConvergenceError
from derive.transport.certificates import Certificate, c_transform, certificate, round_plan
from derive.transport.costs import cost_matrix
from derive.transport.critics import Critic, ExactCritic, critic_1d_exact, fit_critic_1d
from derive.transport.divergence import SinkhornDivergence, sinkhorn_divergence
from derive.transport.entropic import entropic_cost, gibbs_plan, pad, sinkhorn
from derive.transport.exact import Transport, emd, emd_cost
from derive.transport.gaussian import (
    bures_wasserstein,
    gaussian_map,
    gaussian_sinkhorn,
    gelbrich,
)
from derive.transport.line import wasserstein_1d
from derive.transport.streaming import Interval, certificate_points, sinkhorn_points

__all__ = [
    "Certificate",
    "ConvergenceError",
    "Critic",
    "ExactCritic",
    "Interval",
    "Sinkhorn",
    "SinkhornDivergence",
    "Transport",
    "bures_wasserstein",
    "c_transform",
    "certificate",
    "certificate_points",
    "cost_matrix",
    "critic_1d_exact",
    "emd",
    "emd_cost",
    "entropic_cost",
    "fit_critic_1d",
    "gaussian_map",
    "gaussian_sinkhorn",
    "gelbrich",
    "gibbs_plan",
    "pad",
    "round_plan",
    "sinkhorn",
    "sinkhorn_divergence",
    "sinkhorn_points",
    "wasserstein_1d",
]
