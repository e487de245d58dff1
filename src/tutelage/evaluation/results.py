"""What an evaluation says: one report of all candidates on the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tutelage.evaluation.ceiling import Ceiling
from tutelage.evaluation.confidence import Trust
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.fields import FieldScore
from tutelage.evaluation.latency import Latency
from tutelage.evaluation.marking import Mark
from tutelage.registry import Role
from tutelage.types import Input, Prediction, Split, Value


@dataclass(frozen=True)
class Difference:
    """A candidate's main metric minus that of candidate `to`, on the same examples, with a paired interval."""

    to: str
    estimate: Estimate


@dataclass(frozen=True)
class Row:
    """One candidate. Tokens are sums over the examples; `failures` are answers that never came or did not fit."""

    name: str
    family: str
    role: Role
    hosted: bool
    """Whether somebody else's machine answers."""
    scores: Mapping[str, Estimate]
    difference: Difference | None
    failures: int
    latency: Latency
    dollars_per_1000: float | None
    cost_basis: str
    input_tokens: int
    output_tokens: int
    trained_on: str
    """Whose labels a student learned from and how many, e.g. "100 teacher labels"; "" for others."""
    on_pareto_front: bool
    violations: Mapping[str, int] = field(default_factory=dict)
    """Of a text task: answers by the limit that they break, and the "empty" ones."""
    fields: Mapping[str, FieldScore] = field(default_factory=dict)
    """Of a record task: the figures of each field."""

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "family": self.family,
            "role": self.role,
            "hosted": self.hosted,
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "difference": self.difference and {"to": self.difference.to, **asdict(self.difference.estimate)},
            "failures": self.failures,
            "seconds": {p: getattr(self.latency, p) for p in ("p50", "p75", "p90", "p99")},
            "items_per_second": self.latency.items_per_second,
            "latency_basis": self.latency.how,
            "dollars_per_1000": self.dollars_per_1000,
            "cost_basis": self.cost_basis,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "trained_on": self.trained_on,
            "on_pareto_front": self.on_pareto_front,
            "violations": dict(self.violations),
            "fields": {name: asdict(score) for name, score in self.fields.items()},
        }


def broken_limits(row: Row) -> str:
    """One clause for the notes, e.g. "limits broken: max_characters 3, empty 1"; "" where no answer breaks any."""
    counts = [f"{name} {count}" for name, count in row.violations.items() if count]
    return f"limits broken: {', '.join(counts)}" if counts else ""


@dataclass(frozen=True)
class Section:
    """A part of the HTML page that another room adds: notes, a table, and charts (title -> Vega-Lite specification)."""

    title: str
    notes: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    charts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """Its figures; the charts are in the page."""
        return {"title": self.title, "notes": list(self.notes), "columns": list(self.columns), "rows": list(self.rows)}


@dataclass(frozen=True)
class Report:
    """All candidates on the same n examples of a split, best first by `metric`.

    `fingerprint` is the hash of the examples and their gold values; `reference` says whose labels they are scored
    against, with counts; `skipped` names candidates that could not be scored and why.
    """

    task: str
    output: str
    metric: str
    split: Split
    n: int
    fingerprint: str
    reference: str
    candidates: Sequence[Row]
    skipped: Mapping[str, str]
    trust: Sequence[Trust] = ()
    """What each confidence of each candidate is worth."""
    ceiling: Ceiling | None = None
    """The teacher against gold and itself, and the students against both; None where there is no gold or no teacher."""
    sections: Sequence[Section] = ()
    """What other rooms add to the page."""

    def json(self) -> dict[str, Any]:
        head = {
            name: getattr(self, name) for name in ("task", "output", "metric", "split", "n", "fingerprint", "reference")
        }
        return head | {
            "candidates": [row.json() for row in self.candidates],
            "skipped": dict(self.skipped),
            "confidences": [row.json() for row in self.trust],
            "ceiling": self.ceiling and asdict(self.ceiling),
            "sections": [section.json() for section in self.sections],
        }


@dataclass(frozen=True)
class Answered:
    """One example of the report with every candidate's answer, for the browser of wrong answers.

    `scores` are the main metric's per-example scores in [0, 1] by candidate name (accuracy's or f1's), or whether the
    answer is exactly right where that metric has none; `marks` say part by part what is right.
    """

    id: str
    input: Input
    gold: Value
    predictions: Mapping[str, Prediction]
    scores: Mapping[str, float]
    marks: Mapping[str, Sequence[Mark]] = field(default_factory=dict)


def pareto_front(points: Mapping[str, tuple[float | None, float]]) -> set[str]:
    """Names of the points (cost, quality) that no other beats: none is at most as dear and at least as good, and better in one.

    A point without a known cost is not on the front.
    """
    known = {name: (cost, quality) for name, (cost, quality) in points.items() if cost is not None}
    return {
        name
        for name, (cost, quality) in known.items()
        if not any(
            c <= cost and q >= quality and (c < cost or q > quality) for other, (c, q) in known.items() if other != name
        )
    }
