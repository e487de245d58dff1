"""tutelage judge: let a language model compare or rate stored answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from tutelage.cli.evaluate import split_option
from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import telling
from tutelage.errors import UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.judge.agreement import Check, check
from tutelage.evaluation.judge.comparing import Comparison, Rating, compare, rate, stored_answers
from tutelage.evaluation.judge.judges import judge_named
from tutelage.evaluation.judge.pairwise import Positions
from tutelage.evaluation.judge.votes import Votes, read_votes, sample
from tutelage.evaluation.preference.people import people_votes
from tutelage.project import Project
from tutelage.types import Split

SHOWN = 5
"""Rows that cannot be used and are named one by one."""


@click.command("judge")
@click.argument("names", nargs=-1, metavar="[A [B]]")
@click.option("--by", "judge_name", required=True, metavar="NAME", help="A judge of task.toml, under [judges.NAME].")
@split_option
@click.option("--limit", type=click.IntRange(min=1), help="Judge at most this many examples, chosen by hash.")
@click.option(
    "--check",
    "votes_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Measure the judge's agreement with people's votes on pairs of answers instead.",
)
@click.option(
    "--check-people",
    is_flag=True,
    help="Measure its agreement with what people said on `tutelage prefer` of the split's answers instead.",
)
@json_option
@project_options
def command(
    project: Project,
    names: tuple[str, ...],
    judge_name: str,
    split: Split,
    limit: int | None,
    votes_file: Path | None,
    check_people: bool,
    as_json: bool,
) -> None:
    """Compare the stored answers of two candidates, or rate those of one, by a language model.

    For tasks without a reference; where there are gold labels, `tutelage report` is the surer way. Two candidates need
    a judge of kind "pairwise", one needs a "rubric". Each pair is judged in both orders. Judgements are stored: none is
    paid for twice, and a run that was stopped goes on where it was.

    FILE holds JSON lines with text, response_a, response_b, label (model_a, model_b, tie) and, if known, votes (a list
    of labels).

    \b
    Examples:
      tutelage evaluate small large --unlabelled && tutelage judge small large --by strict
      tutelage judge small --by quality --limit 100
      tutelage judge --check votes.jsonl --by strict
      tutelage judge --check-people --by strict --split dev
    """
    if votes_file or check_people:
        if names:
            raise UsageError(f"--check compares a judge with people, not candidates. Leave out {' '.join(names)}.")
        if votes_file and check_people:
            raise UsageError("--check and --check-people name whose votes count. Choose one.")
        votes = _read(project, votes_file) if votes_file else people_votes(project, split)
        _check(project, judge_name, votes, limit, as_json)
        return
    if len(names) not in (1, 2):
        raise UsageError(f"Name two candidates to compare or one to rate, found {len(names)}.")
    judge = judge_named(project, judge_name, "pairwise" if len(names) == 2 else "rubric")
    chosen = [candidate(project, name) for name in names]
    answers = stored_answers(project, chosen, split, limit)
    if next(project.store.labels.read(split, "gold"), None):
        click.echo(
            f"Note: {split!r} has gold labels; `tutelage report` scores answers against them, which a judge only guesses.",
            err=True,
        )
    if answers.left_out:
        click.echo(
            f"Note: {answers.left_out} examples of {split!r} have no answers to judge and are left out. "
            f"Get them with: tutelage evaluate {' '.join(names)} --split {split} --unlabelled",
            err=True,
        )
    with telling() as told:
        tell = partial(told, f"Judging by {judge.name}")
        if len(chosen) == 2:
            result = asyncio.run(compare(project, (chosen[0], chosen[1]), judge, answers, tell))
            emit(result, as_json, describe_comparison(result))
        else:
            rating = asyncio.run(rate(project, chosen[0], judge, answers, tell))
            emit(rating, as_json, describe_rating(rating))


def _read(project: Project, file: Path) -> Votes:
    votes = read_votes(file, project.task.instructions)
    for row in votes.bad[:SHOWN]:
        click.echo(f"{file}, line {row.line}: {row.reason}. Left out.", err=True)
    if len(votes.bad) > SHOWN:
        click.echo(f"... and {len(votes.bad) - SHOWN} more rows that cannot be used.", err=True)
    return votes


def _check(project: Project, judge_name: str, votes: Votes, limit: int | None, as_json: bool) -> None:
    judge = judge_named(project, judge_name)
    with telling() as tell:
        checking = partial(tell, f"Checking {judge.name}")
        found = asyncio.run(check(project, judge, sample(votes.votes, limit), checking))
    emit({"check": found, "undecided": votes.undecided, "bad": votes.bad}, as_json, describe_check(found, votes))


def describe_comparison(found: Comparison) -> str:
    """The comparison as lines for people; what did not happen is not mentioned."""
    lines = [
        f"{found.a} against {found.b} on {found.n} examples of {found.split}, judged by {found.judge}",
        f"wins {found.wins}, ties {found.ties}, losses {found.losses}{_some(found.failed, 'without a verdict')}",
        f"win rate of {found.a}: {shown(found.win_rate)}, ties count half",
    ]
    if found.equal or found.unanswered:
        lines.append(f"decided without asking: {found.equal} equal answers, {found.unanswered} failed ones")
    return "\n".join([*lines, *describe_positions(found.positions), *_paid(found)])


def describe_rating(found: Rating) -> str:
    lines = [f"{found.candidate} on {found.n} examples of {found.split}, rated by {found.judge}, 0 to 1"]
    width = max(len(name) for name in [*found.criteria, "score"])
    lines += [f"  {name:<{width}}  {shown(score)}" for name, score in found.criteria.items()]
    lines.append(f"  {'score':<{width}}  {shown(found.score)}{_some(found.failed, 'marks missing')}")
    if found.unanswered:
        lines.append(f"{found.unanswered} failed answers count 0")
    return "\n".join([*lines, *_paid(found)])


def describe_check(found: Check, votes: Votes) -> str:
    """Agreement with people as a table, one line a judge."""
    head = f"{found.judge} against people's votes on {found.n} pairs ({found.human_ties} of them ties)"
    left_out = _some(votes.undecided, "without a majority left out") + _some(len(votes.bad), "unusable rows left out")
    columns = f"{'':<18}  {'agreement':<20}  {'ties half':<20}  {'both decided':<27}  kappa"
    lines = [head + left_out, columns]
    for row in found.rows:
        decided = f"{shown(row.decided)}, n {row.n_decided}"
        cells = f"{row.name:<18}  {shown(row.all):<20}  {shown(row.half):<20}  {decided:<27}  {shown(row.kappa)}"
        lines.append(cells + _some(row.failed, "without a verdict"))
    if found.people:
        lines.append(f"two people agree with each other: {shown(found.people)}")
    return "\n".join([*lines, *describe_positions(found.positions), *_paid(found)])


def describe_positions(found: Positions | None) -> Iterator[str]:
    if found:
        yield (
            f"position bias: {shown(found.bias)}: the same position won both times in {found.first + found.second} of "
            f"{found.n} pairs ({found.first} the first, {found.second} the second); same result in both orders: "
            f"{shown(found.consistent)}"
        )


def shown(value: Estimate | None) -> str:
    if value is None:
        return "-"
    text = f"{value.value:.3f}"
    return text if value.low == value.high else f"{text} ({value.low:.2f} to {value.high:.2f})"


def _some(count: int, what: str) -> str:
    return f", {count} {what}" if count else ""


def _paid(found: Comparison | Rating | Check) -> Iterator[str]:
    cost = f"cost {found.cost_basis}" if found.dollars is None else f"${found.dollars:.4f} in all ({found.cost_basis})"
    yield f"{found.asked} questions asked now; {cost}"
    yield from (f"  {count} x {line}" for line, count in found.errors)
