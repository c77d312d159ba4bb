"""What every benchmark shares: fair timing, peak memory, the machine, JSON and a table.

Candidates take turns, so that a busy moment hits all of them alike; what is compared is CPU
seconds of one thread, which other processes disturb far less than wall time; of every candidate
the median counts. Absolute times say little about another machine: only ratios are claims.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "lib" / "derive" / "results"  # packaged: chapters print from it where they run
TABLES = Path(__file__).resolve().parent / "results"
METHOD = (
    "Median CPU seconds of one thread, candidates taking turns in one process; "
    "peak memory is that of one call in a process of its own, above what its inputs take."
)


def one_thread() -> None:
    """Limit this process to one thread of computation: torch, BLAS and OpenMP."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def cpu_seconds(
    candidates: dict[str, Callable[[], object]], *, repeats: int
) -> dict[str, list[float]]:
    """CPU seconds of every call: after one call each for warming up, `repeats` rounds."""
    for call in candidates.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, call in candidates.items():
            # All threads of the process count: a peer with a pool of its own gains nothing.
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return seconds


def summary(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median and minimum of the calls, to 3 significant digits."""
    return {
        name: {
            "median": significant(statistics.median(runs)),
            "min": significant(min(runs)),
            "runs": len(runs),
        }
        for name, runs in seconds.items()
    }


def ratio(name: str, value: float, *, goal: float, at_least: bool = True) -> dict:
    """A claim of the benchmark: a ratio, the goal it was given, and whether it is met."""
    met = value >= goal if at_least else value <= goal
    relation = ">=" if at_least else "<="
    return {
        "name": name,
        "value": significant(value),
        "goal": f"{relation} {goal:g}",
        "met": met,
    }


def significant(value: float, digits: int = 3) -> float:
    """The value rounded to so many significant digits."""
    return float(f"{value:.{digits}g}")


def peak_extra_mb(module: str, case: str, *, processes: int = 2, **arguments) -> float | None:
    """Extra resident memory (MB = 2^20 bytes) of one call at its peak, in fresh processes.

    The smallest of the processes counts: pages of libraries that happen to be read in during the
    call count as resident too, and only ever add.

    `case` is a function of `module` that takes the arguments, prepares the inputs and returns
    the call to measure (and may return a smaller call to make first, for what is loaded or
    planned only once). None where the system does not say (it needs Linux's /proc).
    """
    if not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, "-m", "bench.harness", module, case, json.dumps(arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    peaks = []
    for _ in range(processes):
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            # A negative code is a signal: killed from outside, or for want of memory.
            raise RuntimeError(f"{module}.{case} failed ({done.returncode}):\n{done.stderr}")
        peaks.append(json.loads(done.stdout.splitlines()[-1]))
    return significant(min(peaks))


def _measure_here(module: str, case: str, arguments: dict) -> float:
    one_thread()
    prepared = getattr(importlib.import_module(module), case)(**arguments)
    call, warm_up = prepared if isinstance(prepared, tuple) else (prepared, None)
    if warm_up:
        warm_up()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    result = call()
    peak = _status("VmHWM")
    del result
    return (peak - before) / 1024


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}.")


def machine(packages: Iterable[str] = ("torch", "numpy", "scipy", "scikit-learn")) -> dict:
    """The machine in words, without its name."""
    from importlib.metadata import version

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "threads": 1,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    fields = dict(
        [part.strip() for part in line.split(":", 1)]
        for line in path.read_text().split("\n\n")[0].splitlines()
        if ":" in line
    )
    name = fields.get("model name", platform.machine())
    extras = [flag for flag in ("avx2", "avx512f", "amx_bf16") if flag in fields.get("flags", "")]
    return f"{name} ({', '.join(extras)})" if extras else name


def write(subject: str, results: list[dict], packages: Iterable[str] | None = None) -> Path:
    """Write the results, lib/derive/results/<subject>.json, and their table, bench/results/….md."""
    report = {
        "subject": subject,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "method": METHOD,
        "machine": machine(packages) if packages else machine(),
        "results": results,
    }
    for folder in (RESULTS, TABLES):
        folder.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{subject}.json"
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    (TABLES / f"{subject}.md").write_text(table(report))
    return path


def table(report: dict) -> str:
    """Markdown: the claims, then the times behind them, then the machine."""
    lines = ["| claim | measured | goal |", "|---|---|---|"]
    for row in report["results"]:
        for claim in row.get("ratios", []):
            missed = "" if claim["met"] else " (missed)"
            lines.append(
                f"| {row['task']}: {claim['name']} | {claim['value']:g} | {claim['goal']}{missed} |"
            )
    lines += ["", "| task | candidate | CPU seconds (median) |", "|---|---|---|"]
    for row in report["results"]:
        for name, times in row.get("seconds", {}).items():
            lines.append(f"| {row['task']} | {name} | {times['median']:g} |")
    about = report["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    lines += [
        "",
        f"{report['method']} {about['processor']}, Python {about['python']}, {packages}; "
        f"{report['date']}.",
    ]
    return "\n".join(lines) + "\n"


def missed(report: dict) -> list[str]:
    """The claims that were not met."""
    return [
        f"{row['task']}: {claim['name']} = {claim['value']:g}, goal {claim['goal']}"
        for row in report["results"]
        for claim in row.get("ratios", [])
        if not claim["met"]
    ]


def run(subject: str, results: Callable[[], list[dict]], packages=None) -> None:
    """Command line of a benchmark: run it, write it, say what was missed."""
    parser = argparse.ArgumentParser(description=f"Benchmark of {subject}.")
    parser.add_argument("--check", action="store_true", help="fail if a goal is missed")
    arguments = parser.parse_args()
    one_thread()
    start = time.perf_counter()
    path = write(subject, results(), packages)
    report = json.loads(path.read_text())
    print(table(report))
    print(f"{time.perf_counter() - start:.0f} s; written to {path.relative_to(ROOT)}")
    failures = missed(report)
    if failures:
        print("missed:", *failures, sep="\n  ")
    if failures and arguments.check:
        sys.exit(1)


if __name__ == "__main__":
    print(_measure_here(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
