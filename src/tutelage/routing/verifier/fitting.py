"""From stored answers on dev to a verifier.

It learns from dev alone: of what the candidate was trained on it is surer, and more often right, than of anything it will be
asked. What it reports of itself was said of answers that it had not learned from (five folds), beside the candidate's own
confidence, calibrated on the same folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.errors import DataError, TrainingError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.confidence import Auroc
from tutelage.evaluation.exact import exact_match
from tutelage.evaluation.harness import ExampleSet
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Floats, Mean
from tutelage.project import Project, read_card
from tutelage.routing.confidence import fit_confidence
from tutelage.routing.learned import card_of, dev_examples, kept, stored_answers
from tutelage.routing.maps import FEWEST, folds, log_loss
from tutelage.routing.novelty import Gate, fit_gate
from tutelage.routing.parts import check_parts
from tutelage.routing.router.features import fit_features
from tutelage.routing.router.learnt import encoder_of
from tutelage.routing.router.members import quality_of
from tutelage.routing.router.recipes import FOLDS, RECIPES, HeldOut, held_out
from tutelage.routing.verifier.columns import Asked, fit_columns
from tutelage.routing.verifier.family import VerifiedSettings
from tutelage.routing.verifier.model import Verifier, key_of
from tutelage.types import Prediction, Value, digest

SEES = ("answer", "answer and input")
"""What a verifier may look at; the one with the lower log loss in cross-validation is taken."""


@dataclass(frozen=True)
class Lesson:
    """Answers of `of` to dev (none failed) with what the candidate beside said, how right they are, (n,) in [0, 1], and the
    reference values."""

    asked: Asked
    quality: Floats
    gold: Sequence[Value]


def fit_verifier(project: Project, name: str) -> Path:
    """Train the verifier of candidate `name`, of family `verified`, on stored answers to dev; the folder of its artefact.

    Does nothing where the newest artefact was made of the same. Raises TutelageError in one line: answers that are not there,
    or too few right or wrong ones.
    """
    one = candidate(project, name)
    settings: VerifiedSettings = one.settings
    check_parts(project, name)
    examples = dev_examples(project, settings.labels)
    answers, _ = stored_answers(project, name, candidate(project, settings.of), examples)
    beside = settings.beside and stored_answers(project, name, candidate(project, settings.beside), examples)[0]
    lesson = lesson_of(project, name, examples, answers, beside or None)
    answered = [[found.value for found in each] for each in (answers, beside or ())]
    sure = [
        [found.confidence, dict(found.signals), dict(found.parts)] for each in (answers, beside or ()) for found in each
    ]

    def write(folder: Path) -> Mapping[str, Any]:
        verifier, facts = learn(project, settings, lesson)
        verifier.save(folder)
        return facts

    card = card_of(project, one, examples, answered)
    return kept(project, {**card, "confidences": digest(sure)}, examples.ids, write)


def lesson_of(
    project: Project,
    name: str,
    examples: ExampleSet,
    answers: Sequence[Prediction],
    beside: Sequence[Prediction] | None,
) -> Lesson:
    """What there is to learn from. Raises TrainingError for fewer than FEWEST right or wrong answers."""
    kept = [at for at, found in enumerate(answers) if found.value is not None]
    gold = [examples.examples[at].value for at in kept]
    values = [answers[at].value for at in kept]
    if project.task.output == "text":
        quality = quality_of(project, gold, values)
    else:
        quality = exact_match(project.task, gold, values).scores if kept else np.empty(0)
    right, wrong = int((quality >= 0.5).sum()), int((quality < 0.5).sum())
    if min(right, wrong) < FEWEST:
        raise TrainingError(
            f"{name!r}: of {len(kept)} answers to dev {right} are right and {wrong} wrong; a verifier learns from at least "
            f"{FEWEST} of each. Add examples: tutelage add FILE --split dev --label COLUMN"
        )
    asked = Asked(
        [examples.examples[at].example.input for at in kept],
        [answers[at] for at in kept],
        None if beside is None else [beside[at] for at in kept],
    )
    return Lesson(asked, quality, gold)


def learn(project: Project, settings: VerifiedSettings, lesson: Lesson) -> tuple[Verifier, dict[str, Any]]:
    """The verifier, and facts for its card."""
    gate = _gate(project) if settings.novelty else None
    recipe, quality = RECIPES[settings.model], lesson.quality[:, None]
    tried: dict[str, tuple[HeldOut, Verifier]] = {}
    for sees in SEES:
        inputs = None
        if sees != "answer":
            inputs = fit_features(project.task, lesson.asked.inputs, encoder_of(settings, project))
        columns = fit_columns(project.task, lesson.asked, gate, inputs)
        seen = columns(lesson.asked)
        crossed = held_out(recipe, seen, quality, settings.seed, lambda share: None)
        model = recipe.fit(seen, quality, crossed.option)
        keys = [key_of(lesson.asked, at) for at in range(len(quality))]
        known = dict(zip(keys, crossed.chances[:, 0].tolist(), strict=True))
        tried[sees] = crossed, Verifier(settings.of, settings.beside, settings.model, columns, model, known)
    losses = {sees: min(crossed.losses.values()) for sees, (crossed, _) in tried.items()}
    best = min(losses, key=lambda sees: losses[sees])
    crossed, verifier = tried[best]
    facts: dict[str, Any] = {"sees": best, "option": crossed.option, "log_loss": losses, "novelty": gate is not None}
    return verifier, facts | worth(project, lesson, crossed.chances[:, 0], settings.seed)


def worth(project: Project, lesson: Lesson, chances: Floats, seed: int) -> dict[str, Any]:
    """Held-out log loss and AUROC of the verifier and of the candidate's own confidence, with intervals; the gain is how much
    lower the log loss is, paired."""
    right = lesson.quality >= 0.5
    own, n = own_chances(project, lesson, seed), len(right)
    lost = {"verifier": Mean(log_loss(chances, right)), "own": Mean(log_loss(own, right))}
    every = np.arange(n)
    return {
        "n": n,
        "right": float(right.mean()),
        "held_out_log_loss": {name: float(one.scores.mean()) for name, one in lost.items()},
        "gain": _facts(difference(lost["own"], lost["verifier"], n)),
        "auroc": {
            name: _facts(estimate(Auroc(chance, right, every), n))
            for name, chance in (("verifier", chances), ("own", own))
        },
    }


def own_chances(project: Project, lesson: Lesson, seed: int) -> Floats:
    """The candidate's own confidence, calibrated on the other folds, (n,); the share of right answers where it has none."""
    right = lesson.quality >= 0.5
    fold, found = folds(right, seed), np.empty(len(right))
    for number in range(FOLDS):
        rest, held = np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()
        answers = [lesson.asked.answers[at] for at in rest]
        fitted = fit_confidence(project.task, answers, [lesson.gold[at] for at in rest], right[rest], seed)
        if fitted is None:
            found[held] = right[rest].mean()
        else:
            found[held] = fitted.confidence.of([lesson.asked.answers[at] for at in held])
    return found


def verifier_text(folder: Path) -> str:
    """What `tutelage calibrate` says of a verifier."""
    facts = read_card(folder)["fit"]
    loss, auroc, gain = facts["held_out_log_loss"], facts["auroc"], facts["gain"]
    better = "better than" if gain["low"] > 0 else "worse than" if gain["high"] < 0 else "not to be told from"
    return (
        f"verifier of {facts['n']} answers on dev ({facts['right']:.3f} right), by {facts['sees']}, held out: log loss "
        f"{loss['verifier']:.4f}, own confidence {loss['own']:.4f} (gain {gain['value']:+.4f}, {gain['low']:+.4f} to "
        f"{gain['high']:+.4f}: {better} it); AUROC {_shown(auroc['verifier'])}, own {_shown(auroc['own'])} -> {folder}"
    )


def _shown(one: Mapping[str, float]) -> str:
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _facts(one: Any) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}


def _gate(project: Project) -> Gate | None:
    """How unlike train's texts others are; None where train has too few of them to tell."""
    texts = [project.task.input_text(one.input) for one in project.store.examples.read("train")]
    held_out = [project.task.input_text(one.input) for one in project.store.examples.read("dev")]
    try:
        return fit_gate(texts, held_out)
    except DataError:
        return None
