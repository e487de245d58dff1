"""From calibration examples to a certificate: what `tutelage calibrate` does for a cascade.

The confidence of each stage is calibrated on dev; then, on the calibration examples, thresholds are tested from 1 down
(`routing.testing`). Calibration examples are neither what a stage learned from nor what it was chosen on: a stage that had one
of them is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from tutelage.errors import CertificateError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.intervals import Estimate
from tutelage.evaluation.metrics import Floats
from tutelage.project import Project
from tutelage.registry import versions
from tutelage.routing.answered import Answers, Goal, answered_by, calibrated, check_unseen, settled_goal, sureness
from tutelage.routing.cascade import CascadeSettings, Gate
from tutelage.routing.certificate import PROVED, UNPROVEN, Certificate, LossFacts, stage_facts
from tutelage.routing.confidence import Fitted
from tutelage.routing.fields import check_fields, right_fields, sure_fields, wrong_merged
from tutelage.routing.losses import as_given, limit_of
from tutelage.routing.parts import check_parts
from tutelage.routing.power import Needed, needed
from tutelage.routing.testing import LEAST, Limit, Proved, Sample, prove, thresholds
from tutelage.store.database import now

VERSIONS = ("tutelage", "numpy", "scipy", "onnxruntime")
BOUNDS = {True: "exact binomial, randomised", False: "betting"}


@dataclass(frozen=True)
class Outcome:
    """The certificate (None: nothing proved), how the stages' confidences were calibrated, and what more would do."""

    certificate: Certificate | None
    fitted: Mapping[str, Fitted]
    proved: Proved
    point: float | None
    needed: Needed | None
    n: int = 0
    against: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Trial:
    """A cascade with its stages' answers, and what of it is to be tested: `by` gives the stage that answers each calibration
    example at a threshold, `limits` the losses, `order` the thresholds from the safest."""

    project: Project
    name: str
    settings: CascadeSettings
    goal: Goal
    dev: Answers
    calibration: Answers
    fitted: Mapping[str, Fitted]
    gate: tuple[Gate, Mapping[str, Any]] | None
    by: Callable[[float], NDArray[np.int64]]
    limits: Sequence[Limit]
    order: Floats

    def answered(self, threshold: float) -> float:
        """The share that the stages before the last answer at this threshold."""
        return float((self.by(threshold) < len(self.settings.stages) - 1).mean())


def prepared(project: Project, name: str, goal: Goal, gate: tuple[Gate, Mapping[str, Any]] | None = None) -> Trial:
    """What there is to test of cascade `name`, from the stages' stored answers.

    Raises CertificateError in one line for examples that are too few or were learned from, and for a student without a
    confidence; DataError where answers are missing.
    """
    one = candidate(project, name)
    settings: CascadeSettings = one.settings
    check_parts(project, name)
    stages = [candidate(project, stage) for stage in settings.stages]
    check_unseen(project, settings.stages)
    goal = settled_goal(project, goal)
    dev, calibration = (answered_by(project, stages, split, goal) for split in ("dev", "calibration"))
    _enough(goal, calibration.n)
    fitted = calibrated(project, stages, dev, settings)
    sure = sureness(project, calibration, [fitted.get(stage) for stage in settings.stages], gate)
    if settings.escalate == "fields":
        check_fields(project, name, settings.stages, abstain=settings.abstain)
        by_field = _by_field(project, calibration, fitted[settings.stages[0]], sure[0])
        sure = [by_field[0].min(axis=1), None]
        order, by = thresholds(by_field[0].ravel()), who_answers(sure, abstain=False)
        limits = limits_of(calibration, goal, by, by_field)
    else:
        order = thresholds(np.concatenate([one for one in sure if one is not None]))
        by = who_answers(sure, abstain=settings.abstain)
        limits = limits_of(calibration, goal, by)
    return Trial(project, name, settings, goal, dev, calibration, fitted, gate, by, limits, order)


def certify(trial: Trial) -> Outcome:
    """Test the thresholds of the cascade on the calibration examples."""
    sample = Sample(trial.calibration.examples.ids, _spread(trial.dev, trial.goal))
    proved = prove(trial.limits, trial.order, sample, trial.goal.level)
    outcome = Outcome(None, trial.fitted, proved, _point(trial.order, trial.limits), None, trial.calibration.n)
    outcome = replace(outcome, against=str(trial.goal.against))
    if proved.threshold is None or not trial.answered(proved.threshold):
        more = needed(trial.limits, trial.order, trial.goal.level, trial.answered)
        return replace(outcome, needed=more, problem=_why(trial, proved, more))
    return replace(outcome, certificate=certificate_of(trial, proved.threshold, proved.p_values))


def unproven(trial: Trial) -> Certificate:
    """A certificate that says that nothing was proved: the threshold of the point estimate.

    Raises CertificateError where not even that keeps the limits.
    """
    point = _point(trial.order, trial.limits)
    if point is None:
        raise CertificateError("At no threshold is the mean loss under its limit. Raise --max-loss.")
    return certificate_of(trial, point, None)


def certificate_of(trial: Trial, threshold: float, p_values: Mapping[str, float] | None) -> Certificate:
    """The certificate of a threshold; without p-values an unproven one."""
    goal, settings, calibration, chosen = trial.goal, trial.settings, trial.calibration, trial.by(threshold)
    names = [*settings.stages, *(["a person"] if settings.abstain else [])]
    losses = []
    for one in trial.limits:
        loss, _, group = one.name.partition("\t")
        count = calibration.n if one.members is None else len(one.members)
        p_value = None if p_values is None else p_values[one.name]
        most = next(share for name, share in goal.most.items() if name == loss)
        losses.append(LossFacts(loss, most, as_given(loss, _mean(one, threshold)), count, p_value, group))
    dollars, basis = _dollars(calibration, chosen)
    fitted = [trial.fitted.get(stage) for stage in settings.stages]
    return Certificate(
        task=trial.project.task.name,
        candidate=trial.name,
        status=UNPROVEN if p_values is None else PROVED,
        threshold=threshold,
        max_loss=next(iter(goal.most.values())),
        confidence=goal.confidence,
        level=goal.level,
        bound=" and ".join(dict.fromkeys(BOUNDS[one.binary] for one in trial.limits))
        + ", fixed sequence of thresholds",
        losses=losses,
        against=str(goal.against),
        reference=calibration.examples.reference,
        n=calibration.n,
        stages=[
            stage_facts(trial.project, stage, None if one is None else one.confidence.json())
            for stage, one in zip(settings.stages, fitted, strict=True)
        ],
        settings=asdict(settings),
        answered_by={one: float((chosen == at).mean()) for at, one in enumerate(names)},
        escalated=escalation(int((chosen >= len(settings.stages) - 1).sum()), calibration.n),
        dollars_per_1000=dollars,
        cost_basis=basis,
        assumes="groups" if goal.by_group else "exchangeable",
        calibration_fingerprint=calibration.examples.fingerprint,
        dev_fingerprint=trial.dev.examples.fingerprint,
        curve=_curve(trial),
        gate=None if trial.gate is None else trial.gate[1],
        tried=list(goal.tried) or [trial.name],
        versions=versions(VERSIONS),
        created=now(),
    )


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


ByField: TypeAlias = tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]
"""Of each field, shape (n, fields): the confidence, whether the student is right, whether the last stage is."""


def _by_field(project: Project, calibration: Answers, fitted: Fitted, sure: Floats | None) -> ByField:
    own = sure_fields(project.task, fitted.confidence, calibration.stages[0])
    if sure is not None:  # what the gate finds novel is asked of the last stage altogether
        own = np.where(sure[:, None] < 0, -1.0, own)
    student, last = (right_fields(project.task, calibration.gold, one) for one in calibration.stages)
    return own, student, last


def limits_of(calibration: Answers, goal: Goal, by: Any, by_field: ByField | None = None) -> list[Limit]:
    """The losses to be kept under their limits: of all examples, or of each group."""
    if by_field is not None and set(goal.most) != {"wrong"}:
        raise UsageError("With escalate = \"fields\" the loss is 'wrong': --max-loss 0.03.")
    limits: list[Limit] = []
    for loss, most in goal.most.items():
        table = np.stack([*calibration.losses[loss], np.full(calibration.n, 0.5 if loss == "excess" else 0.0)])

        def of(threshold: float, table: Floats = table) -> Floats:
            if by_field is not None:
                return wrong_merged(*by_field, threshold)
            return np.asarray(table[by(threshold), np.arange(table.shape[1])])

        for group, members_of in _groups(calibration, goal):
            limits.append(Limit(f"{loss}\t{group}", limit_of(loss, most), of, loss == "wrong", members_of))
    return limits


def _groups(calibration: Answers, goal: Goal) -> list[tuple[str, NDArray[np.int64] | None]]:
    if not goal.by_group:
        return [("", None)]
    groups = np.array([one.example.group or "" for one in calibration.examples.examples])
    found = [(str(name), np.flatnonzero(groups == name)) for name in np.unique(groups)]
    if small := [(name, len(own)) for name, own in found if len(own) < LEAST]:
        name, n = small[0]
        raise CertificateError(
            f"The group {name or '(none)'!r} has {n} calibration examples, and a loss is controlled by group from "
            f"{LEAST} on. Add some, or calibrate without --by-group."
        )
    return list(found)


def _enough(goal: Goal, n: int) -> None:
    for loss, most in goal.most.items():
        least = math.ceil(math.log(goal.level) / math.log(1 - limit_of(loss, most)))
        if n < least:
            raise CertificateError(
                f"calibration has {n} examples with an answer to compare with; to prove {loss} <= {most:g} with "
                f"confidence {goal.confidence:g} takes at least {least}, even without a single error. "
                "Add some: tutelage add FILE --split calibration"
            )


def _spread(dev: Answers, goal: Goal) -> float:
    """The standard deviation to be expected of a loss at its limit: that of dev's first stage among what is lost."""
    spreads = [0.05]
    for loss, most in goal.most.items():
        if loss != "wrong":
            lost = dev.losses[loss][0]
            if loss == "excess":
                spreads.append(float(lost.std()))
            else:
                size = float((lost**2).mean() / max(lost.mean(), 1e-9))
                spreads.append(math.sqrt(most * size))
    return max(spreads)


def _curve(trial: Trial) -> list[Mapping[str, float]]:
    """Risk and coverage along at most 100 thresholds."""
    limit = trial.limits[0]
    loss = limit.name.partition("\t")[0]
    points: list[Mapping[str, float]] = []
    for threshold in trial.order[np.unique(np.linspace(0, len(trial.order) - 1, 100).astype(int))].tolist():
        answered = trial.answered(threshold)
        mean = as_given(loss, float(limit.of(threshold).mean()))  # of all groups together
        points.append({"threshold": threshold, "answered": answered, "loss": round(mean, 6)})
    return points


def _point(order: Floats, limits: Sequence[Limit]) -> float | None:
    """What the point estimate would take: the lowest threshold at which no mean loss exceeds its limit."""
    found = None
    for threshold in order.tolist():
        if all(_mean(one, threshold) <= one.most for one in limits):
            found = threshold
    return found


def _mean(limit: Limit, threshold: float) -> float:
    losses = limit.of(threshold)
    return float((losses if limit.members is None else losses[limit.members]).mean())


def _why(trial: Trial, proved: Proved, more: Needed | None) -> str:
    loss, most = next(iter(trial.goal.most.items()))
    safest = float(trial.order[0])
    if proved.threshold is None:
        worst = max(trial.limits, key=lambda one: _mean(one, safest) - one.most)
        name, _, group = worst.name.partition("\t")
        mean, limit = as_given(name, _mean(worst, safest)), as_given(name, worst.most)
        where = f" in group {group!r}" if group else ""
        reason = f"the last stage alone loses {mean:.4g} ({name}{where}), and the limit is {limit:.4g}"
        if mean >= limit:
            return f"The limit lies below the last stage's own loss: {reason}. Raise --max-loss, or take a better last stage."
        remedy = more.sentence if more else "Add calibration examples."
        return f"Not even the last stage alone is proved: {reason}. {remedy}"
    remedy = more.sentence if more else "It is too often wrong where it is surest: train it on more labels."
    if not trial.answered(float(trial.order[-1])):
        remedy = (
            "At no threshold does it answer: its answers failed, or the novelty gate finds every input unlike train's."
        )
    shown = f"keep {loss} <= {most:g} with confidence {trial.goal.confidence:g}"
    return f"Nothing that the first stage answers is proved to {shown}. {remedy}"


def escalation(count: int, n: int) -> Estimate:
    """The share with Clopper and Pearson's 95 % interval."""
    low = 0.0 if count == 0 else float(beta.ppf(0.025, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(0.975, count + 1, n - count))
    return Estimate(count / n, low, high)


def _dollars(calibration: Answers, chosen: NDArray[np.int64]) -> tuple[float | None, str]:
    """Dollars per 1,000 inputs: every stage that was asked is paid, up to the one that answered."""
    total = 0.0
    for at, answered in enumerate(chosen.tolist()):
        for stage in calibration.stages[: answered + 1]:
            dollars = stage[at].usage.dollars
            if dollars is None:
                return None, "not known: an answer came without its dollars (set [hardware] dollars_per_hour, [prices])"
            total += dollars
    return 1000 * total / len(chosen), f"mean of the calibration examples' {len(chosen)} answers, all stages asked"
