"""Every way to ask one small local model, as candidates of one report.

    python -m bench.prompting --model weights/qwen2.5-coder-0.5b/....gguf --work FOLDER     # about 40 minutes on 2 cores
    python -m bench.prompting --dataset ingredients --n 100 ...

`clinc150` (Larson et al. 2019, CC BY 3.0): one of 20 intents, drawn with a seed. `ingredients` (MIT): a recipe's line to
seven fields. Shots come from train, the prompt search chooses on dev, test is answered once by each. What is answered
lies in FOLDER: a run that is broken off goes on there.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

from bench.projects import answer, drawn, lines, make_project, report, write_log
from tutelage import settings
from tutelage.cli.train import train_one
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import METRICS
from tutelage.evaluation.results import Answered, Report, Row
from tutelage.project import Project
from tutelage.types import Split

SEED, INTENTS, SHOTS = 7, 20, 8
FIELDS = ("name", "quantity", "unit", "size", "preparation", "comment", "purpose")

INSTRUCTIONS = {
    "clinc150": "Which intent has the user of a voice assistant who says this?",
    "ingredients": "Take a line of a recipe's list of ingredients apart: the name of the ingredient, its quantity and unit, "
    "its size, how it is prepared, a comment, what it is for.",
}

ASKED = """
[candidates.zero-shot]
structured = "none"
{model}
[candidates.json-mode]
structured = "json"
{model}
[candidates.tool-use]
structured = "tool"
{model}
[candidates.constrained]
structured = "{bound}"
{model}
[candidates.fixed-shots]
structured = "{bound}"
shots = {shots}
{model}
[candidates.random-shots]
structured = "{bound}"
shots = {shots}
selector = "random"
{model}
[candidates.bm25-shots]
structured = "{bound}"
shots = {shots}
selector = "bm25"
{model}
[candidates.nearest-shots]
structured = "{bound}"
shots = {shots}
selector = "nearest"
base = "{base}"
{model}
[candidates.self-consistency]
family = "self-consistency"
of = "nearest-shots"
draws = 5

[candidates.prompt-search]
family = "prompt-search"
of = "constrained"
shots = [0, {shots}]
calls = 200
"""
NAMES = [line[12:-1] for line in ASKED.splitlines() if line.startswith("[candidates.")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    weights = settings.weights_folder()
    small = weights / "qwen2.5-coder-0.5b" / "qwen2.5-coder-0.5b-instruct.q4_k_m.gguf"
    parser.add_argument("--model", type=Path, default=small, help="GGUF file")
    parser.add_argument("--base", type=Path, default=weights / "minilm", help="encoder of the nearest shots")
    parser.add_argument("--dataset", choices=list(INSTRUCTIONS), default="clinc150")
    parser.add_argument("--n", type=int, default=150, help="examples of test")
    parser.add_argument("--work", type=Path, required=True, help="folder for the project; used again, it goes on")
    parser.add_argument("--only", nargs="*", default=NAMES, help="candidates")
    parser.add_argument("--threads", type=int, help="of llama.cpp (default: all cores; 1 on a busy machine)")
    chosen = parser.parse_args()
    project = made(chosen)
    if "prompt-search" in chosen.only:
        print(train_one(project, candidate(project, "prompt-search")).card["fit"], file=sys.stderr)
    problems = answer(project, chosen.only, "test")
    ready = [name for name in chosen.only if name not in problems]
    result, answered = report(project, ready, "test")
    (chosen.work / "report.json").write_text(json.dumps(result.json(), indent=1), encoding="utf-8")
    body = table(project, result, answered) + "".join(f"\n- {name}: {why}" for name, why in problems.items())
    write_log(f"prompting: {chosen.dataset} test, n = {result.n}, {chosen.model.stem}", body)
    return 0


def made(chosen: argparse.Namespace) -> Project:
    model = f'family = "prompted"\nprovider = "gguf"\nmodel = "{chosen.model.resolve()}"\nmax_tokens = 160\n'
    model += f"threads = {chosen.threads}\n" if chosen.threads else ""
    label = chosen.dataset == "clinc150"
    asked = ASKED.format(
        model=model, shots=SHOTS, base=chosen.base.resolve(), bound="choice" if label else "schema", seed=SEED
    )
    head = f'name = "{chosen.dataset}"\ninstructions = """{INSTRUCTIONS[chosen.dataset]}"""\n'
    splits: dict[Split, list[dict[str, Any]]] = {
        split: lines(chosen.dataset, split) for split in ("train", "dev", "test")
    }
    if label:
        intents = sorted({one["label"] for one in splits["train"]} - {"oos"})
        kept = sorted(random.Random(SEED).sample(intents, INTENTS))
        splits = {split: [one for one in found if one["label"] in kept] for split, found in splits.items()}
        head += f'output = "label"\nlabels = {json.dumps(kept)}\n'
    else:
        fields = "".join(f'{name} = {{ type = ["string", "null"], maxLength = 80 }}\n' for name in FIELDS)
        head += f'output = "record"\n[schema]\ntype = "object"\n[schema.properties]\n{fields}'
    sizes = {"train": len(splits["train"]), "dev": 150, "test": chosen.n}
    return make_project(
        chosen.work,
        head + asked,
        "label" if label else "fields",
        {split: mixed(drawn(found, sizes[split], SEED)) for split, found in splits.items()},
    )


def mixed(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The examples in a seeded order: data sets are sorted by label, which would make fixed shots all alike."""
    return random.Random(SEED).sample(examples, len(examples))


def table(project: Project, result: Report, answered: list[Answered]) -> str:
    """A line a candidate, its difference to the fixed shots on the same examples among them."""
    gold, main = [one.gold for one in answered], result.metric
    scores = {
        row.name: METRICS.load(main)(project.task, gold, [one.predictions[row.name].value for one in answered])
        for row in result.candidates
    }
    rows = [
        f"| candidate | {main} (95 %) | to fixed-shots | failures | s p50 | input / output tokens |",
        "|---" * 6 + "|",
    ]
    for row in result.candidates:
        found = estimate(scores[row.name], result.n)
        against = ""
        if "fixed-shots" in scores and row.name != "fixed-shots":
            paired = difference(scores[row.name], scores["fixed-shots"], result.n)
            against = f"{paired.value:+.3f} ({paired.low:+.3f} to {paired.high:+.3f})"
        rows.append(
            f"| {row.name} | {found.value:.3f} ({found.low:.3f} to {found.high:.3f}) | {against} | {row.failures} | "
            f"{row.latency.p50:.2f} | {row.input_tokens // result.n} / {row.output_tokens // result.n} |"
        )
    return "\n".join(rows) + "\n" + "".join(signals(row) for row in result.candidates)


def signals(row: Row) -> str:
    """What each confidence of a candidate is worth, where the report says so."""
    found = row.json().get("confidences") or {}
    return "".join(f"\n- {row.name}, {name}: {json.dumps(facts)}" for name, facts in found.items())


if __name__ == "__main__":
    sys.exit(main())
