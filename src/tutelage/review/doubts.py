"""The orders that put first what is in doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tutelage.errors import TutelageError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.project import LEARNED_FROM, Project, newest_artefact
from tutelage.review.claims import shown
from tutelage.review.orders import audit_order
from tutelage.routing.certificate import certificate_path, read_certificate
from tutelage.routing.confidence import Confidence
from tutelage.routing.nearness import near_texts
from tutelage.routing.novelty import BLOCK, MOST_KNOWN
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
    found = [queued for id, said in several.items() if (queued := _differing(project, id, said)) is not None]
    return sorted(found, key=lambda queued: (-(queued.score or 0.0), queued.example_id))


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
    """The least like what is known first: like the examples of train that a person labelled or that were imported with labels,
    else like all labelled ones. An example that is known itself is compared with the others. Raises UsageError where train has
    no labels."""
    labelled = list(project.store.labels.read("train", "gold")) or list(project.store.labels.read("train"))
    if not labelled:
        raise UsageError("No example of train has a label, so that none is known. Run: tutelage label")
    kept = set(audit_order([one.example.id for one in labelled], "novel")[:MOST_KNOWN])
    text_of = project.task.input_text
    near = near_texts("characters", [text_of(one.example.input) for one in labelled if one.example.id in kept])
    asked = list(project.store.examples.read(split))
    far: dict[str, float] = {}
    for skip in (0, 1):  # a known text is nearest to itself
        some = [one for one in asked if (one.id in kept) == bool(skip)]
        for at in range(0, len(some), BLOCK):
            block = some[at : at + BLOCK]
            found = near.distances([text_of(one.input) for one in block], skip).clip(0, 1)
            far |= {one.id: round(float(distance), 6) for one, distance in zip(block, found, strict=True)}
    ranked = sorted(far, key=lambda id: (-far[id], id))
    return [Queued(id, far[id], f"{far[id]:.2f} from the nearest labelled text") for id in ranked]


def threshold(project: Project, split: Split) -> list[Queued]:
    """The nearest to a cascade's threshold first, by its first stage's stored answers: of the first candidate with a certificate
    that has one. Raises UsageError where there is none, or the stage has not answered."""
    ids = project.store.examples.ids(split)
    found = next(filter(None, (_certified(project, name) for name in project.file.candidates)), None)
    if found is None:
        raise UsageError("No cascade of task.toml has a certificate with a threshold. Run: tutelage calibrate NAME")
    name, stage, at, confidence = found
    answers = list(_unlearned(project, stage, _answers(project, stage, ids)).items())
    if not answers:
        raise UsageError(
            f"{stage!r}, the first stage of {name!r}, has not answered {split!r}. "
            f"Run: tutelage evaluate {stage} --split {split} --unlabelled"
        )
    sure = {id: float(one) for (id, _), one in zip(answers, confidence.of([one for _, one in answers]), strict=True)}
    ranked = sorted(sure, key=lambda id: (abs(sure[id] - at), id))
    return [
        Queued(id, round(sure[id], 6), f"{stage} is {sure[id]:.2f} sure; {name} asks from {at:.2f} down")
        for id in ranked
    ]


def _certified(project: Project, name: str) -> tuple[str, str, float, Confidence] | None:
    """A cascade that has a certificate, its first stage, its threshold and how the stage's confidence is read."""
    path = certificate_path(project, name)
    if not path.is_file():
        return None
    certificate = read_certificate(path)
    stage = certificate.stages[0]
    if certificate.family != "cascade" or certificate.threshold is None or stage.confidence is None:
        return None
    return name, stage.name, certificate.threshold, Confidence.of_json(stage.confidence)


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
