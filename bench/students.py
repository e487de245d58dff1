"""Every student family that fits, on real data sets: quality, seconds, dollars and size in one table each.

    python -m bench.students --dataset banking77 --work FOLDER                   # every candidate; hours on 2 cores
    python -m bench.students --dataset snips --work FOLDER --only multitask-tagger spacy --train 2000
    python -m bench.students --dataset ingredients --test test_newsource --work FOLDER    # the site that train has not

A project as a user would make it, in FOLDER: what is trained or answered there is not done again. Students learn from train and
are chosen on dev; test is answered once by each. Data: banking77 (CC BY 4.0), clinc150 (CC BY 3.0, with
its "oos"), ingredients (MIT), invoices (Apache-2.0; the
recorded teacher's labels are what is learnt from), snips slots (CC0), litbank_characters (CC BY 4.0),
scitldr_titles (Apache-2.0). Dollars are those of the processor, see HARDWARE.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from bench.projects import answer, drawn, lines, make_project, report, write_log
from bench.prompting import FIELDS, INSTRUCTIONS
from bench.structured import INVOICE
from tutelage import settings
from tutelage.cli.train import train_one
from tutelage.errors import TutelageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.results import Report, Row
from tutelage.project import Project, newest_artefact, read_card
from tutelage.types import Split

SEED = 5
HARDWARE = """
[hardware]
name = "2-core cloud machine without GPU"
dollars_per_hour = 0.08
occupancy = 0.5
source = "typical on-demand price of a small general-purpose instance, 2026"
"""

LABEL = """
[candidates.linear-tfidf]
family = "linear"
[candidates.linear]
family = "linear"
base = "{minilm}"
[candidates.encoder]
family = "encoder"
base = "{minilm}"
[candidates.encoder-mpnet]
family = "encoder"
base = "{mpnet}"
epochs = 2
[candidates.setfit]
family = "setfit"
base = "{minilm}"
[candidates.spacy]
family = "spacy"
"""
STRINGS = """
[candidates.tagger]
family = "tagger"
base = "{minilm}"
[candidates.spacy]
family = "spacy"
"""
RECORD = """
[candidates.multitask-tagger]
family = "multitask-tagger"
base = "{minilm}"
[candidates.causal]
family = "causal"
base = "{smollm}"
"""
TEXT = """
[candidates.causal]
family = "causal"
base = "{smollm}"
"""


class Set(NamedTuple):
    """A task: its output kind, the field of the data that holds the gold, and the candidates that fit."""

    output: str
    label: str
    instructions: str
    candidates: str


SETS = {
    "banking77": Set("label", "label", "Which intent has the customer of a bank who writes this?", LABEL),
    "clinc150": Set("label", "label", "Which of 151 intents has the user of an assistant who writes this?", LABEL),
    "ingredients": Set("record", "fields", INSTRUCTIONS["ingredients"], RECORD),
    "invoices": Set("record", "fields", "Read the e-mailed invoice and give its fields.", RECORD),
    "snips": Set("record", "fields", "Which things does the command to a voice assistant name?", RECORD),
    "litbank_characters": Set("strings", "labels", "Which characters are named in this passage?", STRINGS),
    "scitldr_titles": Set("text", "label", "Write the title of the paper with this abstract.", TEXT),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=list(SETS), required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the project; used again, it goes on")
    parser.add_argument("--only", nargs="*", help="candidates (default: all that fit)")
    parser.add_argument("--train", type=int, help="examples of train, drawn with a seed (default: all)")
    parser.add_argument("--test", default="test", help="file that is the test set")
    parser.add_argument("--n", type=int, help="examples of test, drawn with a seed (default: all)")
    chosen = parser.parse_args()
    project = made(chosen)
    names, cards = chosen.only or [name for name in project.file.candidates if name != "teacher"], {}
    for name in names:
        try:
            cards[name] = dict(train_one(project, candidate(project, name)).card)
        except TutelageError as error:
            print(f"{name} was left out: {error}", file=sys.stderr, flush=True)
    problems = answer(project, list(cards), "test")
    result, _ = report(project, [name for name in cards if name not in problems], "test")
    n = project.store.examples.counts()
    title = (
        f"students: {chosen.dataset} {chosen.test}, n = {result.n}, {n['train']} to learn from, {n['dev']} to choose on"
    )
    write_log(title, table(project, result, cards))
    return 0


def made(chosen: argparse.Namespace) -> Project:
    given, weights = SETS[chosen.dataset], settings.weights_folder().resolve()
    files: dict[Split, str] = {"train": "train", "dev": "dev", "test": chosen.test}
    splits = {split: lines(chosen.dataset, file) for split, file in files.items()}
    for split, most in (("train", chosen.train), ("test", chosen.n)):
        splits[split] = drawn(splits[split], most, SEED) if most else splits[split]  # type: ignore[index]
    bases = {"minilm": weights / "minilm", "mpnet": weights / "mpnet" / "all-mpnet-base-v2"}
    bases["smollm"] = weights / "smollm2-135m" / "smollm2-135m-instruct.q4_1.gguf"
    head = f'name = "{chosen.dataset}"\noutput = "{given.output}"\ninstructions = "{given.instructions}"\n'
    head += f"{extra(chosen.dataset, splits['train'])}\n{given.candidates.format(**bases)}{HARDWARE}"
    if chosen.dataset == "invoices":  # learnt from the teacher's answers alone, scored against gold
        taught: tuple[Split, ...] = ("train", "dev")
        for split in taught:
            splits[split] = [one | {"fields": one["teacher"]["fields"]} for one in splits[split]]
    return make_project(chosen.work, head, given.label, splits)


def extra(dataset: str, train: list[dict[str, Any]]) -> str:
    """What the output kind has to know."""
    if dataset in ("banking77", "clinc150"):
        return f"labels = {json.dumps(sorted({one['label'] for one in train}))}"
    if dataset == "litbank_characters":
        return "grounded = true"
    if dataset == "scitldr_titles":
        return "max_characters = 200"
    kinds: dict[str, str] = dict(INVOICE)
    if dataset == "ingredients":
        kinds = {name: '{ type = ["string", "null"], maxLength = 200 }' for name in FIELDS}
    elif dataset == "snips":
        slots = sorted({name for one in train for name in one["fields"]})
        kinds = {name: '{ type = "array", items = { type = "string" } }' for name in slots}
    return '[schema]\ntype = "object"\n[schema.properties]\n' + "".join(f"{n} = {k}\n" for n, k in kinds.items())


def table(project: Project, result: Report, cards: dict[str, dict[str, Any]]) -> str:
    metrics = list(dict.fromkeys([result.metric, *list(result.candidates[0].scores)[:2]]))
    rows = [
        f"| candidate | {' | '.join(metrics)} | trained s | MB | p50 ms | a second | $ per 1,000 | failed |",
        "|---" * (len(metrics) + 7) + "|",
    ]
    return "\n".join([*rows, *(line(project, row, metrics, cards[row.name]) for row in result.candidates)])


def line(project: Project, row: Row, metrics: list[str], card: dict[str, Any]) -> str:
    scores = [f"{row.scores[m].value:.4f} ({row.scores[m].low:.4f} to {row.scores[m].high:.4f})" for m in metrics]
    folder = newest_artefact(project, row.name)
    assert folder is not None and read_card(folder)["candidate"] == row.name
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    dollars = "?" if row.dollars_per_1000 is None else f"{row.dollars_per_1000:.5f}"
    figures = f"{card['seconds']:.0f} | {size:.1f} | {row.latency.p50 * 1000:.2f} | {row.latency.items_per_second:.0f}"
    return f"| {row.name} | {' | '.join(scores)} | {figures} | {dollars} | {row.failures} |"


if __name__ == "__main__":
    sys.exit(main())
