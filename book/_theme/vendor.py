"""Fetch the page's third-party files and make them small: `python book/_theme/vendor.py`.

Not part of a build: what it writes is committed, so that building needs no network. Run it
to change a version. It needs npm, fonttools and brotli, and writes below `book/_static`:
typefaces cut to the letters and axes that the page uses, KaTeX's stylesheet with its fonts,
and MiniSearch, each with its licence.
"""

import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer

STATIC = Path(__file__).parent.parent / "_static"
KATEX = "katex@0.16.22"  # the version that sphinxcontrib-katex renders with
MINISEARCH = "minisearch@7.2.0"
NEWSREADER = "@fontsource-variable/newsreader@5.3.0"
PLEX_MONO = "@ibm/plex-mono@2.5.0"

LATIN = "U+0020-007E,U+00A0-00FF,U+2010-2015,U+2018-201E,U+2020-2022,U+2026,U+2030,U+2032,"
LATIN += "U+2033,U+2039,U+203A,U+2044,U+2212"
EXTENDED = "U+0100-017F,U+0218-021B"  # authors' names; a browser loads it only where one occurs
CODE = LATIN + ",U+0100-017F,U+03C0,U+2190-2193,U+2202,U+2206,U+2211,U+221A,U+221E,U+2248,U+2260,"
CODE += "U+2264,U+2265,U+2500,U+2502,U+2510,U+2514,U+2518,U+251C,U+2524,U+250C,U+2588,U+258F,U+2713"
# headings want the display cut, so roman keeps its optical sizes; italic stays at text size
AXES = {
    "normal": {"wght": (400, 650), "opsz": (8, 40)},
    "italic": {"wght": (400, 650), "opsz": 16},
}


def unpack(package: str, folder: Path) -> Path:
    """The unpacked folder of an npm package."""
    archive = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    target = folder / archive.removesuffix(".tgz")
    with tarfile.open(folder / archive) as tar:
        tar.extractall(target, filter="data")
    return target / "package"


def cut(
    source: Path, target: Path, *, letters: str, axes: dict | None = None, family: str = ""
) -> None:
    """Write `source` with only the letters (and the part of its axes) that the page uses."""
    font = TTFont(source, recalcTimestamp=False)
    if axes:
        limited = io.BytesIO()
        instancer.instantiateVariableFont(font, axes).save(limited)
        font = TTFont(limited, recalcTimestamp=False)
    options = subset.Options(flavor="woff2", hinting=False, notdef_outline=True)
    options.layout_features = ["kern", "liga", "mark", "mkmk", "ccmp", "locl", "onum", "lnum"]
    options.layout_features += ["pnum", "tnum", "sups", "case"]
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=subset.parse_unicodes(letters))
    cutter.subset(font)
    if family:
        for record in font["name"].names:
            if record.nameID in (1, 3, 4, 6, 16):
                record.string = family if record.nameID != 6 else family.replace(" ", "")
    subset.save_font(font, target, options)


def fonts(folder: Path) -> None:
    target = STATIC / "fonts"
    target.mkdir(parents=True, exist_ok=True)
    text = unpack(NEWSREADER, folder)
    for style in ("normal", "italic"):
        for part, name, letters in (("latin", "", LATIN), ("latin-ext", "-extended", EXTENDED)):
            source = text / "files" / f"newsreader-{part}-opsz-{style}.woff2"
            cut(
                source,
                target / f"newsreader-{style}{name}.woff2",
                letters=letters,
                axes=AXES[style],
            )
    shutil.copyfile(text / "LICENSE", target / "LICENSE-newsreader")
    mono = unpack(PLEX_MONO, folder)
    for weight, name in ((400, "Regular"), (600, "SemiBold")):
        source = mono / "fonts" / "complete" / "woff2" / f"IBMPlexMono-{name}.woff2"
        # "Plex" is a reserved font name: its licence asks that a changed font carry another
        cut(source, target / f"mono-{weight}.woff2", letters=CODE, family="Derive Mono")
    shutil.copyfile(mono / "LICENSE.txt", target / "LICENSE-mono")


def katex(folder: Path) -> None:
    package, target = unpack(KATEX, folder), STATIC / "katex"
    shutil.rmtree(target, ignore_errors=True)
    (target / "fonts").mkdir(parents=True)
    css = (package / "dist" / "katex.min.css").read_text(encoding="utf-8")
    # every browser that can show the page reads woff2
    css = re.sub(r',url\([^)]*\.(?:woff|ttf)\) format\("[a-z]+"\)', "", css)
    (target / "katex.css").write_text(css + "\n", encoding="utf-8")
    for font in sorted((package / "dist" / "fonts").glob("*.woff2")):
        shutil.copy(font, target / "fonts")
    shutil.copyfile(package / "LICENSE", target / "LICENSE")


def minisearch(folder: Path) -> None:
    package, target = unpack(MINISEARCH, folder), STATIC / "minisearch"
    target.mkdir(parents=True, exist_ok=True)
    script = (package / "dist" / "umd" / "index.js").read_text(encoding="utf-8")
    script = re.sub(r"^\s*//# sourceMappingURL=.*$", "", script, flags=re.MULTILINE)
    (target / "minisearch.js").write_text(script.rstrip() + "\n", encoding="utf-8")
    shutil.copyfile(package / "LICENSE.txt", target / "LICENSE")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for step in (fonts, katex, minisearch):
            step(Path(name))
