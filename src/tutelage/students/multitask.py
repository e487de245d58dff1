"""Family `multitask-tagger`: a fine-tuned transformer that fills a record's fields from spans of the text.

Gold's values are projected back to the spans that read as them (`multitask_lesson`), the transformer learns them as tags on
words, B and I for each field, and the spans it finds are read as values: text, numbers, dates, a date counted from another
("net 30"), words from several places. Fields of a closed set (enum, boolean, few values that are not in the text) are
learned beside them from the evidence of all words. Line breaks, gaps and capitals, which tokenizers drop, are told to
the transformer as types of pieces. Served by ONNX Runtime.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from tutelage import registry
from tutelage.answering.base import Answerer
from tutelage.answering.multitask import UNSURE, MultitaskAnswerer, read_all, type_marks
from tutelage.answering.multitask_read import Layout, atoms_of
from tutelage.answering.served import save_served
from tutelage.answering.spans import NO_TAG, B, I, O
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.multitask_lesson import Lesson, Place, make_lesson
from tutelage.students.scoring import dev_score
from tutelage.students.sizing import FineTuning, Texts, hold_out
from tutelage.tasks.record import RecordTask
from tutelage.types import Labelled

FIT = "tutelage.students.finetune.fit:fit_record"
QUANTISED = "tutelage.students.quantise:quantised"
NAME = "multitask-tagger"
FLOORS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""The floors tried for each field."""

BETTER = 0.05
"""A floor other than the usual one must be right in this much more of dev."""


@dataclass(frozen=True)
class MultitaskSettings(FineTuning):
    """Settings of family `multitask-tagger`, see `FineTuning`. Of `members`, networks that learn from different
    seeds, the mean answers."""

    max_length: int = 512
    members: int = 1


class MultitaskStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("record",)
    answers_by: ClassVar[type[Answerer]] = MultitaskAnswerer
    answerer: MultitaskAnswerer | None

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; early stopping and int8 are decided on `dev` by the F1 of fields. See `Student.fit`.

        The facts say how each field is read, and list the values that stand nowhere in their text.
        """
        task = self.task
        assert isinstance(task, RecordTask)
        if len(train) < 2:
            raise TrainingError(f"{NAME!r} needs at least 2 labelled examples in train, found {len(train)}. Add more.")
        if self.settings.members < 1:
            raise TrainingError(f"{NAME!r}: members = {self.settings.members} must be 1 or more.")
        learned, chosen, origin = hold_out(train, dev, context.seed, lambda one: None)
        lesson = make_lesson(task, learned)
        if not lesson.layout.choices and not any(lesson.places):
            raise TrainingError(
                f"{NAME!r} cannot learn from {len(learned)} examples: no field's value stands in the text, and none has a "
                "closed set of values."
            )
        layout = lesson.layout
        texts = [task.input_text(one.example.input) for one in learned]
        dev_texts = [task.input_text(one.example.input) for one in chosen]

        def targets(number: int, encoding: Encoding) -> NDArray[np.int64]:
            return targets_of(lesson, number, texts[number], encoding)

        def score(encodings: Sequence[Encoding], outputs: Sequence[Array]) -> float:
            lesson.layout = floored(task, layout, chosen, (dev_texts, encodings, outputs))
            found = read_all(task, lesson.layout, dev_texts, encodings, outputs)
            return dev_score(task, chosen, found)

        def score_served(model: TextModel) -> float:
            return score(*MultitaskAnswerer(task, model, lesson.layout).run(dev_texts))

        fit_record, quantised = registry.load(FIT, NAME), registry.load(QUANTISED, NAME)
        given = Texts(texts, targets, dev_texts, score, type_marks)
        fp32 = context.folder / "fp32"
        columns = (lesson.layout.tags, lesson.layout.groups)
        facts = fit_record(given, columns, self.settings, context, fp32)
        served, precision = quantised(fp32, context.folder, self.settings, score_served)
        self.answerer = MultitaskAnswerer(task, TextModel(served, self.settings.threads), lesson.layout)
        score_served(self.answerer.model)
        self.answerer.layout = lesson.layout
        floors = {name: round(floor, 2) for name, floor in lesson.layout.floors.items()}
        return {**facts, **precision, "chosen_on": origin, "floors": floors, **lesson.facts}

    def save(self, folder: Path) -> None:
        if self.answerer is None:
            raise TrainingError(f"This {NAME} is not fitted. Call fit before save.")
        save_served(self.answerer.model.folder, folder, {"layout": self.answerer.layout.json()})


def floored(
    task: RecordTask,
    layout: Layout,
    dev: Sequence[Labelled],
    outputs: tuple[Sequence[str], Sequence[Encoding], Sequence[Array]],
) -> Layout:
    """`layout` with the floors with which most values of `dev` are right, where that is clearly more than with the usual.

    Where layouts are new a model is less sure, not less right: the usual floor is low (`UNSURE`), and 0 for a field that was
    never null in train. Floors that were only just better on four layouts were worse on others (measured, leaving layouts
    out).
    """
    names = {slot.field for slot in layout.slots if not slot.listed and slot.reading != "words"}
    found = read_all(task, replace(layout, floors=dict.fromkeys(names, 0.0)), *outputs)
    floors: dict[str, float] = {}
    for one in task.answer_fields:
        if one.name not in names:
            continue
        usual = layout.floors.get(one.name, UNSURE)
        wanted = [one.keys(each.value.get(one.name)) for each in dev if isinstance(each.value, dict)]
        given = [
            (one.keys(each.value[one.name]), each.parts[one.name]) for each in found if isinstance(each.value, dict)
        ]
        right = {
            floor: sum(
                (keys if sure > floor else Counter()) == gold for gold, (keys, sure) in zip(wanted, given, strict=True)
            )
            for floor in {usual, *FLOORS}
        }
        best = max(right, key=lambda floor: (right[floor], -abs(floor - usual)))
        floors[one.name] = best if right[best] > right[usual] + BETTER * len(wanted) else usual
    return replace(layout, floors=floors)


def targets_of(lesson: Lesson, number: int, text: str, encoding: Encoding) -> NDArray[np.int64]:
    """The targets of each piece, shape (pieces, 1 + choices): the tag of its atom on the first piece, the right columns
    of the choices on every piece."""
    atoms = atoms_of(encoding, text)
    targets = np.empty((len(encoding), 1 + len(lesson.layout.choices)), np.int64)
    targets[:, 0] = NO_TAG
    targets[atoms.first, 0] = tags_of(atoms.spans, lesson.places[number], lesson.layout)
    targets[:, 1:] = lesson.chosen[number]
    return targets


def tags_of(atoms: Sequence[Any], places: Sequence[Place], layout: Layout) -> NDArray[np.int64]:
    """The tag of each atom, shape (atoms,). Where two places overlap the sure one counts, then the shorter."""
    tags = np.full(len(atoms), O, np.int64)
    starts = np.array([span.start for span in atoms], np.int64)
    ends = np.array([span.end for span in atoms], np.int64)
    for place in sorted(places, key=lambda one: (one.sure, one.span.start - one.span.end)):
        within = np.flatnonzero((starts < place.span.end) & (ends > place.span.start))
        if not place.sure:
            tags[within] = NO_TAG
        elif len(within):
            first = B + 2 * place.slot
            tags[within] = I + 2 * place.slot
            tags[within[0]] = first
    return tags


FAMILY = student_family(MultitaskStudent, MultitaskSettings)
