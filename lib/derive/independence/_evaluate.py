"""Kernel values a piece at a time, in tiles or in bands of diagonals: no Gram matrix is stored.

Three routes, one interface (`tile` and `band` fill a buffer and return it):

- `_Products`: one matrix product with the whole exponent inside it (Gaussian and linear kernels);
- `_Differences`: coordinate by coordinate, exact, as fast in few dimensions, and the only accurate
  one for the distance kernel;
- `_Calls`: any other kernel, as a function of two blocks of rows.

A band holds diagonals: row t - start, column i is k(x_i, x_{i+t}), indices modulo n.
"""

import torch
from torch import Tensor

from derive.independence.kernels import Distance, Gaussian, Kernel, Linear

_FEW_DIMENSIONS = 3


def evaluators(kernel_x: Kernel, x: Tensor, kernel_y: Kernel, y: Tensor):
    """One evaluator a sample, both in the dtype of the data, or in float64 where one needs it."""
    dtype = torch.promote_types(_working_dtype(kernel_x, x), _working_dtype(kernel_y, y))
    return _evaluator(kernel_x, x.detach().to(dtype)), _evaluator(kernel_y, y.detach().to(dtype))


def _evaluator(kernel: Kernel, x: Tensor):
    if isinstance(kernel, Distance):
        return _Differences(x, finish=lambda squared: squared.sqrt_().neg_())
    if isinstance(kernel, Gaussian):
        x = x - x.mean(dim=0)
        if x.shape[1] <= _FEW_DIMENSIONS:
            return _Differences(x, finish=lambda squared: squared.mul_(-kernel.gamma).exp_())
        squares = -kernel.gamma * (x * x).sum(dim=1, keepdim=True)
        ones = torch.ones_like(squares)
        left = torch.cat([2 * kernel.gamma * x, squares, ones], dim=1)
        return _Products(left, torch.cat([x, ones, squares], dim=1), finish=Tensor.exp_)
    if isinstance(kernel, Linear):
        return _Products(x, x, finish=lambda products: products)
    return _Calls(x, kernel)


def _working_dtype(kernel: Kernel, x: Tensor) -> torch.dtype:
    """The Gaussian exponent is a difference of terms up to gamma |x|²; its error must be small."""
    if isinstance(kernel, Gaussian) and x.shape[1] > _FEW_DIMENSIONS:
        largest = kernel.gamma * (x - x.mean(dim=0)).square().sum(dim=1).max().item()
        if largest * torch.finfo(x.dtype).eps > 2e-5:
            return torch.float64
    return x.dtype


class _Products:
    def __init__(self, left: Tensor, right: Tensor, finish):
        self.left, self.right, self.finish = left, right, finish
        self.n, self.dtype, self.device = len(left), left.dtype, left.device

    def tile(self, rows: slice, cols: slice, out: Tensor) -> Tensor:
        return self.finish(torch.mm(self.left[rows], self.right[cols].T, out=out))

    def wrap(self, extra: int) -> None:
        index = _cyclic(self.left, extra)
        self.left_wrapped, self.right_wrapped = self.left[index], self.right[index]

    def band(self, start: int, out: Tensor) -> Tensor:
        width, n, depth = len(out), *self.left.shape
        # Cut the rows into pieces and multiply each with the window of rows that its band needs;
        # the windows overlap in memory, nothing is copied.
        piece = _piece(width)
        pieces = -(-n // piece)
        rows = self.left_wrapped[: pieces * piece].view(pieces, piece, depth)
        windows = self.right_wrapped.as_strided(
            (pieces, piece + width, depth), (piece * depth, depth, 1), start * depth
        )
        products = torch.bmm(rows, windows.transpose(1, 2))
        return self.finish(_copy_diagonals(products, out))


class _Differences:
    def __init__(self, x: Tensor, finish):
        self.columns, self.finish = x.T.contiguous(), finish
        self.n, self.dtype, self.device = len(x), x.dtype, x.device

    def tile(self, rows: slice, cols: slice, out: Tensor) -> Tensor:
        return self._fill(((c[rows, None], c[None, cols]) for c in self.columns), out)

    def wrap(self, extra: int) -> None:
        self.wrapped = self.columns[:, _cyclic(self.columns.T, extra)]

    def band(self, start: int, out: Tensor) -> Tensor:
        # Row t of the second view is the sample moved on by t: a Hankel matrix without copies.
        moved = [c[start:].as_strided(out.shape, (1, 1)) for c in self.wrapped]
        return self._fill(zip(self.columns, moved, strict=True), out)

    def _fill(self, pairs, out: Tensor) -> Tensor:
        out.zero_()
        for a, b in pairs:
            out += (a - b).square_()
        return self.finish(out)


class _Calls:
    def __init__(self, x: Tensor, kernel: Kernel):
        self.x, self.kernel = x, kernel
        self.n, self.dtype, self.device = len(x), x.dtype, x.device

    def tile(self, rows: slice, cols: slice, out: Tensor) -> Tensor:
        return out.copy_(self._values(self.x[rows], self.x[cols]))

    def wrap(self, extra: int) -> None:
        self.wrapped = self.x[_cyclic(self.x, extra)]

    def band(self, start: int, out: Tensor) -> Tensor:
        width, n = len(out), len(self.x)
        piece = _piece(width)
        firsts = range(0, n, piece)
        rows = (self.wrapped[i : i + piece] for i in firsts)
        windows = (self.wrapped[start + i : start + i + piece + width] for i in firsts)
        products = torch.stack([self._values(a, b) for a, b in zip(rows, windows, strict=True)])
        return _copy_diagonals(products, out)

    def _values(self, a: Tensor, b: Tensor) -> Tensor:
        """The kernel's matrix; anything else would be broadcast to one without a word."""
        K = self.kernel(a, b)
        if not isinstance(K, Tensor) or K.shape != (len(a), len(b)):
            got = tuple(K.shape) if isinstance(K, Tensor) else type(K).__name__
            raise ValueError(f"a kernel must give a {len(a)} x {len(b)} tensor, got {got}.")
        return K


def _cyclic(x: Tensor, extra: int) -> Tensor:
    """Indices 0, 1, …, n - 1, 0, 1, … so that nothing that follows needs a modulus."""
    return torch.arange(len(x) + extra, device=x.device) % len(x)


def _piece(width: int) -> int:
    """Rows multiplied together: a piece of c rows costs (c + width) / width of what is needed."""
    return max(1, width // 2)


def _copy_diagonals(products: Tensor, out: Tensor) -> Tensor:
    """Entry (t, i) is products[i // c, i % c, i % c + t], for t < width and i < n."""
    (pieces, piece, row), (width, n) = products.shape, out.shape
    diagonals = products.contiguous().as_strided((width, pieces, piece), (1, piece * row, row + 1))
    whole = n // piece
    out[:, : whole * piece].unflatten(1, (whole, piece)).copy_(diagonals[:, :whole])
    out[:, whole * piece :] = diagonals[:, whole:, : n % piece].flatten(1)
    return out
