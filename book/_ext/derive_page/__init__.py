"""The book's pages: typesetting, contents, buttons, search. The theme is `book/_theme/derive`."""

from derive_page import blocks, context, finish, mathematics


def setup(app) -> dict:
    for part in (mathematics, blocks, context, finish):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
