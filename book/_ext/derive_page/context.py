"""What the templates are given for each page: contents, buttons, files, description."""

import re
import textwrap
import zlib
from html import escape
from pathlib import Path
from urllib.parse import quote, urlencode

from docutils import nodes
from sphinx import addnodes
from sphinx.environment.adapters.toctree import TocTree


def repository(app) -> str:
    return app.config.html_theme_options["repository_url"].rstrip("/")


def buttons(app, docname: str) -> list[dict]:
    """Links for a page: where to run it (a chapter only), its source, how to report an error."""
    branch = app.config.html_theme_options.get("repository_branch", "main")
    source = Path(app.env.doc2path(docname)).relative_to(app.srcdir)
    notebook = source.with_suffix(".ipynb")
    links = []
    if (Path(app.srcdir) / notebook).is_file():
        address = repository(app)
        owner = address.removeprefix("https://github.com/")
        path = quote(notebook.as_posix())
        colab = f"{app.config.derive_page_colab}/github/{owner}/blob/{branch}/{path}"
        binder = f"{app.config.derive_page_binder}/v2/gh/{owner}/{branch}"
        links = [
            {"name": "Open in Colab", "url": colab},
            {"name": "Binder", "url": f"{binder}?{urlencode({'labpath': notebook.as_posix()})}"},
            {"name": "Download notebook", "url": notebook.name, "download": True},
        ]
    links.append({"name": "Source", "url": f"{repository(app)}/blob/{branch}/{source.as_posix()}"})
    title = app.env.titles[docname].astext() if docname in app.env.titles else docname
    report = urlencode({"title": f"{title}: ", "body": f"Page: {source.as_posix()}\n\n"})
    links.append({"name": "Report an error", "url": f"{repository(app)}/issues/new?{report}"})
    return links


def contents(app, docname: str) -> list[dict]:
    """Parts and their pages, and the sections of this page under it."""
    parts = []
    for toctree in app.env.get_doctree(app.config.root_doc).findall(addnodes.toctree):
        pages = []
        for title, name in toctree["entries"]:
            if name not in app.env.titles:
                continue
            pages.append(
                {
                    "docname": name,
                    "title": title or _title(app, name),
                    "sections": sections(app, name) if name == docname else [],
                }
            )
        parts.append({"caption": toctree.get("caption"), "pages": pages})
    return parts


def sections(app, docname: str) -> list[dict]:
    """Titles and anchors of the sections one level below a page's title."""
    toc = TocTree(app.env).get_toc_for(docname, app.builder)
    found = []
    for item in toc.findall(nodes.list_item):
        depth = sum(isinstance(a, nodes.list_item) for a in _ancestors(item))
        if depth == 1:
            link = next(item.findall(nodes.reference))
            fragment = nodes.inline("", "", *[child.deepcopy() for child in link.children])
            title = app.builder.render_partial(fragment)["fragment"]
            found.append({"title": title, "anchor": link["anchorname"]})
    return found


def _ancestors(node: nodes.Node):
    while node.parent is not None:
        node = node.parent
        yield node


def _title(app, docname: str) -> str:
    return app.builder.render_partial(app.env.titles[docname])["title"]


def description(body: str) -> str:
    """The first paragraph's words, for search engines and previews."""
    # a formula has no span inside (derive_page.lean)
    without = re.sub(r'<span class="math">.*?</span>', "…", body, flags=re.DOTALL)
    paragraph = re.search(r"<p>(.*?)</p>", without, flags=re.DOTALL)
    if not paragraph:
        return ""
    return textwrap.shorten(re.sub(r"<[^>]+>", "", paragraph[1]), 160, placeholder=" …")


def stamp(folders: list[Path], name: str) -> str:
    """A query that changes with the file, so that browsers keep no stale copy."""
    for folder in folders:
        if (folder / name).is_file():
            return f"?v={zlib.crc32((folder / name).read_bytes()):08x}"
    raise FileNotFoundError(f"{name} is in none of {', '.join(map(str, folders))}.")


def figures(body: str) -> list[str]:
    """Scripts of the interactive figures on a page, and the kit that they are drawn with."""
    names = list(dict.fromkeys(re.findall(r'data-figure="([\w-]+)"', body)))
    if not names:
        return []
    return [f"_interactive/{name}.js" for name in ["kit", *names]]


def actions(links: list[dict]) -> str:
    """The links of a chapter as the line under its title."""
    items = "".join(
        f'<li><a href="{escape(link["url"])}"{" download" if link.get("download") else ""}>'
        f"{link['name']}</a></li>"
        for link in links
    )
    return f'\n<ul class="actions">{items}</ul>'


UNCOLOURED = re.compile(r'<span class="(?:n|p|w|o|nb|nn|bp|nx|na|mi|mf|kc)">([^<]*)</span>')


def tidy(body: str) -> str:
    """The body without what only weighs, and with the roles that assistive technology expects."""
    # code keeps the spans that the stylesheet colours
    body = re.sub(
        r"<pre>.*?</pre>", lambda pre: UNCOLOURED.sub(r"\1", pre[0]), body, flags=re.DOTALL
    )
    body = body.replace('role="heading">', 'role="heading" aria-level="2">')
    # docutils' roles for citations are not allowed on the elements that it puts them on
    body = re.sub(r' role="doc-(?:biblioentry|backlink|noteref|biblioref)"', "", body)
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    # the corner of a table with names on both sides is no heading
    return re.sub(r"<th[^>]*>(?:<p></p>)?</th>", "<td></td>", body)


def page_context(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    book = Path(app.srcdir) / "book"
    folders = [book / "_theme" / "derive" / "static", book / "_static"]
    pathto, body = context["pathto"], tidy(context.get("body", ""))

    def asset(name: str) -> str:
        folder, _, rest = name.partition("/")
        places = [book / "_interactive"] if folder == "_interactive" else folders
        return pathto(name, True) + stamp(places, rest)

    links = buttons(app, pagename) if doctree is not None else []
    if len(links) > 2:
        body = body.replace("</h1>", "</h1>" + actions(links), 1)
        links = []
    context.update(
        asset=asset,
        body=body,
        buttons=links,
        contents=contents(app, pagename),
        description=description(body),
        figures=figures(body),
        # a claim of another page comes in later (finish.show_claims)
        has_math="katex-html" in body or "<!--claim " in body,
        home=app.config.root_doc,
        repository=repository(app),
    )


def setup(app) -> None:
    app.add_config_value("derive_page_colab", "https://colab.research.google.com", "html", [str])
    app.add_config_value("derive_page_binder", "https://mybinder.org", "html", [str])
    # Jupyter Book sets this one for an extension that is not loaded here
    app.add_config_value("comments_config", {}, "")
    # late, so that the body is complete
    app.connect("html-page-context", page_context, priority=900)
