"""Recurrent cells, their exact Jacobians, and the rates at which gradients grow or vanish.

Chapter `rnn-gradients`.
"""

from derive.recurrent.cells import Cell, from_torch, stack_gates, step, to_torch, trajectory
from derive.recurrent.clipping import clip_by_norm_, clip_by_value_
from derive.recurrent.initial import chrono_, forget_bias_, identity_, orthogonal_
from derive.recurrent.jacobians import (
    gru_jacobian,
    jacobian,
    jacobians,
    lstm_cell_jacobian,
    lstm_jacobian,
    rnn_jacobian,
)
from derive.recurrent.lyapunov import Spectrum, lyapunov
from derive.recurrent.products import (
    Lags,
    gradient_by_lag,
    log_norms_by_lag,
    product,
    products_by_lag,
)
from derive.recurrent.tasks import Sequences, adding, copying, sequential_digits
from derive.recurrent.theory import (
    MeanField,
    gaussian_product_exponents,
    lstm_rate,
    mean_field,
)

__all__ = [
    "Cell",
    "Lags",
    "MeanField",
    "Sequences",
    "Spectrum",
    "adding",
    "chrono_",
    "clip_by_norm_",
    "clip_by_value_",
    "copying",
    "forget_bias_",
    "from_torch",
    "gaussian_product_exponents",
    "gradient_by_lag",
    "gru_jacobian",
    "identity_",
    "jacobian",
    "jacobians",
    "log_norms_by_lag",
    "lstm_cell_jacobian",
    "lstm_jacobian",
    "lstm_rate",
    "lyapunov",
    "mean_field",
    "orthogonal_",
    "product",
    "products_by_lag",
    "rnn_jacobian",
    "sequential_digits",
    "stack_gates",
    "step",
    "to_torch",
    "trajectory",
]
