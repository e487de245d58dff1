"""The labels of a task (or the values of an enum), and which of them a text means."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.errors import TaskFileError
from tutelage.tasks.matching import normal

_SHOWN = 12


class LabelSet:
    """Labels in their order. A text in other case or spacing is taken as the label it equals after normalisation."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.place = {label: at for at, label in enumerate(labels)}
        forms = [normal(label) for label in labels]
        # Forms that two labels share are left out, so that exact spelling decides there.
        self._forms = {form: label for form, label in zip(forms, labels, strict=True) if forms.count(form) == 1}

    def find(self, text: str) -> str | None:
        """The label that `text` means, or None."""
        return text if text in self.place else self._forms.get(normal(text))

    def __str__(self) -> str:
        labels = list(self.place)
        more = f", ... ({len(labels)} in all)" if len(labels) > _SHOWN else ""
        return ", ".join(labels[:_SHOWN]) + more


def check_labels(labels: Sequence[str], kind: str, least: int) -> None:
    """Raises TaskFileError when `labels` cannot be the labels of a task of output `kind`."""
    if len(labels) < least:
        count = {1: "one label", 2: "two labels"}[least]
        raise TaskFileError(f"A {kind} task needs at least {count}, found {list(labels)!r}. Set: labels = [...]")
    for label in labels:
        if not label or label != label.strip():
            raise TaskFileError(f"{label!r} cannot be a label: it is empty or has spaces at an end.")
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise TaskFileError(f"Labels occur twice: {', '.join(twice)}. Remove the repetitions.")


def short(value: object, longest: int = 80) -> str:
    """`value` as Python writes it, shortened."""
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
