"""Does it all work elsewhere: under other Pythons, with the lowest and the newest packages?

`make matrix` makes an environment for each row of `ENVIRONMENTS` whose Python is present, runs the
unit tests and the notebooks there, and stores what came of it for the page `trust`.
"""
