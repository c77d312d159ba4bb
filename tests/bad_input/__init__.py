"""Every public function of the library with bad input: what comes of it, and the book's table.

`entry` and the modules named after subjects hold one valid call of each function; `cases` makes
the bad calls from it; `verdict` makes them and says what came of it; `table` writes the page.
Run `PYTHONPATH=tests python -m bad_input` to write the page again.
"""
