"""`python -m mutation library SUBJECT… | chapter SLUG…`: break things, list what survives."""

import argparse
import json
from pathlib import Path
from typing import Any

from mutation import chapter, library

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
    argued = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.is_file() else {}
    for name in options.names:
        if options.what == "library":
            page = CHAPTERS.get(name)
            script = chapter.Script(ROOT / f"book/{page}.md") if page and options.chapter else None
            result = library.examine(name, sample=options.sample, seed=options.seed, chapter=script)
        else:
            script = chapter.Script(next((ROOT / "book").rglob(f"{name}.md")))
            result = chapter.examine(script, sample=options.sample, seed=options.seed)
        for survivor in result["survivors"]:
            survivor["equivalent because"] = argued.get(survivor["key"])
        _store(f"{options.what}-{name}", result)


def _store(name: str, result: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    killed = result["tried"] - len(result["survivors"])
    print(f"{path.relative_to(ROOT)}: {killed} of {result['tried']} killed", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("what", choices=("library", "chapter"))
    parser.add_argument("names", nargs="+", help="subjects such as transport, or chapters' slugs")
    parser.add_argument("--sample", type=int, help="try only so many, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument(
        "--chapter", action="store_true", help="let the chapter judge what the tests let through"
    )
    return parser


if __name__ == "__main__":
    main()
