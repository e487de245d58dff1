"""tutelage calibrate: from which confidence on a student answers, or whom a router asks, with a certificate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tutelage.cli.evaluate import evaluate_all
from tutelage.cli.options import emit, json_option, plain, project_options
from tutelage.errors import CertificateError, TutelageError, UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.exports import write_files
from tutelage.project import Project
from tutelage.routing.answered import Goal, reference_set, settled_goal, unlabelled
from tutelage.routing.cascade import CascadeSettings
from tutelage.routing.certificate import Certificate, certificate_path, certified_settings, write_certificate
from tutelage.routing.certify import Outcome, certify, prepared, unproven
from tutelage.routing.gating import fitted_gate
from tutelage.routing.learning import LEARNERS, learned_text, learns
from tutelage.routing.looks import keep_look, look_of
from tutelage.routing.losses import LOSSES, Loss, default_loss
from tutelage.routing.parts import check_parts, everyone, parts_of
from tutelage.routing.shown import outcome_text
from tutelage.types import Split

SPLITS_USED: tuple[Split, ...] = ("dev", "calibration")


@click.command("calibrate")
@click.argument("names", nargs=-1, metavar="[NAME ...]")
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

    Of a router it learns whom to ask, of a vote how much its members count, of a verified candidate what its answers are worth:
    from stored answers to dev. A router with strategy = "certified" then has its bar proved as a cascade its threshold. All that
    are proved in one call are tested jointly, so that taking the best of them is covered. Where one fails the others go on.

    \b
    Examples:
      tutelage calibrate --max-loss 0.03
      tutelage calibrate cascade --max-loss wrong=0.03 --max-loss metric=0.02 --confidence 0.99
      tutelage calibrate router --max-loss 0.05 --against teacher --by-group
    """
    chosen = _systems(project, names)
    certified = [one for one in chosen if certified_settings(one) is not None]
    goal = Goal(_most(project, most), confidence, against, by_group, [one.name for one in certified])  # type: ignore[arg-type]
    failed: dict[str, TutelageError] = {}
    learned, texts = _learn(project, [one for one in chosen if one.family_name in LEARNERS], failed)
    facts: dict[str, Mapping[str, Any]] = {}
    for one in certified:
        if one.name in failed:
            continue
        try:
            outcome, loose = _calibrate(project, one, goal)
        except TutelageError as error:
            failed[one.name] = error
            continue
        made = outcome.certificate or (loose if without else None)
        texts.append(_written(project, one.name, outcome, made))
        facts[one.name] = _facts(project, outcome, made)
        if made is None:
            offer = " (--unproven takes a threshold without proof.)" if loose else ""
            failed[one.name] = CertificateError(outcome.problem + offer)
    facts |= {name: {"certificate": None, "problem": str(error)} for name, error in failed.items() if name not in facts}
    texts += [f"{name}: {error}" for name, error in failed.items()]
    emit({"certified": facts, "learned": learned}, as_json, "\n\n".join(texts))
    if len(failed) > 1:
        told = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise CertificateError(f"{len(failed)} of {len(chosen)} failed. {told}")
    for alone in failed.values():
        raise alone


def _learn(
    project: Project, learners: Sequence[Candidate], failed: dict[str, TutelageError]
) -> tuple[list[str], list[str]]:
    """Who learned, and what is said of it; who could not stands in `failed`."""
    learned, texts = [], []
    for one in learners:
        try:
            texts.append(learned_text(project, one))
            learned.append(one.name)
        except TutelageError as error:
            failed[one.name] = error
    return learned, texts


def _written(project: Project, name: str, outcome: Outcome, made: Certificate | None) -> str:
    """Write the certificate where there is one, and what is still to be labelled; what is said of it."""
    path = certificate_path(project, name)
    if made:
        write_certificate(path, made)
    wanted = _wanted(project, name, outcome)
    said = outcome_text(name, outcome, made, path if made else None)
    return f"{said}\n\n  to be labelled, in this order: {wanted}" if wanted else said


def _systems(project: Project, names: Sequence[str]) -> list[Candidate]:
    """What there is to calibrate, parts before what is made of them."""
    everything = [candidate(project, name) for name in everyone(project, names or list(project.file.candidates))]
    chosen = [one for one in everything if not names or one.name in names]
    kept = [one for one in chosen if certified_settings(one) is not None or learns(one)]
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
    """Ask the parts what they have not answered yet, and test. The certificate without proof is made where it is needed."""
    check_parts(project, one.name)
    parts = [candidate(project, part) for part in parts_of(project, one.name)]
    goal = settled_goal(project, goal)
    for split in SPLITS_USED:
        problems = evaluate_all(project, parts, reference_set(project, split, goal.against))
        if problems:
            raise CertificateError("; ".join(f"{name}: {problem}" for name, problem in problems.items()))
    number, look = look_of(project, one.name, goal)
    gate = fitted_gate(project, one.name, one.settings) if isinstance(one.settings, CascadeSettings) else None
    trial = prepared(project, one.name, replace(goal, look=number), gate)
    keep_look(project, one.name, look)
    outcome = certify(trial)
    loose = unproven(trial) if outcome.certificate is None and outcome.point is not None else None
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


def _facts(project: Project, outcome: Outcome, made: Certificate | None) -> Mapping[str, Any]:
    return {
        "certificate": plain(made.json()) if made else None,
        "calibrated": plain(outcome.fitted),
        "needed": plain(outcome.needed) if outcome.needed else None,
        "point_estimate": outcome.point,
        "problem": outcome.problem,
    }
