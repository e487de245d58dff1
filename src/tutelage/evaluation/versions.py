"""Versions of prompts in a project: all that are known, those in force, and the one that a few letters mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.errors import DataError, TutelageError, UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import ExampleSet
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.scoring import statistic
from tutelage.project import Project
from tutelage.prompting.versions import Version

TEACHER = "teacher:"


@dataclass(frozen=True, kw_only=True)
class Known:
    """A version that answers or labels bear, that was built, or that a candidate has now.

    `candidate` is the one it was first built for ("" where only its answers are known), `current` those that have it now;
    `created` is when it was first built or answered, "" for one that was not; `content` is None for one that was never
    built here (its answers came from a record, or from a tutelage that kept no prompts).
    """

    source: str
    candidate: str = ""
    current: tuple[str, ...] = ()
    created: str = ""
    answers: int = 0
    labels: int = 0
    content: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.source.removeprefix(TEACHER)

    @property
    def version(self) -> str:
        return self.name.rpartition("@")[2]

    @property
    def model(self) -> str:
        return self.name.rpartition("@")[0]


@dataclass(frozen=True)
class Side:
    """What a user named: a candidate as it is now, or a version's stored answers."""

    name: str
    candidate: Candidate | None = None
    source: str | None = None
    content: Mapping[str, Any] | None = None


def version_now(project: Project, one: Candidate) -> Version | None:
    """The prompt of a candidate as it is now; None for one without a prompt. Raises as its templates and selectors do."""
    if one.family.version is None:
        return None
    found: Version = one.family.version(one.name, one.settings, project)
    return found


def known_versions(project: Project) -> list[Known]:
    """All versions, the oldest first, at last those that were not asked yet."""
    prompts = {prompt.source: prompt for prompt in project.store.prompts.read()}
    answered = {source: found for source, found in project.store.predictions.sources().items() if _versioned(source)}
    labels = Counter[str]()
    for source, _, count in project.store.labels.counts():
        labels[source] += count
    current = _current(project)
    names: dict[str, list[str]] = {}
    for name, version in current.items():
        names.setdefault(version.source, []).append(name)
    contents = {version.source: version.content for version in current.values()}
    contents |= {source: prompt.content for source, prompt in prompts.items()}
    found = []
    for source in dict.fromkeys([*prompts, *answered, *filter(_versioned, labels), *contents]):
        prompt, answering = prompts.get(source), answered.get(source)
        times = [time for time in (prompt and prompt.created, answering and answering.first) if time]
        found.append(
            Known(
                source=source,
                candidate=prompt.candidate if prompt else "",
                current=tuple(names.get(source, ())),
                created=min(times, default=""),
                answers=answering.examples if answering else 0,
                labels=labels[source],
                content=contents.get(source),
            )
        )
    return sorted(found, key=lambda known: (not known.created, known.created, known.source))


def _versioned(source: str) -> bool:
    return source.startswith(TEACHER) and "@" in source


def _current(project: Project) -> dict[str, Version]:
    """The versions in force by candidate, without those that cannot be described now (a template that is not there)."""
    found = {}
    for name in project.file.candidates:
        try:
            version = version_now(project, candidate(project, name))
        except TutelageError:
            continue
        if version:
            found[name] = version
    return found


def resolve(project: Project, text: str) -> Side:
    """The candidate of this name, or the version that starts with `text`. Raises UsageError in one line for neither.

    A version is its hash, MODEL@HASH, or the whole source.
    """
    if text in project.file.candidates:
        one = candidate(project, text)
        version = version_now(project, one)
        return Side(text, one, version.source if version else None, version.content if version else None)
    known = known_versions(project)
    wanted = text.removeprefix(TEACHER)
    met = [one for one in known if wanted and (one.name if "@" in wanted else one.version).startswith(wanted)]
    met = [one for one in met if wanted in (one.name, one.version)] or met
    if len(met) == 1:
        return Side(text, None, met[0].source, met[0].content)
    if met:
        raise UsageError(
            f"{text!r} could be {' or '.join(one.name for one in met[:5])}. Write more of it, as MODEL@VERSION."
        )
    raise UsageError(
        f"{text!r} is no candidate and begins no version. Candidates: {', '.join(project.file.candidates) or '(none)'}. "
        f"Versions: {', '.join(one.version for one in known[-5:]) or '(none)'} (tutelage prompts list shows all)."
    )


def content_of(side: Side) -> Mapping[str, Any]:
    """What it asks with. Raises UsageError for a candidate without a prompt, DataError for a version that is not kept."""
    if side.content is not None:
        return side.content
    if side.candidate:
        raise UsageError(f"{side.name!r} is of family {side.candidate.family_name!r}, which has no prompt.")
    raise DataError(
        f"What {side.source} was asked with is not kept: it was answered elsewhere, or before prompts were kept."
    )


@dataclass(frozen=True)
class Scored:
    """A version's main metric on those `n` examples of the split that it has answered, None where there are none.

    `usual` says whether they are the same examples as most of the others answered.
    """

    known: Known
    n: int
    score: Estimate | None
    usual: bool


def scored(project: Project, versions: Sequence[Known], examples: ExampleSet) -> list[Scored]:
    """Each version scored on the examples of the set that it has answered; failed answers count as wrong."""
    found = []
    for known in versions:
        stored = project.store.predictions.by_source(known.source, examples.split) if known.answers else {}
        pairs = [(one, stored[one.example.id]) for one in examples.examples if one.example.id in stored]
        score = None
        if pairs:
            gold, values = [one.value for one, _ in pairs], [answer.value for _, answer in pairs]
            main = statistic(project, examples.split, project.task.metric, gold, values)
            score = estimate(main, len(pairs))
        found.append((known, frozenset(one.example.id for one, _ in pairs), score))
    times = Counter(ids for _, ids, _ in found if ids)
    usual = max(times, key=lambda ids: (times[ids], len(ids)), default=frozenset())
    return [Scored(known, len(ids), score, not ids or ids == usual) for known, ids, score in found]
