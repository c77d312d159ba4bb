"""derive.exercise: the self-check of an exercise."""

import pytest

from derive.exercise import self_check

TESTS = (
    (lambda answer: answer > 0, "it is positive"),
    (lambda answer: answer == 2, "count the pairs"),
)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "not answered yet\n"),
        (-2, "not yet: it is positive\n"),
        (3, "not yet: count the pairs\n"),
        (2, "right\n"),
    ],
    ids=["nothing", "first hint", "second hint", "right"],
)
def test_a_reader_sees_one_line(capsys, answer, says):
    self_check(answer, *TESTS)
    assert capsys.readouterr().out == says


def test_an_answer_of_another_kind_gets_a_hint_and_stops_nothing(capsys):
    self_check("two", *TESTS)
    assert "not yet: it is positive (trying your answer gave TypeError" in capsys.readouterr().out


def test_an_error_that_is_the_authors_is_not_swallowed():
    with pytest.raises(NameError):
        self_check(1, (lambda answer: undefined_name, "hint"))


def test_a_check_without_a_test_is_refused():
    with pytest.raises(ValueError, match="at least one test"):
        self_check(1)
