"""Valid calls of `derive.check`, `data`, `device`, `exercise` and `plotting`."""

import tempfile
from pathlib import Path

import numpy as np
import sympy

from bad_input.entry import Entry
from bad_input.values import F64, normal
from derive import check, data, device, exercise, plotting

X = sympy.Symbol("x")
SIDES = np.linspace(0.1, 3, 10)
EXACT = {"tolerance": 1e-12, "because": "rounding"}


def pictures(path, broken=False, **given) -> list:
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        (root := Path(folder) / "pictures").mkdir()
        Image.new("L", (5, 6), 100).save(root / "grey.png")
        if broken:
            (root / "broken.png").write_bytes(b"no picture")
        where = Path(folder) / path if isinstance(path, str) else path
        found = data.ImageFolder(where, **given)
        return [found[number] for number in range(len(found))]


def draws() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(4000)


def one_bound(label, low, high, wrong, slack, because):
    return check.bound(label, low, high, wrong=wrong, slack=slack, because=because)


def self_check(answer, test):
    return exercise.self_check(answer, test)


def interactive(**given) -> None:
    from matplotlib.figure import Figure

    plotting.interactive(figure=Figure(), **given)


ENTRIES = (
    Entry(
        check.identity,
        lambda: {
            "label": "square-of-a-sum",
            "left": (X + 1) ** 2,
            "right": X**2 + 2 * X + 1,
            "domain": {X: (0.1, 1.0)},
            "wrong": {"no cross term": X**2 + 1, "once": X**2 + X + 1},
            "simplify": sympy.expand,
            "independent_of": (),
            "points": 50,
            "digits": 12,
        },
    ),
    Entry(
        check.equal,
        lambda: (
            {
                "label": "square",
                "left": SIDES**2,
                "right": SIDES * SIDES,
                "wrong": {"cube": SIDES**3, "shifted": SIDES + 1},
                "relative_to": "largest",
            }
            | EXACT
        ),
    ),
    Entry(
        check.bound,
        lambda: {
            "label": "sine",
            "low": np.sin(SIDES),
            "high": SIDES.copy(),
            "wrong": {"half": SIDES / 2, "negative": -SIDES},
            "slack": 1e-12,
            "because": "rounding",
        },
        call=one_bound,
    ),
    Entry(
        check.order,
        lambda: {
            "label": "square",
            "sizes": [0.1, 0.05, 0.025],
            "errors": [0.01, 0.0025, 0.000625],
            "slope": 2.0,
            "tolerance": 0.01,
            "because": "exact power",
            "wrong": {"first": 1, "third": 3},
        },
    ),
    Entry(
        check.sampled,
        lambda: {
            "label": "mean",
            "draws": draws(),
            "expected": 0.0,
            "wrong": {"higher": 0.5, "lower": -0.5},
            "relation": "=",
            "share": 1e-9,
        },
    ),
    Entry(
        check.observed,
        lambda: {
            "label": "effect",
            "effects": [3.1, 2.7, 3.4],
            "wrong": {"none": [0.1, 0.0, 0.2], "reversed": [-3.0, -2.5, -3.2]},
            "low": 2.0,
            "high": 5.0,
            "share": 1.0,
        },
    ),
    Entry(check.rounding, lambda: {"terms": 64, "dtype": F64}),
    Entry(data.bench_results, lambda: {"name": "random_projection"}),
    Entry(data.trust_results, lambda: {"kind": "sweep"}),
    Entry(
        data.ImageFolder,
        lambda: {
            "path": "pictures",
            "size": 4,
            "channels": 1,
            "skip_broken": False,
            "thorough": True,
        },
        call=pictures,
        finish=list,
        more={"type: a file that is no picture": {"broken": True}},
    ),
    Entry(data.to_pixels, lambda: {"images": normal(2, 3).tanh()}),
    Entry(data.docstrings, lambda: {"num": 2, "min_length": 400}),
    Entry(
        exercise.self_check,
        lambda: {"answer": 2.0, "test": (lambda x: x > 0, "it is positive")},
        call=self_check,
        answers={"answer: NaN": "Nothing is raised: a half-done exercise must not stop a notebook"},
    ),
    Entry(device.as_device, lambda: {"device": "cpu"}, finish=str),
    Entry(device.start, lambda: {"seed": 0}),
    Entry(
        plotting.interactive,
        lambda: {
            "name": "a-line",
            "data": {"x": [0.0, 1.0, 2.0]},
            "alt": "A line.",
            "caption": "A line.",
        },
        call=interactive,
    ),
)
