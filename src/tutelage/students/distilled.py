"""Family `white-box`: a fine-tuned encoder made smaller, taught by the encoder itself.

[candidates.large]
family = "encoder"
base = "sentence-transformers/all-mpnet-base-v2"
keep_weights = true

[candidates.small]
family = "white-box"
of = "large"

The student begins as every second layer of its teacher and learns, besides the labels, the teacher's distribution over them
and its hidden states (Sanh et al. 2019). The teacher is at hand, so texts without a label teach as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Encoding

from tutelage import registry
from tutelage.answering.base import Answerer
from tutelage.answering.encoder import Classifier
from tutelage.answering.served import MODEL_FOLDER, read_facts, save_served
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.errors import TrainingError
from tutelage.project import Project, newest_artefact, read_card
from tutelage.store import Origin
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.several import kind_of
from tutelage.students.sizing import KEPT, Effort, FineTuning, Texts, hold_out
from tutelage.students.soft import Blend
from tutelage.types import Example, Labelled, digest

FIT = "tutelage.students.finetune.distil:fit_distilled"
QUANTISED = "tutelage.students.quantise:quantised"
NOT_KNOWN = -100


@dataclass(frozen=True)
class WhiteBoxSettings:
    """`of` is a trained candidate of family `encoder` with `keep_weights`. `layers` is every second of its own by default.

    `soft_weight` of the loss is in the teacher's distribution, softened by `temperature`, the rest in the labels, and
    `hidden_weight` is added for the hidden states. At most `unlabelled` examples of train without a label teach too. The
    others are as in `FineTuning`.
    """

    of: str
    layers: Annotated[int | None, Field(ge=1)] = None
    soft_weight: Annotated[float, Field(ge=0, le=1)] = 0.9
    temperature: Annotated[float, Field(gt=0)] = 2.0
    hidden_weight: Annotated[float, Field(ge=0)] = 1.0
    unlabelled: Annotated[int, Field(ge=0)] = 10_000
    labels: Origin = "any"
    effort: Effort = "medium"
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    quantise: Literal["auto", "int8", "none"] = "auto"
    max_int8_loss: float = 0.005
    threads: int | None = None
    seed: int = 0

    def tuning(self, folder: Path, max_length: int) -> FineTuning:
        """How the network whose weights are in `folder` is fine-tuned."""
        return FineTuning(
            str(folder),
            self.labels,
            self.effort,
            self.epochs,
            self.learning_rate,
            self.batch_size,
            max_length,
            self.quantise,
            self.max_int8_loss,
            self.threads,
            self.seed,
        )


class Smaller(NamedTuple):
    """What is made of the teacher: how many layers (None: every second), and the share of the hidden states in the loss."""

    layers: int | None
    hidden_weight: float


class Teacher(NamedTuple):
    """The artefact that teaches, the labels it tells apart, and its card."""

    folder: Path
    labels: list[str]
    card: dict[str, Any]


class WhiteBoxStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label",)
    answers_by: ClassVar[type[Answerer]] = Classifier
    answerer: Classifier | None

    @classmethod
    def depends(cls, name: str, settings: Any, project: Project) -> object:
        """The teacher's artefact, and the texts without a label."""
        folder = newest_artefact(project, settings.of)
        texts = _unlabelled(project, settings, set()) if settings.unlabelled else []
        return [folder and folder.name, digest([one.id for one in texts])]

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        settings: WhiteBoxSettings = self.settings
        if context.project is None:
            raise TrainingError(
                f"'white-box' learns from the candidate {settings.of!r} of a project, and there is none."
            )
        if not train:
            raise TrainingError("'white-box' needs labelled examples in train, found 0. Add some.")
        teacher = _teacher(settings.of, context.project)
        learned, chosen, origin = hold_out(train, dev, context.seed, kind_of(train))
        place = {label: at for at, label in enumerate(teacher.labels)}
        held = {one.example.id for one in (*learned, *chosen)}
        more = _unlabelled(context.project, settings, held)
        numbers = [place.get(str(one.value), NOT_KNOWN) for one in learned] + [NOT_KNOWN] * len(more)
        read = [self.task.input_text(one.example.input) for one in learned] + [
            self.task.input_text(o.input) for o in more
        ]
        wanted = [str(one.value) for one in chosen]
        dev_texts = [self.task.input_text(one.example.input) for one in chosen]

        def targets(at: int, _encoding: Encoding) -> NDArray[Any]:
            return np.array([numbers[at]])

        def score(_encodings: Sequence[Encoding], outputs: Sequence[Array]) -> float:
            said = [teacher.labels[at] for at in np.argmax(outputs, -1)]
            return float(np.mean([one == gold for one, gold in zip(said, wanted, strict=True)]))

        def score_served(model: TextModel) -> float:
            encodings = model.encode_texts(dev_texts)
            return score(encodings, model.run(encodings))

        fit_distilled, quantised = registry.load(FIT, "white-box"), registry.load(QUANTISED, "white-box")
        blend = Blend(settings.soft_weight, settings.temperature)
        texts = Texts(read, targets, dev_texts, score, blend=blend)
        above = TextModel(teacher.folder / MODEL_FOLDER, settings.threads)
        tuning = settings.tuning(teacher.folder / KEPT, above.limits.max_length)
        fp32 = context.folder / "fp32"
        facts = fit_distilled(texts, tuning, Smaller(settings.layers, settings.hidden_weight), context, fp32)
        served, precision = quantised(fp32, context.folder, tuning, score_served)
        self.answerer = Classifier(self.task, TextModel(served, settings.threads), teacher.labels)
        facts["base"] |= {"name": settings.of, "licence": teacher.card["fit"]["base"]["licence"]}
        facts |= {"teacher": {"artefact": teacher.folder.name, "dev_score": round(score_served(above), 4)}}
        facts |= {"unlabelled": len(more), "labels_teacher_lacks": numbers[: len(learned)].count(NOT_KNOWN)}
        return {**facts, **precision, "chosen_on": origin, "labels": len(teacher.labels)}

    def save(self, folder: Path) -> None:
        if self.answerer is None:
            raise TrainingError("This student is not fitted. Call fit before save.")
        save_served(self.answerer.model.folder, folder, {"labels": self.answerer.labels})


def _teacher(of: str, project: Project) -> Teacher:
    """The teacher's newest artefact. Raises TrainingError where there is none that can teach."""
    family = project.candidate(of)["family"]
    if family != "encoder":
        raise TrainingError(f"of = {of!r} is of family {family!r}; 'white-box' is made of an 'encoder'. Name one.")
    folder = newest_artefact(project, of)
    if folder is None:
        raise TrainingError(f"of = {of!r} is not trained yet. Run: tutelage train {of}")
    if not (folder / KEPT).is_dir():
        raise TrainingError(
            f"of = {of!r} was trained without keeping its weights. Set keep_weights = true in [candidates.{of}] and run: "
            f"tutelage train {of}"
        )
    # A base is looked for from the project's folder, which may itself be a relative path.
    return Teacher(folder.resolve(), list(read_facts(folder)["labels"]), read_card(folder))


def _unlabelled(project: Project, settings: WhiteBoxSettings, known: set[str]) -> list[Example]:
    """The first examples of train that are not `known`, and that no model wrote."""
    others = (one for one in project.store.examples.read("train") if one.id not in known and not one.synthetic)
    return list(islice(others, settings.unlabelled))


FAMILY = student_family(WhiteBoxStudent, WhiteBoxSettings)
