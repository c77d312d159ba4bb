"""`derive.plotting`: the book's style, checked for colour-blind eyes, and interactive figures."""

import base64
import itertools
import json
import struct
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.testing.globalipapp import start_ipython
from matplotlib.colors import to_rgb

from derive import plotting
from derive.plotting import COLOURS, DASHES, INK, MARKERS, MIME, interactive, theory, use_book_style

WHITE, DARK = "#ffffff", "#16181c"


@pytest.fixture(autouse=True)
def clean():
    with matplotlib.rc_context():
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def ipython():
    """A real IPython in this process, as a notebook's kernel has."""
    start_ipython()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.fixture
def shown(ipython, monkeypatch):
    """The bundles that IPython is asked to display."""
    bundles = []
    monkeypatch.setattr(
        ipython.display_pub,
        "publish",
        lambda data, metadata=None, **_: bundles.append((data, metadata)),
    )
    monkeypatch.setattr(plotting, "_shell", lambda: ipython)
    return bundles


def show(data, name="a-figure", alt="What is seen.", caption="What it shows.", figure=None):
    interactive(name, data, figure or plt.figure(), alt=alt, caption=caption)


# ---- colours: contrast (WCAG 2) and what colour-blind eyes see (Machado et al. 2009, severity 1)

VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


def linear(colour):
    c = np.array(colour)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    a, b = (linear(c) @ [0.2126, 0.7152, 0.0722] + 0.05 for c in (one, other))
    return max(a, b) / min(a, b)


def inverted(colour):
    """invert(1) hue-rotate(180deg), by the matrix of the CSS filter specification."""
    grey = np.outer(np.ones(3), [0.213, 0.715, 0.072])
    return np.clip((2 * grey - np.eye(3)) @ (1 - np.array(colour)), 0, 1)


def oklab(colour, vision):
    seen = np.clip(VISION[vision] @ linear(colour), 0, 1)
    lms = np.cbrt(
        np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        )
        @ seen
    )
    return (
        np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        )
        @ lms
    )


def closest(colours, vision):
    points = [oklab(c, vision) for c in colours]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2))


@pytest.mark.parametrize("colour", [*COLOURS, INK])
def test_every_colour_stands_out_on_paper_and_inverted_on_a_dark_page(colour):
    assert contrast(to_rgb(colour), to_rgb(WHITE)) >= 3
    assert contrast(inverted(to_rgb(colour)), to_rgb(DARK)) >= 3


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("page", ["light", "dark"])
def test_colours_differ_to_every_eye(vision, page):
    colours = [to_rgb(c) for c in (*COLOURS, INK)]
    if page == "dark":
        colours = [inverted(c) for c in colours]
    assert closest(colours, vision) >= 0.08


def test_the_colour_checks_reject_what_others_use():
    default = [to_rgb(c) for c in matplotlib.rcParamsDefault["axes.prop_cycle"].by_key()["color"]]
    assert min(closest(default[:6], vision) for vision in VISION) < 0.08
    assert contrast(to_rgb("#ff7f0e"), to_rgb(WHITE)) < 3
    assert contrast(inverted(to_rgb("#ffff99")), to_rgb(DARK)) < 3


def test_inverting_keeps_greys_grey_and_hues_near():
    np.testing.assert_allclose(inverted((0.2, 0.2, 0.2)), 0.8)
    assert np.argmax(inverted(to_rgb(COLOURS[0]))) == 2  # blue stays blue


# ---- the style


def test_a_figure_is_crisp_transparent_and_light(tmp_path):
    use_book_style()
    fig, ax = plt.subplots()
    x = np.linspace(0, 1, 200)
    for k in range(4):
        ax.plot(x, np.sin(6 * x + k), label=f"$\\varepsilon = {k}$")
    ax.set(xlabel="time (s)", ylabel=r"$\mathbb{E}\,|x|^2$")
    ax.legend()
    fig.savefig(tmp_path / "figure.png")
    png = (tmp_path / "figure.png").read_bytes()
    assert struct.unpack(">I", png[16:20])[0] == 2 * 680
    assert len(png) < 120_000
    pixels = plt.imread(tmp_path / "figure.png")
    assert pixels[0, 0, 3] == 0
    assert not ax.spines["top"].get_visible()


def test_lines_differ_in_dashes_and_there_is_a_marker_for_each_colour():
    use_book_style()
    _, ax = plt.subplots()
    drawn = [ax.plot([0, 1], [k, k])[0] for k in range(len(COLOURS))]
    assert [line.get_color() for line in drawn] == list(COLOURS)
    assert len({line._dash_pattern for line in map(_freeze, drawn)}) == len(DASHES) == len(COLOURS)
    assert len(set(MARKERS)) == len(COLOURS)


def _freeze(line):
    offset, pattern = line._dash_pattern
    line._dash_pattern = (offset, pattern and tuple(pattern))
    return line


def test_markers_without_a_line_stay_markers():
    use_book_style()
    _, ax = plt.subplots()
    assert ax.plot([0, 1], [0, 1], MARKERS[0])[0].get_linestyle() == "None"


def test_theory_is_dashed_ink_and_leaves_the_cycle_where_it_was():
    use_book_style()
    _, ax = plt.subplots()
    line = theory(ax, [1, 2], [1, 0.5], "1/n", drawstyle="steps-post")
    assert (line.get_color(), line.get_linestyle()) == (INK, "--")
    assert line.get_drawstyle() == "steps-post"
    assert ax.plot([1, 2], [1, 2])[0].get_color() == COLOURS[0]


def test_theory_without_a_name_is_refused():
    with pytest.raises(ValueError, match="which law"):
        theory(plt.figure().subplots(), [1], [1], " ")


def test_colab_gets_white_paper(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    use_book_style()
    assert matplotlib.rcParams["figure.facecolor"] == "white"


@pytest.mark.slow
def test_a_notebook_holds_figures_at_column_width_and_the_record():
    """In a kernel of its own, as `make execute` runs a chapter."""
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    cells = [
        "import matplotlib.pyplot as plt\n"
        "from derive.plotting import interactive, use_book_style\nuse_book_style()",
        "fig, ax = plt.subplots()\nax.plot([0, 1], [0, 1])\nplt.show()",
        "fig, ax = plt.subplots()\n"
        "interactive('a-line', {'x': [0, 0.123456]}, fig, alt='A line.', caption='It rises.')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    program = "import sys, nbformat, nbclient; nb = nbformat.reads(sys.stdin.read(), 4);"
    program += "print(nbformat.writes(nbclient.execute(nb, kernel_name='python3')))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=nbformat.writes(notebook),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    style, static, moving = (cell.outputs for cell in nbformat.reads(done.stdout, 4).cells)
    assert style == []
    assert len(static) == len(moving) == 1  # the interactive figure is not shown a second time
    for output in (static[0], moving[0]):
        png = base64.b64decode(output.data["image/png"])
        assert struct.unpack(">II", png[16:24]) == (1360, 780)
        assert output.metadata["image/png"]["width"] == 680
    assert moving[0].data[MIME]["data"] == {"x": [0, 0.1235]}


def test_importing_the_module_imports_neither_matplotlib_nor_ipython():
    code = (
        "import sys, derive.plotting;"
        "print({'matplotlib', 'IPython'} & {m.split('.')[0] for m in sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


# ---- interactive figures


def test_the_record_holds_the_data_as_plain_numbers(shown):
    show(
        {
            "list": [1, 2.0, 3.14159265, None, True, "text"],
            "array": np.array([[1.23456, 1e-9], [-0.0, 123456.0]]),
            "tensor": torch.tensor([1, 16579]),
            "scalar": np.float64(0.1) + 0.2,
            "range": range(3),
            "nested": {"tuple": (1, 2)},
        }
    )
    [(bundle, _)] = shown
    assert bundle[MIME] == {
        "name": "a-figure",
        "alt": "What is seen.",
        "caption": "What it shows.",
        "data": {
            "list": [1, 2, 3.142, None, True, "text"],
            "array": [[1.235, 1e-9], [0, 123500]],
            "tensor": [1, 16579],
            "scalar": 0.3,
            "range": [0, 1, 2],
            "nested": {"tuple": [1, 2]},
        },
    }
    assert json.loads(json.dumps(bundle[MIME], allow_nan=False)) == bundle[MIME]


def test_floats_keep_four_significant_digits(shown):
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000) * 10.0 ** rng.integers(-12, 12, size=1000)
    show({"values": values})
    kept = np.array(shown[0][0][MIME]["data"]["values"], dtype=float)
    error = np.abs(kept / values - 1)
    assert error.max() <= 0.5e-3 * (1 + 1e-9)
    assert error.max() > 0.5e-4  # three digits fewer, not five: the rounding does happen


def test_the_static_figure_is_displayed_with_its_alt_text_at_column_width(shown):
    use_book_style()
    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    show({"x": [1]}, figure=figure)
    [(bundle, metadata)] = shown
    png = base64.b64decode(bundle["image/png"])
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (1360, 780)
    assert metadata["image/png"] == {"alt": "What is seen.", "width": 680, "height": 390}
    assert bundle["text/plain"] == "What is seen."


def test_equal_data_give_equal_output(shown):
    for _ in range(2):
        figure, ax = plt.subplots()
        ax.plot([0, 1], [0, 1])
        show({"x": np.linspace(0, 1, 7)}, figure=figure)
    assert shown[0] == shown[1]


def test_the_figure_is_closed_also_when_the_data_are_refused(shown):
    show({"x": [1]})
    with pytest.raises(ValueError, match="nan"):
        show({"x": [float("nan")]})
    assert plt.get_fignums() == []


def test_outside_ipython_nothing_is_shown_but_everything_is_checked():
    code = (
        "import matplotlib.pyplot as plt; from derive.plotting import interactive\n"
        "interactive('a', {'x': 1}, plt.figure(), alt='a', caption='c')\n"
        "print(plt.get_fignums())\n"
        "interactive('a', {'x': 1}, plt.figure(), alt='', caption='c')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.stdout == "[]\n"
    assert "ValueError: interactive 'a': alt is empty" in out.stderr


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "A figure"}, ValueError, "got 'A figure'"),
        ({"name": "a--b"}, ValueError, "hyphens"),
        ({"name": "../a"}, ValueError, "hyphens"),
        ({"alt": "  "}, ValueError, "alt is empty"),
        ({"caption": ""}, ValueError, "caption is empty"),
        ({"data": {}}, ValueError, "data is empty"),
        ({"data": {"x": [0.0, float("inf")]}}, ValueError, r"data\['x'\]\[1\] is inf"),
        ({"data": {"x": torch.tensor(float("nan"))}}, ValueError, "use None for a gap"),
        ({"data": {"x": list(range(40_000))}}, ValueError, "229 kB"),
        ({"data": {"x": {1, 2}}}, TypeError, "is a set"),
        ({"data": {"x": 1j}}, TypeError, "is a complex"),
        ({"data": {"x": {1: 2}}}, TypeError, "keys must be strings"),
        ({"data": [1, 2]}, TypeError, "data"),
        ({"figure": "figure.png"}, TypeError, "got str"),
        ({"alt": None}, TypeError, "alt"),
    ],
)
def test_interactive_refuses(change, error, message):
    with pytest.raises(error, match=message):
        show(**{"data": {"x": [1]}} | change)


def test_data_just_under_the_limit_pass(shown):
    show({"x": "a" * (plotting.LARGEST_DATA - len('{"x":""}'))})
    with pytest.raises(ValueError, match="150 kB"):
        show({"x": "a" * (plotting.LARGEST_DATA - len('{"x":""}') + 1)})
