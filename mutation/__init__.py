"""Do the book's tests and checks see a wrong library? Break it on purpose and count.

`python -m mutation library transport` breaks the library's code one place at a time and runs the
unit tests that cover the place, then, if none objects, the chapter. `python -m mutation chapter
hsic` breaks the code under a chapter's equations. What survives is a hole in the tests, or is
argued in `equivalent.json` to be no mistake at all.
"""
