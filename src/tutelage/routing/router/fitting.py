"""From stored answers to a router.

A student is surer, and more often right, on what it was trained on: a router that learned there would send too much to it.
So where a candidate is trained, the router learns from dev, which the student was at most chosen on; else from train and dev.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.errors import DataError, TrainingError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.costs import cost_of
from tutelage.evaluation.harness import ExampleSet, example_set, latency_of
from tutelage.evaluation.metrics import Floats
from tutelage.project import Project
from tutelage.routing.learned import kept, stored_answers
from tutelage.routing.router.features import fit_features
from tutelage.routing.router.learnt import Learnt, encoder_of
from tutelage.routing.router.members import members_of, quality_of
from tutelage.routing.router.recipes import RECIPES, encoder_recipe, held_out
from tutelage.routing.router.settings import LEARNING, RouterSettings
from tutelage.types import Labelled, Prediction, Split, digest

FEWEST = 50
"""Examples that a router learns from, at least."""

Tell = Callable[[float, Mapping[str, object]], None]


@dataclass(frozen=True)
class Lessons:
    """Examples with how right each of k candidates was, `quality` (n, k) in [0, 1]; `costs` in dollars per 1,000 answers."""

    examples: tuple[Labelled, ...]
    quality: Floats
    costs: tuple[float, ...] | None
    splits: tuple[str, ...]


def fit_router(
    project: Project, name: str, tell: Tell = lambda share, shown: None, settings: RouterSettings | None = None
) -> Path:
    """Learn candidate `name`, of family `router`, from the stored answers of its candidates; the folder of its artefact.

    Does nothing when the newest artefact was made of the same answers and settings. Raises TutelageError in one line: a
    candidate that is none or a router itself, has not answered, or was trained on all that there is to learn from.
    """
    given: RouterSettings = settings or candidate(project, name).settings
    members = members_of(project, name, given)
    lessons = lessons_of(project, name, members, given)
    learning = {key: value for key, value in asdict(given).items() if key in LEARNING}
    card: dict[str, Any] = {"candidate": name, "family": "router", "settings": learning, "task": project.task.schema()}
    ids = [one.example.id for one in lessons.examples]
    card["data_fingerprint"] = digest([ids, lessons.quality.tolist(), lessons.costs])
    card["learned_from"] = {"n": len(ids), "splits": list(lessons.splits)}

    def write(folder: Path) -> dict[str, Any]:
        learnt, facts = learn(project, given, lessons, folder.parent, tell)
        learnt.save(folder)
        return facts

    return kept(project, card, ids, write)


def lessons_of(project: Project, name: str, members: Sequence[Candidate], settings: RouterSettings) -> Lessons:
    """Stored answers on what no candidate was trained on. Raises DataError or TrainingError."""
    trained = [one.name for one in members if one.family.student]
    splits: tuple[Split, ...] = ("dev",) if trained else ("train", "dev")
    sets = [found for split in splits if (found := _labelled(project, split, settings.labels))]
    n = sum(len(one.examples) for one in sets)
    if n < FEWEST:
        why = f", since {trained[0]!r} was trained on train and would be trusted too much there" if trained else ""
        raise TrainingError(
            f"{name!r} learns from {' and '.join(splits)}{why}: {n} labelled examples are too few, at least {FEWEST} are "
            "needed. Add some with: tutelage add FILE --split dev --label COLUMN"
        )
    answered = [_answered(project, name, one, sets) for one in members]
    gold = [one.value for part in sets for one in part.examples]
    quality = np.column_stack(
        [quality_of(project, gold, [p.value for p in predictions]) for predictions, _ in answered]
    )
    if (quality == quality[:, :1]).all():
        raise TrainingError(
            f"{name!r}: {' and '.join(one.name for one in members)} are right and wrong about the same {n} examples, so "
            "there is nothing to choose. Use the cheapest, or add examples on which they differ."
        )
    known = [cost for _, cost in answered if cost is not None]
    costs = settings.costs or (tuple(known) if len(known) == len(answered) else None)
    examples = tuple(one for part in sets for one in part.examples)
    return Lessons(examples, quality, costs, tuple(one.split for one in sets))


def _labelled(project: Project, split: Split, labels: str) -> ExampleSet | None:
    try:
        return example_set(project, split, None if labels == "any" else labels)  # type: ignore[arg-type]
    except DataError:
        return None


def _answered(
    project: Project, name: str, one: Candidate, sets: Sequence[ExampleSet]
) -> tuple[list[Prediction], float | None]:
    """The candidate's stored answers, and what 1,000 cost. Raises DataError where some are missing."""
    predictions: list[Prediction] = []
    rate = 0.0
    for part in sets:
        found = stored_answers(project, name, one, part)
        predictions += found[0]
        rate = latency_of(one, *found).items_per_second or rate
    usages, seconds = [p.usage for p in predictions], 1 / rate if rate else 0.0
    hosted, price = one.hosted(project), one.price(project)
    cost = cost_of(one.family.role, usages, seconds, project.file.hardware, hosted=hosted, price=price)
    return predictions, cost.dollars_per_1000


def learn(
    project: Project, settings: RouterSettings, lessons: Lessons, work: Path, tell: Tell
) -> tuple[Learnt, dict[str, Any]]:
    """The router, and facts for its card; `work` is a folder that outlives the router that is returned."""
    inputs, encoder = [one.example.input for one in lessons.examples], encoder_of(settings, project)
    features = fit_features(project.task, inputs, encoder)
    seen = features(inputs)
    if settings.model == "encoder":
        how = encoder_recipe(settings, settings.candidates, project.path, work)
    else:
        how = RECIPES[settings.model]
        if settings.effort == "low":
            how = how._replace(options=how.options[len(how.options) // 2 :][:1])
    crossed = held_out(how, seen, lessons.quality, settings.seed, lambda share: tell(0.9 * share, {}))
    model = how.fit(seen, lessons.quality, crossed.option)
    losses = {f"{option:g}": round(loss, 4) for option, loss in crossed.losses.items()}
    tell(1.0, {"log_loss": losses[f"{crossed.option:g}"]})
    quality = lessons.quality[crossed.numbers]
    facts = {"option": crossed.option, "log_loss": losses, "held_out": len(quality)}
    learnt = Learnt(settings.candidates, settings.model, features, model, crossed.chances, quality, lessons.costs)
    return learnt, facts
