"""derive.data: docstrings as text, and the committed measurements."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from derive.data import bench_results, docstrings, measurements, texts, trust_results


@pytest.fixture(scope="module")
def corpus():
    return docstrings(60)


def file_of(module):
    """The source file of a dotted name, by walking down its parts."""
    package, *parts = module.split(".")
    path = Path(importlib.util.find_spec(package).origin).parent
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    if parts and (path / f"{parts[0]}.py").is_file():
        return path / f"{parts.pop(0)}.py", parts
    return path / "__init__.py", parts


def test_each_text_is_the_docstring_its_name_says(corpus):
    for text, name in zip(corpus.texts, corpus.names, strict=True):
        path, inner = file_of(name)
        node = ast.parse(path.read_text(encoding="utf-8"))
        for part in inner:  # names can repeat (overloads, branches): any of them may hold the text
            node = next(
                child
                for child in node.body
                if getattr(child, "name", None) == part
                and (part != inner[-1] or ast.get_docstring(child) == text)
            )
        assert ast.get_docstring(node) == text


def test_a_smaller_corpus_is_the_start_of_a_larger_one(corpus):
    few = docstrings(25)
    assert few.texts == corpus.texts[:25]
    assert few.names == corpus.names[:25]


def test_texts_are_long_enough_and_all_different(corpus):
    assert min(map(len, corpus.texts)) >= 400
    assert len(set(corpus.texts)) == len(corpus.texts) == 60


def test_min_length_decides_what_is_taken():
    assert min(map(len, docstrings(5, min_length=3000).texts)) >= 3000
    assert min(map(len, docstrings(60, min_length=1).texts)) < 400


def test_a_corpus_mixes_the_three_packages():
    packages = {name.split(".")[0] for name in docstrings(200).names}
    assert packages == {"numpy", "scipy", "sklearn"}


def test_reading_the_sources_imports_none_of_them():
    code = (
        "import sys; from derive.data import docstrings; before = set(sys.modules); "
        "docstrings(40); new = set(sys.modules) - before; "
        "print([m for m in new if m.split('.')[0] in ('numpy', 'scipy', 'sklearn')])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_source_that_warns_or_does_not_parse_is_no_trouble(tmp_path):
    odd = tmp_path / "odd.py"
    odd.write_text('"""Doc with a stray \\d in it."""\ndef f():\n    "inner"\n')
    assert list(texts._documented("odd", odd)) == [
        ("odd", "Doc with a stray \\d in it."),
        ("odd.f", "inner"),
    ]
    odd.write_text("{{ template }} not python")
    assert list(texts._documented("odd", odd)) == []


@pytest.mark.parametrize(
    ("num", "options", "error", "message"),
    [
        (0, {}, ValueError, "num=0 and"),
        (3, {"min_length": 0}, ValueError, "min_length=0"),
        (3, {"min_length": 10**7}, ValueError, "hold 0 different docstrings .* got num=3"),
        (3.0, {}, TypeError, "num"),
    ],
    ids=["no text", "no length", "too long", "not a whole number"],
)
def test_docstrings_rejects(num, options, error, message):
    with pytest.raises(error, match=message):
        docstrings(num, **options)


def test_docstrings_says_which_package_is_missing(monkeypatch):
    monkeypatch.setattr(texts, "SOURCES", ("numpy", "no_such_package"))
    with pytest.raises(ModuleNotFoundError, match="no_such_package is missing"):
        docstrings(3)


def test_bench_results_are_read_from_the_package(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "speed.json").write_text('{"rows": [1, 2]}')
    monkeypatch.setattr(measurements.resources, "files", lambda package: tmp_path)
    assert bench_results("speed") == {"rows": [1, 2]}
    with pytest.raises(ValueError, match="'sped'; stored: speed"):
        bench_results("sped")


def test_bench_results_says_when_nothing_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements.resources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="stored: none"):
        bench_results("speed")


def test_trust_results_are_read_by_kind(tmp_path, monkeypatch):
    (tmp_path / "results" / "sweep").mkdir(parents=True)
    (tmp_path / "results" / "sweep" / "hsic.json").write_text('{"seeds": [1]}')
    (tmp_path / "results" / "sweep" / "notes.txt").write_text("not a result")
    monkeypatch.setattr(measurements.resources, "files", lambda package: tmp_path)
    assert trust_results("sweep") == {"hsic": {"seeds": [1]}}
    assert trust_results("matrix") == {}
    with pytest.raises(TypeError, match="kind"):
        trust_results("sweeps")


@pytest.mark.parametrize("content", [b'{"rows": [1, ', b"[1, 2]", b"\xff\xfe", b""])
def test_damaged_measurements_are_named_and_left_as_they_are(tmp_path, monkeypatch, content):
    (tmp_path / "results").mkdir()
    file = tmp_path / "results" / "speed.json"
    file.write_bytes(content)
    monkeypatch.setattr(measurements.resources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=r"stored measurements speed\.json .* install"):
        bench_results("speed")
    assert file.read_bytes() == content
