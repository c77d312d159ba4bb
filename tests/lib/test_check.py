"""`derive.check`: each check passes what is right, fails what is wrong, refuses the rest."""

import doctest
import importlib
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import stats

from derive import check
from derive.check import CheckFailed, CheckRefused

x, y, lam = sp.symbols("x y lambda", positive=True)
k = sp.Symbol("k", integer=True, positive=True)
DOUBLE = {"no factor 2": sp.sin(x) * sp.cos(x), "squared": 2 * sp.sin(x) ** 2}
TWO_WRONG = {"plus one": 1.0, "minus one": -1.0}
rng = np.random.default_rng(0)


@pytest.mark.parametrize("module", ["_formula", "_number", "_chance"])
def test_examples_in_the_docstrings_run(module):
    failed, tried = doctest.testmod(importlib.import_module(f"derive.check.{module}"))
    assert tried
    assert not failed


# ---- what all six share -----------------------------------------------------------------------


@pytest.mark.parametrize("label", ["", "JL-norm", "jl_norm", "-jl", "jl--norm", 3])
def test_a_malformed_label_is_refused(label):
    with pytest.raises(CheckRefused, match="a label is small letters"):
        check.equal(label, 1, 1, wrong={"a": 2, "b": 3})


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: check.identity("a", sp.sin(2 * x), x, domain={x: (0, 1)}, wrong=wrong),
        lambda wrong: check.equal("a", 1, 1, wrong=wrong),
        lambda wrong: check.bound("a", 1, 2, wrong=wrong),
        lambda wrong: check.order(
            "a", [1, 2, 3], [1, 2, 3], slope=1, tolerance=0.1, because="exact", wrong=wrong
        ),
        lambda wrong: check.sampled("a", rng.normal(size=100), 0, wrong=wrong),
        lambda wrong: check.observed("a", [1, 2, 3], low=0, wrong=wrong),
    ],
    ids=["identity", "equal", "bound", "order", "sampled", "observed"],
)
def test_fewer_than_two_wrong_versions_are_refused(call):
    with pytest.raises(CheckRefused, match="at least 2 wrong versions to reject, got 1"):
        call({"only one": 5})
    with pytest.raises(CheckRefused, match="dict of names"):
        call(["no", "names"])


def test_a_failed_check_says_label_both_sides_and_difference():
    with pytest.raises(CheckFailed) as failure:
        check.equal("sum-rule", [1, 2, 3], [1, 2, 4], wrong={"a": [0, 0, 0], "b": [9, 9, 9]})
    message = str(failure.value)
    assert "sum-rule (equal) does not hold: off by 1" in message
    assert "left: 3 (case 2)" in message
    assert "right: 4 (case 2)" in message
    assert "difference: 1" in message


def test_an_accepted_wrong_version_fails_the_check():
    with pytest.raises(CheckFailed, match="also accepts the wrong version 'the same again'"):
        check.equal("a", 2 + 2, 4, wrong={"five": 5, "the same again": 2 * 2})


def test_the_record_names_every_rejected_version():
    record = check.equal("two-and-two", 2 + 2, 4, wrong={"five": 5, "three": 3})
    assert record.wrong == {"five": "off by 1", "three": "off by 1"}
    assert record.line == "✓ two-and-two · equal: exactly equal; rejects five, three"
    bundle = record.bundle()
    assert set(bundle) == {"text/plain", "text/html", check.MIME}
    assert bundle[check.MIME]["label"] == "two-and-two"
    assert bundle[check.MIME]["false_alarm"] == 0


def test_names_are_escaped_in_html():
    record = check.equal("a", 4, 4, wrong={"<script>": 5, "three": 3})
    assert "<script>" not in record.bundle()["text/html"]


def test_a_notebook_shows_the_line_once(monkeypatch):
    import IPython

    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(
        IPython.display, "display", lambda data, **options: shown.append((data, options))
    )
    record = check.equal("a", 4, 2 + 2, wrong={"five": 5, "three": 3})
    record._ipython_display_()
    [(data, options)] = shown
    assert data["text/plain"] == record.line
    assert options["raw"]
    assert set(options["metadata"][check.MIME]) == {"measured"}


def test_a_plain_process_prints_nothing(capsys):
    check.equal("a", 4, 2 + 2, wrong={"five": 5, "three": 3})
    assert capsys.readouterr().out == ""


# ---- identity ---------------------------------------------------------------------------------


def test_identity_is_proved():
    record = check.identity(
        "double-angle", sp.sin(2 * x), 2 * sp.sin(x) * sp.cos(x), domain={x: (0, 3)}, wrong=DOUBLE
    )
    assert record.figure == "proved; 30 digits at 50 points"
    assert record.measured["largest relative difference"] < 1e-30


def test_identity_agrees_where_algebra_cannot_decide():
    record = check.identity(
        "double-angle",
        sp.sin(2 * x),
        2 * sp.sin(x) * sp.cos(x),
        domain={x: (0, 3)},
        wrong=DOUBLE,
        simplify=lambda difference: difference,
    )
    assert record.figure == "agree; 30 digits at 50 points"


def test_identity_evaluates_integrals_and_dependent_domains():
    t = sp.Symbol("t", real=True)
    left = sp.Integral(sp.exp(lam * t) / y, (t, 0, 1))
    right = (sp.exp(lam) - 1) / (lam * y)
    record = check.identity(
        "exponential",
        left,
        right,
        domain={y: (1, 2), lam: (0, y / 2)},
        wrong={"no minus one": right + 1 / (lam * y), "sign": -right},
        digits=12,
        simplify=lambda difference: difference,
    )
    assert "12 digits" in record.figure


def test_identity_over_integers():
    i = sp.Symbol("i", integer=True)
    check.identity(
        "triangular",
        sp.Sum(i, (i, 1, k)),
        k * (k + 1) / 2,
        domain={k: (1, 40)},
        wrong={"k - 1": k * (k - 1) / 2, "half the square": k**2 / 2},
    )


def test_identity_fails_and_shows_where():
    with pytest.raises(CheckFailed, match=r"differ by 0\.\d+ \(relative\) at x = ") as failure:
        check.identity(
            "double-angle",
            sp.sin(2 * x),
            sp.sin(x) * sp.cos(x),
            domain={x: (0, 3)},
            wrong={"a": x, "b": 2 * x},
        )
    assert "left: sin(2*x) = " in str(failure.value)


def test_identity_notices_a_difference_far_below_the_noticeable():
    with pytest.raises(CheckFailed, match="does not hold"):
        check.identity(
            "almost",
            sp.sin(x) ** 2 + sp.cos(x) ** 2 + x * sp.Rational(1, 10**20),
            1 + 0 * x,
            domain={x: (1, 2)},
            wrong={"a": sp.Integer(2), "b": x},
            independent_of=[x],
        )


def test_identity_rejects_a_wrong_version_that_is_right_in_disguise():
    with pytest.raises(CheckFailed, match="also accepts the wrong version 'disguise'"):
        check.identity(
            "double-angle",
            sp.sin(2 * x),
            2 * sp.sin(x) * sp.cos(x),
            domain={x: (0, 3)},
            wrong={"squared": 2 * sp.sin(x) ** 2, "disguise": sp.sin(x + x)},
        )


@pytest.mark.parametrize(
    ("left", "right", "options", "message"),
    [
        (sp.sin(x), sp.sin(x), {}, "both sides are the same expression"),
        (sp.Integer(1), sp.cos(0) + 1, {}, "no side has a free symbol"),
        (x + y, x + 1, {}, "y is free on one side only"),
        (sp.sin(2 * x), 2 * sp.sin(x) * sp.cos(x), {"domain": {y: (0, 1)}}, "no domain for x"),
        (sp.sin(2 * x), 2 * sp.sin(x) * sp.cos(x), {"domain": {x: (1, 1)}}, "x is empty"),
        (sp.sin(2 * x), 2 * sp.sin(x) * sp.cos(x), {"points": 5}, "points >= 50"),
        (sp.sin(2 * x), 2 * sp.sin(x) * sp.cos(x), {"digits": 3}, "digits >= 12"),
        (sp.Function("f")(x), x**2, {}, "has no numerical value"),
        (1 / (x - x) + x, x**2, {}, "no numerical value|free on one side"),
    ],
    ids=[
        "circular",
        "constant",
        "free symbol",
        "no domain",
        "empty domain",
        "few points",
        "few digits",
        "undefined function",
        "division by zero",
    ],
)
def test_identity_refuses(left, right, options, message):
    settings = {"domain": {x: (0, 1), y: (0, 1)}, "wrong": {"a": 3 * x, "b": 4 * x}} | options
    with pytest.raises(CheckRefused, match=message):
        check.identity("a", left, right, **settings)


def test_identity_may_claim_independence():
    check.identity(
        "pythagoras",
        x * (sp.sin(y) ** 2 + sp.cos(y) ** 2),
        x,
        domain={x: (1, 2), y: (0, 1)},
        independent_of=[y],
        wrong={"twice": 2 * x, "squared": x**2},
    )


# ---- equal ------------------------------------------------------------------------------------


def test_equal_compares_fractions_exactly():
    thirds = [Fraction(1, 3), Fraction(2, 3)]
    record = check.equal(
        "thirds", thirds, [1 - thirds[1], 1 - thirds[0]], wrong={"a": [0, 1], "b": [1, 1]}
    )
    assert record.figure == "exactly equal, 2 cases"
    with pytest.raises(CheckFailed, match="off by"):
        check.equal("thirds", Fraction(1, 3), Fraction(10**20 // 3, 10**20), wrong=TWO_WRONG)


def test_equal_does_not_wrap_around_unsigned_integers():
    with pytest.raises(CheckFailed, match="off by 1"):
        check.equal("bytes", np.uint8(0), np.uint8(1), wrong={"a": 7, "b": 8})


@pytest.mark.parametrize(
    ("relative_to", "holds"), [("largest", True), ("one", True), ("each", False)]
)
def test_equal_measures_against_what_it_is_told(relative_to, holds):
    left, right = np.array([1.0, 1e-9]), torch.tensor([1.0, 2e-9], dtype=torch.float64)
    settings = {
        "tolerance": 1e-6,
        "because": "six digits",
        "relative_to": relative_to,
        "wrong": {"a": right * 2, "b": right + 1},
    }
    if holds:
        assert (
            "equal within 1.0e-06 (six digits), 2 cases"
            in check.equal("small", left, right, **settings).figure
        )
    else:
        with pytest.raises(CheckFailed, match=r"off by 0\.5"):
            check.equal("small", left, right, **settings)


def test_equal_takes_tensors_of_any_kind():
    tensor = torch.tensor([1.0, 2.0], requires_grad=True)
    for values in (tensor, tensor.bfloat16(), [tensor[0], tensor[1]]):
        check.equal(
            "values",
            values,
            [1.0, 2.0],
            tolerance=1e-2,
            because="bfloat16",
            wrong={"a": [2.0, 1.0], "b": [0.0, 0.0]},
        )


def test_equal_compares_complex_numbers():
    check.equal(
        "euler",
        np.exp(1j * np.array([0.0, np.pi])),
        np.array([1, -1 + 0j]),
        tolerance=check.rounding(8),
        because="one exponential",
        wrong={"conjugate of i": [1j, -1j], "one": [1, 1]},
    )


same = np.array([1.0, 2.0])
tensor = torch.ones(3)


@pytest.mark.parametrize(
    ("left", "right", "options", "message"),
    [
        (same, same, {}, "same object"),
        (same, same[:], {}, "same object"),
        (tensor, tensor.view(3), {}, "same object"),
        ([], [], {}, "left is empty"),
        ([1.0, np.nan], [1.0, 2.0], {}, "1 entries that are not finite"),
        ([1.0, 1.0], [1.0, 1.0], {}, "constant over all 2 cases"),
        (np.ones((3, 1)), np.arange(3.0), {}, r"shapes \(3, 1\) and \(3,\)"),
        (0.1 + 0.2, 0.3, {"tolerance": None}, "need tolerance="),
        (0.1 + 0.2, 0.3, {"because": None}, "needs tolerance > 0 with because"),
        (0.1 + 0.2, 0.3, {"tolerance": 0.0}, "needs tolerance > 0"),
        (0.1 + 0.2, 0.3, {"relative_to": "both"}, "'largest', 'each' or 'one'"),
    ],
    ids=str,
)
def test_equal_refuses(left, right, options, message):
    settings = {"tolerance": 1e-9, "because": "a reason", "wrong": TWO_WRONG} | options
    with pytest.raises(CheckRefused, match=message):
        check.equal("a", left, right, **settings)


def test_equal_needs_numbers():
    with pytest.raises((TypeError, ValueError)):
        check.equal("a", "three", "drei", wrong={"a": 1, "b": 2})


def test_rounding_grows_with_the_terms():
    assert check.rounding(100) == 100 * np.finfo(np.float64).eps
    assert check.rounding(1, torch.float32) == np.finfo(np.float32).eps
    with pytest.raises(ValueError, match="at least one term, got 0"):
        check.rounding(0)


# ---- bound ------------------------------------------------------------------------------------

grid = np.linspace(0.1, 3, 30)


def test_bound_counts_cases_and_says_how_tight():
    record = check.bound("sine", np.sin(grid), grid, wrong={"x/2": grid / 2, "x^2": grid**2})
    assert record.figure == "no violation in 30 cases, largest ratio 0.998"
    assert record.wrong["x/2"] == f"violated in {(np.sin(grid) > grid / 2).sum()} of 30 cases"


def test_bound_follows_a_chain():
    check.bound(
        "chain",
        grid - grid**3 / 6,
        np.sin(grid),
        grid,
        wrong={"x/2": grid / 2, "turned round": (grid, np.sin(grid), grid - grid**3 / 6)},
    )


def test_bound_fails_in_one_case_of_many():
    larger = grid.copy()
    larger[7] = 0
    with pytest.raises(CheckFailed, match="violated in 1 of 30 cases") as failure:
        check.bound("sine", np.sin(grid), larger, wrong={"a": grid * 0, "b": -grid})
    assert "(case 7)" in str(failure.value)


def test_bound_allows_rounding_only_with_a_reason():
    settings = {"wrong": {"half": 0.5, "zero": 0.0}}
    check.bound("one", 1 + 1e-15, 1.0, slack=1e-14, because="rounding", **settings)
    with pytest.raises(CheckFailed):
        check.bound("one", 1 + 1e-15, 1.0, **settings)
    with pytest.raises(CheckRefused, match="needs because"):
        check.bound("one", 1 + 1e-15, 1.0, slack=1e-14, **settings)


def test_bound_takes_fractions():
    thirds = [Fraction(1, 3), Fraction(2, 3)]
    record = check.bound("thirds", thirds, Fraction(3, 4), wrong={"half": 0.5, "none": 0})
    assert record.figure == "no violation in 2 cases, largest ratio 0.889"


def test_bound_shows_no_ratio_where_signs_differ():
    record = check.bound("sign", [-1.0, -2.0], [1.0, 0.0], wrong={"a": [-2.0, -3.0], "b": -5.0})
    assert record.figure == "no violation in 2 cases"


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ((grid,), "at least two sides"),
        ((grid, np.inf), "infinite side"),
        ((-np.inf, grid), "infinite side"),
        ((grid, []), "is empty"),
        ((grid, np.full(30, np.nan)), "not finite"),
        ((grid, grid[:-1]), "shapes"),
    ],
    ids=["one side", "infinite", "minus infinite", "empty", "nan", "shapes"],
)
def test_bound_refuses(chain, message):
    with pytest.raises(CheckRefused, match=message):
        check.bound("a", *chain, wrong={"a": grid / 2, "b": grid / 3})


# ---- order ------------------------------------------------------------------------------------

steps = np.array([0.1, 0.05, 0.02, 0.01])


def test_order_measures_the_slope():
    record = check.order(
        "midpoint",
        steps,
        3 * steps**2,
        slope=2,
        tolerance=0.01,
        because="pure power",
        wrong={"first": 1, "a first-order formula": steps + steps**2},
    )
    assert record.figure == "slope 2.00 against 2"


def test_order_fails_on_another_rate():
    with pytest.raises(CheckFailed, match=r"slope 1\.00 against 2"):
        check.order(
            "midpoint", steps, steps, slope=2, tolerance=0.1, because="a", wrong={"a": 3, "b": 4}
        )


@pytest.mark.parametrize(
    ("sizes", "errors", "options", "message"),
    [
        (steps[:2], steps[:2], {}, "at least 3 different sizes"),
        ([1, 1, 1, 1], steps, {}, "at least 3 different sizes"),
        (-steps, steps, {}, "sizes > 0"),
        (steps, 0 * steps, {}, "not zero"),
        (steps, steps[:3], {}, "one error"),
        (steps, steps, {"tolerance": 0}, "tolerance > 0"),
        (steps, steps, {"because": ""}, "because"),
    ],
)
def test_order_refuses(sizes, errors, options, message):
    settings = {"slope": 1, "tolerance": 0.1, "because": "a", "wrong": {"a": 3, "b": 4}} | options
    with pytest.raises(CheckRefused, match=message):
        check.order("a", sizes, errors, **settings)


# ---- sampled ----------------------------------------------------------------------------------


def normal(num, seed=0):
    return np.random.default_rng(seed).normal(size=num)


def test_sampled_accepts_the_mean_and_states_its_power():
    record = check.sampled("mean", normal(4000), 0, wrong=TWO_WRONG)
    assert record.kind == "sampled"
    assert record.false_alarm == 1e-9
    assert record.power >= 0.99
    assert record.figure.endswith("against 0, 4000 draws")
    assert 0 < record.measured["p"] <= 1


def test_sampled_rejects_a_wrong_mean():
    with pytest.raises(CheckFailed, match=r"does not hold.*against 0\.5") as failure:
        check.sampled("mean", normal(4000), 0.5, wrong={"plus two": 2, "minus": -1})
    assert "z = -" in str(failure.value)


def test_sampled_reads_several_means_at_once():
    draws = normal(6000).reshape(2000, 3) + np.array([0.0, 1.0, 2.0])
    wrong = {"turned round": [2, 1, 0], "one for the last": [0, 1, 1]}
    record = check.sampled("means", draws, [0, 1, 2], wrong=wrong)
    assert "3 x 2000 draws" in record.figure
    with pytest.raises(CheckFailed):
        check.sampled("means", draws, [0, 1, 1], wrong={"a": [2, 1, 0], "b": [5, 5, 5]})


@pytest.mark.parametrize(("relation", "expected"), [("<=", 0.2), (">=", -0.2)])
def test_sampled_tests_inequalities(relation, expected):
    wrong = {"by half": -2.5 * expected, "by one": -5 * expected}
    check.sampled("mean", normal(4000), expected, relation=relation, wrong=wrong)
    with pytest.raises(CheckFailed):
        check.sampled("mean", normal(4000), -expected, relation=relation, wrong=wrong)


def test_sampled_tests_probabilities_exactly():
    tosses = np.random.default_rng(1).random(3000) < 0.3
    record = check.sampled("toss", tosses, 0.3, wrong={"half": 0.5, "one minus": 0.7})
    p = stats.binomtest(int(tosses.sum()), 3000, 0.3).pvalue
    assert record.measured["p"] == pytest.approx(p, rel=0.1)  # scipy weighs the tails differently
    with pytest.raises(CheckFailed):
        check.sampled("toss", tosses, 0.5, wrong={"one minus": 0.7, "none": 0.0})


@pytest.mark.parametrize(("relation", "wrong"), [("<=", 1e-4), (">=", 0.9)])
def test_sampled_bounds_probabilities(relation, wrong):
    tosses = np.random.default_rng(1).random(3000) < 0.3
    record = check.sampled(
        "toss", tosses, 0.3, relation=relation, wrong={"far": wrong, "near": (wrong + 0.3) / 2}
    )
    assert record.power >= 0.99


def test_the_binomial_test_keeps_its_level_and_its_power():
    """The acceptance region against the binomial law itself, at a share where tails show."""
    from derive.check._chance import _Proportion

    column = _Proportion("a", np.arange(200) < 60, "=", 1e-3)
    lowest, highest = column._accepted(0.3)
    law = stats.binom(200, 0.3)
    assert law.cdf(lowest - 1) < 5e-4 <= law.cdf(lowest)
    assert law.sf(highest) < 5e-4 <= law.sf(highest - 1)
    rejected = 1 - (stats.binom(200, 0.5).cdf(highest) - stats.binom(200, 0.5).cdf(lowest - 1))
    assert column.power(0.5, 0.3) == pytest.approx(rejected)


def test_the_power_of_the_mean_is_what_simulation_finds():
    from derive.check._chance import _Mean

    column = _Mean("a", normal(400, seed=3), "=", 1e-6)
    distance = 5.5 * column.error
    means = np.random.default_rng(4).normal(0, column.error, size=100_000)
    found = np.mean(abs(means - distance) / column.error > column.critical)
    assert column.power(0, distance) == pytest.approx(found, abs=4.9 * 0.5 / np.sqrt(100_000))


def test_the_skewness_term_keeps_the_level_of_skew_draws():
    """Means of 300 exponential draws, level 1 %: the plain normal test rejects too often."""
    from derive.check._chance import _Mean

    draws = np.random.default_rng(5).exponential(size=(6000, 300))
    tests = [_Mean("a", row, ">=", 1e-2) for row in draws]
    rejected = np.mean([not test.test(1.0).holds for test in tests])
    plain = np.mean([(1 - test.estimate) / test.error > stats.norm.isf(1e-2) for test in tests])
    noise = 4.9 * np.sqrt(1e-2 * 0.99 / 6000)
    assert plain > 1e-2 + noise
    assert rejected <= 1e-2 + noise


def test_sampled_refuses_too_little_power_and_says_how_many_draws():
    with pytest.raises(CheckRefused, match="draw at least") as refusal:
        check.sampled("mean", normal(1000), 0, wrong={"near": 0.1, "far": 2.0})
    needed = int(str(refusal.value).split("at least ")[1].split(".")[0])
    check.sampled("mean", normal(int(needed * 1.1)), 0, wrong={"near": 0.1, "far": 2.0})
    tosses = np.random.default_rng(1).random(200) < 0.5
    with pytest.raises(CheckRefused, match="draw at least"):
        check.sampled("toss", tosses, 0.5, wrong={"near": 0.49, "far": 0.9})


@pytest.mark.parametrize(
    ("draws", "expected", "options", "message"),
    [
        (normal(1000), 0, {"wrong": {"same": 0, "far": 2}}, "it is the claim itself"),
        (np.ones(100), 1, {}, "nothing is random"),
        (normal(10), 0, {}, "at least 20 draws"),
        (np.zeros((30, 2, 2)), 0, {}, "shape"),
        (normal(100), [0, 0], {}, "1 quantities were drawn, got 2 values"),
        (normal(100), 0, {"relation": "<"}, "relation must be"),
        (normal(100), 0, {"share": 0.01}, "share must be"),
        (np.exp(4 * normal(500)), 1, {}, "skewness .* too few .* draw at least"),
        (normal(500) < 0, 0.5, {"wrong": {"a": 1.5, "b": 0}}, r"probability lies in \[0, 1\]"),
    ],
    ids=[
        "wrong is right",
        "constant",
        "few draws",
        "three axes",
        "two values",
        "relation",
        "share",
        "skew",
        "not a probability",
    ],
)
def test_sampled_refuses(draws, expected, options, message):
    settings = {"wrong": {"plus": 1, "minus": 0}} | options
    with pytest.raises(CheckRefused, match=message):
        check.sampled("a", draws, expected, **settings)


# ---- observed ---------------------------------------------------------------------------------


def test_observed_counts_the_seeds():
    record = check.observed(
        "heats", [3.1, 2.7, 3.4], low=2, high=4, wrong={"off": [0.1, 0, 0.2], "hot": [5, 6, 7]}
    )
    assert record.figure == "3 of 3 seeds in [2, 4]"
    assert record.measured["median"] == 3.1


def test_observed_takes_a_share():
    values = [1, 1, 1, 9]
    wrong = {"a": [9, 9, 9], "b": [0, 0, 0]}
    check.observed("most", values, low=0.5, high=2, share=0.75, wrong=wrong)
    with pytest.raises(CheckFailed, match="3 of 4 seeds"):
        check.observed("most", values, low=0.5, high=2, wrong=wrong)


@pytest.mark.parametrize(
    ("effects", "options", "message"),
    [
        ([1, 2], {}, "at least 3 seeds, got 2"),
        ([1, 2, 3], {"low": -np.inf}, "excludes nothing"),
        ([1, 2, 3], {"low": 5, "high": 4}, "excludes nothing or all"),
        ([1, 2, 3], {"share": 0.5}, "share must be"),
        ([1, np.nan, 3], {}, "not finite"),
    ],
)
def test_observed_refuses(effects, options, message):
    settings = {"low": 0, "wrong": {"a": [-1, -1, -1], "b": [-2, -2, -2]}} | options
    with pytest.raises(CheckRefused, match=message):
        check.observed("a", effects, **settings)


# ---- how much of its room a check used ----------------------------------------------------------


def test_used_room_of_numbers_is_the_share_of_the_tolerance():
    record = check.equal("a", 1.0005, 1.0, tolerance=1e-3, because="test", wrong={"2": 2, "0": 0})
    assert record.measured["used"] == pytest.approx(0.5)
    exact = check.equal("a", 3, 3, wrong={"two": 2, "four": 4})
    assert exact.measured["used"] == 0
    tight = check.bound("a", [1.0, 2.0], [4.0, 2.5], wrong={"half": [0.5, 1], "one": [1, 1]})
    assert tight.measured["used"] == pytest.approx(0.8)
    h = np.array([0.1, 0.05, 0.025])
    fitted = check.order(
        "a", h, h**2.05, slope=2, tolerance=0.1, because="test", wrong={"1": 1, "3": 3}
    )
    assert fitted.measured["used"] == pytest.approx(0.5)


def test_used_room_of_a_mean_is_the_share_of_the_critical_value():
    draws = normal(4000)
    z = draws.mean() / (draws.std(ddof=1) / np.sqrt(4000))
    record = check.sampled("a", draws, 0, wrong=TWO_WRONG)
    assert 6 < abs(z) / record.measured["used"] < 7  # the critical value at a share of 1e-9
    assert record.measured["p values"] == [pytest.approx(record.measured["p"], rel=1e-3)]
    assert record.measured["exact law"] is False


@pytest.mark.parametrize(("relation", "used"), [("=", True), ("<=", False), (">=", True)])
def test_used_room_of_hits_counts_the_side_that_could_reject(relation, used):
    tosses = np.arange(4000) < 1950  # fewer than half
    wrong = {"<=": {"a": 0.2, "b": 0.3}, ">=": {"a": 0.7, "b": 0.8}, "=": {"a": 0.2, "b": 0.8}}
    record = check.sampled("a", tosses, 0.5, relation=relation, wrong=wrong[relation])
    assert bool(0 < record.measured["used"] < 1) == used
    assert record.measured["exact law"] is True
