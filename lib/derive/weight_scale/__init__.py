"""Scale symmetries of networks, and what regularisers do to them (chapter `weight-scale`)."""

from derive.weight_scale.dynamics import (
    Equilibrium,
    ScaleInvariantQuadratic,
    angular_updates,
    balance_gap,
    corrected_decay,
    effective_lr,
    equilibrium,
    euler_products,
    exp_lr_schedule,
)
from derive.weight_scale.norms import (
    SpectralNorm,
    gauge_min_l2,
    intrinsic_norm,
    l2_penalty,
    layer_norms,
    path_norm,
    spectral_norm,
    weissi,
)
from derive.weight_scale.rescaling import (
    BalancedPair,
    ConvergenceError,
    NeuronBalance,
    balance_,
    balance_attention,
    balance_neurons_,
    rescale_,
)

__all__ = [
    "BalancedPair",
    "ConvergenceError",
    "Equilibrium",
    "NeuronBalance",
    "ScaleInvariantQuadratic",
    "SpectralNorm",
    "angular_updates",
    "balance_",
    "balance_attention",
    "balance_gap",
    "balance_neurons_",
    "corrected_decay",
    "effective_lr",
    "equilibrium",
    "euler_products",
    "exp_lr_schedule",
    "gauge_min_l2",
    "intrinsic_norm",
    "l2_penalty",
    "layer_norms",
    "path_norm",
    "rescale_",
    "spectral_norm",
    "weissi",
]
