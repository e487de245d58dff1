"""The teacher's ceiling as it is now, and asking the teacher again: budgeted, stored, never paid for twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tutelage.evaluation.asking import Progress, ask
from tutelage.evaluation.candidates import candidate, close, teacher_name
from tutelage.evaluation.ceiling import Ceiling, again, ceiling, remember
from tutelage.evaluation.harness import ExampleSet, answers
from tutelage.evaluation.reporting import trained_on
from tutelage.labels.teach import priced
from tutelage.project import Project
from tutelage.prompting import Asked
from tutelage.prompting.purse import Paying, Purse
from tutelage.types import Example, Value


def ceiling_now(project: Project, examples: ExampleSet, right: float | None = None) -> Ceiling | None:
    """The teacher's ceiling with all students of task.toml that have answered `examples`."""
    found: dict[str, tuple[str, Sequence[Value | None]]] = {}
    for name in project.file.candidates:
        one = candidate(project, name)
        stored = answers(project, one, examples) if one.family.role == "student" else None
        if stored:
            found[name] = trained_on(project, one), [p.value for p in stored[0]]
    return ceiling(project, examples, found, right)


async def ask_again(
    project: Project,
    examples: ExampleSet,
    by: str,
    bounds: tuple[int, float | None],
    tell: Callable[[Progress], None] = lambda progress: None,
) -> int:
    """Ask `by` about the first examples by id, with another seed; `bounds` are how many, and the most dollars in all.

    Returns how many were asked now. Raises UsageError for who cannot be asked again and for a budget without a price,
    BudgetExceeded when it is used up, ModelError when no call can succeed; what has arrived is kept.
    """
    limit, budget = bounds
    one = again(candidate(project, by))
    key = one.fingerprint(project)
    # Ids are hashes of inputs: their order is a draw that a higher limit continues.
    chosen = sorted((e.example for e in examples.examples), key=lambda example: example.id)[:limit]
    stored = project.store.predictions.read(key, [example.id for example in chosen])
    missing: list[Example] = [e for e in chosen if e.id not in stored or stored[e.id].error]
    remember(project, teacher_name(project), examples, key, one)
    if not missing:
        return 0
    predictor = one.build(project)
    try:
        if isinstance(predictor, Asked):
            if budget is not None:
                priced(predictor)
            purse = Purse(project.store, f"ceiling:{predictor.source}", budget)
            paying = Paying(predictor, purse, asyncio.Semaphore(predictor.concurrency))
            await ask(project, paying, key, missing, tell)
        else:
            await ask(project, predictor, key, missing, tell)
    finally:
        await close(predictor)
    return len(missing)
