"""tutelage compare: two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from tutelage.cli.evaluate import against_option, split_option
from tutelage.cli.options import emit, json_option, project_options
from tutelage.errors import DataError
from tutelage.evaluation.comparing import Change, Comparison, compare_runs, find_run
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import example_set
from tutelage.project import Project
from tutelage.types import Split

SHOWN = 48
"""Characters of a value that are printed; --json has them whole."""


@click.command("compare")
@click.argument("a", metavar="RUN")
@click.argument("b", metavar="RUN")
@split_option
@against_option
@json_option
@project_options
def command(project: Project, a: str, b: str, split: Split, against: str | None, as_json: bool) -> None:
    """Say what differs between two runs: data, settings, versions, what training found, and scores.

    A RUN is the beginning of its id (tutelage list runs) or a candidate's name, for its newest. Scores are those of the
    answers in the store, on the same examples, with the paired 95 % interval of the difference; nobody is asked anything.

    \b
    Examples:
      tutelage compare small large
      tutelage compare 20261121-0914 small --json
    """
    runs = find_run(project, a), find_run(project, b)
    try:
        examples = example_set(project, split, against)  # type: ignore[arg-type]
    except DataError:
        examples = None
    found = compare_runs(project, *runs, examples, split)
    emit(found, as_json, "\n".join(_lines(found)))


def _lines(found: Comparison) -> list[str]:
    lines = [
        f"{side}: {one['candidate']} {one['id']} ({one['status']})" for side, one in (("A", found.a), ("B", found.b))
    ]
    for title in ("data", "settings", "versions", "results"):
        changes: Sequence[Change] = getattr(found, title)
        lines += [f"{title}:" if changes else f"{title}: the same"]
        lines += [f"  {one.name}: {_short(one.a)} -> {_short(one.b)}" for one in changes]
    if found.unscored:
        return [*lines, f"scores: none, {found.unscored}"]
    lines.append(f"scores on {found.n} examples of {found.split}, against {found.reference}:")
    for metric, score in found.scores.items():
        change = score.difference
        lines.append(
            f"  {metric}: {_interval(score.a)} -> {_interval(score.b)}, "
            f"B - A {change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
        )
    return lines


def _interval(score: Estimate) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def _short(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
