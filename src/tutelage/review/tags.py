"""What people found wrong, by the error tags that they set and by the prompt version that was wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tutelage.project import Project
from tutelage.review.outcome import outcome
from tutelage.store import Decision
from tutelage.store.decisions import standing
from tutelage.types import Example, Split, Value

UNTAGGED = "(no tag)"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A suggestion that a person adjusted, rejected or tagged. `correction` is None where nobody said what is right."""

    example: Example
    text: str
    source: str
    suggestion: Value | None
    correction: Value | None
    tags: tuple[str, ...]
    note: str | None
    annotator: str


def mistakes(project: Project, split: Split, source: str | None = None) -> list[Mistake]:
    """Those in a split, of all sources or one, the earliest decision first."""
    made = project.store.decisions.of(project.store.examples.ids(split))
    stands = sorted((one for all_of in made.values() for one in standing(all_of)), key=lambda one: one.created)
    wrong = [one for one in stands if _wrong(project, one) and source in (None, one.suggested_by)]
    examples = project.store.examples.pick(list({one.example_id for one in wrong}))
    return [_mistake(project, one, examples[one.example_id]) for one in wrong]


def _wrong(project: Project, decision: Decision) -> bool:
    return decision.suggestion is not None and (
        bool(decision.tags) or outcome(project.task, decision) in ("adjusted", "rejected")
    )


def _mistake(project: Project, decision: Decision, example: Example) -> Mistake:
    return Mistake(
        example,
        project.task.input_text(example.input),
        decision.suggested_by or "",
        decision.suggestion,
        decision.value,
        decision.tags,
        decision.note,
        decision.annotator,
    )


def counts(found: Sequence[Mistake]) -> Mapping[str, Mapping[str, int]]:
    """Source -> tag -> how many mistakes bear it, the most frequent first; one without a tag counts as UNTAGGED."""
    by: dict[str, Counter[str]] = {}
    for one in found:
        by.setdefault(one.source, Counter()).update(one.tags or (UNTAGGED,))
    return {source: dict(tags.most_common()) for source, tags in sorted(by.items())}
