"""Judging the stored answers of candidates: one against another, or one by a rubric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.errors import DataError
from tutelage.evaluation.candidates import Candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.judge.asking import Tell, judgements, silent
from tutelage.evaluation.judge.judges import Judge, shown
from tutelage.evaluation.judge.pairwise import Pair, Positions, Verdict, positions, verdict
from tutelage.evaluation.judge.rubric import Answered, marks, overall
from tutelage.evaluation.metrics import Mean
from tutelage.project import Project
from tutelage.types import Example, Prediction, Split

WORTH = {"a": 1.0, "tie": 0.5, "b": 0.0, None: 0.5}
"""What a verdict is worth to A; where the judge failed nothing speaks for either."""


@dataclass(frozen=True)
class Answers:
    """Examples of a split with the stored answers of each candidate, in the same order; `left_out` lack an answer."""

    split: Split
    examples: tuple[Example, ...]
    predictions: tuple[tuple[Prediction, ...], ...]
    left_out: int


def stored_answers(
    project: Project, candidates: Sequence[Candidate], split: Split, limit: int | None = None
) -> Answers:
    """The examples that all `candidates` have answered, at most `limit`: a choice by hash, which a larger one only adds to.

    An answer that failed is an answer. Raises DataError with the command to run when there are none.
    """
    everything = {example.id: example for example in project.store.examples.read(split)}
    stored = [project.store.predictions.read(one.fingerprint(project), list(everything)) for one in candidates]
    ids = [id for id in everything if all(id in answers for answers in stored)]
    if not ids:
        raise DataError(
            f"No example of {split!r} has answers to judge. Get them with: "
            f"tutelage evaluate {' '.join(one.name for one in candidates)} --split {split} --unlabelled"
        )
    chosen = sorted(ids)[:limit]
    predictions = tuple(tuple(answers[id] for id in chosen) for answers in stored)
    return Answers(split, tuple(everything[id] for id in chosen), predictions, len(everything) - len(ids))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A against B over `n` examples. `equal` answers are ties, and `unanswered` ones decided, without asking.

    `failed` pairs have no verdict; they count as ties in `win_rate` (of A, ties half), and in nothing else.
    """

    judge: str
    a: str
    b: str
    split: Split
    n: int
    wins: int
    ties: int
    losses: int
    failed: int
    equal: int
    unanswered: int
    win_rate: Estimate
    positions: Positions | None
    asked: int
    dollars: float | None
    cost_basis: str
    left_out: int
    errors: tuple[tuple[str, int], ...] = ()


async def compare(
    project: Project, pair: tuple[Candidate, Candidate], judge: Judge, answers: Answers, tell: Tell = silent
) -> Comparison:
    """Judge the answers of two candidates in both orders. Raises ModelError when the judge cannot be asked."""
    ours, theirs = answers.predictions
    outcomes: list[str | None] = []
    asked: list[tuple[int, Pair]] = []
    equal = unanswered = 0
    for at, (example, a, b) in enumerate(zip(answers.examples, ours, theirs, strict=True)):
        outcomes.append("tie")
        if a.value is None or b.value is None:
            unanswered += 1
            outcomes[at] = "tie" if a.value is b.value else "b" if a.value is None else "a"
        elif a.value == b.value:
            equal += 1
        else:
            text = project.task.input_text(example.input)
            asked.append((at, Pair(project.task.instructions, text, shown(a.value), shown(b.value))))
    said = await judgements(project, judge, [q for _, one in asked for q in one.questions], tell)
    verdicts: list[Verdict] = []
    for at, one in asked:
        verdicts.append(verdict(one, said))
        outcomes[at] = verdicts[-1].outcome(judge.settings.swapped)
    return Comparison(
        judge=judge.name,
        a=pair[0].name,
        b=pair[1].name,
        split=answers.split,
        n=len(outcomes),
        wins=outcomes.count("a"),
        ties=outcomes.count("tie"),
        losses=outcomes.count("b"),
        failed=outcomes.count(None),
        equal=equal,
        unanswered=unanswered,
        win_rate=_mean([WORTH[outcome] for outcome in outcomes]),
        positions=positions(verdicts),
        asked=said.asked,
        dollars=said.dollars,
        cost_basis=said.cost.basis,
        left_out=answers.left_out,
        errors=said.errors,
    )


@dataclass(frozen=True, kw_only=True)
class Rating:
    """A candidate's marks over `n` examples, as scores in [0, 1]: (mark - 1) / 4; an answer that failed scores 0.

    `failed` counts marks that the judge did not give; they are in no mean. `score` is the mean over criteria of the
    answers that have all marks, None where there is none.
    """

    judge: str
    candidate: str
    split: Split
    n: int
    score: Estimate | None
    criteria: dict[str, Estimate | None]
    failed: int
    unanswered: int
    asked: int
    dollars: float | None
    cost_basis: str
    left_out: int
    errors: tuple[tuple[str, int], ...] = ()


async def rate(project: Project, candidate: Candidate, judge: Judge, answers: Answers, tell: Tell = silent) -> Rating:
    """Mark the answers of a candidate by each criterion. Raises ModelError when the judge cannot be asked."""
    criteria = judge.settings.criteria
    given = [
        Answered(project.task.instructions, project.task.input_text(example.input), shown(prediction.value))
        if prediction.value is not None
        else None
        for example, prediction in zip(answers.examples, answers.predictions[0], strict=True)
    ]
    said = await judgements(project, judge, [q for one in given if one for q in one.questions(criteria)], tell)
    nothing: dict[str, float | None] = dict.fromkeys(criteria, 0.0)
    table = [marks(one, criteria, said) if one else nothing for one in given]
    return Rating(
        judge=judge.name,
        candidate=candidate.name,
        split=answers.split,
        n=len(table),
        score=_known_mean([overall(list(row.values())) for row in table]),
        criteria={name: _known_mean([row[name] for row in table]) for name in criteria},
        failed=sum(mark is None for row in table for mark in row.values()),
        unanswered=given.count(None),
        asked=said.asked,
        dollars=said.dollars,
        cost_basis=said.cost.basis,
        left_out=answers.left_out,
        errors=said.errors,
    )


def _mean(scores: Sequence[float]) -> Estimate:
    return estimate(Mean(np.array(scores)), len(scores))


def _known_mean(scores: Sequence[float | None]) -> Estimate | None:
    known = [score for score in scores if score is not None]
    return _mean(known) if known else None
