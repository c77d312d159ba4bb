"""`python -m mutation library SUBJECT… | chapter SLUG…`: break things, list what survives."""

import argparse
import json
from pathlib import Path
from typing import Any

from mutation import chapter, library
from mutation.choice import at_random, untried

ROOT = library.ROOT
RESULTS = ROOT / "lib/derive/results/mutation"
EQUIVALENT = Path(__file__).with_name("equivalent.json")
# The chapter that stands on a subject.
CHAPTERS = {
    "random_projection": "foundations/jl-lemma",
    "independence": "foundations/hsic",
    "series": "foundations/gaussian-integrals",
    "transport": "transport/wasserstein",
    "words": "transport/wmd-wrd",
    "recurrent": "training/rnn-gradients",
    "weight_scale": "training/weight-scale",
    "diffusion": "diffusion/ddpm-three-ways",
}


def main() -> None:
    options = _parser().parse_args()
    for name in options.names:
        path = RESULTS / f"{options.what}-{name}.json"
        stored = json.loads(path.read_text()) if path.is_file() else {}
        old = stored if options.again else {}
        # A larger sample of the same seed holds the smaller one.
        sample = {"sample": options.sample or old.get("sample")}
        sample["seed"] = old.get("seed", options.seed)
        find = {"choose": at_random(**sample), "known": old.get("killed keys", ())}
        if options.fresh:
            find["choose"] = untried(stored, find["choose"])
            path = RESULTS / f"fresh-{options.what}-{name}.json"
        if options.what == "chapter":
            script = chapter.Script(next((ROOT / "book").rglob(f"{name}.md")))
            result = chapter.examine(script, **find)
        else:
            page = CHAPTERS.get(name)
            judge = chapter.Script(ROOT / f"book/{page}.md") if page and options.chapter else None
            result = library.examine(name, **find, chapter=judge)
        _store(path, sample | result)


def _store(path: Path, result: dict[str, Any]) -> None:
    argued = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.is_file() else {}
    for survivor in result["survivors"]:
        survivor["equivalent because"] = argued.get(survivor["key"])
    RESULTS.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    open_ones = sum(survivor["equivalent because"] is None for survivor in result["survivors"])
    print(
        f"{path.relative_to(ROOT)}: {result['killed']} of {result['tried']} killed, "
        f"{open_ones} survive and are not argued",
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("what", choices=("library", "chapter"))
    parser.add_argument("names", nargs="+", help="subjects such as transport, or chapters' slugs")
    parser.add_argument("--sample", type=int, help="try only so many, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument(
        "--again",
        action="store_true",
        help="the stored choice, or more of it, but for those that were killed",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="only what the stored choice left out; stored apart, as fresh-…",
    )
    parser.add_argument(
        "--chapter", action="store_true", help="let the chapter judge what the tests let through"
    )
    return parser


if __name__ == "__main__":
    main()
