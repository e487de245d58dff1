"""From stored answers to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tutelage.evaluation.candidates import Candidate
from tutelage.evaluation.ceiling import ceiling
from tutelage.evaluation.confidence import Trust, trust
from tutelage.evaluation.costs import cost_of
from tutelage.evaluation.exact import exact_match
from tutelage.evaluation.fields import FieldScore, field_scores
from tutelage.evaluation.harness import ExampleSet, answers, latency_of
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.latency import Latency
from tutelage.evaluation.marking import marked
from tutelage.evaluation.metrics import Statistic
from tutelage.evaluation.results import Answered, Difference, Report, Row, pareto_front
from tutelage.evaluation.scoring import statistics
from tutelage.evaluation.text import violations
from tutelage.project import Project, newest_artefact, read_card
from tutelage.tasks import Task
from tutelage.types import Prediction, Value


@dataclass(frozen=True)
class _Scored:
    candidate: Candidate
    predictions: list[Prediction]
    latency: Latency
    statistics: Mapping[str, Statistic]
    fields: Mapping[str, FieldScore]


def make_report(
    project: Project, candidates: Sequence[Candidate], examples: ExampleSet
) -> tuple[Report, list[Answered]]:
    """The report on all candidates that have answered every example, and the answers side by side.

    Differences are to the teacher where it has answered, else to the best candidate.
    """
    scored, skipped = _score(project, candidates, examples)
    main, n = project.task.metric, len(examples.examples)
    everything = np.arange(n)[None, :]
    best = max(scored, key=lambda s: float(s.statistics[main](everything)[0]), default=None)
    reference = next((s for s in scored if s.candidate.name == project.file.teacher), best)
    rows = [_row(project, s, reference, n) for s in scored]
    front = pareto_front({row.name: (row.dollars_per_1000, row.scores[main].value) for row in rows})
    rows = [replace(row, on_pareto_front=row.name in front) for row in rows]
    ranked = sorted(rows, key=lambda row: (-row.scores[main].value, row.name))
    answered = _side_by_side(project.task, examples, scored)
    result = Report(
        project.task.name,
        project.task.output,
        main,
        examples.split,
        n,
        examples.fingerprint,
        examples.reference,
        ranked,
        skipped,
        [found for row in ranked for found in _trust_in(project.task, row.name, answered)],
        ceiling(project, examples, _students(scored, ranked)),
    )
    return result, answered


def _score(
    project: Project, candidates: Sequence[Candidate], examples: ExampleSet
) -> tuple[list[_Scored], dict[str, str]]:
    gold = [e.value for e in examples.examples]
    scored, skipped = [], {}
    for candidate in candidates:
        found = answers(project, candidate, examples)
        if found is None:
            skipped[candidate.name] = f"not evaluated on {examples.split}; run: tutelage evaluate {candidate.name}"
            continue
        predictions, facts = found
        values = [p.value for p in predictions]
        found_scores = statistics(project, examples.split, gold, values)
        latency, by_field = latency_of(candidate, predictions, facts), field_scores(project.task, gold, values)
        scored.append(_Scored(candidate, predictions, latency, found_scores, by_field))
    return scored, skipped


def _row(project: Project, scored: _Scored, reference: _Scored | None, n: int) -> Row:
    candidate, main = scored.candidate, project.task.metric
    against = None
    if reference is not None and reference is not scored:
        paired = difference(scored.statistics[main], reference.statistics[main], n)
        against = Difference(reference.candidate.name, paired)
    usages = [p.usage for p in scored.predictions]
    # One machine that is kept busy answers in batches, so a batch's rate is what its hours are paid for.
    seconds = 1 / scored.latency.items_per_second if scored.latency.items_per_second else 0.0
    hosted, price = candidate.hosted(project), candidate.price(project)
    cost = cost_of(candidate.family.role, usages, seconds, project.file.hardware, hosted=hosted, price=price)
    return Row(
        candidate.name,
        candidate.family_name,
        candidate.family.role,
        hosted,
        {name: estimate(statistic, n) for name, statistic in scored.statistics.items()},
        against,
        sum(p.value is None for p in scored.predictions),
        scored.latency,
        cost.dollars_per_1000,
        cost.basis,
        sum(usage.input_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        trained_on(project, candidate),
        False,
        violations(project.task, scored.predictions),
        scored.fields,
    )


def _students(scored: Sequence[_Scored], rows: Sequence[Row]) -> dict[str, tuple[str, Sequence[Value | None]]]:
    """What each student was trained on, and its answers."""
    values = {one.candidate.name: [p.value for p in one.predictions] for one in scored}
    return {row.name: (row.trained_on, values[row.name]) for row in rows if row.role == "student"}


def _trust_in(task: Task, name: str, answered: Sequence[Answered]) -> list[Trust]:
    """What each confidence of candidate `name` is worth on these examples."""
    gold, predictions = [one.gold for one in answered], [one.predictions[name] for one in answered]
    return trust(task, name, gold, predictions, [one.scores[name] for one in answered])


def trained_on(project: Project, candidate: Candidate) -> str:
    """Whose labels a student learnt from and how many, e.g. "100 teacher labels"; "" for others."""
    folder = newest_artefact(project, candidate.name) if candidate.family.student else None
    if folder is None:
        return ""
    learnt = read_card(folder)["train"]
    labels = " + ".join(f"{count} {origin} labels" for origin, count in learnt["origins"].items())
    labels = labels or f"{learnt['n']} inputs"
    return f"{labels}, {learnt['synthetic']} of them of synthetic inputs" if learnt.get("synthetic") else labels


def _side_by_side(task: Task, examples: ExampleSet, scored: Sequence[_Scored]) -> list[Answered]:
    gold = [e.value for e in examples.examples]
    scores = {}
    for one in scored:
        graded = getattr(one.statistics[task.metric], "scores", None)
        if graded is None:
            graded = exact_match(task, gold, [p.value for p in one.predictions]).scores
        scores[one.candidate.name] = graded.tolist()
    found = {one.candidate.name: one.predictions for one in scored}
    return [
        Answered(
            e.example.id,
            e.example.input,
            task.canonical(e.value) if isinstance(e.value, dict) else e.value,  # the fields in the schema's order
            {name: predictions[at] for name, predictions in found.items()},
            {name: values[at] for name, values in scores.items()},
            {name: marked(task, e.value, predictions[at].value) for name, predictions in found.items()},
        )
        for at, e in enumerate(examples.examples)
    ]
