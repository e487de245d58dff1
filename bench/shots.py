"""Shots: how each selector chooses, and what it is worth to a language model.

    python -m bench.shots                                       # no language model: 5 minutes, appends to bench/LOG.md
    python -m bench.shots --model FILE.gguf --work FOLDER       # one model, every selector: hours on 2 cores
    python -m bench.shots --model FILE.gguf --work FOLDER --dataset ingredients --n 200 --shots 8 --dev

Without a model: the share of dev inputs whose label is among the labels of the shots, on `clinc150` (Larson et al. 2019, CC BY
3.0; 20 intents drawn with a seed) and `banking77` (Casanueva et al. 2020, CC BY 4.0), and the time to choose. With one: the
same model and number of shots on the same inputs of test, each selector against fixed shots with a paired interval. What is
answered lies in FOLDER: a run that is broken off goes on there. Choices are made with --dev, which writes no log.

Train is shuffled with a seed: the data sets are sorted by label, and fixed shots would all be of one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.projects import answer, drawn, lines, make_project, report, write_log
from tutelage import settings
from tutelage.embeddings.encoder import Encoder
from tutelage.embeddings.stored import stored_encoder
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import METRICS
from tutelage.project import Project
from tutelage.prompting.selectors import SELECTORS, ShotOptions, build_selector
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Labelled, Split

SEED, INTENTS, OUT_OF_SCOPE = 7, 20, "oos"
ASKED, FIXED = ("zero", "fixed", "random", "bm25", "nearest", "mmr", "balanced"), "fixed"
FIELDS = ("name", "quantity", "unit", "size", "preparation", "comment", "purpose")
INSTRUCTIONS = {
    "clinc150": "Which intent has the user of a voice assistant who says this?",
    "banking77": "Which intent has the customer of a bank who writes this?",
    "ingredients": "Take a line of a recipe's list of ingredients apart: the name of the ingredient, its quantity and unit, "
    "its size, how it is prepared, a comment, what it is for.",
}


class Chosen(NamedTuple):
    """Of one selector and number of shots: the share of inputs whose label is shown, seconds to index, p50 and p99 to choose."""

    selector: str
    shots: int
    covered: list[bool]
    indexed: float
    p50: float
    p99: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=settings.weights_folder() / "minilm", help="the sentence encoder")
    parser.add_argument("--model", type=Path, help="GGUF file; without one only the choices are measured")
    parser.add_argument(
        "--dataset", choices=list(INSTRUCTIONS), help="default: clinc150; without a model also banking77"
    )
    parser.add_argument("--n", type=int, default=200, help="inputs that are asked about")
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--selectors", nargs="+", default=list(ASKED), choices=["zero", *SELECTORS.rows()])
    parser.add_argument("--work", type=Path, help="folder of the project; used again, it goes on")
    parser.add_argument("--dev", action="store_true", help="ask about dev, write no log")
    given = parser.parse_args()
    if not given.base.is_dir():
        print(
            f"SKIPPED: there is no {given.base}. Fetch it with: python scripts/weights.py minilm, or give --base PATH."
        )
        return 0
    if given.model is None:
        for dataset in [given.dataset] if given.dataset else ["clinc150", "banking77"]:
            choices(dataset, given.base)
        return 0
    if given.work is None:
        parser.error("--model needs --work FOLDER, where answers are kept")
    compare(given)
    return 0


def splits_of(dataset: str) -> dict[Split, list[dict[str, Any]]]:
    """The data set's lines, train shuffled; of clinc150 those of INTENTS intents."""
    splits: dict[Split, list[dict[str, Any]]] = {split: lines(dataset, split) for split in ("train", "dev", "test")}
    if dataset == "clinc150":
        intents = sorted({one["label"] for one in splits["train"]} - {OUT_OF_SCOPE})
        kept = set(random.Random(SEED).sample(intents, INTENTS))
        splits = {split: [one for one in found if one["label"] in kept] for split, found in splits.items()}
    random.Random(SEED).shuffle(splits["train"])
    return splits


def choices(dataset: str, base: Path) -> None:
    """Measure every selector on dev, print and log it."""
    splits = splits_of(dataset)
    pool, asked = labelled(splits["train"], "train"), labelled(splits["dev"], "dev")
    task = LabelTask(dataset, ("text",), "", labels=tuple(sorted({str(one.value) for one in pool})))
    rows = [
        "| selector | 5 shots: covered (95 %) | 10 shots | to index | to choose, p50 / p99 |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        encoder = stored_encoder(str(base.resolve()), Path, Path(folder))
        start = time.perf_counter()
        encoder.encode([task.input_text(one.example.input) for one in pool])
        seconds = time.perf_counter() - start
        for selector in SELECTORS.rows():
            few, many = (choose(task, pool, asked, ShotOptions(selector=selector, shots=n), encoder) for n in (5, 10))
            rows.append(
                f"| `{selector}` | {share(few)} | {share(many)} | {few.indexed:.2f} s | {many.p50:.2f} / {many.p99:.2f} ms |"
            )
            print(rows[-1], file=sys.stderr, flush=True)
        words = choose(task, pool, asked, ShotOptions(selector="balanced", shots=5), None)
        more = choose(task, pool, asked, ShotOptions(selector="balanced", shots=10), None)
    rows.append(
        f"| `balanced` by words | {share(words)} | {share(more)} | {words.indexed:.2f} s | {more.p50:.2f} / {more.p99:.2f} ms |"
    )
    note = f"Encoding the pool once took {seconds:.0f} s ({base.name}). Chosen one input at a time."
    title = f"shots, no model: {dataset} dev, {len(asked)} inputs, {len(task.labels)} labels, {len(pool)} in the pool"
    write_log(title, "\n".join(rows) + f"\n\n{note}")


def labelled(found: Sequence[dict[str, Any]], split: Split) -> list[Labelled]:
    return [Labelled(Example(one["id"], {"text": one["text"]}, split), one["label"], "import") for one in found]


def choose(
    task: LabelTask, pool: Sequence[Labelled], asked: Sequence[Labelled], options: ShotOptions, encoder: Encoder | None
) -> Chosen:
    start = time.perf_counter()
    selector = build_selector(task, pool, options, encoder)
    selector.select({"text": "hello"})
    indexed = time.perf_counter() - start
    covered, times = [], []
    for one in asked:
        start = time.perf_counter()
        shots = selector.select(one.example.input)
        times.append(1000 * (time.perf_counter() - start))
        covered.append(one.value in [shot.value for shot in shots])
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return Chosen(options.selector, options.shots, covered, indexed, float(p50), float(p99))


def share(chosen: Chosen) -> str:
    n = len(chosen.covered)
    found = estimate(lambda draws: np.array(chosen.covered, float)[draws].mean(axis=-1), n)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def compare(given: argparse.Namespace) -> None:
    """Let the model answer with every selector's shots, print the table and log it."""
    dataset, split = given.dataset or "clinc150", "dev" if given.dev else "test"
    given.selectors = [name for name in given.selectors if name != "balanced" or dataset != "ingredients"]
    project = made(dataset, split, given)
    problems = answer(project, given.selectors, split)
    body = table(project, [name for name in given.selectors if name not in problems], split)
    body += "".join(f"\n- {name}: {why}" for name, why in problems.items())
    title = f"shots: {dataset} {split}, n = {given.n}, {given.shots} shots, {given.model.stem}"
    if given.dev:
        print(f"\n## {title}\n\n{body}")
    else:
        write_log(title, body)


def made(dataset: str, split: Split, given: argparse.Namespace) -> Project:
    """The project in the folder `--work`, with a candidate a selector."""
    splits, label = splits_of(dataset), dataset != "ingredients"
    text = f'name = "{dataset}"\ninstructions = """{INSTRUCTIONS[dataset]}"""\n'
    if label:
        text += f'output = "label"\nlabels = {json.dumps(sorted({one["label"] for one in splits["train"]}))}\n'
    else:
        text += 'output = "record"\n[schema]\ntype = "object"\n[schema.properties]\n'
        text += "".join(f'{name} = {{ type = ["string", "null"], maxLength = 80 }}\n' for name in FIELDS)
    for name in given.selectors:
        text += f'\n[candidates.{name}]\nfamily = "prompted"\nprovider = "gguf"\nmodel = "{given.model.resolve()}"\n'
        text += f'structured = "{"choice" if label else "schema"}"\nmax_tokens = 160\n'
        text += "threads = 2\nrepairs = 0\nlogprobs = false\n"
        text += "" if name == "zero" else f'selector = "{name}"\nshots = {given.shots}\n'
        text += f'base = "{given.base.resolve()}"\n' if name in ("nearest", "mmr", "balanced") else ""
    asked = drawn(splits[split], given.n, SEED)
    return make_project(given.work, text, "label" if label else "fields", {"train": splits["train"], split: asked})


def table(project: Project, names: Sequence[str], split: Split) -> str:
    """A line a selector: its score and its difference to fixed shots on the same inputs."""
    result, answered = report(project, names, split)
    gold, metric = [one.gold for one in answered], METRICS.load(result.metric)
    scores = {
        row.name: metric(project.task, gold, [one.predictions[row.name].value for one in answered])
        for row in result.candidates
    }
    rows = [
        f"| shots | {result.metric} (95 %) | ahead of fixed (95 %, paired) | failures | input tokens | s p50 |",
        "|---|---|---|---|---|---|",
    ]
    by_name = {row.name: row for row in result.candidates}
    for name in (name for name in names if name in by_name):
        row, score, ahead = by_name[name], estimate(scores[name], result.n), ""
        if name != FIXED and FIXED in scores:
            paired = difference(scores[name], scores[FIXED], result.n)
            ahead = f"{paired.value:+.3f} ({paired.low:+.3f} to {paired.high:+.3f})"
        rows.append(
            f"| {name} | {score.value:.3f} ({score.low:.3f} to {score.high:.3f}) | {ahead} | {row.failures} | "
            f"{row.input_tokens // result.n} | {row.latency.p50:.2f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
