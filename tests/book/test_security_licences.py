"""The list of the packages' licences: nothing is missing in it, and nothing unknown gets in."""

import re
import sys
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest

from derive_book import licences
from derive_book.__main__ import main

ROOT = Path(__file__).parents[2]


def fields(**said) -> Message:
    """Metadata as a package carries them; a list gives a field several times."""
    message = Message()
    for name, values in said.items():
        for value in values if isinstance(values, list) else [values]:
            message[name.replace("_", "-")] = value
    return message


def test_every_pinned_package_is_in_the_list_with_a_known_licence():
    listed = licences.listed(ROOT)
    assert list(listed) == licences.pinned(ROOT)
    unknown = {
        name: said
        for name, said in listed.items()
        if name not in licences.ARGUED and licences._expression(said) is None
    }
    assert unknown == {}
    assert len(listed) > 150


@pytest.mark.skipif(sys.version_info < (3, 11), reason="has older versions of some packages")
def test_the_list_is_what_the_installed_packages_say():
    found, problems = licences.collect(ROOT)
    assert problems == []
    assert (ROOT / licences.PAGE).read_text(encoding="utf-8") == licences.page(found)


@pytest.mark.parametrize(
    ("said", "beside", "expected"),
    [
        (fields(License_Expression="MIT"), "", "MIT"),
        (
            fields(License_Expression="(MIT OR Apache-2.0) AND ISC"),
            "",
            "(MIT OR Apache-2.0) AND ISC",
        ),
        (fields(License_Expression="MIT", License="GPL"), "", "MIT"),
        (fields(License="Apache 2.0"), "", "Apache-2.0"),
        (fields(Classifier=["License :: OSI Approved :: MIT License"]), "", "MIT"),
        (fields(License="MIT License\n\nCopyright …", Classifier=[]), "MIT License\nx", "MIT"),
        (fields(Classifier=["License :: OSI Approved :: BSD License"]), "", "BSD"),
        (fields(License="BSD"), "Redistributions in binary form …", "BSD-2-Clause"),
        (
            fields(License="BSD"),
            "Redistributions\nin binary form\nNeither the name",
            "BSD-3-Clause",
        ),
        (fields(), "\nMIT License\n\nCopyright …", "MIT"),
        (fields(Name="gensim", License="LGPL-2.1-only"), "", "LGPL-2.1-only"),
    ],
)
def test_a_licence_is_read_wherever_it_stands(said, beside, expected):
    assert licences.licence(said, beside) == expected


@pytest.mark.parametrize(
    "said",
    [
        fields(),
        fields(License_Expression="GPL-3.0-only"),
        fields(License_Expression="MIT AND AGPL-3.0-or-later"),
        fields(
            License_Expression="GPL-3.0-only", Classifier="License :: OSI Approved :: MIT License"
        ),
        fields(License="ask us"),
        fields(License="UNKNOWN"),
        fields(
            Classifier=[
                "License :: OSI Approved :: MIT License",
                "License :: OSI Approved :: GNU General Public License (GPL)",
            ]
        ),
        fields(Classifier=["License :: OSI Approved"]),
    ],
)
def test_an_unknown_licence_is_refused(said):
    with pytest.raises(licences.Unknown):
        licences.licence(said, "All rights reserved.")


PINS = f"""\
# pins
no-such-package==1; python_version > "3"
PyYAML=={metadata.version("pyyaml")}
"""
KEPT = "| package | licence |\n|---|---|\n| no-such-package | ISC |\n"


@pytest.fixture
def small(tmp_path):
    """A book that pins one installed package and one that is nowhere."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "_toc.yml").write_text("root: book/index.md\n")
    (tmp_path / "_config.yml").write_text("title: Small\n")
    (tmp_path / "constraints.txt").write_text(PINS)
    return tmp_path


def test_a_package_that_is_not_installed_keeps_its_line_or_is_asked_for(small, capsys):
    assert main(["--root", str(small), "licences"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("constraints.txt:2: no-such-package is not installed, or in")
    assert not (small / licences.PAGE).exists()
    (small / licences.PAGE).write_text(KEPT)
    assert main(["--root", str(small), "licences"]) == 0
    assert licences.listed(small) == {"no-such-package": "ISC", "pyyaml": "MIT"}


def test_a_package_of_unknown_licence_leaves_the_list_as_it_was(small, monkeypatch, capsys):
    (small / licences.PAGE).write_text(KEPT)
    package = metadata.distribution("pyyaml")
    said = fields(Name="pyyaml", Version=package.version, License="ask us")
    monkeypatch.setattr(type(package), "metadata", said)
    monkeypatch.setattr(licences, "_beside", lambda package: "")
    assert main(["--root", str(small), "licences"]) == 1
    assert "constraints.txt:3: the licence of pyyaml is unknown" in capsys.readouterr().err
    assert (small / licences.PAGE).read_text() == KEPT


def test_files_of_others_lie_beside_their_licences():
    """What the list says of them is what their licence file says."""
    rows = re.findall(r"^\| .* \| `book/_static/(\w+)` \| (.*) \|$", licences.TAIL, re.MULTILINE)
    words = {"MIT": "permission is hereby granted, free of charge", "OFL-1.1": "sil open font lic"}
    static = ROOT / "book" / "_static"
    for folder, said in rows:
        texts = [file.read_text(encoding="utf-8") for file in (static / folder).glob("LICENSE*")]
        assert any(words[said] in " ".join(text.lower().split()) for text in texts), folder
    kinds = {".js", ".css", ".woff2"}
    files = [file.relative_to(static) for file in static.rglob("*") if file.suffix in kinds]
    assert {file.parts[0] for file in files} == {folder for folder, _ in rows}
