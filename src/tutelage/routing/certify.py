"""From calibration examples to a certificate: what `tutelage calibrate` does for a cascade and for a router.

Either is a family of rules, one for each threshold, ordered from the safest: a cascade's thresholds of confidence, calibrated on
dev; a router's bars of chances that it learned on dev. They are tested one after another on the calibration examples
(`routing.testing`), which are neither what a candidate or the router learned from nor what it was chosen on: one that had one of
them is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from tutelage.errors import CertificateError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.metrics import Floats
from tutelage.project import Project
from tutelage.registry import load, versions
from tutelage.routing.answered import Answers, Goal, answered_by, check_unlearned, check_unseen, settled_goal
from tutelage.routing.cascade import Gate
from tutelage.routing.certificate import (
    PROVED,
    UNPROVEN,
    Certificate,
    LossFacts,
    certified_settings,
    learned_facts,
    stage_facts,
)
from tutelage.routing.confidence import Fitted
from tutelage.routing.losses import as_given, limit_of, two_valued
from tutelage.routing.parts import check_parts, parts_of
from tutelage.routing.power import Needed, needed
from tutelage.routing.testing import LEAST, Limit, Proved, Sample, prove
from tutelage.store.database import now

VERSIONS = ("tutelage", "numpy", "scipy", "onnxruntime")
BOUNDS = {True: "exact binomial, randomised", False: "betting"}

RULES = {
    "cascade": "tutelage.routing.stages:cascade_rules",
    "router": "tutelage.routing.router.bars:router_rules",
}
"""Family -> the function that gives the rules of such a candidate, see `Known`."""


class Words(NamedTuple):
    """How the rules are spoken of where nothing is proved: the safest of them, whose own error that is, what takes its place,
    what is to be proved besides, and what to do where no number of examples would or no rule lets another answer."""

    safest: str
    whose: str
    better: str
    bolder: str
    weak: str
    silent: str


@dataclass(frozen=True)
class Known:
    """What there is to make rules of: the candidate's answers on dev and on the calibration examples."""

    project: Project
    name: str
    goal: Goal
    dev: Answers
    calibration: Answers
    gate: tuple[Gate, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Rules:
    """A rule for each threshold of `order`, the safest first. `by` gives who answers each calibration example at one, a number
    in `answerers`, shape (n,); `limits` what is lost by it. The last part answers what is left, and after it a person may.

    `in_turn`: whoever stands before who answers was asked too, and is paid. `fitted` is how parts' confidences were calibrated,
    `learned` the artefact of what the candidate learned itself.
    """

    order: Floats
    by: Callable[[float], NDArray[np.int64]]
    limits: Sequence[Limit]
    answerers: Sequence[str]
    words: Words
    in_turn: bool = True
    fitted: Mapping[str, Fitted] = field(default_factory=dict)
    learned: Path | None = None


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
    """A candidate with its parts' answers, and the rules of which the boldest is to be proved."""

    known: Known
    rules: Rules

    @property
    def goal(self) -> Goal:
        return self.known.goal

    def answered(self, threshold: float) -> float:
        """The share that the parts before the last answer at this threshold."""
        return float((self.rules.by(threshold) < len(self.known.calibration.stages) - 1).mean())


def prepared(project: Project, name: str, goal: Goal, gate: tuple[Gate, Mapping[str, Any]] | None = None) -> Trial:
    """What there is to test of candidate `name`, from its parts' stored answers.

    Raises CertificateError in one line for examples that are too few or were learned from, and for a student without a
    confidence; DataError where answers are missing; TrainingError where a router has not learned.
    """
    one = candidate(project, name)
    check_parts(project, name)
    parts = parts_of(project, name)
    check_unseen(project, parts)
    check_unlearned(project, [name])
    goal = settled_goal(project, goal)
    asked = [candidate(project, part) for part in parts]
    dev, calibration = (answered_by(project, asked, split, goal) for split in ("dev", "calibration"))
    _enough(goal, calibration.n)
    known = Known(project, name, goal, dev, calibration, gate)
    return Trial(known, load(RULES[one.family_name])(known))


def certify(trial: Trial) -> Outcome:
    """Test the rules on the calibration examples."""
    known, rules, goal = trial.known, trial.rules, trial.goal
    sample = Sample(known.calibration.examples.ids, _spread(known.dev, goal))
    proved = prove(rules.limits, rules.order, sample, goal.level)
    outcome = Outcome(None, rules.fitted, proved, _point(rules.order, rules.limits), None, known.calibration.n)
    outcome = replace(outcome, against=str(goal.against))
    if proved.threshold is None or not trial.answered(proved.threshold):
        level = replace(goal, look=goal.look + 1).level if goal.look else goal.level
        more = needed(rules.limits, rules.order, level, trial.answered)
        return replace(outcome, needed=more, problem=_why(trial, proved, more))
    return replace(outcome, certificate=certificate_of(trial, proved.threshold, proved.p_values))


def unproven(trial: Trial) -> Certificate:
    """A certificate that says that nothing was proved: the threshold of the point estimate.

    Raises CertificateError where not even that keeps the limits.
    """
    point = _point(trial.rules.order, trial.rules.limits)
    if point is None:
        raise CertificateError("At no threshold is the mean loss under its limit. Raise --max-loss.")
    return certificate_of(trial, point, None)


def certificate_of(trial: Trial, threshold: float, p_values: Mapping[str, float] | None) -> Certificate:
    """The certificate of a threshold; without p-values an unproven one."""
    known, rules, goal = trial.known, trial.rules, trial.goal
    calibration, chosen, one = known.calibration, rules.by(threshold), candidate(known.project, known.name)
    parts = parts_of(known.project, known.name)
    dollars, basis = _dollars(calibration, chosen, in_turn=rules.in_turn)
    fitted = [rules.fitted.get(part) for part in parts]
    return Certificate(
        task=known.project.task.name,
        candidate=known.name,
        status=UNPROVEN if p_values is None else PROVED,
        threshold=threshold,
        max_loss=next(iter(goal.most.values())),
        confidence=goal.confidence,
        level=goal.level,
        bound=" and ".join(dict.fromkeys(BOUNDS[one.binary] for one in rules.limits))
        + ", fixed sequence of thresholds",
        losses=_losses(trial, threshold, p_values),
        against=str(goal.against),
        reference=calibration.examples.reference,
        n=calibration.n,
        stages=[
            stage_facts(known.project, part, None if fit is None else fit.confidence.json())
            for part, fit in zip(parts, fitted, strict=True)
        ],
        settings=certified_settings(one) or {},
        answered_by={name: float((chosen == at).mean()) for at, name in enumerate(rules.answerers)},
        escalated=escalation(int((chosen >= len(parts) - 1).sum()), calibration.n),
        dollars_per_1000=dollars,
        cost_basis=basis,
        assumes="groups" if goal.by_group else "exchangeable",
        calibration_fingerprint=calibration.examples.fingerprint,
        dev_fingerprint=known.dev.examples.fingerprint,
        curve=_curve(trial),
        gate=None if known.gate is None else known.gate[1],
        tried=list(goal.tried) or [known.name],
        family=one.family_name,
        learned=None if rules.learned is None else learned_facts(rules.learned),
        look=goal.look,
        versions=versions(VERSIONS),
        created=now(),
    )


def _losses(trial: Trial, threshold: float, p_values: Mapping[str, float] | None) -> list[LossFacts]:
    found = []
    for one in trial.rules.limits:
        loss, _, group = one.name.partition("\t")
        count = trial.known.calibration.n if one.members is None else len(one.members)
        p_value = None if p_values is None else p_values[one.name]
        most = next(share for name, share in trial.goal.most.items() if name == loss)
        found.append(LossFacts(loss, most, as_given(loss, _mean(one, threshold)), count, p_value, group))
    return found


def limits_of(known: Known, by: Callable[[float], NDArray[np.int64]]) -> list[Limit]:
    """The losses to be kept under their limits, of all examples or of each group, where at a threshold `by` says who answers."""
    limits: list[Limit] = []
    calibration, goal = known.calibration, known.goal
    for loss, most in goal.most.items():
        table = np.stack([*calibration.losses[loss], np.full(calibration.n, 0.5 if loss == "excess" else 0.0)])

        def of(threshold: float, table: Floats = table) -> Floats:
            return np.asarray(table[by(threshold), np.arange(table.shape[1])])

        binary = two_valued(known.project.task, loss)
        for group, members in groups_of(calibration, goal):
            limits.append(Limit(f"{loss}\t{group}", limit_of(loss, most), of, binary, members))
    return limits


def groups_of(calibration: Answers, goal: Goal) -> list[tuple[str, NDArray[np.int64] | None]]:
    """The groups that each loss is controlled in, with the numbers of their examples; one without a name for all."""
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
    limit, order = trial.rules.limits[0], trial.rules.order
    loss = limit.name.partition("\t")[0]
    points: list[Mapping[str, float]] = []
    for threshold in order[np.unique(np.linspace(0, len(order) - 1, 100).astype(int))].tolist():
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
    order, words = trial.rules.order, trial.rules.words
    safest = float(order[0])
    if proved.threshold is None:
        worst = max(trial.rules.limits, key=lambda one: _mean(one, safest) - one.most)
        name, _, group = worst.name.partition("\t")
        mean, limit = as_given(name, _mean(worst, safest)), as_given(name, worst.most)
        where = f" in group {group!r}" if group else ""
        reason = f"{words.safest} loses {mean:.4g} ({name}{where}), and the limit is {limit:.4g}"
        if mean >= limit:
            return f"The limit lies below {words.whose} own loss: {reason}. Raise --max-loss, or {words.better}."
        remedy = more.sentence if more else "Add calibration examples."
        return f"Not even {words.safest} is proved: {reason}. {remedy}"
    remedy = more.sentence if more else words.weak
    if not trial.answered(float(order[-1])):
        remedy = words.silent
    shown = f"keep {loss} <= {most:g} with confidence {trial.goal.confidence:g}"
    return f"Nothing that {words.bolder} is proved to {shown}. {remedy}"


def escalation(count: int, n: int) -> Estimate:
    """The share with Clopper and Pearson's 95 % interval."""
    low = 0.0 if count == 0 else float(beta.ppf(0.025, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(0.975, count + 1, n - count))
    return Estimate(count / n, low, high)


def _dollars(calibration: Answers, chosen: NDArray[np.int64], *, in_turn: bool) -> tuple[float | None, str]:
    """Dollars per 1,000 inputs: who answered is paid, and with `in_turn` whoever stands before."""
    total = 0.0
    for at, answered in enumerate(chosen.tolist()):
        for part in calibration.stages[0 if in_turn else answered : answered + 1]:
            dollars = part[at].usage.dollars
            if dollars is None:
                return None, "not known: an answer came without its dollars (set [hardware] dollars_per_hour, [prices])"
            total += dollars
    whom = "all stages asked" if in_turn else "of whom the router asks"
    return 1000 * total / len(chosen), f"mean of the calibration examples' {len(chosen)} answers, {whom}"
