"""The book's one style for figures, and figures that answer to the reader's hand (every chapter).

Matplotlib and IPython are imported inside the functions, so that importing this module is cheap.
"""

import base64
import io
import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from derive._typing import typed

# Found by search: every pair differs by >= 0.085 in OKLab (about four just noticeable steps) for
# normal, protanopic and deuteranopic eyes, and every colour has contrast >= 3 on paper as well as,
# after the dark page's invert(1) hue-rotate(180deg), on a dark page. tests/lib/test_plotting.py
# computes both again.
COLOURS = ("#244eaa", "#c36226", "#3f6a55", "#bd3783", "#704b00", "#6f5cd1")
INK = "#222222"
# Never by colour alone: series k is also dashed its own way. Theory keeps the plain dash, (5, 3).
DASHES = (
    "-",
    (0, (8, 1.5)),
    (0, (7, 1.5, 1.2, 1.5)),
    (0, (1.2, 1.2)),
    (0, (3, 1)),
    (0, (10, 2, 3, 2)),
)
MARKERS = ("o", "s", "^", "D", "v", "p")

WIDTH = 6.8  # inches; at 100 dots an inch the 680 px of the text column
DOTS_PER_INCH = 100

MIME = "application/vnd.derive.figure+json"
LARGEST_DATA = 150_000  # bytes of JSON, so that a page stays light
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@typed
def use_book_style() -> None:
    """Set matplotlib's defaults, and IPython's inline backend, to the book's style.

    Figures are 680 px wide and drawn at twice that resolution, on a transparent background in
    dark ink: the page inverts them in dark mode. Axes are quiet, and successive lines differ in
    colour and in dashes. Call it once a chapter, then choose no colours, sizes or fonts by hand.

    Example:
        >>> use_book_style()
        >>> import matplotlib
        >>> matplotlib.rcParams["axes.spines.top"]
        False
    """
    import matplotlib
    from cycler import cycler

    # Colab shows outputs on its own dark page and inverts nothing: there the paper is white.
    paper = "white" if "google.colab" in sys.modules else "none"
    matplotlib.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.9),
            "figure.dpi": DOTS_PER_INCH,
            "figure.facecolor": paper,
            "figure.constrained_layout.use": True,
            "savefig.dpi": 2 * DOTS_PER_INCH,
            "savefig.facecolor": paper,
            "axes.facecolor": "none",
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.linewidth": 0.8,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=DASHES),
            "axes.formatter.use_mathtext": True,
            "xtick.color": INK,
            "ytick.color": INK,
            "grid.color": INK,
            "grid.alpha": 0.12,
            "grid.linewidth": 0.8,
            "font.family": "STIXGeneral",  # ships with matplotlib; sits beside a serif text face
            "mathtext.fontset": "stix",
            "font.size": 11,  # 15 px in the column, a little under the text around it
            "axes.labelsize": 11,
            "axes.titlesize": 11,  # only to tell panels apart: the caption is the title
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "legend.fontsize": 10,
            "legend.frameon": False,
            "legend.handlelength": 3.2,  # long enough for a dash pattern to be told
            "text.color": INK,
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "patch.linewidth": 0.8,
            "hatch.color": INK,
            "image.cmap": "viridis",
        }
    )
    _set_inline_backend()


def _set_inline_backend() -> None:
    """Twice the pixels at the same size, and not cropped: all figures keep the column's width."""
    shell = _shell()
    if shell is None or not hasattr(shell, "kernel"):
        return
    from matplotlib_inline.config import InlineBackend

    inline = InlineBackend.instance(parent=shell)
    # These hold whether the backend is chosen before or after; the formats last, they apply both.
    # Any: the package's types know only strings here, from its own default "tight".
    uncropped: dict[str, Any] = {"bbox_inches": None}
    inline.print_figure_kwargs = uncropped
    inline.figure_formats = {"retina"}


@typed
def theory(ax: Any, x: Any, y: Any, label: str, **style: Any) -> Any:
    """Draw what theory predicts: a dashed ink line above the data.

    Args:
        ax: A matplotlib `Axes`.
        x: Positions, as `ax.plot` takes them.
        y: Predicted values.
        label: Its name in the legend; theory without a name helps no one.
        **style: Further `Line2D` properties, such as `drawstyle`.

    Returns:
        The `Line2D`. The data's colour cycle is left where it was.

    Raises:
        ValueError: If the label is empty.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> theory(plt.figure().subplots(), [1, 2], [1, 0.5], label="1/n").get_linestyle()
        '--'
        >>> plt.close("all")
    """
    if not label.strip():
        raise ValueError(f"theory needs a label that says which law is drawn, got {label!r}.")
    line = {"color": INK, "linestyle": (0, (5, 3)), "linewidth": 1.3, "zorder": 3}
    return ax.plot(x, y, label=label, **line | style)[0]


@typed
def interactive(name: str, data: Mapping[str, Any], figure: Any, *, alt: str, caption: str) -> None:
    """Display a figure that the page draws with script and every other place shows as it is.

    In IPython one output is displayed: `figure` as a PNG, and beside it, under the media type
    `application/vnd.derive.figure+json`, the data from which `book/_interactive/<name>.js` draws
    the interactive one. Elsewhere the arguments are checked and nothing is shown. `figure` is
    closed in both cases. Equal data give an equal record, in O(size of the data).

    Args:
        name: Lower-case words joined by hyphens; also the name of the script.
        data: What the script draws from: a mapping with strings as keys, of numbers, strings,
            booleans, None (a gap), lists, arrays and tensors. Floats are rounded to 4
            significant digits; integers stay exact.
        figure: The static matplotlib `Figure`.
        alt: What a reader who cannot see the figure needs to know.
        caption: What the figure shows.

    Raises:
        TypeError: If `figure` is no matplotlib figure, or data hold what JSON cannot.
        ValueError: If the name has another form, the data are empty, not finite or larger than
            150 kB, or a text is empty.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> interactive("a-line", {"x": [0, 1]}, plt.figure(), alt="A line.", caption="A line.")
    """
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        raise TypeError(
            f"interactive {name!r}: figure must be a matplotlib Figure (the static fallback), "
            f"got {type(figure).__name__}."
        )
    plt.close(figure)  # first: a refused figure must not be shown by the inline backend either
    record = _record(name, data, alt=alt, caption=caption)
    if _shell() is None:
        return
    from IPython.display import display

    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=2 * DOTS_PER_INCH)
    width, height = (round(inches * DOTS_PER_INCH) for inches in figure.get_size_inches())
    display(
        {
            "text/plain": record["alt"],
            "image/png": base64.b64encode(png.getvalue()).decode("ascii"),
            MIME: record,
        },
        raw=True,
        # needs_background: JupyterLab's dark theme then puts light paper behind the dark ink
        metadata={
            "image/png": {"alt": record["alt"], "width": width, "height": height},
            "needs_background": "light",
        },
    )


def _record(name: str, data: Mapping[str, Any], *, alt: str, caption: str) -> dict[str, Any]:
    """The JSON record of an interactive figure, with every value checked."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "interactive needs a name of lower-case letters and digits in words joined by "
            f"hyphens, such as 'jl-dimension', got {name!r}."
        )
    for argument, text in (("alt", alt), ("caption", caption)):
        if not text.strip():
            raise ValueError(f"interactive {name!r}: {argument} is empty; say what is seen.")
    if not data:
        raise ValueError(f"interactive {name!r}: data is empty; there is nothing to draw.")
    plain = _plain(data, where="data", name=name)
    size = len(json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode())
    if size > LARGEST_DATA:
        raise ValueError(
            f"interactive {name!r}: data are {size / 1000:.0f} kB as JSON, allowed are "
            f"{LARGEST_DATA // 1000} kB; use fewer points, or integers."
        )
    return {"name": name, "alt": alt.strip(), "caption": caption.strip(), "data": plain}


def _plain(value: Any, *, where: str, name: str) -> Any:
    """`value` with only the types that JSON knows; `where` is its place, for the error."""
    if hasattr(value, "tolist"):  # arrays, tensors and their scalars
        value = value.tolist()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return _rounded(value, where=where, name=name)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(
                    f"interactive {name!r}: keys must be strings, got {key!r} in {where}."
                )
        return {k: _plain(v, where=f"{where}[{k!r}]", name=name) for k, v in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(v, where=f"{where}[{k}]", name=name) for k, v in enumerate(value)]
    raise TypeError(
        f"interactive {name!r}: {where} is a {type(value).__name__}, which JSON cannot hold; "
        "pass numbers, strings, lists or arrays."
    )


def _rounded(value: float, *, where: str, name: str) -> float | int:
    if not math.isfinite(value):
        raise ValueError(f"interactive {name!r}: {where} is {value}; use None for a gap.")
    rounded = float(f"{value:.4g}")
    # 3.0 as 3 (and -0.0 as 0): shorter, and one form whatever computed it
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _shell() -> Any:
    """The running IPython, or None: a plain Python process has not even imported it."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()
