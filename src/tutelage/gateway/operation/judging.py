"""What an audited answer has lost, on the scale on which its certificate tests losses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tutelage.project import Project
from tutelage.routing.losses import Loss, excess, losses_of
from tutelage.types import Value


def same(project: Project, right: Value, answer: Value | None) -> bool:
    """Whether the answers are equal, as exact match sees it."""
    return _loss(project, "wrong", right, answer) == 0.0


def losses(
    project: Project, names: Iterable[str], right: Value, answer: Value | None, last: Value | None
) -> dict[str, float]:
    """Each loss of `answer` where `right` is right; `last` is the last stage's answer, beside which "excess" is measured."""
    return {name: _tested(project, name, right, answer, last) for name in names}  # type: ignore[arg-type]


def wrong(names: Iterable[str]) -> dict[str, float]:
    """Each loss of an answer of which no more is known than that it is wrong: all that it can be."""
    return dict.fromkeys(names, 1.0)


def _tested(project: Project, name: Loss, right: Value, answer: Value | None, last: Value | None) -> float:
    own = _loss(project, name, right, answer)
    if name != "excess":
        return own
    return float(excess(np.array([own]), np.array([_loss(project, name, right, last)]))[0])


def _loss(project: Project, name: Loss, right: Value, answer: Value | None) -> float:
    return float(np.clip(losses_of(project, name, "test", [right], [answer])[0], 0.0, 1.0))
