"""tutelage calibrate: from which confidence on a student answers, with a certificate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tutelage.cli.evaluate import evaluate_all
from tutelage.cli.options import emit, json_option, plain, project_options
from tutelage.errors import CertificateError, UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.exports import write_files
from tutelage.project import Project
from tutelage.routing.answered import Goal, reference_set, settled_goal, unlabelled
from tutelage.routing.cascade import CascadeSettings
from tutelage.routing.certificate import Certificate, certificate_path, write_certificate
from tutelage.routing.certify import Outcome, certify, prepared, unproven
from tutelage.routing.gating import fitted_gate
from tutelage.routing.learning import LEARNERS, learned_text, learns
from tutelage.routing.losses import LOSSES, Loss, default_loss
from tutelage.routing.parts import check_parts, everyone
from tutelage.routing.shown import outcome_text
from tutelage.types import Split

SPLITS_USED: tuple[Split, ...] = ("dev", "calibration")


@click.command("calibrate")
@click.argument("names", nargs=-1, metavar="[CASCADE ...]")
@click.option(
    "--max-loss",
    "most",
    multiple=True,
    metavar="SHARE|LOSS=SHARE",
    help=f"What may be lost on average, e.g. 0.03: wrong answers, or of one of {', '.join(LOSSES)}. "
    "Repeat to keep several at once.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), default=0.95, show_default=True)
@click.option(
    "--against",
    type=click.Choice(["gold", "teacher"]),
    help="Whose answers are right (default: gold where calibration has any, else the last stage's).",
)
@click.option("--by-group", is_flag=True, help="Keep the limits in every group of examples, not only on average.")
@click.option(
    "--unproven", "without", is_flag=True, help="Where nothing is proved take the point estimate, and say so."
)
@json_option
@project_options
def command(
    project: Project,
    names: tuple[str, ...],
    most: tuple[str, ...],
    confidence: float,
    against: str | None,
    by_group: bool,
    without: bool,
    as_json: bool,
) -> None:
    """Find the lowest confidence from which a cascade's students may answer, and prove what that loses.

    Confidences are calibrated on dev; thresholds are tested on the calibration split, which no student has seen. With
    probability of at least --confidence the loss over all inputs like those is at most --max-loss. The proof is written to
    certificates/CASCADE.json, which `tutelage verify` checks and the cascade answers under. Where nothing can be proved no
    certificate is written, and it says how many more examples would do.

    Several cascades are tested jointly, so that taking the best of them is covered. Of a router it learns whom to ask, of a vote
    how much its members count, of a verified candidate what its answers are worth: from stored answers to dev.

    \b
    Examples:
      tutelage calibrate --max-loss 0.03
      tutelage calibrate cascade --max-loss wrong=0.03 --max-loss metric=0.02 --confidence 0.99
      tutelage calibrate cascade --max-loss 0.05 --against teacher --by-group
    """
    chosen = _systems(project, names)
    learners = [one for one in chosen if one.family_name in LEARNERS]
    cascades = [one for one in chosen if one.family_name == "cascade"]
    learned = [learned_text(project, one) for one in learners]
    goal = Goal(_most(project, most), confidence, against, by_group, [one.name for one in cascades])  # type: ignore[arg-type]
    outcomes = {one.name: _calibrate(project, one, goal) for one in cascades}
    texts = [*learned]
    for name, (outcome, loose) in outcomes.items():
        made = outcome.certificate or (loose if without else None)
        path = certificate_path(project, name)
        if made:
            write_certificate(path, made)
        texts.append(outcome_text(name, outcome, made, path if made else None))
        if wanted := _wanted(project, name, outcome):
            texts.append(f"  to be labelled, in this order: {wanted}")
    facts = {name: _facts(project, outcome, loose if without else None) for name, (outcome, loose) in outcomes.items()}
    emit({"cascades": facts, "learned": [one.name for one in learners]}, as_json, "\n\n".join(texts))
    for outcome, loose in outcomes.values():
        if outcome.certificate is None and not (without and loose):
            offer = " (--unproven takes a threshold without proof.)" if loose and not without else ""
            raise CertificateError(outcome.problem + offer)


def _systems(project: Project, names: Sequence[str]) -> list[Candidate]:
    """What there is to calibrate, parts before what is made of them."""
    everything = [candidate(project, name) for name in everyone(project, names or list(project.file.candidates))]
    chosen = [one for one in everything if not names or one.name in names]
    kept = [one for one in chosen if one.family_name == "cascade" or learns(one)]
    if names and len(kept) < len(chosen):
        other = next(one for one in chosen if one not in kept)
        raise UsageError(
            f"{other.name!r} is no cascade, and nothing is learned of it here: its family is {other.family_name!r}. Name one "
            f'of the families cascade, {", ".join(LEARNERS)} (a vote with weights = "dev").'
        )
    if not kept:
        raise UsageError(
            'No cascade among the candidates. Add one to task.toml, e.g. [candidates.cascade] with family = "cascade" and '
            'stages = ["STUDENT", "TEACHER"]'
        )
    return kept


def _most(project: Project, given: Sequence[str]) -> dict[Loss, float]:
    found: dict[Loss, float] = {}
    for text in given or ("0.03",):
        name, equals, share = text.rpartition("=")
        loss = name if equals else default_loss(project.task.output)
        try:
            most = float(share)
        except ValueError:
            raise UsageError(f"--max-loss {text!r} is no share. Write e.g.: --max-loss 0.03") from None
        if loss not in LOSSES:
            raise UsageError(f"--max-loss {text!r}: {loss!r} is no loss. Known: {', '.join(LOSSES)}.")
        if not 0 < most < 1:
            raise UsageError(f"--max-loss {text!r}: the share lies between 0 and 1, e.g. 0.03.")
        found[loss] = most
    return found


def _calibrate(project: Project, one: Candidate, goal: Goal) -> tuple[Outcome, Certificate | None]:
    """Ask the stages what they have not answered yet, and test. The certificate without proof is made where it is needed."""
    settings: CascadeSettings = one.settings
    check_parts(project, one.name)
    stages = [candidate(project, stage) for stage in settings.stages]
    goal = settled_goal(project, goal)
    for split in SPLITS_USED:
        problems = evaluate_all(project, stages, reference_set(project, split, goal.against))
        if problems:
            raise CertificateError("; ".join(f"{name}: {problem}" for name, problem in problems.items()))
    trial = prepared(project, one.name, goal, fitted_gate(project, one.name, settings))
    outcome = certify(trial)
    loose = None
    if outcome.certificate is None and outcome.point is not None:
        loose = unproven(trial)
    return outcome, loose


def _wanted(project: Project, name: str, outcome: Outcome) -> Path | None:
    """A file of calibration examples to label where more of them would prove something; None where there are none."""
    if outcome.certificate or not outcome.needed or outcome.against != "gold":
        return None
    rows = unlabelled(project, max(0, outcome.needed.n - outcome.n))
    if not rows:
        return None
    lines = "".join(json.dumps({**one.input, "label": None}, ensure_ascii=False) + "\n" for one in rows)
    path = certificate_path(project, name).with_suffix(".wanted.jsonl")
    return write_files({path.name: lines.encode()}, path.parent)[path.name]


def _facts(project: Project, outcome: Outcome, loose: Certificate | None) -> Mapping[str, Any]:
    made = outcome.certificate or loose
    return {
        "certificate": plain(made.json()) if made else None,
        "calibrated": plain(outcome.fitted),
        "needed": plain(outcome.needed) if outcome.needed else None,
        "point_estimate": outcome.point,
        "problem": outcome.problem,
    }
