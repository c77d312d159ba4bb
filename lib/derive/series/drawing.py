"""Vacuum diagrams on paper (chapter `gaussian-integrals`)."""

import math
from typing import Any

import numpy as np

from derive._typing import typed
from derive.series.diagrams import Adjacency, require_adjacency


@typed
def draw_diagram(ax: Any, diagram: Adjacency) -> None:
    """Draw a diagram: vertices on a circle, repeated lines as arcs, loops as ears.

    Args:
        ax: Matplotlib axes; its frame is removed and its scale made equal.
        diagram: Adjacency matrix as in `vacuum_diagrams`.

    Raises:
        TypeError: If an entry is no integer.
        ValueError: If the matrix is not square, or an entry is negative.
    """
    require_adjacency(diagram)
    n = len(diagram)
    start = {1: math.pi / 2, 2: math.pi}.get(n, math.pi / 2)
    angles = start - 2 * math.pi * np.arange(n) / max(n, 1)
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1) * {1: 0.0, 2: 0.62}.get(n, 0.75)
    for i, row in enumerate(diagram):
        outward = places[i] if n > 1 else np.array([1.0, 0.0])
        for k in range(row[i]):
            _ear(ax, places[i], outward, k, row[i])
        for j in range(i + 1, n):
            for bend in _bends(row[j]):
                _arc(ax, places[i], places[j], bend)
    ax.plot(*places.T, "o", color="C1", markersize=6, zorder=4)
    ax.set(xlim=(-1.55, 1.55), ylim=(-1.55, 1.55), aspect="equal")
    ax.axis("off")


def _bends(lines: int) -> np.ndarray:
    return (np.arange(lines) - (lines - 1) / 2) * 0.42


def _arc(ax: Any, start: np.ndarray, end: np.ndarray, bend: float) -> None:
    t = np.linspace(0, 1, 40)[:, None]
    normal = np.array([-(end - start)[1], (end - start)[0]])
    curve = start + t * (end - start) + 4 * t * (1 - t) * bend / 1.4 * normal
    ax.plot(*curve.T, color="C0", linestyle="-")


def _ear(ax: Any, place: np.ndarray, outward: np.ndarray, k: int, loops: int) -> None:
    """Draw the k-th of a vertex's loops, a circle that touches it on the far side."""
    # Two loops use up all four legs: a figure of eight, standing across the way outwards.
    turn = (k - 0.5) * math.pi if loops == 2 else 0.0
    direction = outward / np.linalg.norm(outward)
    direction = np.array(
        [
            math.cos(turn) * direction[0] - math.sin(turn) * direction[1],
            math.sin(turn) * direction[0] + math.cos(turn) * direction[1],
        ]
    )
    t = np.linspace(0, 2 * math.pi, 60)[:, None]
    circle = place + 0.34 * (direction + np.hstack([np.cos(t), np.sin(t)]))
    ax.plot(*circle.T, color="C0", linestyle="-")
