"""What HSIC is compared with: other packages, plain torch lines, and work nobody can avoid."""

import time

import torch

D, GAMMA = 10, 0.05  # features of the data, and the kernel that all candidates use
HYPPO, DCOR = "hyppo Hsic", "dcor distance covariance"


def peer_statistics(a, b) -> dict:
    import dcor
    from hyppo.independence import Hsic

    peer = Hsic(compute_kernel="rbf", bias=False, gamma=GAMMA)
    return {
        HYPPO: lambda: peer.statistic(a, b),
        DCOR: lambda: dcor.distance_covariance_sqr(a, b),
    }


def timed(call, repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return times


def scaled_seconds(test, counts: tuple[int, int], wanted: int, repeats: int) -> float:
    """Seconds for `wanted` permutations from the slope between two counts, set-up included."""
    few, more = counts
    first, second = (min(timed(lambda c=c: test(c), repeats)) for c in (few, more))
    return first + (second - first) / (more - few) * (wanted - few)


def gram(x):
    squares = x.square().sum(dim=1)
    return torch.exp(-GAMMA * (squares[:, None] + squares - 2 * x @ x.T))


def centre(K):
    return K - K.mean(dim=0) - K.mean(dim=1, keepdim=True) + K.mean()


def plain(x, y):
    return (centre(gram(x)) * gram(y)).sum() / len(x) ** 2


def trace(x, y):
    n = len(x)
    H = torch.eye(n) - 1 / n
    return torch.trace(gram(x) @ H @ gram(y) @ H) / n**2


def permuted_by_index(x, y, count: int):
    K, L = centre(gram(x)), gram(y)
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        order = torch.randperm(len(x), generator=generator)
        (K * L[order][:, order]).sum()


def unavoidable_work(x, tile: int = 2**17):
    """What no tiled algorithm can avoid: half of two products of depth d + 2, and their exp."""
    n, height = len(x), 64
    width = tile // height
    left, right = torch.ones(height, D + 2), torch.ones(D + 2, width) * -1e-2
    out = torch.empty(height, width)
    for _ in range(max(1, round(n * n / tile))):  # n²/2 elements, twice
        torch.mm(left, right, out=out).exp_()


def bare_transforms(n: int, block: int = 32):
    signal = torch.ones(block, n)
    for _ in range(max(1, round(n / block))):  # n/2 diagonals, twice
        torch.fft.rfft(signal)
