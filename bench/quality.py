"""Are wrong labels found? banking77 with 5 % of the labels of train exchanged at random, and as it was published.

    python -m bench.quality --work FOLDER [--part flips|confused|published|twins] [--dataset banking77]

flips       for each of three seeds 5 % of the labels become another one, each with the same chance. How many of them stand in
            the first tenth of the order `errors`, how pure its first twentieth is, and how many confident learning flags;
            beside it the orders that know nothing (random) and that look at the answer alone (least confident)
confused    the same, but a label becomes the one that `built-in`, which never saw it, finds most probable of the others: errors
            as a person or a model makes them
published   the labels as they are: the 100 that come first, for a person to judge
twins       near-duplicates across the published splits, and how long finding them takes

Students: `built-in` (TF-IDF) and `minilm` (sentence embeddings), each a logistic regression trained on four of five parts.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.projects import lines, make_project, write_log
from tutelage.evaluation.confidence import Auroc
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate, proportion
from tutelage.labels.splitting import example_id
from tutelage.project import Project
from tutelage.review.duplicates import NEAR, conflicts, twins
from tutelage.review.errors import Errors, find_errors
from tutelage.review.folds import unseen
from tutelage.review.leakage import leakage

SHARE, WANTED = 0.05, 0.70
SUGGESTIONS, SHOWN = 100, 20
TEXTS_OF = {"banking77": "Texts: BANKING77, Casanueva et al. 2020, CC BY 4.0."}
STUDENTS = ("built-in", "minilm")
TASK = """name = "{name}"
output = "label"
instructions = "Which intent?"
labels = {labels}
[candidates.minilm]
family = "linear"
features = "embedding"
base = "{base}"
effort = "low"
"""


class Found(NamedTuple):
    """What an order does for the flips of one seed. `first` are the flips in the first tenth, `pure` those in the first
    twentieth, which is `half` examples long."""

    flips: int
    first: int
    pure: int
    half: int
    auroc: Estimate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--dataset", default="banking77")
    parser.add_argument("--part", choices=["flips", "confused", "published", "twins"], default="flips")
    parser.add_argument("--students", nargs="+", default=STUDENTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base", default="weights/minilm")
    parser.add_argument("--dry", action="store_true", help="write no log")
    chosen = parser.parse_args()
    start = time.monotonic()
    body = {"flips": flips, "confused": flips, "published": published, "twins": near}[chosen.part](chosen)
    body += f"\n\n{time.monotonic() - start:.0f} s."
    print(body) if chosen.dry else write_log(f"quality: {chosen.part} of {chosen.dataset}", body)
    return 0


def made(
    chosen: argparse.Namespace, seed: int | None, splits: tuple[str, ...] = ("train",)
) -> tuple[Project, set[str]]:
    """The project, and the ids of the examples whose label was exchanged (none without a seed)."""
    rows: dict[Any, Any] = {split: lines(chosen.dataset, split) for split in splits}
    labels = sorted({row["label"] for row in rows["train"]})
    flipped: set[str] = set()
    likely = likeliest(chosen) if seed is not None and chosen.part == "confused" else {}
    if seed is not None:
        chance = random.Random(seed)
        for at in chance.sample(range(len(rows["train"])), round(SHARE * len(rows["train"]))):
            row = rows["train"][at]
            id = example_id({"text": row["text"].strip()})
            others = [one for one in likely.get(id, labels) if one != row["label"]]
            rows["train"][at] = row | {"label": others[0] if id in likely else chance.choice(others)}
            flipped.add(id)
    folder = chosen.work / f"{chosen.dataset}-{'published' if seed is None else f'{chosen.part}-{seed}'}"
    base = str(Path(chosen.base).resolve())
    task = TASK.format(name=chosen.dataset, labels=json.dumps(labels), base=base)
    kept = {split: [{"text": row["text"], "label": row["label"]} for row in some] for split, some in rows.items()}
    project = make_project(folder, task, "label", kept)
    return project, flipped & set(project.store.examples.ids("train"))


def likeliest(chosen: argparse.Namespace) -> dict[str, list[str]]:
    """Of each example the labels that `built-in` finds probable, the most probable first, then all others."""
    project, _ = made(chosen, None)
    found = unseen(project, "train", STUDENTS[0])
    pairs = zip(found.labelled, found.predictions, strict=True)
    every = list(getattr(project.task, "labels", ()))
    return {one.example.id: list(dict.fromkeys([*prediction.parts, *every])) for one, prediction in pairs}


def flips(chosen: argparse.Namespace) -> str:
    """A row a student and order; the seeds pooled."""
    rows: dict[str, list[Found]] = {}
    flags: dict[str, list[str]] = {}
    n = 0
    for seed in range(1, chosen.seeds + 1):
        project, flipped = made(chosen, seed)
        for student in chosen.students:
            begun = time.monotonic()
            errors = find_errors(project, "train", student)
            took, n = time.monotonic() - begun, errors.n
            unsure = unseen(project, "train", student)
            pairs = zip(unsure.labelled, unsure.predictions, strict=True)
            by_answer = {one.example.id: p.confidence or 0.0 for one, p in pairs}
            rows.setdefault(f"errors by {student}", []).append(found(scores(errors), flipped))
            rows.setdefault(f"least confident, {student}", []).append(found(by_answer, flipped))
            flags.setdefault(student, []).append(flag_text(errors, flipped, took))
        chance = random.Random(seed)
        rows.setdefault("random", []).append(found({id: chance.random() for id in by_answer}, flipped))
    total = sum(one.flips for one in rows["random"])
    text = [
        f"{n} examples, seeds 1 to {chosen.seeds}, {total} labels exchanged in all. Wanted: {WANTED} in the first tenth.",
        "",
        "| order | flips in the first tenth (95 %) | by seed | of the first twentieth flipped (95 %) | AUROC by seed (95 %) |",
        "|---|---|---|---|---|",
    ]
    for name, seeds in rows.items():
        first = proportion(sum(one.first for one in seeds), total)
        pure = proportion(sum(one.pure for one in seeds), sum(one.half for one in seeds))
        each = ", ".join(f"{one.first / one.flips:.3f}" for one in seeds)
        aurocs = "; ".join(shown(one.auroc, 4) for one in seeds)
        text.append(f"| {name} | {shown(first)} | {each} | {shown(pure)} | {aurocs} |")
    text.append("")
    text += [f"- flagged by {student}: {'; '.join(some)}" for student, some in flags.items()]
    return "\n".join(text)


def scores(errors: Errors) -> dict[str, float]:
    return {one.example_id: one.score for one in errors.suspects}


def found(score: dict[str, float], flipped: set[str]) -> Found:
    """Of the order by `score`, the lowest first."""
    ranked = sorted(score, key=lambda id: (score[id], id))
    tenth, half = len(ranked) // 10, len(ranked) // 20
    wrong = np.array([id in flipped for id in ranked])
    auroc = Auroc(-np.array([score[id] for id in ranked]), wrong, np.arange(len(ranked)))
    first, pure = int(wrong[:tenth].sum()), int(wrong[:half].sum())
    return Found(int(wrong.sum()), first, pure, half, estimate(auroc, len(ranked)))


def flag_text(errors: Errors, flipped: set[str], seconds: float) -> str:
    """How many were flagged, and how many of them rightly."""
    right = sum(one.flagged and one.example_id in flipped for one in errors.suspects)
    pure, reached = proportion(right, max(1, errors.flagged)), proportion(right, len(flipped))
    estimated = f"{errors.share.value:.3f} of the labels"
    return f"{estimated} (precision {shown(pure)}, recall {shown(reached)}, {seconds:.0f} s)"


def published(chosen: argparse.Namespace) -> str:
    """The first suggestions of the last student named; all of them in a file in the work folder."""
    project, _ = made(chosen, None)
    student = chosen.students[-1]
    errors = find_errors(project, "train", student)
    examples = project.store.examples.pick([one.example_id for one in errors.suspects[:SUGGESTIONS]])
    rows = []
    for at, one in enumerate(errors.suspects[:SUGGESTIONS], 1):
        text = " ".join(examples[one.example_id].input["text"].split()).replace("|", "\\|")
        rows.append(f"| {at} | {text} | {one.label} | {one.said or ''} | {one.score:.4f} | |")
    head = ["| | text | label | " + student + " says | score | right is |", "|---|---|---|---|---|---|"]
    intro = (
        f"{errors.n} labels of train as published; {student} flags {errors.flagged}, {shown(errors.share)} of them. The "
        f"{SUGGESTIONS} most probable errors"
    )
    page = chosen.work / f"suggestions-{chosen.dataset}.md"
    page.write_text(
        "\n".join([f"{intro}, for a person to judge. {TEXTS_OF.get(chosen.dataset, '')}", "", *head, *rows, ""]),
        encoding="utf-8",
    )
    return "\n".join(
        [
            f"{intro} are written to the work folder for a person to judge; the first {SHOWN}.",
            TEXTS_OF.get(chosen.dataset, ""),
            "",
            *head,
            *rows[:SHOWN],
        ]
    )


def near(chosen: argparse.Namespace) -> str:
    """Near-duplicates at several shares; examples at the usual one."""
    project, _ = made(chosen, None, ("train", "dev", "test"))
    text = [
        "| share of runs | pairs | with other labels | across splits | of dev | of test (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    begun = time.monotonic()
    pairs = twins(project, 0.7)
    seconds = time.monotonic() - begun
    for share in (0.7, 0.8, NEAR, 0.9, 0.95, 1.0):
        some = [one for one in pairs if one.share >= share]
        leaks, differ = leakage(project, some), conflicts(project, some)
        cells = [f"{one.leaked} of {one.n}: {shown(one.share)}" for one in leaks.splits if one.split in ("dev", "test")]
        text.append(f"| {share:.2f} | {len(some)} | {len(differ)} | {len(leaks.pairs)} | {' | '.join(cells)} |")
    some = [one for one in pairs if one.share >= NEAR]
    text += [
        "",
        f"Found in {seconds:.1f} s among {sum(project.store.examples.counts().values())} examples. From {NEAR}:",
        "",
    ]
    for pair in leakage(project, some).pairs[:10]:
        text.append(f"- {pair.share:.2f} {pair.first.split}/{pair.second.split}: {texts(pair)}")
    for one in conflicts(project, some)[:10]:
        text.append(f"- {one.twins.share:.2f} labelled {one.labels[0]} / {one.labels[1]}: {texts(one.twins)}")
    return "\n".join(text)


def texts(pair: Any) -> str:
    return f'"{pair.first.input["text"]}" / "{pair.second.input["text"]}"'


def shown(one: Estimate, digits: int = 3) -> str:
    return f"{one.value:.{digits}f} ({one.low:.{digits}f} to {one.high:.{digits}f})"


if __name__ == "__main__":
    raise SystemExit(main())
