"""A chapter executed again gives the same bytes, and what does not is found."""

import copy
from pathlib import Path

import pytest
import yaml
from nbformat.v4 import new_output
from small_books import picture, record, write_book

from derive_book.__main__ import main
from derive_book.book import Book
from derive_book.repeat import differences

ROOT = Path(__file__).parents[2]

# Everything that has made outputs differ elsewhere: draws, sets, hashes, pictures, temporary files.
LIVELY = """\
# Lively

```{math}
:label: lively-mean
0.5 = 1/2
```

```{code-cell} python3
import tempfile
from pathlib import Path

import numpy as np
import torch

from derive import check
from derive.device import start
from derive.plotting import use_book_style

run = start(seed=3)
use_book_style()
draws = torch.rand(20_000, generator=run.generator, dtype=torch.float64)
print(draws.mean(), np.random.default_rng(run.seed).normal(), {"b", "a", "c"}, hash("word"))
check.sampled("lively-mean", draws, 0.5, wrong={"a third": 1 / 3, "one": 1.0})
```

```{code-cell} python3
:mystnb: {image: {alt: A cloud.}, figure: {name: fig-cloud, caption: A cloud of draws.}}
import matplotlib.pyplot as plt

fig, ax = plt.subplots()
ax.plot(draws[:500], draws[500:1000], ".")
plt.show()
```

```{code-cell} python3
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "file").write_text("x")
    print(len(list(Path(folder).iterdir())))
torch.stack([m @ m.T for m in draws[:2000].view(5, 20, 20)]).sum().item()
```
"""
RESTLESS = """\
# Restless

```{code-cell} python3
import time

print(1)
```

```{code-cell} python3
time.perf_counter_ns()
```

```{code-cell} python3
:tags: [nbval-ignore-output]
time.perf_counter_ns()
```
"""


@pytest.mark.slow
def test_two_executions_write_the_same_file(tmp_path):
    write_book(tmp_path, {"one": LIVELY})
    files = []
    for folder in ("first", "second"):
        command = ["--root", str(tmp_path), "execute", "one", "--out", str(tmp_path / folder)]
        assert main(command) == 0
        files.append((tmp_path / folder / "one.ipynb").read_bytes())
    assert b"image/png" in files[0]
    assert b"0 violations" not in files[0]
    assert files[0] == files[1]


@pytest.mark.slow
def test_a_chapter_that_shows_the_time_is_named_with_its_cell(tmp_path, capsys):
    write_book(tmp_path, {"one": RESTLESS})
    assert main(["--root", str(tmp_path), "repeat", "one"]) == 1
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert line.startswith(
        "book/part/one.md:15: code cell 2 shows another text/plain when executed"
    )
    assert "book/part/one.md: 1 problem(s)" in printed.out


def test_the_command_says_when_all_is_the_same(tmp_path, capsys, monkeypatch):
    write_book(tmp_path)
    monkeypatch.setattr("derive_book.repeat.run", lambda chapter, profile: [[record("one-sum")]])
    assert main(["--root", str(tmp_path), "repeat"]) == 0
    assert "book/part/one.md: twice the same" in capsys.readouterr().out


def altered(outputs, change):
    again = copy.deepcopy(outputs)
    change(again[0])
    return again


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda cell: cell[0].update(text="2\n"), "another text when"),
        (lambda cell: cell[1].data.update({"image/png": "AAAA"}), "another image/png when"),
        (lambda cell: cell[1].data.update({"text/plain": "<other>"}), "another text/plain when"),
        (lambda cell: cell[2].metadata.clear(), "another metadata when"),
        (lambda cell: cell[2].data.popitem(), "shows another application/"),
        (lambda cell: cell.pop(), "another number of outputs when"),
    ],
    ids=["text", "picture", "its text", "what was measured", "a part less", "one less"],
)
def test_every_difference_is_seen(tmp_path, change, what):
    write_book(tmp_path)
    chapter = Book(tmp_path).chapter("one")
    outputs = [[new_output("stream", name="stdout", text="1\n"), picture(), record("one-sum")]]
    assert differences(chapter, outputs, copy.deepcopy(outputs)) == []
    [problem] = differences(chapter, outputs, altered(outputs, change))
    assert problem.line == chapter.code[0].line
    assert what in problem.what


def test_every_week_chapters_run_with_two_threads_and_twice():
    """The commands that CONTRIBUTING.md names, in a workflow."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/repeat.yml").read_text(encoding="utf-8"))
    assert "schedule" in workflow[True]  # YAML 1.1 reads `on` as true
    commands = {step.get("run") for job in workflow["jobs"].values() for step in job["steps"]}
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in ("make threads", "make repeat"):
        assert name in commands
        assert f"`{name}" in contributing
