"""Checks that could have failed: six ways to test a numbered equation of the book.

Every check works the same way. It has a *judge*, which looks at one version of the claim and
says whether it holds. The judge must accept the version the book prints, and must reject every
*wrong version* that the author names: a dropped factor, a flipped sign, n for n - 1. A judge that
accepts a wrong version cannot tell right from wrong, and that fails the check too.

| check | the claim | what decides |
|---|---|---|
| `identity` | two formulas are the same | algebra, and 50 random points at high precision |
| `equal` | two computations agree | a tolerance with a reason |
| `bound` | one thing never exceeds another | every case tried |
| `order` | an error shrinks at a stated rate | the slope in log-log |
| `sampled` | a mean or probability has a value | a test with computed false alarm and power |
| `observed` | an experiment comes out as predicted | the share of seeds |
"""

from derive.check._chance import observed, sampled
from derive.check._formula import identity
from derive.check._number import bound, equal, order, rounding
from derive.check._record import MIME, CheckFailed, CheckRefused, Record

__all__ = [
    "MIME",
    "CheckFailed",
    "CheckRefused",
    "Record",
    "bound",
    "equal",
    "identity",
    "observed",
    "order",
    "rounding",
    "sampled",
]
