"""Slow, literal computations from the definitions: what the library is compared with."""


# --- divergent series (chapter gaussian-integrals) ------------------------------------------


def quartic_integral(a, epsilon, digits=30):
    """Integrate exp(-a x^2 - epsilon x^4) by quadrature of the definition."""
    import mpmath

    with mpmath.workdps(digits + 10):
        a, epsilon = mpmath.mpf(a), mpmath.mpf(epsilon)
        width = 1 / mpmath.sqrt(abs(a) + mpmath.sqrt(epsilon))
        well = mpmath.sqrt(-a / (2 * epsilon)) if a < 0 else mpmath.mpf(0)
        stops = sorted({0, well, well + width, well + 4 * width, well + 12 * width})
        return 2 * mpmath.quad(
            lambda x: mpmath.exp(-a * x**2 - epsilon * x**4), [*stops, mpmath.inf]
        )


def pairings_by_permuting(points):
    """Every perfect matching, found by cutting every permutation into pairs."""
    from itertools import permutations

    cut = (
        frozenset(frozenset(order[i : i + 2]) for i in range(0, points, 2))
        for order in permutations(range(points))
    )
    return set(cut)


def diagram_weights(vertices, degree=4):
    """Sum over listed pairings of vertices * degree legs, one class a diagram up to relabelling."""
    from collections import Counter
    from fractions import Fraction
    from itertools import permutations
    from math import factorial

    def matchings(free):
        if not free:
            yield []
        for i in range(1, len(free)):
            for rest in matchings(free[1:i] + free[i + 1 :]):
                yield [(free[0], free[i]), *rest]

    labelled = Counter()
    for matching in matchings(list(range(vertices * degree))):
        matrix = [[0] * vertices for _ in range(vertices)]
        for i, j in matching:
            u, v = i // degree, j // degree
            matrix[u][v] += 1
            if u != v:
                matrix[v][u] += 1
        labelled[tuple(map(tuple, matrix))] += 1
    classes = Counter()
    for matrix, count in labelled.items():
        relabelled = (
            tuple(tuple(matrix[i][j] for j in order) for i in order)
            for order in permutations(range(vertices))
        )
        classes[max(relabelled)] += count
    total = factorial(vertices) * factorial(degree) ** vertices
    return {matrix: Fraction(count, total) for matrix, count in classes.items()}


def pade_residual(c, L, M, numerator, denominator):
    """Coefficients of denominator * series - numerator up to x^(L+M); zero for Padé."""
    return [
        sum(q * c[n - j] for j, q in enumerate(denominator) if j <= n)
        - (numerator[n] if n < len(numerator) else 0)
        for n in range(L + M + 1)
    ]


def reexpanded_integral(order, A, a, epsilon, digits=20):
    """Z_K(A) by quadrature of the Taylor polynomial of the exponential, term by term."""
    import mpmath

    with mpmath.workdps(digits + 10):

        def integrand(x):
            y = (a - A) * x**2 + epsilon * x**4
            return mpmath.exp(-A * x**2) * sum(
                (-y) ** n / mpmath.factorial(n) for n in range(order + 1)
            )

        return mpmath.quad(integrand, mpmath.linspace(-12, 12, 13))


# --- independence (chapter hsic) ------------------------------------------------------------


def gram_from_definition(x, kernel):
    """Call the kernel on every pair of rows."""
    import torch

    return torch.tensor([[kernel(a, b) for b in x.tolist()] for a in x.tolist()], dtype=x.dtype)


def hsic_v_from_definition(K, L):
    """Three plain expectations under the empirical law: four independent draws, all n^4 of them."""
    K, L, n = K.tolist(), L.tolist(), len(K)
    total = 0.0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    total += K[i][j] * (L[i][j] + L[q][r] - 2 * L[i][q])
    return total / n**4


def hsic_u_from_definition(K, L):
    """The same three terms, averaged over all quadruples of different observations."""
    from itertools import permutations

    K, L, n = K.tolist(), L.tolist(), len(K)
    terms = [
        K[i][j] * (L[i][j] + L[q][r] - 2 * L[i][q]) for i, j, q, r in permutations(range(n), 4)
    ]
    return sum(terms) / len(terms)


def hsic_over_all_permutations(K, L):
    """The V-statistic tr(KHLH)/n^2 for each of the n! pairings, with every matrix written out."""
    from itertools import permutations

    import torch

    n = len(K)
    H = torch.eye(n, dtype=K.dtype) - 1 / n
    orders = torch.tensor(list(permutations(range(n))))
    moved = L[orders[:, :, None], orders[:, None, :]]
    return torch.einsum("ij,bji->b", H @ K @ H, moved) / n**2


def hsic_of_two_normals(rho, gamma_x, gamma_y, points=64):
    """Population HSIC of a standard bivariate normal law, by Gauss-Hermite quadrature."""
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    weights = weights / weights.sum()
    # y = rho x + sqrt(1 - rho^2) e on the grid of (x, e)
    x = np.repeat(nodes, points)
    y = rho * x + np.sqrt(1 - rho**2) * np.tile(nodes, points)
    w = np.outer(weights, weights).ravel()
    keep = w > 1e-12
    x, y, w = x[keep], y[keep], w[keep]
    K = np.exp(-gamma_x * (x[:, None] - x) ** 2)
    L = np.exp(-gamma_y * (y[:, None] - y) ** 2)
    k, ell = K @ w, L @ w
    return float(w @ (K * L) @ w + (w @ k) * (w @ ell) - 2 * w @ (k * ell))


def whitened_trace(K, L, epsilon):
    """tr of two regularised projections, with every inverse formed."""
    import torch

    n = len(K)
    H = torch.eye(n, dtype=K.dtype) - 1 / n
    ridge = epsilon * n * torch.eye(n, dtype=K.dtype)
    R, S = (H @ M @ H @ torch.linalg.inv(H @ M @ H + ridge) for M in (K, L))
    return torch.trace(R @ S)


# --- random projections (chapter jl-lemma) --------------------------------------------------


def squared_distance_errors(x, y):
    """|y_i - y_j|^2 / |x_i - x_j|^2 - 1 of all pairs with distinct x, one after the other."""
    errors, skipped = [], 0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            before = sum((float(a) - float(b)) ** 2 for a, b in zip(x[i], x[j], strict=True))
            after = sum((float(a) - float(b)) ** 2 for a, b in zip(y[i], y[j], strict=True))
            if before == 0:
                skipped += 1
            else:
                errors.append(after / before - 1)
    return errors, skipped


def code_dimension_floor(n, epsilon, powers=200):
    """Smallest dimension that no tensor power up to `powers` rules out, in exact integers."""
    from fractions import Fraction
    from math import comb

    epsilon = Fraction(epsilon)
    needed = [n / (1 + (n - 1) * epsilon ** (2 * t)) for t in range(1, powers + 1)]
    k = 1
    while any(comb(k + t - 1, t) < need for t, need in enumerate(needed, start=1)):
        k += 1
    return k


def stratified_draws(counts, a):
    """Every choice of counts[i] different numbers below a for each stratum i."""
    from itertools import combinations, product

    return list(product(*(list(combinations(range(a), r)) for r in counts)))


def sampled_kronecker_variance(x, k, a, b):
    """Closed form of Var |y|^2 for a unit vector x, feature number c b + i in column c."""
    columns = [sum(v**2 for v in x[c * b : (c + 1) * b]) for c in range(a)]
    energy, fourth = sum(v**2 for v in columns), sum(v**4 for v in x)
    r, m = divmod(k, b)
    counts = [r + 1] * m + [r] * (b - m)
    within = (1 - energy) * sum(r * (a - r) for r in counts) / (a - 1)
    between = m * (b - m) / (b - 1) * (energy - fourth)
    return 2 / k**2 * (within + between)


def bits_that_differ(a, b):
    """Hamming distance of two sequences of bytes, bit by bit."""
    return sum((int(u) >> i & 1) != (int(v) >> i & 1) for u, v in zip(a, b, strict=True)
               for i in range(8))  # fmt: skip


# --- optimal transport (chapter wasserstein) ------------------------------------------------


def transport_by_permutations(C):
    """The cheapest assignment of a square cost matrix, by trying all of them."""
    from itertools import permutations

    n = len(C)
    return min(sum(C[i][s[i]] for i in range(n)) for s in permutations(range(n))) / n


def transport_by_dense_programme(p, q, C):
    """The linear programme as it is defined: all n + m sums, dense, by SciPy's interior point."""
    import numpy as np
    from scipy.optimize import linprog

    p, q, C = (np.asarray(values, dtype=float) for values in (p, q, C))
    n, m = C.shape
    rows = [[1.0 if k // m == i else 0.0 for k in range(n * m)] for i in range(n)]
    columns = [[1.0 if k % m == j else 0.0 for k in range(n * m)] for j in range(m)]
    result = linprog(
        C.ravel(), A_eq=rows + columns, b_eq=np.concatenate([p, q]), method="highs-ipm"
    )
    assert result.status == 0, result.message
    return result.fun


def entropic_transport_by_scaling(p, q, C, epsilon, digits=40, sweeps=3000):
    """OT_epsilon relative to p x q: matrix scaling in high precision, then the primal value."""
    import mpmath

    with mpmath.workdps(digits):
        n, m = len(p), len(q)
        p, q = [mpmath.mpf(v) for v in p], [mpmath.mpf(v) for v in q]
        C = [[mpmath.mpf(v) for v in row] for row in C]
        K = [[p[i] * q[j] * mpmath.exp(-C[i][j] / epsilon) for j in range(m)] for i in range(n)]
        a, b = [mpmath.mpf(1)] * n, [mpmath.mpf(1)] * m
        for _ in range(sweeps):
            a = [p[i] / sum(K[i][j] * b[j] for j in range(m)) for i in range(n)]
            new = [q[j] / sum(K[i][j] * a[i] for i in range(n)) for j in range(m)]
            settled = max(abs(x / y - 1) for x, y in zip(new, b, strict=True)) < mpmath.mpf(10) ** (
                -digits // 2
            )
            b = new
            if settled:
                break
        plan = [[a[i] * K[i][j] * b[j] for j in range(m)] for i in range(n)]
        cost = sum(plan[i][j] * C[i][j] for i in range(n) for j in range(m))
        relative_entropy = sum(
            plan[i][j] * mpmath.log(plan[i][j] / (p[i] * q[j])) for i in range(n) for j in range(m)
        )
        return float(cost + epsilon * relative_entropy)


def rounded_plan(G, p, q):
    """Altschuler, Weed and Rigollet's algorithm 2, line by line."""
    n, m = len(p), len(q)
    G = [list(row) for row in G]
    for i in range(n):
        total = sum(G[i])
        x = min(1.0, p[i] / total) if total > 0 else 1.0
        G[i] = [x * value for value in G[i]]
    for j in range(m):
        total = sum(G[i][j] for i in range(n))
        y = min(1.0, q[j] / total) if total > 0 else 1.0
        for i in range(n):
            G[i][j] *= y
    rows = [p[i] - sum(G[i]) for i in range(n)]
    columns = [q[j] - sum(G[i][j] for i in range(n)) for j in range(m)]
    total = sum(abs(v) for v in rows)
    if total > 0:
        G = [[G[i][j] + rows[i] * columns[j] / total for j in range(m)] for i in range(n)]
    return G


def wasserstein_by_quantiles(x, y, p, q, order, cells=200_000):
    """The integral of |F^-1 - G^-1|^order by the midpoint rule; the root is taken."""
    import numpy as np

    def quantiles(values, weights, levels):
        values, weights = np.asarray(values, float), np.asarray(weights, float)
        by_size = np.argsort(values)
        reached = np.cumsum(weights[by_size])
        return values[by_size][np.minimum(np.searchsorted(reached, levels), len(values) - 1)]

    levels = (np.arange(cells) + 0.5) / cells
    gaps = np.abs(quantiles(x, p, levels) - quantiles(y, q, levels))
    return float(np.mean(gaps**order) ** (1 / order))


# --- text distances (chapter wmd-wrd) ---------------------------------------------------------


def transport_by_dual(C, p, q):
    """The optimal transport cost as the best total price: max f.p + g.q with f_i + g_j <= C_ij."""
    import numpy as np
    from scipy.optimize import linprog

    n, m = C.shape
    A = np.zeros((n * m, n + m))
    for i in range(n):
        for j in range(m):
            A[i * m + j, i] = A[i * m + j, n + j] = 1
    prices = -np.concatenate([p, q])
    bounds = [(None, None)] * (n + m)
    return -linprog(prices, A_ub=A, b_ub=np.ravel(C), bounds=bounds, method="highs").fun


def relaxed_one_side(C, p):
    """Everything of p goes to its nearest, whatever is there."""
    return sum(weight * min(costs) for weight, costs in zip(p, C.tolist(), strict=True))


def capacity_one_side(C, p, q):
    """Each entry of p fills the nearest entries of q, each as if it were alone."""
    total = 0.0
    for weight, costs in zip(p, C.tolist(), strict=True):
        for cost, room in sorted(zip(costs, q, strict=True)):
            sent = min(weight, room)
            total, weight = total + sent * cost, weight - sent
    return total


def gelbrich_by_matrix_roots(x, y, p, q):
    """Half the squared Bures-Wasserstein distance of two clouds, roots by eigenvalues."""
    import numpy as np

    def moments(x, p):
        mean = p @ x
        return mean, (x - mean).T @ np.diag(p) @ (x - mean)

    def root(S):
        values, vectors = np.linalg.eigh(S)
        return vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T

    (a, S), (b, T) = moments(x, p), moments(y, q)
    R = root(S)
    squared = ((a - b) ** 2).sum() + np.trace(S + T - 2 * root(R @ T @ R))
    return squared / 2


def area_between_cdfs(a, b, p, q):
    """W1 on the line: the integral of |F - G|, interval by interval."""
    from itertools import pairwise

    area = 0.0
    for low, high in pairwise(sorted([*a, *b])):
        F = sum(w for x, w in zip(a, p, strict=True) if x <= low)
        G = sum(w for x, w in zip(b, q, strict=True) if x <= low)
        area += abs(F - G) * (high - low)
    return area


def ppmi_from_definition(counts, shift, alpha):
    """Positive shifted PMI of a dense table, entry by entry."""
    import math

    total = sum(map(sum, counts))
    rows = [sum(row) for row in counts]
    columns = [sum(column) ** alpha for column in zip(*counts, strict=True)]
    return [
        [
            max(0.0, math.log((c / total) / (r / total * s / sum(columns))) - math.log(shift))
            if c
            else 0.0
            for c, s in zip(row, columns, strict=True)
        ]
        for row, r in zip(counts, rows, strict=True)
    ]


# --- weight_scale


def rescaled_by_hand(weights, biases, gammas, x, bias_factor=None):
    """A ReLU network with layers gamma_l W_l, and b_l times bias_factor(gamma_1..l) (product)."""
    import math

    bias_factor = bias_factor or math.prod
    for k, (W, b, gamma) in enumerate(zip(weights, biases, gammas, strict=True)):
        x = x @ (gamma * W).T + bias_factor(gammas[: k + 1]) * b
        if k < len(weights) - 1:
            x = x.clamp(min=0)
    return x


def path_norm_by_listing(weights, biases, order):
    """Every path from an input or a bias to an output, with the product of its weights."""

    def onwards(layer, neuron, product):
        if layer == len(weights):
            return [product]
        return [
            path
            for k, row in enumerate(weights[layer])
            for path in onwards(layer + 1, k, product * row[neuron])
        ]

    paths = [p for j in range(len(weights[0][0])) for p in onwards(0, j, 1.0)]
    for layer, bias in enumerate(biases):
        for k, b in enumerate(bias or []):
            paths += onwards(layer + 1, k, b)
    return sum(abs(p) ** order for p in paths) ** (1 / order)


# --- recurrent networks (chapter rnn-gradients) ---------------------------------------------


def terms_of_bptt(U, states, grad):
    """The terms of back-propagation through time of a tanh network, one after the other."""
    import torch

    steps = len(states) - 1
    terms = []
    for s in range(1, steps + 1):
        chain = torch.eye(len(U), dtype=U.dtype)
        for k in range(s + 1, steps + 1):
            chain = torch.diag(1 - states[k] ** 2) @ U @ chain
        slope = torch.diag(1 - states[s] ** 2)
        terms.append(slope @ chain.T @ grad[:, None] @ states[s - 1][None])
    return torch.stack(terms)


def mean_field_by_quadrature(q, g, sigma2):
    """The right-hand sides of the mean-field equations at q, for tanh."""
    from math import cosh, exp, pi, sqrt, tanh

    from scipy.integrate import quad

    def expectation(function):
        def density(z):
            return function(sqrt(q) * z) * exp(-z * z / 2) / sqrt(2 * pi)

        return quad(density, -9, 9, epsabs=1e-12, epsrel=1e-12, limit=200)[0]

    square = expectation(lambda a: tanh(a) ** 2)
    slope = expectation(lambda a: cosh(a) ** -4)
    return g**2 * square + sigma2, g**2 * slope
