"""Escalation by field against escalation of whole documents, at equal document exact match: what does the teacher cost?

    python -m bench.records --work FOLDER --only invoices                     # student and recorded teacher
    python -m bench.fields --project FOLDER/invoices --student multitask-tagger --teacher teacher

Document escalation asks the teacher the whole question about every document whose calibrated confidence is below a threshold;
escalation by field asks only for the fields below one, in one question. Thresholds are swept over test, both against gold, and
compared where both reach the same exact match. Dollars: the price per token is recovered by least squares from the recorded
teacher's dollars and tokens. Input tokens are those of the questions as this package asks them, estimated, none of them cached;
output tokens are the recorded ones, of a question about some fields in proportion to the JSON that it answers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.projects import answer, lines, write_log
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.metrics import Floats
from tutelage.project import Project, open_project
from tutelage.prompting.family import nobody, prompted_for
from tutelage.prompting.settings import PromptedSettings
from tutelage.routing.answered import Goal, answered_by
from tutelage.routing.confidence import fit_confidence
from tutelage.routing.fields import only_fields, right_fields, sure_fields
from tutelage.tasks.record import RecordTask
from tutelage.types import Input, Prediction

WANTED = 0.6
RESAMPLES = 1000


class Curve(NamedTuple):
    """Exact match and dollars per 1,000 documents along thresholds, shape (m,), and the share of documents asked about."""

    exact: Floats
    dollars: Floats
    asked: Floats


class Measured(NamedTuple):
    """Of each document (n) and field (n, fields): confidences, what is right, dollars of the whole and the partial questions."""

    document: Floats
    sure: Floats
    student: NDArray[np.bool_]
    last: NDArray[np.bool_]
    whole: Floats
    fixed: Floats
    each: Floats

    def drawn(self, at: NDArray[np.int64]) -> Measured:
        return Measured(*(one[at] for one in self))  # type: ignore[arg-type]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--student", default="multitask-tagger")
    parser.add_argument("--teacher", default="teacher")
    parser.add_argument("--dataset", default="invoices", help="whose recorded tokens and dollars are the prices")
    parser.add_argument("--dry", action="store_true", help="write no log")
    chosen = parser.parse_args()
    found = measured(open_project(chosen.project), chosen)
    body = table(found)
    print(body) if chosen.dry else write_log(
        f"fields: {chosen.dataset} {chosen.student}, by field against by document", body
    )
    return 0


def measured(project: Project, chosen: argparse.Namespace) -> Measured:
    stages = [candidate(project, name) for name in (chosen.student, chosen.teacher)]
    for split in ("dev", "test"):
        answer(project, [one.name for one in stages], split)
    goal = Goal({"wrong": 0.05}, against="gold")
    # Confidences are calibrated against the teacher, whose labels are the only ones that dev has.
    dev = answered_by(project, stages, "dev", Goal({"wrong": 0.05}, against="teacher"))
    test = answered_by(project, stages, "test", goal)
    fitted = fit_confidence(project.task, dev.stages[0], dev.gold, dev.right[0])
    assert fitted is not None and isinstance(project.task, RecordTask)
    sure = sure_fields(project.task, fitted.confidence, test.stages[0])
    student, last = (right_fields(project.task, test.gold, one) for one in test.stages)
    inputs = [one.example.input for one in test.examples.examples]
    whole, fixed, each = dollars(project, inputs, test.stages[1], prices(chosen.dataset))
    return Measured(fitted.confidence.of(test.stages[0]), sure, student, last, whole, fixed, each)


def prices(dataset: str) -> Floats:
    """Dollars per uncached input, cached input and output token, by least squares over the recorded answers of train."""
    taught = [one["teacher"] for one in lines(dataset, "train")]
    tokens = [
        [t["input_tokens"] - t["cached_input_tokens"], t["cached_input_tokens"], t["output_tokens"]] for t in taught
    ]
    found, *_ = np.linalg.lstsq(
        np.array(tokens, dtype=np.float64), np.array([t["dollars"] for t in taught]), rcond=None
    )
    return np.asarray(found)


def dollars(
    project: Project, inputs: list[Input], recorded: list[Prediction], price: Floats
) -> tuple[Floats, Floats, Floats]:
    """Dollars of each whole question (n,); of the part of a partial one that no field adds (n,); of each field (n, fields)."""
    task = project.task
    assert isinstance(task, RecordTask)
    names = [field.name for field in task.answer_fields]
    settings = PromptedSettings(model="priced", provider="openai", structured="schema")
    asked = prompted_for(task, "asked", settings, project, None, nobody(settings))
    adds = []
    for name in names:
        rest = only_fields(task, [other for other in names if other != name])
        less = prompted_for(rest, "asked", settings, project, None, nobody(settings)).estimate(inputs[0])
        adds.append(asked.estimate(inputs[0]).input_tokens - less.input_tokens)
    whole, fixed, each = [], [], []
    for one, given in zip(recorded, inputs, strict=True):
        value: Any = one.value or {}
        length = {name: len(json.dumps({name: value.get(name)})) for name in names}
        tokens = asked.estimate(given).input_tokens
        out = [one.usage.output_tokens * length[name] / sum(length.values()) * price[2] for name in names]
        whole.append(tokens * price[0] + one.usage.output_tokens * price[2])
        fixed.append((tokens - sum(adds)) * price[0])
        each.append([add * price[0] + cost for add, cost in zip(adds, out, strict=True)])
    return np.array(whole), np.array(fixed), np.array(each)


def by_document(one: Measured) -> Curve:
    order = np.argsort(one.document, kind="stable")  # the least sure first
    student, last = (np.asarray(right.all(axis=1))[order] for right in (one.student, one.last))
    n = len(order)
    right = np.concatenate([[student.sum()], student.sum() + np.cumsum(last.astype(int) - student.astype(int))])
    paid = np.concatenate([[0.0], np.cumsum(one.whole[order])])
    return Curve(right / n, 1000 * paid / n, np.arange(n + 1) / n)


def by_field(one: Measured) -> Curve:
    levels = np.unique(np.quantile(one.sure, np.linspace(0, 1, 400)))
    exact, paid, asked = [], [], []
    for level in [-1.0, *np.nextafter(levels, np.inf).tolist()]:
        doubtful = one.sure < level
        exact.append(np.where(doubtful, one.last, one.student).all(axis=1).mean())
        some, every = doubtful.any(axis=1), doubtful.all(axis=1)
        cost = np.where(every, one.whole, np.where(some, one.fixed + (one.each * doubtful).sum(axis=1), 0.0))
        paid.append(1000 * np.minimum(cost, one.whole).mean())  # nobody asks a partial question that is dearer
        asked.append(some.mean())
    return Curve(np.array(exact), np.array(paid), np.array(asked))


def cost_at(curve: Curve, exact: float) -> tuple[float, float]:
    """The least dollars, and the share asked about, at which the curve reaches `exact`; NaN where it does not."""
    at = np.flatnonzero(curve.exact >= exact - 1e-12)
    if not len(at):
        return float("nan"), float("nan")
    best = at[np.argmin(curve.dollars[at])]
    return float(curve.dollars[best]), float(curve.asked[best])


def table(found: Measured) -> str:
    alone, teacher = float(found.student.all(axis=1).mean()), float(found.last.all(axis=1).mean())
    n, rng = len(found.document), np.random.default_rng(0)
    curves = by_document(found), by_field(found)
    most = min(float(one.exact.max()) for one in curves)
    rows = [
        f"n = {n}; exact match of the student alone {alone:.4f}, of the teacher {teacher:.4f} at "
        f"${1000 * found.whole.mean():.4f} per 1,000; intervals by the bootstrap over documents.",
        "",
        "| exact match | by document: $ per 1,000 (asked) | by field: $ per 1,000 (asked) | by field / by document (95 %) |",
        "|---" * 4 + "|",
    ]
    targets = [round(alone + share * (most - alone), 4) for share in (0.25, 0.5, 0.75, 0.9, 0.97)]
    draws = [found.drawn(rng.integers(0, n, n)) for _ in range(RESAMPLES // 5)]
    drawn = [(by_document(one), by_field(one)) for one in draws]
    for exact in targets:
        (document, share), (field, own) = (cost_at(one, exact) for one in curves)
        ratios = [
            cost_at(b, exact)[0] / cost_at(a, exact)[0] for a, b in drawn if a.exact.max() >= exact <= b.exact.max()
        ]
        kept = [one for one in ratios if np.isfinite(one)]
        low, high = np.quantile(kept, [0.025, 0.975]) if len(kept) > 20 else (float("nan"),) * 2
        rows.append(
            f"| {exact:.4f} | {document:.5f} ({share:.3f}) | {field:.5f} ({own:.3f}) "
            f"| {field / document:.3f} ({low:.3f} to {high:.3f}) |"
        )
    rows.append(f"\nWanted: at most {WANTED} of the dollars at equal exact match.")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
