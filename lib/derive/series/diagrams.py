"""Wick's theorem as a program: pairings and vacuum diagrams (chapter `gaussian-integrals`)."""

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache

import mpmath

from derive._typing import typed
from derive.series._numbers import Real, at_least, coefficients, representable

Adjacency = tuple[tuple[int, ...], ...]
Pairing = tuple[tuple[int, int], ...]


@typed
def pairings(points: int) -> Iterator[Pairing]:
    """All ways to join the given number of points in pairs, (points - 1)!! of them.

    Args:
        points: Number of points, >= 0; an odd number has no pairing.

    Yields:
        Tuples of pairs (i, j) with i < j, first points in increasing order.

    Raises:
        ValueError: If points < 0.

    Example:
        >>> list(pairings(4))
        [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    """
    at_least("points", points, 0)

    def join(free: tuple[int, ...]) -> Iterator[Pairing]:
        if not free:
            yield ()
            return
        first, *others = free
        for i, partner in enumerate(others):
            rest = (*others[:i], *others[i + 1 :])
            for tail in join(rest):
                yield ((first, partner), *tail)

    return join(tuple(range(points)))


@typed
def wick_moment(covariance: Sequence[Sequence[Real]], indices: Sequence[int]) -> Real:
    r"""The moment $\mathbb E[x_{i_1} \cdots x_{i_k}]$ of a centred Gaussian vector.

    Wick's (Isserlis') theorem: the sum over all pairings of the product of covariances. Pairs
    the first index with each of the others and remembers the rest by its multiset, so that
    repeated indices cost little.

    Args:
        covariance: Symmetric matrix, as nested sequences; fractions stay exact.
        indices: i_1, ..., i_k, repeated as often as they occur.

    Returns:
        The moment; 1 for no index, 0 for an odd number of them.

    Raises:
        TypeError: If an index is no integer, or an entry no real number.
        ValueError: If an index is outside the matrix, or the matrix is not symmetric or not finite.

    Example:
        >>> wick_moment([[2, 1], [1, 3]], [0, 0, 1, 1])  # 2*3 + 2*1*1
        8
    """
    n = len(covariance)
    covariance = [coefficients(f"covariance[{i}]", row) for i, row in enumerate(covariance)]
    if any(len(row) != n for row in covariance):
        lengths = [len(row) for row in covariance]
        raise ValueError(f"the covariance matrix must be square, got rows of {lengths} numbers.")
    for i in range(n):
        for j in range(i):
            if covariance[i][j] != covariance[j][i]:
                raise ValueError(
                    f"the covariance matrix must be symmetric, got {covariance[i][j]} at "
                    f"({i}, {j}) and {covariance[j][i]} at ({j}, {i})."
                )
    for i in indices:
        if type(i) is not int:
            raise TypeError(f"indices must be integers, got {i!r}.")
        if not 0 <= i < n:
            raise ValueError(f"indices must lie in 0..{n - 1}, got {list(indices)}.")

    @cache
    def moment(rest: tuple[int, ...]):
        if not rest:
            return 1
        first, others = rest[0], rest[1:]
        return sum(
            covariance[first][partner] * moment(others[:i] + others[i + 1 :])
            for i, partner in enumerate(others)
        )

    return moment(tuple(sorted(indices)))


@typed
def vacuum_diagrams(vertices: int, *, degree: int = 4) -> dict[Adjacency, Fraction]:
    r"""Vacuum diagrams with the given number of vertices and their weights $1/|\mathrm{Aut}|$.

    The weights sum to the coefficient of $(-\lambda)^n$ in
    $\mathbb E\, e^{-\lambda x^d/d!}$, x standard normal (book equation `gi-diagrams`). No
    pairing is listed: the recursion runs over adjacency matrices, each standing for
    $(d!)^n / \prod 2^{m_{ii}} m_{ii}! \prod_{i<j} m_{ij}!$ pairings. Four vertices take
    milliseconds (of 2 027 025 pairings), six take seconds.

    Args:
        vertices: n, >= 0.
        degree: d, the number of lines that meet in a vertex, >= 1.

    Returns:
        One entry for each diagram: the canonical adjacency matrix (loops counted once, on the
        diagonal; the largest in lexicographic order of its relabellings) and 1/|Aut|.

    Raises:
        ValueError: If vertices < 0 or degree < 1.

    Example:
        >>> {k: str(v) for k, v in vacuum_diagrams(2).items()}
        {((2, 0), (0, 2)): '1/128', ((1, 2), (2, 1)): '1/16', ((0, 4), (4, 0)): '1/48'}
    """
    at_least("vertices", vertices, 0)
    at_least("degree", degree, 1)
    orders = list(itertools.permutations(range(vertices)))
    seen: set[Adjacency] = set()
    diagrams: dict[Adjacency, Fraction] = {}
    for matrix in sorted(_labelled(vertices, degree), reverse=True):
        if matrix in seen:
            continue
        orbit = {tuple(tuple(matrix[i][j] for j in order) for i in order) for order in orders}
        seen |= orbit
        # |orbit| / n! labellings of vertices, and the lines that can be swapped or turned
        weight = Fraction(len(orbit), len(orders))
        for i, row in enumerate(matrix):
            weight /= 2 ** row[i] * math.factorial(row[i])
            weight /= math.prod(math.factorial(m) for m in row[i + 1 :])
        diagrams[matrix] = weight
    return diagrams


def _labelled(n: int, degree: int) -> Iterator[Adjacency]:
    """Yield every symmetric matrix whose rows, with the diagonal counted twice, sum to degree."""

    def fill(i: int, left: tuple[int, ...], rows: Adjacency) -> Iterator[Adjacency]:
        if i == n:
            yield rows
            return
        head = tuple(rows[k][i] for k in range(i))
        for loops in range(left[i] // 2 + 1):
            for tail in _shares(left[i] - 2 * loops, left[i + 1 :]):
                after = (*left[: i + 1], *(x - y for x, y in zip(left[i + 1 :], tail, strict=True)))
                yield from fill(i + 1, after, (*rows, (*head, loops, *tail)))

    return fill(0, (degree,) * n, ())


def _shares(total: int, limits: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not limits:
        if total == 0:
            yield ()
        return
    for first in range(min(total, limits[0]) + 1):
        for rest in _shares(total - first, limits[1:]):
            yield (first, *rest)


@typed
def is_connected(diagram: Adjacency) -> bool:
    """Whether every vertex of the diagram can be reached from the first (true for none or one).

    Args:
        diagram: Adjacency matrix.

    Returns:
        True if the diagram is in one piece.

    Raises:
        TypeError: If an entry is no integer.
        ValueError: If the matrix is not square, or an entry is negative.

    Example:
        >>> is_connected(((2, 0), (0, 2))), is_connected(((1, 2), (2, 1)))
        (False, True)
    """
    require_adjacency(diagram)
    reached, frontier = {0}, [0]
    while frontier and diagram:
        i = frontier.pop()
        new = {j for j, m in enumerate(diagram[i]) if m} - reached
        reached |= new
        frontier.extend(new)
    return len(reached) >= len(diagram)


def require_adjacency(diagram: Adjacency) -> None:
    """Refuse what is no square matrix of numbers of lines."""
    for i, row in enumerate(diagram):
        if not isinstance(row, tuple) or not all(type(lines) is int for lines in row):
            raise TypeError(f"row {i} of an adjacency matrix must hold integers, got {row!r}.")
        if len(row) != len(diagram) or min(row) < 0:
            raise ValueError(
                f"an adjacency matrix is square with entries >= 0, got row {row} in one of "
                f"{len(diagram)} rows."
            )


@typed
def log_series(c: Sequence[Real]) -> list[Real]:
    r"""Coefficients of $\log \sum_n c_n x^n$ for $c_0 = 1$.

    From $n c_n = \sum_{k\le n} k\,l_k\,c_{n-k}$, the derivative of $e^{l} = c$; O(n²).

    Args:
        c: Coefficients, c_0 = 1; fractions stay exact.

    Returns:
        l_0 = 0, l_1, ..., as many as given.

    Raises:
        TypeError: If a coefficient is no real number.
        ValueError: If c_0 is not 1, a coefficient is not finite, or a float result overflows.

    Example:
        >>> [str(x) for x in log_series([1, 1, Fraction(1, 2), Fraction(1, 6)])]
        ['0', '1', '0', '0']
    """
    c = coefficients("c", c)
    if not c or c[0] != 1:
        raise ValueError(f"the series must start with 1, got {c[:1]}: divide by c_0 first.")
    zero = c[0] - c[0] if isinstance(c[0], mpmath.mpf) else Fraction(0)
    logs: list = [zero]
    for n in range(1, len(c)):
        inner = sum((k * logs[k] * c[n - k] for k in range(1, n)), zero)
        logs.append(c[n] - inner / n)
    return representable("log_series", logs)


@typed
def loop_polynomial(factors: int) -> list[int]:
    r"""Coefficients in N of $2^m\,\mathbb E\,(|x|^2)^m$ for $x \in \mathbb R^N$ of variance 1/2.

    Each pairing of the 2m points, together with the m dot products, closes into loops, and
    each loop sums over N components: book equation `gi-on` by counting. The count runs over
    the (2m-1)!! pairings, so m <= 6 or so.

    Args:
        factors: m, the number of factors |x|^2, >= 0.

    Returns:
        Entry l is the number of pairings with l loops, l = 0..m.

    Raises:
        ValueError: If factors < 0.

    Example:
        >>> loop_polynomial(2)  # N^2 + 2 N
        [0, 2, 1]
    """
    counts = [0] * (at_least("factors", factors, 0) + 1)
    for pairing in pairings(2 * factors):
        # Points 2k and 2k+1 share a dot product; a loop alternates between the two kinds of link.
        partner = dict(pairing) | {j: i for i, j in pairing}
        left, loops = set(range(factors)), 0
        while left:
            point = 2 * left.pop()
            loops += 1
            while (point := partner[point ^ 1]) // 2 in left:
                left.discard(point // 2)
        counts[loops] += 1
    return counts
