"""What is known of a project's labels: who gave them, which are probably wrong, which contradict, what leaks between splits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tutelage.evaluation.exports import write_files
from tutelage.project import Project
from tutelage.review.agreement import Agreement, agreement
from tutelage.review.audit import Audited, audits
from tutelage.review.duplicates import NEAR, Conflict, Twins, conflicts, twins
from tutelage.review.errors import Errors, find_errors
from tutelage.review.folds import FOLDS, Progress
from tutelage.review.leakage import Leakage, leakage
from tutelage.review.progress import Progress as Reviewed
from tutelage.review.progress import progress as reviewed
from tutelage.types import Split, canonical_json

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so may be run by a spreadsheet; an apostrophe before it makes it text."""


@dataclass(frozen=True)
class Looked:
    """What to look at, and how. Without `errors` no student is asked, without `duplicates` no inputs are compared."""

    by: str | None = None
    folds: int = FOLDS
    near: float = NEAR
    errors: bool = True
    duplicates: bool = True


@dataclass(frozen=True)
class Quality:
    """`counts` are (source, split, examples labelled), `review` is what people decided about the split's labels, `audits`
    how many of them a random audit finds right, of all sources and of each, `agreement` how far annotators agree.

    `errors` is None where none were looked for, and `no_errors` says why; `conflicts` and `leakage` are None where inputs
    were not compared.
    """

    split: Split
    examples: Mapping[Split, int]
    counts: Sequence[tuple[str, Split, int]]
    review: Reviewed
    audits: Sequence[Audited]
    agreement: Agreement
    errors: Errors | None
    no_errors: str
    near: float
    conflicts: Sequence[Conflict] | None
    leakage: Leakage | None


def quality(project: Project, split: Split, looked: Looked, progress: Progress = lambda share, shown: None) -> Quality:
    """Look at the labels of `split` for errors, at those of all splits for contradictions and leaks.

    Raises UsageError, TrainingError where errors cannot be looked for, unless the task's answers are texts.
    """
    errors, why = None, "not looked for"
    if looked.errors and project.task.output == "text":
        why = "texts have no one right answer; review those on which candidates differ (the order disagree)"
    elif looked.errors:
        errors = find_errors(project, split, looked.by, looked.folds, progress)
    pairs = twins(project, looked.near) if looked.duplicates else None
    return Quality(
        split,
        project.store.examples.counts(),
        project.store.labels.counts(),
        reviewed(project, split),
        audits(project, split),
        agreement(project, split),
        errors,
        why,
        looked.near,
        None if pairs is None else conflicts(project, pairs),
        None if pairs is None else leakage(project, pairs),
    )


def facts(project: Project, found: Quality, top: int | None = None) -> dict[str, Any]:
    """The whole as JSON; of each list the first `top` (None: all)."""
    known: dict[str, Any] = {
        "task": project.task.name,
        "split": found.split,
        "examples": dict(found.examples),
        "labels": [{"source": source, "split": split, "examples": n} for source, split, n in found.counts],
        "review": found.review.facts(),
        "audits": [asdict(one) for one in found.audits],
        "agreement": asdict(found.agreement),
        "errors": None,
        "near": found.near,
        "conflicts": None,
        "leakage": None,
    }
    if found.errors is not None:
        some = found.errors.suspects[:top]
        texts = _texts(project, [one.example_id for one in some])
        told = asdict(found.errors) | {
            "suspects": [{"text": texts[one.example_id], **asdict(one)} for one in some],
        }
        known["errors"] = told
    if found.conflicts is not None and found.leakage is not None:
        known["conflicts"] = [_conflict(project, one) for one in found.conflicts[:top]]
        known["conflicts_found"] = len(found.conflicts)
        known["leakage"] = {
            "splits": [asdict(one) for one in found.leakage.splits],
            "pairs_found": len(found.leakage.pairs),
            "pairs": [_twins(project, one) for one in found.leakage.pairs[:top]],
        }
    return known


def write_quality(project: Project, found: Quality, folder: Path) -> dict[str, Path]:
    """quality.json with everything, and a table each of errors, conflicts and leaks. Raises StoreError."""
    known = facts(project, found)
    whole = json.dumps(known, indent=2, ensure_ascii=False) + "\n"
    files = {"quality.json": whole.encode(errors="backslashreplace")}
    if known["errors"] is not None:
        columns = ["example_id", "score", "flagged", "source", "label", "said", "reason", "text"]
        files["errors.csv"] = table(columns, ([one[name] for name in columns] for one in known["errors"]["suspects"]))
    if known["conflicts"] is not None:
        sides = ("first", "second")
        columns = [
            "share",
            *(f"{side}_{name}" for side in sides for name in ("id", "split", "label", "source", "text")),
        ]
        rows = (
            [one["share"], *(one[side][name] for side in sides for name in ("id", "split", "label", "source", "text"))]
            for one in known["conflicts"]
        )
        files["conflicts.csv"] = table(columns, rows)
        columns = ["share", *(f"{side}_{name}" for side in sides for name in ("id", "split", "text"))]
        rows = (
            [one["share"], *(one[side][name] for side in sides for name in ("id", "split", "text"))]
            for one in known["leakage"]["pairs"]
        )
        files["leakage.csv"] = table(columns, rows)
    return write_files(files, folder)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """The rows as CSV whose cells no spreadsheet runs."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return out.getvalue().encode(errors="backslashreplace")


def _cell(value: Any) -> Any:
    text = canonical_json(value) if isinstance(value, (list, dict)) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA) else text


def _conflict(project: Project, one: Conflict) -> dict[str, Any]:
    known = _twins(project, one.twins)
    for side, label, source in zip(("first", "second"), one.labels, one.sources, strict=True):
        known[side] |= {"label": label, "source": source}
    return known


def _twins(project: Project, pair: Twins) -> dict[str, Any]:
    sides = {"first": pair.first, "second": pair.second}
    shown = {
        name: {"id": one.id, "split": one.split, "text": project.task.input_text(one.input)}
        for name, one in sides.items()
    }
    return {"share": pair.share, **shown}


def _texts(project: Project, ids: Sequence[str]) -> dict[str, str]:
    return {id: project.task.input_text(one.input) for id, one in project.store.examples.pick(ids).items()}
