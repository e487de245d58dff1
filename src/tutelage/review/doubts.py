"""The orders that put first what is in doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tutelage.errors import TutelageError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.project import LEARNED_FROM, Project, newest_artefact
from tutelage.review.claims import shown
from tutelage.store import Queued, in_force
from tutelage.types import Prediction, Split, Value, canonical_json


def doubtful(project: Project, split: Split) -> list[Queued]:
    """The least confident first, by the teacher's stored answers, else by those of the candidate that gave most confidences.

    What a student answered to examples that it learned from does not count: of those it is sure. Raises UsageError where no
    answer to the split has a confidence.
    """
    names = [name for name in [project.file.teacher, *project.file.candidates] if name]
    ids = project.store.examples.ids(split)
    best: dict[str, Prediction] = {}
    who = ""
    for name in dict.fromkeys(names):
        found = _unlearned(project, name, _answers(project, name, ids))
        sure = {id: one for id, one in found.items() if one.confidence is not None and one.value is not None}
        if len(sure) > len(best):
            best, who = sure, name
        if best and name == project.file.teacher:
            break
    if not best:
        raise UsageError(
            f"No candidate's stored answer to {split!r} has a confidence, but for what students learned from. "
            f"Run: tutelage evaluate NAME --split {split} --unlabelled"
        )
    ranked = sorted(best, key=lambda id: (best[id].confidence or 0.0, id))
    return [Queued(id, best[id].confidence, f"{who} is {best[id].confidence or 0.0:.2f} sure") for id in ranked]


def disagree(project: Project, split: Split) -> list[Queued]:
    """Those that most differ first: by the share of voices that do not say what most say, the label in force being one voice
    and each candidate's stored answer another. Raises UsageError where nobody differs because fewer than two have answered."""
    voices: dict[str, dict[str, Value]] = {}
    ids = project.store.examples.ids(split)
    for id, labels in project.store.labels.of(ids).items():
        if (label := in_force(labels)) is not None:
            voices.setdefault(id, {})["the label"] = label.value
    for name in project.file.candidates:
        for id, one in _answers(project, name, ids).items():
            if one.value is not None:
                voices.setdefault(id, {})[name] = one.value
    several = {id: said for id, said in voices.items() if len(said) > 1}
    if not several:
        raise UsageError(
            f"Fewer than two have answered any example of {split!r}, labels included. "
            f"Run: tutelage evaluate --split {split} --unlabelled"
        )
    found = [one for id, said in several.items() if (one := _differing(project, id, said)) is not None]
    return sorted(found, key=lambda one: (-(one.score or 0.0), one.example_id))


def _differing(project: Project, id: str, said: Mapping[str, Value]) -> Queued | None:
    """None where all say the same."""
    forms = {who: canonical_json(_canonical(project, value)) for who, value in said.items()}
    counts = Counter(forms.values())
    if len(counts) == 1:
        return None
    share = 1 - counts.most_common(1)[0][1] / len(forms)
    by_answer: dict[str, list[str]] = {}
    for who, form in forms.items():
        by_answer.setdefault(form, []).append(who)
    parts = [f"{' and '.join(who)}: {shown(said[who[0]])}" for who in by_answer.values()]
    return Queued(id, round(share, 6), "; ".join(parts))


def _canonical(project: Project, value: Value) -> Value:
    try:
        return project.task.canonical(value)
    except TutelageError:  # an answer from before the task was changed
        return value


def novel(project: Project, split: Split) -> list[Queued]:
    raise UsageError("The order 'novel' is not there yet.")


def threshold(project: Project, split: Split) -> list[Queued]:
    raise UsageError("The order 'threshold' is not there yet.")


def _answers(project: Project, name: str, ids: Sequence[str]) -> dict[str, Prediction]:
    """The stored answers of a candidate; {} for one that cannot have answered."""
    try:
        return project.store.predictions.read(candidate(project, name).fingerprint(project), ids)
    except TutelageError:
        return {}


def _unlearned(project: Project, name: str, found: dict[str, Prediction]) -> dict[str, Prediction]:
    """Without the answers to what the candidate learned from."""
    folder = newest_artefact(project, name)
    path = None if folder is None else folder / LEARNED_FROM
    if path is None or not path.is_file():
        return found
    learned = set(path.read_text(encoding="utf-8").split())
    return {id: one for id, one in found.items() if id not in learned}
