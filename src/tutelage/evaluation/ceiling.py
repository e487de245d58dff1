"""The teacher's ceiling: the teacher against gold and against itself, and each student against both.

A student that learns from a teacher's labels can copy its mistakes, and cannot agree with it more often than the teacher
agrees with itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tutelage.errors import TutelageError, UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.exact import exact_match
from tutelage.evaluation.harness import ExampleSet
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Mean, Statistic
from tutelage.evaluation.scoring import statistic
from tutelage.project import Project
from tutelage.types import Prediction, Value, canonical_json, digest

RIGHT = 1.0
TEXT_RIGHT = 0.5
"""Scores from which an answer counts as right; of a text, which is hardly ever gold's to the letter, half is enough."""

NEAR = 0.05
"""Agreement with the teacher that is at most this much below the teacher's with itself is at the ceiling."""


@dataclass(frozen=True)
class TeacherAnswers:
    """The teacher's answers to the examples, None where there is none, and where they come from."""

    values: Sequence[Value | None]
    found: str


@dataclass(frozen=True)
class Itself:
    """The teacher against itself: its second answers to n examples. `agreement` is the main metric of the first answers
    against the second, `again` that of the second against gold."""

    n: int
    asked: str
    temperature: float | None
    agreement: Estimate
    first: Estimate
    again: Estimate


@dataclass(frozen=True)
class Quarters:
    """A student and the teacher against gold on the same n examples: how often who is right, counts and shares with 95 %
    intervals. `copied` are the student's errors that are the teacher's very answer, a share of its errors.

    `gap` is the student's agreement with the teacher minus the teacher's with itself, on the examples asked again.
    """

    student: str
    trained_on: str
    n: int
    counts: Mapping[str, int]
    shares: Mapping[str, Estimate]
    score: Estimate
    agreement: Estimate
    copied: int
    copied_share: Estimate | None
    gap: Estimate | None


CELLS = ("both right", "student only", "teacher only", "both wrong")


@dataclass(frozen=True)
class Ceiling:
    """All of it. An answer is right from a score of `right`; `verdicts` says in sentences where the teacher is the problem."""

    teacher: str
    metric: str
    right: float
    n: int
    score: Estimate
    found: str
    itself: Itself | None
    students: Sequence[Quarters]
    verdicts: Sequence[str]


def again(one: Candidate) -> Candidate:
    """The candidate with another seed and everything else as it is. Raises UsageError for one that cannot be asked again."""
    if one.family.role != "llm" or not hasattr(one.settings, "seed"):
        raise UsageError(
            f"{one.name!r} cannot be asked again: its family {one.family_name!r} gives the same answers each time. "
            "Name another candidate of the same model with --by."
        )
    # Far from the seeds of families that draw several times from one.
    return replace(one, settings=replace(one.settings, seed=(one.settings.seed or 0) + 10_007))


def remember(project: Project, teacher: str, examples: ExampleSet, again_key: str, asked: Candidate) -> None:
    """Note where the second answers are, so that the report finds them."""
    facts = {"key": again_key, "asked": asked.name, "temperature": getattr(asked.settings, "temperature", None)}
    project.store.measurements.put(_note(teacher), examples.split, facts)


def teacher_answers(project: Project, examples: ExampleSet) -> TeacherAnswers | None:
    """What the teacher of task.toml says about the examples: its stored answers, else its labels; None without any."""
    name = project.file.teacher
    if not name:
        return None
    try:
        key = candidate(project, name).fingerprint(project)
    except TutelageError:
        stored: Mapping[str, Prediction] = {}
    else:
        stored = project.store.predictions.read(key, examples.ids)
    if len(stored) == len(set(examples.ids)):
        return TeacherAnswers([stored[id].value for id in examples.ids], f"stored answers of {name}")
    labels = {one.example.id: one.value for one in project.store.labels.read(examples.split, "teacher")}
    values = [labels.get(id) for id in examples.ids]
    return TeacherAnswers(values, "labels in the store") if any(v is not None for v in values) else None


def ceiling(
    project: Project,
    examples: ExampleSet,
    students: Mapping[str, tuple[str, Sequence[Value | None]]],
    right: float | None = None,
) -> Ceiling | None:
    """The ceiling on the examples that have gold and the teacher's answer; `students` are what they were trained on and
    their answers. None where there is no gold or no teacher."""
    answered = teacher_answers(project, examples) if examples.reference.startswith("gold") else None
    if answered is None:
        return None
    kept = [at for at, value in enumerate(answered.values) if value is not None or answered.found.startswith("stored")]
    gold = [examples.examples[at].value for at in kept]
    teacher = [answered.values[at] for at in kept]
    known = examples.only([examples.examples[at] for at in kept])
    threshold = right if right is not None else TEXT_RIGHT if project.task.output == "text" else RIGHT
    view = _View(project, known, gold, teacher, threshold)
    second = _second(view)
    rows = [view.quarters(name, how, [values[at] for at in kept], second) for name, (how, values) in students.items()]
    itself = second.itself if second else None
    name = str(project.file.teacher)
    score = view.estimate(gold, teacher)
    verdicts = [said for row in rows if (said := _verdict(name, row, itself))]
    return Ceiling(name, project.task.metric, threshold, len(kept), score, answered.found, itself, rows, verdicts)


@dataclass(frozen=True)
class _Second:
    """The teacher's second answers, to the examples at `at`."""

    itself: Itself
    at: Sequence[int]
    agreement: Statistic


@dataclass(frozen=True)
class _View:
    project: Project
    examples: ExampleSet
    gold: Sequence[Value]
    teacher: Sequence[Value | None]
    right: float

    def statistic(self, right: Sequence[Value | None], values: Sequence[Value | None]) -> Statistic:
        """The main metric of `values`; where `right` failed, nothing agrees with it."""
        kept = [at for at, one in enumerate(right) if one is not None]
        found = statistic(
            self.project,
            self.examples.split,
            self.project.task.metric,
            [one for one in right if one is not None],
            [values[at] for at in kept],
        )
        if len(kept) == len(right):
            return found
        per_example = np.zeros(len(right))
        per_example[kept] = _each(self.project, found, [r for r in right if r is not None], [values[at] for at in kept])
        return Mean(per_example)

    def estimate(self, right: Sequence[Value | None], values: Sequence[Value | None]) -> Estimate:
        return estimate(self.statistic(right, values), len(right))

    def is_right(self, values: Sequence[Value | None]) -> list[bool]:
        found = self.statistic(self.gold, values)
        return [bool(score >= self.right - 1e-9) for score in _each(self.project, found, self.gold, values)]

    def quarters(self, name: str, trained_on: str, values: Sequence[Value | None], second: _Second | None) -> Quarters:
        pairs = list(zip(self.is_right(values), self.is_right(self.teacher), strict=True))
        cells = {(True, True): 0, (True, False): 1, (False, True): 2, (False, False): 3}
        where = np.array([cells[pair] for pair in pairs])
        n = len(pairs)
        wrong = [at for at, (mine, _) in enumerate(pairs) if not mine]
        copies = np.array(
            [_same(self.project, values[at], self.teacher[at]) and not pairs[at][1] for at in wrong], float
        )
        gap = None
        if second:
            mine = [values[at] for at in second.at]
            theirs = self.statistic([self.teacher[at] for at in second.at], mine)
            gap = difference(theirs, second.agreement, len(second.at))
        return Quarters(
            name,
            trained_on,
            n,
            {cell: int((where == at).sum()) for at, cell in enumerate(CELLS)},
            {cell: estimate(Mean((where == at).astype(float)), n) for at, cell in enumerate(CELLS)},
            self.estimate(self.gold, values),
            self.estimate(self.teacher, values),
            int(copies.sum()),
            estimate(Mean(copies), len(copies)) if len(copies) else None,
            gap,
        )


def _second(view: _View) -> _Second | None:
    """The teacher's second answers where it was asked again."""
    facts = view.project.store.measurements.get(_note(str(view.project.file.teacher)), view.examples.split)
    stored = view.project.store.predictions.read(facts["key"], view.examples.ids) if facts else {}
    at = [place for place, id in enumerate(view.examples.ids) if id in stored]
    if not at or facts is None:
        return None
    again_values = [stored[view.examples.ids[place]].value for place in at]
    first, gold = [view.teacher[place] for place in at], [view.gold[place] for place in at]
    agreement = view.statistic(first, again_values)
    itself = Itself(
        len(at),
        str(facts["asked"]),
        facts["temperature"],
        estimate(agreement, len(at)),
        view.estimate(gold, first),
        view.estimate(gold, again_values),
    )
    return _Second(itself, at, agreement)


def _each(
    project: Project, found: Statistic, right: Sequence[Value], values: Sequence[Value | None]
) -> Sequence[float]:
    """The score of each example: the metric's own, else whether the answer is exactly right."""
    if isinstance(found, Mean):
        return [float(one) for one in found.scores]
    return [float(one) for one in exact_match(project.task, right, values).scores]


def _same(project: Project, mine: Value | None, theirs: Value | None) -> bool:
    if mine is None or theirs is None:
        return False
    return canonical_json(project.task.canonical(mine)) == canonical_json(project.task.canonical(theirs))


def _verdict(teacher: str, row: Quarters, itself: Itself | None) -> str | None:
    """One sentence where the teacher is what holds the student back, else None."""
    errors = row.counts["teacher only"] + row.counts["both wrong"]
    copied = row.copied_share
    if copied and copied.value > 0.5:
        certain = "" if copied.low > 0.5 else ", though so few do not settle it"
        return (
            f"The teacher is the problem: {row.copied} of the {errors} errors of {row.student} are the very answers of "
            f"{teacher} ({copied.value:.0%}, {copied.low:.0%} to {copied.high:.0%}{certain}); better labels help, more do not."
        )
    if itself and row.gap and itself.agreement.value < 1 and row.gap.low > -NEAR:
        at = itself.agreement
        return (
            f"The teacher is the ceiling: {row.student} agrees with {teacher} as often as {teacher} with itself "
            f"({at.value:.3f}, {at.low:.3f} to {at.high:.3f}; apart {row.gap.value:+.3f}, {row.gap.low:+.3f} to "
            f"{row.gap.high:+.3f}), so more of its labels cannot bring it nearer."
        )
    return None


def _note(teacher: str) -> str:
    return digest(["ceiling", teacher])
