"""The rules of a cascade: from which calibrated confidence on its stages answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.metrics import Floats
from tutelage.routing.answered import calibrated, sureness
from tutelage.routing.cascade import CascadeSettings
from tutelage.routing.certify import Known, Rules, Words, groups_of, limits_of
from tutelage.routing.confidence import Fitted
from tutelage.routing.fields import check_fields, right_fields, sure_fields, wrong_merged
from tutelage.routing.testing import Limit, thresholds

WORDS = Words(
    safest="the last stage alone",
    whose="the last stage's",
    better="take a better last stage",
    bolder="the first stage answers",
    weak="It is too often wrong where it is surest: train it on more labels.",
    silent="At no threshold does it answer: its answers failed, or the novelty gate finds every input unlike train's.",
)

ByField: TypeAlias = tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]
"""Of each field, shape (n, fields): the confidence, whether the student is right, whether the last stage is."""


def cascade_rules(known: Known) -> Rules:
    """A rule for each confidence of a calibration example. Raises CertificateError for a stage without a confidence."""
    project = known.project
    settings: CascadeSettings = candidate(project, known.name).settings
    stages = [candidate(project, stage) for stage in settings.stages]
    fitted = calibrated(project, stages, known.dev, abstain=settings.abstain)
    sure = sureness(project, known.calibration, [fitted.get(stage) for stage in settings.stages], known.gate)
    answerers = [*settings.stages, *(["a person"] if settings.abstain else [])]
    if settings.escalate == "fields":
        check_fields(project, known.name, settings.stages, abstain=settings.abstain)
        by_field = _by_field(known, fitted[settings.stages[0]], sure[0])
        order, by = thresholds(by_field[0].ravel()), who_answers([by_field[0].min(axis=1), None], abstain=False)
        limits = _limits_by_field(known, by_field)
    else:
        order = thresholds(np.concatenate([one for one in sure if one is not None]))
        by = who_answers(sure, abstain=settings.abstain)
        limits = limits_of(known, by)
    return Rules(order, by, limits, answerers, WORDS, fitted=fitted)


def who_answers(sure: Sequence[Floats | None], *, abstain: bool) -> Any:
    """A function of the threshold that gives the number of the stage that answers each example, shape (n,); the number of
    stages where a person does."""
    n = next(len(one) for one in sure if one is not None)

    def by(threshold: float) -> NDArray[np.int64]:
        found = np.full(n, len(sure) - (0 if abstain else 1), dtype=np.int64)
        for number in reversed(range(len(sure))):
            own = sure[number]
            if own is not None:
                found[own >= threshold] = number
        return found

    return by


def _by_field(known: Known, fitted: Fitted, sure: Floats | None) -> ByField:
    task, calibration = known.project.task, known.calibration
    own = sure_fields(task, fitted.confidence, calibration.stages[0])
    if sure is not None:  # what the gate finds novel is asked of the last stage altogether
        own = np.where(sure[:, None] < 0, -1.0, own)
    student, last = (right_fields(task, calibration.gold, one) for one in calibration.stages)
    return own, student, last


def _limits_by_field(known: Known, by_field: ByField) -> list[Limit]:
    if set(known.goal.most) != {"wrong"}:
        raise UsageError("With escalate = \"fields\" the loss is 'wrong': --max-loss 0.03.")
    most = known.goal.most["wrong"]

    def of(threshold: float) -> Floats:
        return wrong_merged(*by_field, threshold)

    groups = groups_of(known.calibration, known.goal)
    return [Limit(f"wrong\t{group}", most, of, True, members) for group, members in groups]
