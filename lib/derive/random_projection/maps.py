r"""Random maps that are drawn once and applied to many blocks of data (chapter `jl-lemma`).

Every map here keeps squared norms exactly on average, and has at most the variance of a Gaussian
matrix, $\mathrm{Var}\|y\|^2 \le 2/k$ for a unit vector x (book equations `jl-var`, `jl-same-var`):

* dense: k x d independent entries; 2/k (Gaussian), $\frac2k(1 - \sum_j x_j^4)$ (signs);
* sampled orthogonal transform F of length p >= d after random signs: k of the p coordinates of
  $F D x$, drawn without replacement, times $\sqrt{p/k}$. Each coordinate is drawn with
  probability k/p and F is orthogonal, hence $\mathbb E\|y\|^2 = \|x\|^2$ over the draw alone. The
  sum over all p coordinates is fixed, so the variance is that of sampling from a finite
  population, $\frac{p-k}{k(p-1)}$ times $\mathbb E_j\,[(p\,y_j^2 - 1)^2]$. The last factor is
  $2(1 - \sum_j x_j^4)$ if all entries of F are $\pm 1/\sqrt p$ (Hadamard) and at most 2 for the
  cosine transform. So the standard deviation is about $\sqrt{2/k}\,\sqrt{1 - k/p}$.

A map is applied to blocks of rows that fit in cache: besides its output a call needs a few MB,
however many rows there are.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from derive._typing import typed
from derive.random_projection.hadamard import hadamard_entries, transform_in_place
from derive.random_projection.matrices import check_dims, check_finite

_MB = 2**20
_MOST_ROWS = 2048


class RandomMap(ABC):
    """A linear map from d to k dimensions, drawn once; call it on (n, d) data.

    Attributes: `kind`; `d` and `k`; `p`, the length of the transform that k coordinates are
    sampled from (None for a dense map); `reason`, one line on why this kind was taken; `dtype`
    and `device`, which the data must share.
    """

    kind = "map"
    p: int | None = None
    reason = "asked for"
    # Working memory for a block of rows: about a core's cache, but enough rows (up to a limit)
    # for the fixed cost of a block, reading the map or planning the FFT, to be shared by many.
    _work_bytes, _few_rows, _most_bytes = 6 * _MB, 64, 20 * _MB

    def __init__(self, k: int, d: int, dtype: torch.dtype, device: torch.device):
        check_dims(k=k, d=d)
        self.k, self.d, self.dtype, self.device = k, d, dtype, device

    @typed
    def __call__(
        self, x: Float[Tensor, "n d"], *, out: Float[Tensor, "n k"] | None = None
    ) -> Float[Tensor, "n k"]:
        """Project the rows of x, into `out` if given; a few MB of memory besides the output.

        Raises:
            ValueError: If x (or out) has another width, dtype or device than the map, holds NaN
                or infinity, or asks for gradients (the map works in place; detach x first).
        """
        n = len(x)
        if x.shape[1] != self.d:
            raise ValueError(f"this map takes d={self.d} features, got x with {x.shape[1]}.")
        if out is None:
            out = x.new_empty(n, self.k)
        elif out.shape[1] != self.k:
            raise ValueError(f"this map gives k={self.k} coordinates, got out with {out.shape[1]}.")
        for name, t in (("x", x), ("out", out)):
            if t.dtype != self.dtype or t.device != self.device:
                raise ValueError(
                    f"this map was drawn in {self.dtype} on {self.device}, "
                    f"got {name} in {t.dtype} on {t.device}."
                )
        if torch.is_grad_enabled() and (x.requires_grad or out.requires_grad):
            raise ValueError(
                "random maps work in place, without gradients: got requires_grad, pass x.detach()."
            )
        step = self._rows_at_a_time()
        for start in range(0, n, step):
            rows, result = x[start : start + step], out[start : start + step]
            self._apply(rows, result)
            # NaN and infinity reach the output, which is smaller and still in cache.
            if not torch.isfinite(self._witness(result).sum()):
                check_finite(x=x)
        return out

    def __repr__(self) -> str:
        return f"RandomMap(kind={self.kind!r}, d={self.d}, k={self.k}, reason={self.reason!r})"

    @abstractmethod
    def _apply(self, x: Tensor, out: Tensor) -> None:
        """Write the images of the rows of x to out."""

    def _witness(self, out: Tensor) -> Tensor:
        """The part of a block's output that is never finite if its input is not."""
        return out

    def _numbers_per_row(self) -> int:
        """Numbers of working memory that one row needs; 0 where rows need none."""
        return 0

    def _rows_at_a_time(self) -> int:
        per_row = self._numbers_per_row() * self.dtype.itemsize
        if per_row == 0:
            return 2**16  # nothing is kept between: as few products as may be
        rows = max(self._work_bytes // per_row, min(self._few_rows, self._most_bytes // per_row))
        return max(1, min(rows, _MOST_ROWS))


class DenseMap(RandomMap):
    """`scale * x @ A.T`: one matrix product. 2dk operations a row."""

    def __init__(self, A: Tensor, *, kind: str, scale: float = 1.0):
        k, d = A.shape
        super().__init__(k, d, A.dtype, A.device)
        # Laid out as the product reads it: for small k up to a fifth faster than a transpose.
        self.kind, self._right, self._scale = kind, A.T.contiguous(), scale

    def _apply(self, x: Tensor, out: Tensor) -> None:
        # The product scales its result at no cost; signs stay +-1, exact in any precision.
        torch.addmm(out, x, self._right, beta=0, alpha=self._scale, out=out)

    def _witness(self, out: Tensor) -> Tensor:
        return out[:, :1]  # no entry of the matrix is 0: each coordinate sees every feature


class KroneckerMap(RandomMap):
    r"""Two-stage sampled Hadamard map: $F = H_b \otimes H_a$, of which only k rows are computed.

    Feature number j = c b + i stands in column c of a b x a table. After random signs, $H_b$
    mixes each column; then, of each of the b mixed rows, $H_a$ gives only the r_i coordinates
    that were drawn, r_i = k/b rounded down or up (which rows get one more is drawn too). That is
    2d(b + k/b) operations a row instead of 2dk, everything a batch of matrix products, and
    columns beyond d cost nothing.

    Drawing a fixed number from each row removes the variance between rows. For a unit vector
    with column energies $v_c = \sum_i x_{cb+i}^2$, and m = k mod b,

    $$\mathrm{Var}\|y\|^2 = \frac2{k^2} \Bigl[ (1 - \textstyle\sum_c v_c^2) \sum_i
    \frac{r_i (a - r_i)}{a - 1} + \frac{m (b - m)}{b - 1}
    (\textstyle\sum_c v_c^2 - \sum_j x_j^4) \Bigr] \le \frac2k \Bigl(1 - \sum_j x_j^4\Bigr).$$
    """

    kind = "kronecker"

    def __init__(self, signs: Tensor, draws: list[Tensor], a: int, *, dtype, device):
        """signs: d of +-1; draws: for each of the b rows the coordinates (below a) to compute."""
        k, d, b = sum(len(s) for s in draws), len(signs), len(draws)
        super().__init__(k, d, dtype, torch.device(device))
        self.p, self._b = a * b, b
        columns = -(-d // b)
        self._draws = [len(s) for s in draws]
        padded = torch.zeros(columns * b, dtype=torch.float64)
        padded[:d] = signs.cpu()
        i, c = torch.arange(b), torch.arange(columns)
        mix = hadamard_entries(b, i[:, None], i[None, :]) * padded.view(columns, 1, b)
        self._mix = mix.to(self.device, dtype)  # (columns, b, b): signs and H_b in one
        picked = hadamard_entries(a, torch.cat(draws).cpu()[None, :], c[:, None])
        self._picked = [s.to(self.device, dtype).contiguous() for s in picked.split(self._draws, 1)]

    def _apply(self, x: Tensor, out: Tensor) -> None:
        n, b = len(x), self._b
        whole = self.d // b
        mixed = x.new_empty(len(self._mix), b, n)
        torch.bmm(
            self._mix[:whole],
            x[:, : whole * b].unflatten(1, (whole, b)).permute(1, 2, 0),
            out=mixed[:whole],
        )
        if whole < len(mixed):  # the last column is not full
            rest = x[:, whole * b :]
            torch.mm(self._mix[whole][:, : rest.shape[1]], rest.T, out=mixed[whole])
        start = 0
        for i, picked in enumerate(self._picked):
            part = out[:, start : start + picked.shape[1]]
            # sqrt(p/k) over the sqrt(p) of an orthonormal F leaves 1/sqrt(k); signs stay exact.
            torch.addmm(part, mixed[:, i].T, picked, beta=0, alpha=self.k**-0.5, out=part)
            start += picked.shape[1]

    def _numbers_per_row(self) -> int:
        return len(self._mix) * self._b


class HadamardMap(RandomMap):
    """Subsampled randomised Hadamard transform (SRHT): p a power of two, O(p log p) a row."""

    kind = "srht"

    def __init__(self, signs: Tensor, draws: Tensor, *, dtype, device):
        """signs: d of +-1; draws: the k coordinates to keep, below the padded length."""
        super().__init__(len(draws), len(signs), dtype, torch.device(device))
        self.p: int = 1 << (self.d - 1).bit_length()
        self._signs, self._draws = signs.to(self.device, dtype), draws.to(self.device)

    def _apply(self, x: Tensor, out: Tensor) -> None:
        work = x.new_zeros(len(x), self.p)
        torch.mul(x, self._signs, out=work[:, : self.d])
        transform_in_place(work)
        torch.index_select(work, 1, self._draws, out=out)
        out.mul_((self.p / self.k) ** 0.5)

    def _numbers_per_row(self) -> int:
        return 3 * self.p


class CosineMap(RandomMap):
    """Sampled discrete cosine transform (DCT-II), by one real FFT a row: O(p log p).

    The transform is that of the features in another, fixed order (the FFT algorithm's reordering
    of Makhoul, 1980, is left out): after random signs, and for a bound that holds for every x,
    the order makes no difference.
    """

    kind = "dct"
    _work_bytes = 12 * _MB

    def __init__(self, signs: Tensor, draws: Tensor, p: int, *, dtype, device):
        """signs: d of +-1; draws: the k frequencies to keep, below p >= d."""
        super().__init__(len(draws), len(signs), dtype, torch.device(device))
        self.p: int = p
        self._signs = signs.to(self.device, dtype)
        j = draws.cpu().double()
        # y_j = sqrt(2/p) Re(e^{-i phi} V_j), phi = pi j / 2p; V_j = conj V_{p-j} past the middle.
        phi = torch.pi * j / (2 * p)
        scale = (2 - (j == 0).double()).sqrt() / len(draws) ** 0.5
        upper = draws.cpu() > p // 2
        at = torch.where(upper, p - draws.cpu(), draws.cpu())
        self._at = (2 * at).to(self.device)  # real parts stand at even, imaginary at odd places
        self._re = (scale * phi.cos()).to(self.device, dtype)
        self._im = (scale * phi.sin() * (1 - 2 * upper.double())).to(self.device, dtype)

    def _apply(self, x: Tensor, out: Tensor) -> None:
        work = torch.fft.rfft(x * self._signs, n=self.p)
        parts = torch.view_as_real(work).flatten(1)
        torch.index_select(parts, 1, self._at, out=out)
        out.mul_(self._re).addcmul_(parts.index_select(1, self._at + 1), self._im)

    def _numbers_per_row(self) -> int:
        return 3 * self.p + self.k
