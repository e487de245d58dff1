"""What a student learns from: which labelled examples of train, and how much each counts.

The same settings hold for every student, and are kept beside those of its family. How probably a label is right is what
`tutelage quality --weigh` learnt from the labels that people reviewed; a person's own label, and one that has no estimate,
counts in full.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from tutelage.errors import TrainingError, UsageError
from tutelage.project import Project
from tutelage.registry import load
from tutelage.store import Origin, by_person
from tutelage.store.qualities import label_key
from tutelage.students.base import Trainable
from tutelage.types import Labelled

SAID: dict[Origin, str] = {"gold": "gold ", "teacher": "teacher's ", "weak": "pseudo-", "any": ""}
"""Whose labels, in front of the word."""


@dataclass(frozen=True)
class Material:
    """`synthetic`: whether inputs that a model wrote are learnt from. `quality`: labels count as much as they are probably
    right ("weigh"), or those below `least_quality` not at all ("drop"). `most`: as many examples at most, a `diverse`
    subset or a `random` one."""

    synthetic: Literal["use", "leave"] = "use"
    quality: Literal["ignore", "weigh", "drop"] = "ignore"
    least_quality: Annotated[float, Field(ge=0, le=1)] = 0.5
    most: Annotated[int | None, Field(ge=1)] = None
    choose: Literal["diverse", "random"] = "diverse"

    def facts(self) -> dict[str, Any]:
        """For fingerprints and cards: the settings that are not the default, but `synthetic`, which the examples tell."""
        usual, given = asdict(Material()), asdict(self)
        return {name: value for name, value in given.items() if value != usual[name] and name != "synthetic"}


ALL = Material()
"""Every labelled example, each in full."""

SETTINGS: Collection[str] = tuple(field.name for field in fields(Material))


class Learnt(NamedTuple):
    """`train` and `dev`; `facts` is what the card says of how train was chosen."""

    train: list[Labelled]
    dev: list[Labelled]
    facts: dict[str, Any]


def material_of(project: Project, name: str, student: type[Trainable], settings: Any, material: Material) -> Learnt:
    """What candidate `name` learns from and is chosen on. Raises TrainingError without labels or estimates, UsageError for what
    a family cannot do."""
    if student.unlabelled:
        if material.facts():
            raise UsageError(
                f"{name!r} learns from inputs without labels, so {next(iter(material.facts()))} says nothing. Leave it out."
            )
        return Learnt(list(_inputs(project, material)), list(project.store.labels.read("dev", "gold")), {})
    whose: Origin = settings.labels
    # Pseudo-labels of dev would only say how well they are imitated.
    held_out = project.store.labels.read("dev", "any" if whose == "weak" else whose)
    train = [one for one in project.store.labels.read("train", whose) if fits(one, material)]
    if not train:
        remedy = "Add some with: tutelage add FILE --label COLUMN" if whose == "gold" else "Run: tutelage label"
        remedy = f"{remedy} --by CANDIDATE" if whose == "weak" else remedy
        raise TrainingError(f"{name!r}: no example in train has a {SAID[whose]}label. {remedy}")
    train, facts = chosen(project, name, student, train, material, settings.seed)
    return Learnt(train, list(held_out), facts)


def chosen(
    project: Project,
    name: str,
    student: type[Trainable],
    train: Sequence[Labelled],
    material: Material,
    seed: int,
) -> tuple[list[Labelled], dict[str, Any]]:
    """Of labelled examples those to learn from, with their weights, and facts for the card. Raises TrainingError, UsageError."""
    found, facts, weights = list(train), dict[str, Any](), None
    if material.quality != "ignore":
        if material.quality == "weigh" and not student.weighs:
            raise UsageError(
                f'{name!r}: quality = "weigh" is for linear and encoder; this family cannot give an example half its weight. '
                'Set: quality = "drop"'
            )
        weights = qualities(project, found)
        if not weights:
            raise TrainingError(
                f"{name!r}: quality = {material.quality!r}, but no label in train has an estimate. Review some labels "
                "(tutelage review), then run: tutelage quality --weigh"
            )
        facts["quality"] = {"estimated": len(weights)}
        if material.quality == "drop":
            kept = [one for one in found if weights.get(one.example.id, 1.0) >= material.least_quality]
            facts["quality"]["dropped"] = len(found) - len(kept)
            found = kept
        else:
            found = [replace(one, weight=weights.get(one.example.id, 1.0)) for one in found]
            facts["quality"]["mean_weight"] = round(sum(one.weight for one in found) / len(found), 4)
    if not found:
        raise TrainingError(f"{name!r}: no label in train reaches least_quality = {material.least_quality}. Lower it.")
    if material.most is not None and material.most < len(found):
        facts["chosen"] = {"of": len(found), "by": material.choose}
        subset_of = load("tutelage.students.subset:subset_of", "subset")  # scikit-learn, which not every verb waits for
        found = subset_of(project.task, found, material.most, material.choose, weights or {}, seed)
    return found, facts


def qualities(project: Project, examples: Sequence[Labelled]) -> dict[str, float]:
    """How probably each label is right, by example, where that was estimated; a person's labels have no estimate."""
    keys = {
        label_key(one.example.id, one.source, one.value): one.example.id
        for one in examples
        if not by_person(one.source)
    }
    return {keys[key]: score for key, score in project.store.qualities.of(list(keys)).items()}


def fits(one: Labelled, material: Material) -> bool:
    return material.synthetic == "use" or not one.example.synthetic


def data_of(examples: Sequence[Labelled]) -> list[list[Any]]:
    """What of labelled examples decides what is learnt, as JSON."""
    return [
        [
            one.example.id,
            one.value,
            *([one.distribution] if one.distribution else []),
            *([{"weight": one.weight}] if one.weight != 1 else []),
        ]
        for one in examples
    ]


def _inputs(project: Project, material: Material) -> Iterator[Labelled]:
    found = (Labelled(one, "", "") for one in project.store.examples.read("train"))
    return (one for one in found if fits(one, material))
