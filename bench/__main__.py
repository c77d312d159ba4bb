"""`python -m bench [subject …]`: time the library against its peers, one subject after another."""

import subprocess
import sys
from pathlib import Path

SUBJECTS = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if not path.stem.startswith("_") and path.stem != "harness"
)


def main(wanted: list[str]) -> int:
    unknown = sorted(set(wanted) - set(SUBJECTS))
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(SUBJECTS)}")
        return 1
    # A process of its own for each: threads, warm caches and memory are then nobody else's.
    codes = [
        subprocess.run([sys.executable, "-m", f"bench.{subject}"], check=False).returncode
        for subject in wanted or SUBJECTS
    ]
    return max(codes, key=abs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
