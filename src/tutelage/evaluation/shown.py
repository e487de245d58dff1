"""The two ways in which few-shot prompts fail, told apart: what is shown is not used, or it is copied and no more.

The candidate is asked about the very examples it is shown, and about others. A model that does not even give back what
stands in its prompt does not use it; one that does, and fails on the others, copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tutelage.errors import DataError, UsageError
from tutelage.evaluation.asking import Progress, ask
from tutelage.evaluation.candidates import Candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.exact import exact_match
from tutelage.evaluation.harness import evaluate, example_set
from tutelage.evaluation.intervals import estimate, independent
from tutelage.evaluation.metrics import Mean
from tutelage.evaluation.scoring import statistic
from tutelage.project import Project
from tutelage.prompting import PromptedSettings
from tutelage.prompting.family import pool, prompted_for, selector
from tutelage.prompting.selectors import Selector
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.selectors.itself import with_itself
from tutelage.tasks import Task
from tutelage.types import Input, Labelled, Prediction, Split, Value, canonical_json, digest

Finding: TypeAlias = Literal["not used", "copied", "unclear", "used"]
Tell: TypeAlias = Callable[[str, Progress], None]

REPRODUCED = 0.9
"""A model that scores less on what stands in its prompt does not use it: there the answer only has to be repeated."""
GAP = 0.1
"""What others may score less before what is shown counts as copied."""
OTHERS = 50
"""Others asked about, unless told otherwise: as many as needed to see a difference of about 0.2."""


@dataclass(frozen=True)
class Missed:
    """An example that was shown and yet not given back."""

    id: str
    input: str
    gold: Value
    answer: Prediction


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The main metric on `n_shown` examples that stood in the prompt themselves, and on `n_others` that did not.

    `difference` is shown minus others, on different examples; fixed shots are all there are, so where each was asked about
    their score is certain, and only that of others is not. `copied` of the `n_copyable` answers on others repeat a
    shown answer that gold differs from; not counted are empty answers and inputs for which every label was shown, where
    any wrong answer would be one. `copies` is their share, None where none could be.
    """

    candidate: str
    selector: str
    shots: int
    metric: str
    n_shown: int
    shown: Estimate
    n_others: int
    others: Estimate
    split: Split
    reference: str
    difference: Estimate
    n_copyable: int
    copied: int
    copies: Estimate | None
    finding: Finding
    missed: tuple[Missed, ...]
    asked: int


async def check_shown(
    project: Project, candidate: Candidate, limit: int | None = None, tell: Tell = lambda what, progress: None
) -> Shown:
    """Ask `candidate` about its shots and about others of dev; stored answers are not asked for again.

    At most `limit` examples of each kind. Raises UsageError for a candidate without shots, DataError without examples,
    ModelError when it cannot be asked.
    """
    settings = candidate.settings
    if not isinstance(settings, PromptedSettings):
        raise UsageError(f"{candidate.name!r} is of family {candidate.family_name!r}. Name one of family 'prompted'.")
    chooser = selector(settings, project)
    if chooser is None:
        raise UsageError(f"{candidate.name!r} has shots = 0: it is shown no examples. Set shots in task.toml.")
    shown = _shown(project, settings, chooser, limit or OTHERS)
    everything = example_set(project, "dev")
    rest = everything.only(_drawn(everything.examples, max(limit or OTHERS, len(shown))))
    asked = await _ask_shown(project, candidate, chooser, shown, tell)
    asked += await evaluate(project, candidate, rest, lambda progress: tell("Others", progress))
    first = _answers(project, _key(project, candidate), shown)
    second = _answers(project, candidate.fingerprint(project), rest.examples)
    return _found(project, candidate, chooser, (shown, first), (rest.examples, second), rest.reference, asked)


def _shown(project: Project, settings: PromptedSettings, chooser: Selector, limit: int) -> tuple[Labelled, ...]:
    """Examples that stand in prompts: the fixed shots, or of a pool that is chosen from a draw."""
    fixed = isinstance(chooser, FixedShots)
    found = chooser.shots[:limit] if isinstance(chooser, FixedShots) else _drawn(pool(settings, project), limit)
    if not found:
        fit = " that fits shot_tokens" if fixed and settings.shot_tokens else ""
        raise DataError(
            f"No labelled example of 'train'{fit} can be shown. Add some with: tutelage add FILE --label FIELD"
        )
    return found


def _drawn(examples: Sequence[Labelled], count: int) -> tuple[Labelled, ...]:
    """A draw that is alike everywhere; a larger one only adds."""
    return tuple(sorted(examples, key=lambda one: digest(["shown", one.example.id]))[:count])


def _key(project: Project, candidate: Candidate) -> str:
    return digest(["shown", candidate.fingerprint(project)])


async def _ask_shown(
    project: Project, candidate: Candidate, chooser: Selector, shown: Sequence[Labelled], tell: Tell
) -> int:
    key = _key(project, candidate)
    stored = project.store.predictions.read(key, [one.example.id for one in shown])
    missing = [one.example for one in shown if one.example.id not in stored or stored[one.example.id].error]
    if not missing:
        return 0
    task, settings = project.task, candidate.settings
    bold = with_itself(chooser, task, pool(settings, project), settings.shots)
    asked = prompted_for(task, candidate.name, settings, project, bold)
    asked.source = "shown:" + asked.source  # these answers are no measure of a version, and no labels
    try:
        await ask(project, asked, key, missing, lambda progress: tell("What it is shown", progress))
    finally:
        await asked.close()
    return len(missing)


def _answers(project: Project, key: str, examples: Sequence[Labelled]) -> list[Prediction]:
    ids = [one.example.id for one in examples]
    stored = project.store.predictions.read(key, ids)
    return [stored[id] for id in ids]


_Half: TypeAlias = tuple[Sequence[Labelled], Sequence[Prediction]]


def _found(
    project: Project,
    candidate: Candidate,
    chooser: Selector,
    shown: _Half,
    others: _Half,
    reference: str,
    asked: int,
) -> Shown:
    ours, theirs = _score(project, "train", shown), _score(project, "dev", others)
    whole = isinstance(chooser, FixedShots) and len(chooser.shots) == len(shown[0])
    apart = independent(Estimate(ours.value, ours.value, ours.value) if whole else ours, theirs)
    copies = _copies(project.task, chooser, others)
    settings = candidate.settings
    return Shown(
        candidate=candidate.name,
        selector=settings.selector,
        shots=settings.shots,
        metric=project.task.metric,
        n_shown=len(shown[0]),
        shown=ours,
        n_others=len(others[0]),
        others=theirs,
        split="dev",
        reference=reference,
        difference=apart,
        n_copyable=len(copies),
        copied=int(copies.sum()),
        copies=estimate(Mean(copies), len(copies)) if len(copies) else None,
        finding=_finding(ours, apart),
        missed=_missed(project.task, shown),
        asked=asked,
    )


def _score(project: Project, split: Split, half: _Half) -> Estimate:
    gold, values = [one.value for one in half[0]], [answer.value for answer in half[1]]
    return estimate(statistic(project, split, project.task.metric, gold, values), len(gold))


def _finding(shown: Estimate, apart: Estimate) -> Finding:
    if shown.value < REPRODUCED:
        return "not used"
    if apart.value < GAP:
        return "used"
    return "copied" if apart.low > 0 else "unclear"


def _missed(task: Task, shown: _Half) -> tuple[Missed, ...]:
    right = exact_match(task, [one.value for one in shown[0]], [answer.value for answer in shown[1]]).scores
    pairs = zip(*shown, right, strict=True)
    return tuple(
        Missed(one.example.id, task.input_text(one.example.input), one.value, answer)
        for one, answer, score in pairs
        if score < 1
    )


def _copies(task: Task, chooser: Selector, others: _Half) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """For each answer that could be a copy whether it is one: it was shown, and gold differs."""
    gold, values = [one.value for one in others[0]], [answer.value for answer in others[1]]
    right, copied = exact_match(task, gold, values).scores, []
    for (one, value), score in zip(zip(others[0], values, strict=True), right, strict=True):
        answers = _shown_answers(chooser, one.example.input)
        if _all_labels(task, answers):
            continue
        copied.append(score < 1 and bool(value) and canonical_json(value) in {canonical_json(a) for a in answers})
    return np.array(copied, dtype=np.float64)


def _shown_answers(chooser: Selector, input: Input) -> list[Value]:
    return [shot.value for shot in chooser.select(input)]


def _all_labels(task: Task, answers: Sequence[Value]) -> bool:
    labels = getattr(task, "labels", ()) if task.output == "label" else ()
    return bool(labels) and set(labels) <= {str(answer) for answer in answers}
