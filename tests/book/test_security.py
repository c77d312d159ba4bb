"""What sources may not do: run data as code, call home, take more rights than they need."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# Tests and the mutation tool execute code on purpose: it is their subject. Benchmarks run nothing
# but the library and its peers, and are held to the same rule as the library.
SOURCES = ("lib", "book/_ext", "book/_theme", "bench", "matrix")

# ---- data are never run --------------------------------------------------------------------------

# Modules that turn bytes into objects by running what the bytes say.
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve"}
# Modules that open connections: data come through torchvision or a person's own download.
NETWORK = {"requests", "httpx", "urllib3", "socket", "ssl", "ftplib", "smtplib", "telnetlib"}
NETWORK |= {"urllib.request", "http.client", "http.server"}
# Calls that run text, or unpickle; by the last part of their name, and its owner where one is told.
RUNNERS = {"eval", "exec", "compile", "__import__"}
UNSAFE = {
    ("torch", "load"): "torch.load",
    ("joblib", "load"): "joblib.load",
    ("pandas", "read_pickle"): "pandas.read_pickle",
    ("pd", "read_pickle"): "pandas.read_pickle",
    ("sympy", "sympify"): "sympify evaluates text",
    ("sp", "sympify"): "sympify evaluates text",
    ("yaml", "load"): "yaml.load",
    ("yaml", "full_load"): "yaml.full_load",
    ("yaml", "unsafe_load"): "yaml.unsafe_load",
    ("os", "system"): "a shell",
    ("os", "popen"): "a shell",
}
# Each with the reason why it is no data that is run. "path: what" as `unsafe` reports it.
ALLOWED = {
    "book/_ext/derive_page/mathematics.py: import socket": (
        "a Unix socket to the program that typesets formulas; no address of a network"
    ),
}


def unsafe(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) of everything in a module that could run what it reads."""
    for node in ast.walk(ast.parse(source)):
        for name in _imported(node):
            if name.split(".")[0] in UNPICKLERS | NETWORK or name in NETWORK:
                yield node.lineno, f"import {name}"
        if not isinstance(node, ast.Call):
            continue
        options = {word.arg: word.value for word in node.keywords}
        if isinstance(node.func, ast.Name):
            if node.func.id in RUNNERS:
                yield node.lineno, node.func.id
            if node.func.id in ("sympify", "parse_expr"):
                yield node.lineno, f"{node.func.id} evaluates text"
        elif isinstance(node.func, ast.Attribute):
            owner = node.func.value
            called = (owner.id if isinstance(owner, ast.Name) else "", node.func.attr)
            if called == ("torch", "load") and _is(options.get("weights_only"), True):
                continue
            if called[1] == "sympify" and _is(options.get("strict"), True):
                continue
            if called in UNSAFE:
                yield node.lineno, UNSAFE[called]
            if called[0] == "builtins" and called[1] in RUNNERS:
                yield node.lineno, called[1]
            if called[1] == "extractall" and not _is(options.get("filter"), "data"):
                yield node.lineno, "an archive may write outside its folder"
        if _is(options.get("allow_pickle"), True):
            yield node.lineno, "allow_pickle=True"
        if _is(options.get("shell"), True):
            yield node.lineno, "shell=True"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _is(node: ast.expr | None, value: object) -> bool:
    return (isinstance(node, ast.Constant) and node.value is value) or (
        isinstance(node, ast.Constant) and isinstance(value, str) and node.value == value
    )


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from marshal import loads",
        "import numpy, dill as d",
        "eval(text)",
        "exec(code, {})",
        "import builtins; builtins.eval(x)",
        "compile(text, 'x', 'exec')",
        "__import__(name)",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "sp.sympify(text)",
        "parse_expr(text)",
        "os.system('ls')",
        "subprocess.run(line, shell=True)",
        "tar.extractall(folder)",
        "sp.sympify(text, strict=False)",
        "import requests",
        "from urllib.request import urlopen",
        "import socket",
    ],
)
def test_the_search_finds_what_could_run_data(line):
    assert list(unsafe(line))


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "torch.load(file, weights_only=True)",
        "yaml.safe_load(text)",
        "re.compile(text)",
        "json.loads(text)",
        "tar.extractall(folder, filter='data')",
        "subprocess.run([python, '-c', code])",
        "np.load(file)",
        "sp.sympify(number, strict=True)",
        "from urllib.parse import quote",
    ],
)
def test_the_search_lets_pass_what_runs_no_data(line):
    assert list(unsafe(line)) == []


def test_no_module_runs_what_it_reads():
    modules = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(modules) > 100  # the folders are where they are looked for
    found = {}
    for path in modules:
        name = path.relative_to(ROOT).as_posix()
        for line, what in unsafe(path.read_text(encoding="utf-8")):
            found[f"{name}: {what}"] = line
    assert {what: line for what, line in found.items() if what not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "an exception that is needed no more"


# The vendored search library is left out: it is minified by nobody, and its policy forbids eval.
SCRIPTS = ("book/_interactive", "book/_theme/derive/static")
IN_SCRIPTS = re.compile(
    r"\beval\s*\(|new\s+Function\b|\.(?:inner|outer)HTML\s*\+?=(?!=)|insertAdjacentHTML|"
    r"document\.write|setTimeout\(\s*[\"'`]|\bimport\s*\(|\bhttps?://(?!www\.w3\.org/)|"
    r"\bfetch\s*\(|XMLHttpRequest|sendBeacon|WebSocket|postMessage|document\.cookie"
)


def test_no_script_of_the_page_runs_text_or_calls_home():
    files = [file for folder in SCRIPTS for file in sorted((ROOT / folder).glob("*.js"))]
    assert len(files) > 10
    found = [
        f"{file.name}:{number}: {match[0]}"
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if (match := IN_SCRIPTS.search(line))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)",
        "new Function('x')",
        "node.innerHTML = text",
        "setTimeout('x()', 1)",
        "fetch(url)",
        "a.src = 'https://example.org/x.js'",
    ],
)
def test_such_a_script_is_seen(line):
    assert IN_SCRIPTS.search(line)
    assert not IN_SCRIPTS.search("if (node.innerHTML === text) setTimeout(() => 1, 9);")


# ---- workflows -----------------------------------------------------------------------------------

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
COMMENT = re.compile(r"uses:\s*\S+@[0-9a-f]{40}\s+# v\d+\.\d+(\.\d+)?$")
READ_ONLY = ({}, {"contents": "read"})
# (workflow, job): rights beyond reading, which this job cannot do without.
RIGHTS = {("pages", "deploy"): {"pages": "write", "id-token": "write"}}
# Text that a stranger chooses, and that a shell would run.
STRANGERS = re.compile(r"\$\{\{\s*(github\.(event|head_ref)|inputs)\b")


def workflow_faults(text: str) -> list[str]:
    """What a workflow may do that it should not."""
    content = yaml.safe_load(text)
    name = content.get("name", "")
    triggers = content.get("on", content.get(True)) or {}  # YAML 1.1 reads `on` as true
    faults = [f"runs on {t}" for t in ("pull_request_target", "workflow_run") if t in triggers]
    if content.get("permissions") not in READ_ONLY:
        faults.append(f"top level permissions {content.get('permissions')}")
    for key, job in content["jobs"].items():
        rights = job.get("permissions", {})
        if rights not in (*READ_ONLY, RIGHTS.get((name, key))):
            faults.append(f"{key}: permissions {rights}")
        if "timeout-minutes" not in job:
            faults.append(f"{key}: no timeout")
        if str(job.get("runs-on", "")).endswith("latest"):
            faults.append(f"{key}: runs on a machine that changes")
        for step in job.get("steps", []):
            used = step.get("uses", "")
            if used and not PINNED.match(used):
                faults.append(f"{key}: {used} is not pinned to a commit")
            if used.startswith("actions/checkout@"):
                kept = (step.get("with") or {}).get("persist-credentials")
                if kept is not False:
                    faults.append(f"{key}: the checkout keeps its credentials")
            if STRANGERS.search(str(step.get("run", ""))):
                faults.append(f"{key}: a stranger's text is run")
    for line in text.splitlines():
        if re.match(r"\s*-?\s*uses:", line) and not COMMENT.search(line):
            faults.append(f"no version beside the commit: {line.strip()}")
    return faults


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_the_least_rights_and_pinned_actions(path):
    assert workflow_faults(path.read_text(encoding="utf-8")) == []


def test_one_action_has_one_version():
    used = re.compile(r"uses:\s*([\w./-]+)@(\w+)")
    found = {pair for path in WORKFLOWS for pair in used.findall(path.read_text(encoding="utf-8"))}
    assert len(found) >= 3
    assert len(found) == len({name for name, _ in found}), sorted(found)


SOUND = """\
name: test
on: {pull_request: }
permissions: {contents: read}
jobs:
  test:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@0123456789abcdef0123456789abcdef01234567 # v4.2.2
        with: {persist-credentials: false}
      - run: make test
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pull_request:", "pull_request_target:", "runs on pull_request_target"),
        ("permissions: {contents: read}\n", "", "top level permissions None"),
        ("{contents: read}", "write-all", "top level permissions write-all"),
        ("{contents: read}", "{contents: write}", "top level permissions {'contents': 'write'}"),
        ("    timeout-minutes: 5\n", "", "no timeout"),
        ("ubuntu-24.04", "ubuntu-latest", "a machine that changes"),
        ("0123456789abcdef0123456789abcdef01234567 # v4.2.2", "v4", "is not pinned"),
        (" # v4.2.2", "", "no version beside the commit"),
        ("{persist-credentials: false}", "{fetch-depth: 0}", "keeps its credentials"),
        ("make test", "echo ${{ github.event.issue.title }}", "a stranger's text is run"),
        ("    timeout", "    permissions: {packages: write}\n    timeout", "permissions {'pack"),
    ],
)
def test_a_workflow_that_may_too_much_is_seen(old, new, message):
    assert workflow_faults(SOUND) == []
    assert old in SOUND
    assert any(message in fault for fault in workflow_faults(SOUND.replace(old, new)))


# ---- expressions are no text ---------------------------------------------------------------------


@pytest.mark.parametrize("inside", [str, lambda text: [text], lambda text: (1, [text])])
def test_a_check_evaluates_no_text(tmp_path, inside):
    sp = pytest.importorskip("sympy")
    from derive import check

    x, sprung = sp.Symbol("x"), tmp_path / "sprung"
    trap = inside(f"open({str(sprung)!r}, 'w').close()")
    with pytest.raises(TypeError, match="must be an expression or a number"):
        check.identity("trap", trap, x, domain={x: (0, 1)}, wrong={"a": 2 * x, "b": 3 * x})
    assert not sprung.exists()
