"""The program that breaks things on purpose: its mistakes, and what it calls seen or unseen."""

import ast
import textwrap
import time

import pytest
from small_books import good_book

from mutation import library
from mutation.chapter import Script, examine
from mutation.children import outcome
from mutation.choice import at_random, summary, untried
from mutation.operators import mutations
from mutation.purpose import idle


def made(source):
    """All mistakes in a source as {(operator, the source with it)}."""
    tree = ast.parse(source)
    found = set()
    for mutation in mutations(tree, "file.py"):
        with mutation.made():
            found.add((mutation.operator, ast.unparse(tree)))
    assert ast.unparse(tree) == ast.unparse(ast.parse(source))  # each was undone
    return found


@pytest.mark.parametrize(
    ("source", "operator", "broken"),
    [
        ("a + b", "sign", "a - b"),
        ("-a", "sign", "a"),
        ("n - 1", "n and n - 1", "n"),
        ("a * b", "factor 2", "2 * (a * b)"),
        ("a / b", "factor 1/2", "a / b / 2"),
        ("a ** 2", "dropped square", "a"),
        ("x.square()", "dropped square", "x"),
        ("torch.sqrt(x)", "dropped root", "x"),
        ("a ** 0.5", "dropped root", "a"),
        ("A.mT", "transpose", "A"),
        ("x[1]", "index", "x[2]"),
        ("x[1:]", "index", "x[2:]"),
        ("x[-1]", "index", "x[-2]"),
        ("x[:-1]", "index", "x[:-2]"),
        ("a += b", "sign", "a -= b"),
        ("range(n)", "index", "range(n - 1)"),
        ("s.alpha * s.alpha_bar", "alpha and alpha-bar", "s.alpha_bar * s.alpha_bar"),
        ("alpha * alpha_bar", "alpha and alpha-bar", "alpha * alpha"),
    ],
)
def test_a_mistake_of_each_kind_is_made_and_undone(source, operator, broken):
    assert (operator, broken) in made(source)


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('a' + b)",
        "def f(x: 'a * b') -> 'n - 1': pass",
        "'a' + b",
        "s.alpha",  # there is no alpha_bar to mix it up with
        "a += 'b'",
        "folder / 'a' / name",
        "a += 1",
        "f'{a * b}'",
        "'''a documentation with a * b'''",
    ],
)
def test_messages_types_and_documentation_are_left_alone(source):
    assert made(source) == set()


def keys(source):
    return [mutation.key for mutation in mutations(ast.parse(source), "file.py")]


def test_a_mistake_is_known_by_what_it_changes_and_not_by_its_line():
    assert keys("-a") == keys("\n\n-a") == ["file.py: -a -> a"]
    assert keys("class C:\n def f(self):\n  -a; -a") == [
        "file.py, C.f: -a -> a",
        "file.py, C.f: -a -> a (2)",
    ]


def test_the_choice_is_repeatable_keeps_the_order_and_changes_as_little_as_the_code():
    everything = mutations(ast.parse("-a; -b; -c; -d; -e; -f"), "file.py")
    assert at_random(None, 0)(everything) == at_random(9, 0)(everything) == everything
    chosen = at_random(4, 1)(everything)
    assert chosen == [mutation for mutation in everything if mutation in chosen]
    assert len(set(chosen)) == 4
    assert {tuple(at_random(4, seed)(everything)) for seed in range(9)} > {tuple(chosen)}
    more = mutations(ast.parse("-new; -a; -b; -c; -d; -e; -f"), "file.py")
    assert len({m.key for m in chosen} - {m.key for m in at_random(4, 1)(more)}) <= 1


def test_the_stored_outcome_names_who_was_killed_and_who_survives():
    everything = mutations(ast.parse("-a; -b; -c"), "file.py")
    stored = summary(everything, everything[:2], everything[1:2])
    assert (stored["possible"], stored["tried"], stored["killed"]) == (3, 2, 1)
    assert stored["killed keys"] == ["file.py: -a -> a"]
    assert stored["survivors"] == [{"key": "file.py: -b -> b", "line": 1, "operator": "sign"}]


def test_a_fresh_choice_has_nothing_that_was_tried():
    everything = mutations(ast.parse("-a; -b; -c; -d"), "file.py")
    stored = summary(everything, everything[:2], everything[1:2])  # one killed, one survives
    assert untried(stored, at_random(None, 0))(everything) == everything[2:]
    assert untried({}, at_random(None, 0))(everything) == everything


def test_a_fork_survives_is_killed_or_runs_out_of_time():
    def fail():
        raise RuntimeError

    assert outcome(lambda: True, 20) == "survived"
    assert outcome(lambda: False, 20) == "killed"
    assert outcome(fail, 20) == "killed"
    assert outcome(lambda: time.sleep(60) is None, 0.2) == "timeout"
    assert outcome(lambda: time.sleep(1.5) is None, 1, patience=60) == "survived"
    assert outcome(work_for_ever, 1, patience=600) == "timeout"


def work_for_ever():
    while True:
        pass


CELL = """\
import math
from derive import check
area = math.pi * 3 ** 2
twice = 2 * math.pi * 9  # nothing but a wrong version reads it
check.equal("one-sum", area, 28.274333882, tolerance=1e-6, because="ten digits",
            wrong={"no square": math.pi * 3, "twice": twice})
print(round(area + 1))
half = area / 2
unseen = half
assert unseen
"""


@pytest.mark.slow
def test_the_check_of_a_chapter_kills_what_is_wrong_under_it_and_nothing_else(tmp_path):
    root = good_book(tmp_path)
    path = root / "book/part/one.md"
    path.write_text(path.read_text().replace('check("one-sum")\n', CELL))
    told = []
    result = examine(Script(path), choose=at_random(None, 0), say=told.append)
    # Mistakes in the area are seen by the check, those in the print by those who compare prints.
    assert result["tried"] == result["possible"]
    assert result["killed"] >= 4
    assert result["seen in print only"] == [
        f"one.md, cell 1: area + 1 -> {how}" for how in ("area", "area - 1")
    ]
    survived = {survivor["key"] for survivor in result["survivors"]}
    assert survived == {
        f"one.md, cell 1: area / 2 -> {how}" for how in ("2 * (area / 2)", "area / 2 / 2")
    }


def test_what_serves_wrong_versions_only_is_no_place_for_a_mistake():
    code = """
        def used(x): return other(x)
        def other(x): return x
        def alone(x): return alone(x - 1) + wrong[0]
        a, b = used(1), 2
        wrong = [b]
        wrong[0] += 1
        late = wrong + [alone(1)]
        print(a)
    """
    statements = ast.parse(textwrap.dedent(code)).body
    assert idle(statements) == {statements[k] for k in (2, 4, 5, 6)}


@pytest.mark.slow
def test_the_unit_tests_kill_a_broken_library_and_spare_a_sound_one():
    """The whole way on one mistake: what is no mistake must survive."""
    code = (
        "from mutation import library\n"
        "from mutation.operators import Mutation, mutations\n"
        "import ast, copy, dataclasses\n"
        "file = 'lib/derive/exercise.py'\n"
        "tree = ast.parse((library.ROOT / file).read_text())\n"
        "tests = [library.ROOT / 'tests/lib/test_exercise.py']\n"
        "covering = library.measure('exercise', tests)\n"
        "place = next(n for n in ast.walk(tree) if isinstance(n, ast.If))\n"
        "def change(test):\n"
        "    line = place.lineno\n"
        "    return Mutation(file, '', line, line, 'o', 'b', 'a', place, 'test', None, test)\n"
        "same, other = copy.deepcopy(place.test), ast.UnaryOp(ast.Not(), place.test)\n"
        "ast.copy_location(other, place.test); ast.fix_missing_locations(other)\n"
        "print([library._seen(change(t), tree, covering, None) for t in (same, other)])\n"
    )
    assert library_says(code) == "[False, True]"


def library_says(code):
    """The last line a fresh process prints: forks are for processes without threads."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=library.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]
