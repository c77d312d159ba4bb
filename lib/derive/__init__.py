"""The library of the book *Derive & Run*: one module a subject."""

__version__ = "0.1.0"
