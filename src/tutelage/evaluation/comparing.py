"""Two runs side by side: what they learnt from, by which settings and versions, and how their answers score."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tutelage.errors import UsageError
from tutelage.evaluation.candidates import FAMILIES, Candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import ExampleSet
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.scoring import statistic
from tutelage.project import Project
from tutelage.registry import Family
from tutelage.store import Run
from tutelage.tasks.file import validated
from tutelage.tracking.run import flat
from tutelage.types import Prediction, Split

DATA = ("data_fingerprint", "train", "dev", "depends", "licence")
"""What of a card says what was learnt from."""


@dataclass(frozen=True)
class Change:
    """A fact that differs; None: the run does not have it."""

    name: str
    a: object
    b: object


@dataclass(frozen=True)
class Score:
    """A metric on the same examples; `difference` is B minus A, its interval paired."""

    a: Estimate
    b: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Comparison:
    """`scores` by metric, on the `n` examples of `split` that both have answered; {} and `unscored` why where none."""

    a: dict[str, Any]
    b: dict[str, Any]
    data: list[Change]
    settings: list[Change]
    versions: list[Change]
    results: list[Change]
    split: Split
    n: int = 0
    reference: str = ""
    scores: dict[str, Score] = field(default_factory=dict)
    unscored: str | None = None


def find_run(project: Project, text: str) -> Run:
    """The run whose id begins with `text`, or the newest finished one of the candidate of that name.

    Raises UsageError for none, and for several.
    """
    runs = project.store.runs.read()
    if exact := [run for run in runs if run.id == text]:
        return exact[0]
    named = [run for run in runs if run.candidate == text]
    if named:
        return next((run for run in reversed(named) if run.status == "done"), named[-1])
    met = [run for run in runs if text and run.id.startswith(text)]
    if len(met) == 1:
        return met[0]
    if met:
        shown = ", ".join(run.id for run in met[:4]) + (", ..." if len(met) > 4 else "")
        raise UsageError(f"{text!r} begins {len(met)} runs: {shown}. Write more of the id.")
    names = sorted({run.candidate for run in runs})
    raise UsageError(
        f"{text!r} begins no run's id and is no candidate that was trained. Trained: {', '.join(names) or '(none)'} "
        "(tutelage list runs shows all)."
    )


def summary(project: Project, run: Run) -> dict[str, Any]:
    """A run in one line of a table."""
    facts, folder = run.facts, project.artefacts / run.id
    train = facts.get("train", {})
    seconds = run.seconds if run.seconds is None else round(run.seconds, 1)
    return {
        "id": run.id,
        "verb": run.verb,
        "candidate": run.candidate,
        "family": facts.get("family"),
        "status": status_now(run),
        "dev_score": dev_score(facts),
        "seconds": seconds,
        "started": run.started,
        "data": None
        if not train
        else f"{facts.get('data_fingerprint', '')[:8]} ({train['n']} + {facts['dev']['n']} dev)",
        "artefact": str(folder) if folder.is_dir() else None,
    }


def status_now(run: Run) -> str:
    """The run's status; one whose process on this machine is gone did not end: it was killed."""
    node, pid = run.facts.get("process", (None, 0))
    if run.status != "running" or node != platform.node():
        return run.status
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "killed"
    except PermissionError:
        pass
    return "running"


def dev_score(facts: Mapping[str, Any]) -> float | None:
    """The score on dev by which what was kept was chosen, in the family's own measure; None where it names none."""
    fit = facts.get("fit", {})
    served = fit.get(fit.get("precision"), {}) if fit.get("precision") else {}
    for found in (served.get("dev_score"), fit.get("dev_score"), fit.get("dev_accuracy")):
        if found is not None:
            return float(found)
    return float(max(fit["dev_scores"])) if fit.get("dev_scores") else None


def compare_runs(project: Project, a: Run, b: Run, examples: ExampleSet | None, split: Split) -> Comparison:
    """B against A. Scores are those of stored answers; nobody is asked anything."""
    if a.id == b.id:
        raise UsageError(f"Both are run {a.id}. Name two different ones.")
    facts = (a.facts, b.facts)
    result = Comparison(
        summary(project, a),
        summary(project, b),
        _changes(*({name: one[name] for name in (*DATA, "task") if name in one} for one in facts)),
        _changes(*({"family": one.get("family"), **one.get("settings", {})} for one in facts)),
        _changes(*(one.get("versions", {}) for one in facts)),
        _changes(*({**one.get("fit", {}), "seconds": run.seconds} for one, run in zip(facts, (a, b), strict=True))),
        split,
    )
    if examples is None:
        return replace(result, unscored=f"no example of {split} has a label to score against")
    return _scored(project, (a, b), examples, result)


def _scored(project: Project, runs: tuple[Run, Run], examples: ExampleSet, result: Comparison) -> Comparison:
    found = [_answers(project, run, examples) for run in runs]
    for run, answers in zip(runs, found, strict=True):
        if not answers:
            newest = run.status == "done" and find_run(project, run.candidate).id == run.id
            remedy = f"; run: tutelage evaluate {run.candidate}" if newest else ""
            return replace(result, unscored=f"{run.id} has no stored answers on {examples.split}{remedy}")
    kept = [one for one in examples.examples if one.example.id in found[0] and one.example.id in found[1]]
    if not kept:
        return replace(result, unscored=f"no example of {examples.split} is answered by both")
    gold, n, scores = [one.value for one in kept], len(kept), {}
    values = [[answers[one.example.id].value for one in kept] for answers in found]
    for metric in dict.fromkeys([project.task.metric, *project.task.metrics]):
        first, second = (statistic(project, examples.split, metric, gold, given) for given in values)
        scores[metric] = Score(estimate(first, n), estimate(second, n), difference(second, first, n))
    return replace(result, n=n, reference=examples.only(kept).reference, scores=scores)


def _answers(project: Project, run: Run, examples: ExampleSet) -> dict[str, Prediction]:
    """What the run's student has answered: stored under the fingerprint that it had when it was the newest."""
    name = run.facts.get("family")
    if name not in FAMILIES.rows():
        return {}
    family: Family = FAMILIES.load(name)
    settings = validated(family.settings, run.facts["settings"], f"run {run.id}")
    key = Candidate(run.candidate, name, family, settings).fingerprint(project, run.id)
    return project.store.predictions.read(key, examples.ids)


def _changes(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Change]:
    a, b = flat(ours), flat(theirs)
    return [Change(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]
