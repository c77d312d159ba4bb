"""What a gradient's growth should be, before anything is run (chapter `rnn-gradients`)."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed

LARGEST = 1e100  # of a variance or a scale: its square still is a float


class MeanField(NamedTuple):
    """Fixed point of a wide random network."""

    q: float  # variance of a pre-activation
    chi: float  # mean squared growth of a gradient in one step


@typed
def gaussian_product_exponents(n: int, g: float | int = 1.0) -> Float[Tensor, " n"]:
    r"""The Lyapunov exponents of products of independent Gaussian n × n matrices.

    $\lambda_i = \tfrac12[\log(2g^2/n) + \psi((n-i+1)/2)]$ for entries of variance $g^2/n$, with
    the digamma function $\psi$ (book equation `eq-newman`); largest first, float64. O(n) time.

    Args:
        n: Size of the matrices.
        g: Scale of the entries; g = 1 keeps the mean square of a vector's length.

    Raises:
        ValueError: If n < 1 or g is not positive and finite.

    Source:
        Newman (Communications in Mathematical Physics 103, 1986).

    Example:
        >>> gaussian_product_exponents(1)  # E log|z| = -(log 2 + Euler's gamma) / 2
        tensor([-0.6352], dtype=torch.float64)
    """
    if n < 1 or not 0 < g < math.inf:
        raise ValueError(f"needs n >= 1 and a finite g > 0, got n={n} and g={g}.")
    halves = torch.arange(n, 0, -1, dtype=torch.float64) / 2
    return math.log(g) + (math.log(2 / n) + torch.special.digamma(halves)) / 2


@typed
def mean_field(
    g: float | int, sigma2: float | int, *, act: Literal["tanh", "relu", "linear"] = "tanh"
) -> MeanField:
    r"""The stationary variance of a wide random RNN, and the growth of its gradients.

    For weights of variance $g^2/n$ and fresh input noise of variance $\sigma^2$ at every step,
    $q = g^2\,\mathbb E\,\phi(\sqrt q z)^2 + \sigma^2$ and
    $\chi = g^2\,\mathbb E\,\phi'(\sqrt q z)^2$ with a standard normal z (book equation `eq-chi`);
    the top Lyapunov exponent tends to $\tfrac12\log\chi$. For tanh the expectations are sums on
    a fine grid, accurate to 12 digits, and q is found by bisection.

    Args:
        g: Scale of the recurrent weights.
        sigma2: Variance of the input noise; 0 is the autonomous network.
        act: The activation.

    Raises:
        ValueError: If g or sigma2 is negative or above 1e100, or the activation lets the variance
            grow without bound (relu for g >= √2, linear for g >= 1).

    Source:
        Sompolinsky, Crisanti, Sommers (1988); Molgedey, Schuchhardt, Schuster (1992) with noise.

    Example:
        >>> mean_field(0.5, 0.0)
        MeanField(q=0.0, chi=0.25)
    """
    if not (0 <= g <= LARGEST and 0 <= sigma2 <= LARGEST):
        raise ValueError(
            f"needs g and sigma2 between 0 and {LARGEST:g}, got g={g} and sigma2={sigma2}."
        )
    if act != "tanh":
        share = {"relu": 0.5, "linear": 1.0}[act]  # E phi(z)², and E phi'(z)² as well
        chi = share * g**2
        if chi >= 1:
            raise ValueError(
                f"the variance of a {act} network with g={g} grows without bound; "
                f"it needs g < {math.sqrt(1 / share):.3g}."
            )
        return MeanField(sigma2 / (1 - chi), chi)
    low, high = 1e-12, g**2 + sigma2 + 1e-9
    if g**2 * _tanh_moments(low)[0] + sigma2 <= low:
        return MeanField(0.0, float(g**2))  # the only fixed point is rest
    for _ in range(60):
        q = (low + high) / 2
        low, high = (q, high) if g**2 * _tanh_moments(q)[0] + sigma2 > q else (low, q)
    return MeanField(q, g**2 * _tanh_moments(q)[1])


@typed
def lstm_rate(forget_bias: float | int, radius: float | int) -> float:
    r"""The predicted top Lyapunov exponent of a fresh LSTM, $\log(\sigma(b_f) + \rho/4)$.

    At the zero state the Jacobian of c is $fI + \tfrac14U_c$ (book equations `eq-lstm-init` and
    `eq-lstm-rate`), whose spectral radius for a large random $U_c$ of spectral radius ρ is
    $f + \rho/4$.

    Args:
        forget_bias: The bias of the forget gate; 0 by default in torch.
        radius: Spectral radius of the candidate's recurrent matrix; 1/√3 for torch's uniform
            initialisation.

    Raises:
        ValueError: If the radius is negative or not finite.

    Example:
        >>> round(lstm_rate(0.0, 3**-0.5), 3)
        -0.44
    """
    if not 0 <= radius < math.inf or not math.isfinite(forget_bias):
        raise ValueError(
            f"needs a finite radius >= 0 and bias, got {radius} and {forget_bias} for the bias."
        )
    # Of sigma and radius / 4 one may be too small for a float: only their logarithms are not.
    log_sigma = min(forget_bias, 0) - math.log1p(math.exp(-abs(forget_bias)))
    if radius == 0:
        return log_sigma
    small, large = sorted((log_sigma, math.log(radius) - math.log(4)))
    return large + math.log1p(math.exp(small - large))


def _tanh_moments(q: float) -> tuple[float, float]:
    """E tanh(√q z)² and E sech(√q z)⁴: the trapezoidal rule, which is spectral for these."""
    root = math.sqrt(q)
    edge = min(9.0, 20 / root)  # beyond it the normal density or sech² is below 1e-17
    z = torch.linspace(-edge, edge, 1801, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    square = torch.tanh(root * z).square()
    sech2 = 1 - square
    mean = weight @ square if edge == 9.0 else 1 - weight @ sech2
    return mean.item(), (weight @ sech2.square()).item()
