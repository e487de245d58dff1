"""A small decoder before and after fine-tuning: asked with the instructions, with shots; trained by LoRA; by a soft prompt.

    python -m bench.decoders --model weights/smollm2-135m/....gguf --work FOLDER        # about 40 minutes on 1 core
    python -m bench.decoders --only asked causal --train 200 --n 100 --work FOLDER

`clinc150` (Larson et al. 2019, CC BY 3.0): one of 20 intents, those of bench.prompting. Students learn from gold labels of
train without the instructions in their prompt and are chosen on dev; test is answered once by each. What is trained and
answered lies in FOLDER: a run that is broken off goes on there.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

from bench.projects import answer, drawn, lines, make_project, report, write_log
from bench.prompting import INSTRUCTIONS, INTENTS, SEED, mixed
from tutelage import settings
from tutelage.cli.train import train_one
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import METRICS
from tutelage.project import Project, newest_artefact, read_card
from tutelage.types import Split

CANDIDATES = """
[candidates.asked]
family = "prompted"
provider = "gguf"
structured = "choice"
model = "{model}"
threads = {threads}
[candidates.asked-8-shots]
family = "prompted"
provider = "gguf"
structured = "choice"
shots = 8
model = "{model}"
threads = {threads}
[candidates.linear]
family = "linear"
base = "{minilm}"
threads = {threads}
[candidates.causal]
family = "causal"
base = "{model}"
effort = "{effort}"
threads = {threads}
[candidates.causal-instructed]
family = "causal"
base = "{model}"
effort = "{effort}"
instructions = true
threads = {threads}
[candidates.soft-prompt]
family = "soft-prompt"
base = "{model}"
effort = "{effort}"
threads = {threads}
"""
NAMES = [line[12:-1] for line in CANDIDATES.splitlines() if line.startswith("[candidates.")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    weights = settings.weights_folder()
    small = weights / "smollm2-135m" / "smollm2-135m-instruct.q4_1.gguf"
    parser.add_argument("--model", type=Path, default=small, help="GGUF file")
    parser.add_argument("--minilm", type=Path, default=weights / "minilm")
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--n", type=int, default=100, help="examples of test")
    parser.add_argument("--effort", default="low")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True, help="folder for the project; used again, it goes on")
    parser.add_argument("--only", nargs="*", default=NAMES, choices=NAMES, help="candidates")
    chosen = parser.parse_args()
    project = made(chosen)
    for name in chosen.only:
        if candidate(project, name).family.student:
            print(
                name, json.dumps(train_one(project, candidate(project, name)).card["fit"]), file=sys.stderr, flush=True
            )
    problems = answer(project, chosen.only, "test")
    ready = [name for name in chosen.only if name not in problems]
    body = table(project, ready) + "".join(f"\n- {name}: {why}" for name, why in problems.items())
    write_log(
        f"decoders: clinc150 test, {INTENTS} intents, train {chosen.train}, n = {chosen.n}, {chosen.model.stem}", body
    )
    return 0


def made(chosen: argparse.Namespace) -> Project:
    splits: dict[Split, list[dict[str, Any]]] = {s: lines("clinc150", s) for s in ("train", "dev", "test")}
    intents = sorted({one["label"] for one in splits["train"]} - {"oos"})
    kept = sorted(random.Random(SEED).sample(intents, INTENTS))
    head = f'name = "clinc150"\ninstructions = """{INSTRUCTIONS["clinc150"]}"""\n'
    head += f'output = "label"\nlabels = {json.dumps(kept)}\n'
    told = {"model": chosen.model.resolve(), "minilm": chosen.minilm.resolve()}
    sizes = {"train": chosen.train, "dev": 40, "test": chosen.n}
    return make_project(
        chosen.work,
        head + CANDIDATES.format(**told, threads=chosen.threads, effort=chosen.effort),
        "label",
        {
            split: mixed(drawn([one for one in found if one["label"] in kept], sizes[split], SEED))
            for split, found in splits.items()
        },
    )


def table(project: Project, names: list[str]) -> str:
    """A line a candidate: quality, seconds, tokens, what training took and what is served."""
    result, answered = report(project, names, "test")
    gold = [one.gold for one in answered]
    rows = ["| candidate | accuracy (95 %) | failures | s p50 | trained in | served |", "|---" * 6 + "|"]
    for row in result.candidates:
        values = [one.predictions[row.name].value for one in answered]
        found = estimate(METRICS.load(result.metric)(project.task, gold, values), result.n)
        folder = newest_artefact(project, row.name)
        card = read_card(folder) if folder else {}
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder else 0
        steps = card.get("fit", {}).get("steps")
        took = f"{card['seconds']:.0f} s" + (f", {steps} steps" if steps else "") if card else ""
        rows.append(
            f"| {row.name} | {found.value:.3f} ({found.low:.3f} to {found.high:.3f}) | {row.failures} | "
            f"{row.latency.p50:.2f} | {took} | {f'{size / 1e6:.0f} MB' if size else ''} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    raise SystemExit(main())
