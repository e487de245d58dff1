"""Labels of an earlier prompt version, asked for again with the present one, and what the new version is worth.

What no person has answered gets a label of the present version. What a person has answered keeps that answer; it is asked about
all the same, and the answer is kept as a prediction, so that the versions can be compared where it is known what is right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from tutelage.errors import TutelageError, UsageError
from tutelage.evaluation.asking import Progress, ask
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Mean
from tutelage.labels.teach import TeachEstimate, TeachOptions, TeachReport, dry_run, priced, source_of, teach
from tutelage.project import Project
from tutelage.prompting import Asked
from tutelage.prompting.purse import Paying, Purse
from tutelage.review.orders import AUDIT
from tutelage.review.outcome import last_word, same_answer
from tutelage.store import origin
from tutelage.types import Example, Label, Predictor, Value

TEACHER = "teacher"


@dataclass(frozen=True)
class Reviewed:
    """An example whose earlier label a person has judged. `word` is what is right; `audited`: drawn at random."""

    example: Example
    earlier: Label
    word: Value
    audited: bool


@dataclass(frozen=True)
class Stale:
    """Examples whose newest label of a teacher is not of `source`: those that no person has answered, and the others. `unknown`
    were called wrong by a person who did not say what is right."""

    source: str
    unseen: tuple[Example, ...]
    reviewed: tuple[Reviewed, ...]
    unknown: int = 0


@dataclass(frozen=True)
class Compared:
    """The earlier labels and the present version's answers to the same `n` examples: the share that is just what a person said.
    `difference` is after minus before, its interval paired."""

    n: int
    before: Estimate
    after: Estimate
    difference: Estimate
    improved: int
    worsened: int


@dataclass(frozen=True)
class Relabelled:
    """`labels` is about what no person has answered, `asked` how many of the reviewed were asked about. `all` compares on all
    reviewed examples, `audited` on those that were drawn at random; None where there are none. `problem` ended it early."""

    labels: TeachReport
    stale: int
    reviewed: int
    asked: int
    all: Compared | None
    audited: Compared | None
    problem: TutelageError | None = None


def find_stale(project: Project, source: str, examples: Iterable[Example]) -> Stale:
    """Of `examples` those with a label of another version (or another teacher) than `source` as the newest."""
    unseen, reviewed, unknown, left = list[Example](), list[Reviewed](), 0, iter(examples)
    while page := list(islice(left, 1000)):
        ids = [one.id for one in page]
        labels, decisions = project.store.labels.of(ids), project.store.decisions.of(ids)
        for example in page:
            given = labels.get(example.id, [])
            earlier = _newest_of_teacher(given)
            if earlier is None or earlier.source == source:
                continue
            word = last_word(given)
            if word is None:
                unseen.append(example)
            elif word.status == "given":
                drawn = any(one.queue == AUDIT and one.verdict != "undo" for one in decisions.get(example.id, ()))
                reviewed.append(Reviewed(example, earlier, word.value, drawn))
            else:
                unknown += 1
    return Stale(source, tuple(unseen), tuple(reviewed), unknown)


def _newest_of_teacher(labels: Sequence[Label]) -> Label | None:
    found = [one for one in labels if origin(one.source) == TEACHER and one.status == "given"]
    return found[-1] if found else None


def estimate_relabel(
    project: Project, teacher: Predictor, fingerprint: str, examples: Iterable[Example], options: TeachOptions
) -> tuple[Stale, TeachEstimate]:
    """What `relabel` would ask and cost, without asking."""
    stale = find_stale(project, _source(teacher), examples)
    asked = list(islice(_unanswered(project, fingerprint, stale.unseen), options.limit))
    asked += _unanswered(project, fingerprint, [one.example for one in stale.reviewed])
    return stale, dry_run(project, teacher, asked)


async def relabel(
    project: Project,
    teacher: Predictor,
    fingerprint: str,
    stale: Stale,
    options: TeachOptions,
    *,
    tell: Callable[[Progress], None] = lambda progress: None,
    stop: asyncio.Event | None = None,
) -> Relabelled:
    """Ask about what was found stale. Answers are kept as they arrive, and none is asked for twice; `options.budget` holds for
    the present version in all. First come the reviewed, which tell whether the rest is worth its price.

    Raises UsageError for a budget without a price.
    """
    asked, problem = 0, None
    if isinstance(teacher, Asked) and options.budget is not None:
        priced(teacher)
    missing = list(_unanswered(project, fingerprint, [one.example for one in stale.reviewed]))
    try:
        await ask(project, _paying(project, teacher, options), fingerprint, missing, tell)
    except TutelageError as error:
        problem = error
    asked = len(missing) - len(list(_unanswered(project, fingerprint, missing)))
    unseen = () if problem else stale.unseen
    report = await teach(project, teacher, unseen, options, fingerprint=fingerprint, stop=stop)
    everything = compare_reviewed(project, fingerprint, stale.reviewed)
    drawn = compare_reviewed(project, fingerprint, [one for one in stale.reviewed if one.audited])
    report = replace(report, problem=report.problem or problem)
    return Relabelled(
        report, len(stale.unseen), len(stale.reviewed), asked, everything, drawn, report.problem or problem
    )


def compare_reviewed(project: Project, fingerprint: str, reviewed: Sequence[Reviewed]) -> Compared | None:
    """The earlier labels against the stored answers; failed answers are wrong. None where none was answered."""
    stored = project.store.predictions.read(fingerprint, [one.example.id for one in reviewed])
    pairs = [(one, stored[one.example.id].value) for one in reviewed if one.example.id in stored]
    if not pairs:
        return None
    task, n = project.task, len(pairs)
    before = np.array([float(same_answer(task, one.earlier.value, one.word)) for one, _ in pairs])
    after = np.array([float(value is not None and same_answer(task, value, one.word)) for one, value in pairs])
    ours, theirs = Mean(after), Mean(before)
    return Compared(
        n,
        estimate(theirs, n),
        estimate(ours, n),
        difference(ours, theirs, n),
        int((after > before).sum()),
        int((after < before).sum()),
    )


def _source(teacher: Predictor) -> str:
    if not isinstance(teacher, Asked):
        raise UsageError(
            f"--stale is for language models, whose labels bear a prompt version; {teacher.name!r} is none."
        )
    return source_of(teacher)


def stale_of(project: Project, teacher: Predictor, examples: Iterable[Example]) -> Stale:
    """What is stale for this teacher as it is now. Raises UsageError for one without a prompt version."""
    return find_stale(project, _source(teacher), examples)


def _unanswered(project: Project, fingerprint: str, examples: Iterable[Example]) -> Iterable[Example]:
    left = iter(examples)
    while page := list(islice(left, 1000)):
        stored = project.store.predictions.read(fingerprint, [one.id for one in page])
        yield from (one for one in page if one.id not in stored or stored[one.id].value is None)


def _paying(project: Project, teacher: Predictor, options: TeachOptions) -> Predictor:
    """The teacher, paid from the account that its labels are paid from."""
    if not isinstance(teacher, Asked):
        return teacher
    purse = Purse(project.store, teacher.source, options.budget)
    return Paying(teacher, purse, asyncio.Semaphore(teacher.concurrency))
