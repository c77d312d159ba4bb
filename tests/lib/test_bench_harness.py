"""The benchmark harness: what it reports, and that a missed goal shows."""

import json
import platform
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def harness(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    from bench import harness

    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(harness, "TABLES", tmp_path / "tables")
    monkeypatch.setattr(harness, "ROOT", ROOT)
    return harness


@pytest.fixture
def results(harness):
    return [
        {
            "task": "sorting",
            "seconds": harness.summary({"ours": [0.1, 0.3, 0.2], "peer": [1.0, 1.0, 1.0]}),
            "ratios": [
                harness.ratio("peer / ours", 5.0, goal=4.0),
                harness.ratio("ours / limit", 5.0, goal=4.0, at_least=False),
            ],
        }
    ]


def test_candidates_take_turns_and_only_work_counts(harness):
    order = []

    def busy():
        order.append("busy")
        sum(range(200_000))

    def idle():
        order.append("idle")
        time.sleep(0.02)

    seconds = harness.cpu_seconds({"busy": busy, "idle": idle}, repeats=3)
    assert order == ["busy", "idle"] * 4
    assert len(seconds["busy"]) == 3
    assert max(seconds["idle"]) < 0.02  # asleep is not at work
    assert min(seconds["busy"]) > 0


def test_medians_and_goals_are_reported(harness, results):
    assert results[0]["seconds"]["ours"] == {"median": 0.2, "min": 0.1, "runs": 3}
    assert [claim["met"] for claim in results[0]["ratios"]] == [True, False]
    assert harness.significant(123456.0) == 123000.0


def test_results_are_written_with_their_table_and_without_the_machines_name(harness, results):
    path = harness.write("sorting", results, ("torch",))
    report = json.loads(path.read_text())
    assert report["results"] == results
    table = (harness.TABLES / "sorting.md").read_text()
    assert "| sorting: peer / ours | 5 | >= 4 |" in table
    assert "| sorting: ours / limit | 5 | <= 4 (missed) |" in table
    assert "| sorting | ours | 0.2 |" in table
    assert harness.missed(report) == ["sorting: ours / limit = 5, goal <= 4"]
    assert platform.node() not in report["machine"].values()


def test_the_command_fails_on_a_missed_goal_only_when_asked(harness, results, monkeypatch, capsys):
    monkeypatch.setattr(harness, "one_thread", lambda: None)
    monkeypatch.setattr(harness, "ROOT", harness.RESULTS.parent)
    monkeypatch.setattr("sys.argv", ["sorting"])
    harness.run("sorting", lambda: results)
    assert "missed:\n  sorting: ours / limit" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["sorting", "--check"])
    with pytest.raises(SystemExit, match="1"):
        harness.run("sorting", lambda: results)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_a_case_that_fails_is_shown_and_not_taken_for_little_memory(harness):
    unknown = {"name": "nothing", "n": 1, "d": 1, "k": 1}
    with pytest.raises(RuntimeError, match="sklearn_case failed"):
        harness.peak_extra_mb("bench.random_projection", "sklearn_case", **unknown)
