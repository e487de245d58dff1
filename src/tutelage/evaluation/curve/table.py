"""Learning curves in words: a table a candidate, and what it says."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from tutelage.evaluation.costs import Cost
from tutelage.evaluation.curve.curves import Curve, Curves, Size
from tutelage.evaluation.curve.toxicity import LIMITS
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.latency import readable

WIDTH = 118


def curves_text(found: Curves) -> str:
    """All curves as plain text."""
    lines = [f"{found.task}: {found.metric} on {found.n:,} examples of {found.split}, scored against {found.reference}"]
    for one in found.curves:
        labels = " + ".join(f"{count:,} {origin}" for origin, count in one.labels.items())
        lines += ["", f"{one.candidate} ({one.family}, {labels} labels)", *_plain(one, found.metric)]
        lines += _filled(sentences(one, found))
    lines += ["", *_filled(notes(found))] if notes(found) else []
    return "\n".join(lines)


def heads(one: Curve, metric: str) -> list[str]:
    """The columns of the table of a curve."""
    first = one.sizes[0]
    more = ["agreement with the teacher", *(["toxic"] if first.toxic else [])] if first.teacher else []
    more = more or (["toxic"] if first.toxic else [])
    return ["examples", f"{metric} (95 %)", *more, "repeats", "to train", "failed"]


def cells(size: Size) -> list[str]:
    shown = [f"{size.size:,}", figures(size.score)]
    shown += [figures(one) for one in (size.teacher, size.toxic) if one]
    return [*shown, str(size.repeats), readable(size.seconds), f"{size.failed:.3g}"]


def sentences(one: Curve, found: Curves) -> list[str]:
    """What the curve says: its law, twice the examples, what prompts are worth, and the false-promise check."""
    said = [_law(one), _twice(one, found.price, found.teacher)]
    said += [f"{row.candidate} ({row.score.value:.3f}): {row.text()}." for row in one.worth]
    if one.promise:
        if one.imitates:
            said.append(one.promise.text)
        else:
            said.append("The false-promise check is for students of the teacher's labels; most of these are gold.")
    elif one.sizes[0].teacher is None and one.imitates:
        said.append("No false-promise check: it takes gold labels and the teacher's answers on the same examples.")
    if one.sizes[0].toxic:
        said.append(f"toxic: the share of answers that are probably toxic {LIMITS}.")
    said += [f"{row.size:,} examples, repeat {row.repeat + 1}: {row.reason}" for row in one.refused]
    return said + [f"{note}." for note in one.notes]


def notes(found: Curves) -> list[str]:
    return [f"{name} has no curve: {reason}" for name, reason in found.skipped.items()]


def figures(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _law(one: Curve) -> str:
    if one.fit is None:
        return "No curve is fitted: that takes at least three sizes."
    law = one.fit.law
    since = f" from {one.fit.first:,} examples on" if one.fit.first > one.sizes[0].size else ""
    shown = f"{law.a:.3f} - {law.b:.3g} n^-{law.c:.2f}"
    told = f"Fitted{since}: {shown}, {one.fit.distance:.3f} from the points (root mean square)"
    if one.fit.foretold:
        off = one.fit.foretold
        told += f"; from the smaller sizes the largest was foretold {off.value:+.3f} off ({off.low:+.3f} to {off.high:+.3f})"
    return told + "."


def _twice(one: Curve, price: Cost, teacher: str | None) -> str:
    if one.fit is None:
        return "What more examples would buy is not foretold."
    if one.gain is None:
        return f"What more examples would buy is not foretold: {one.fit.refusal}."
    n, gain = one.fit.largest, one.gain
    bought = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
    if price.dollars_per_1000 is None:
        cost = f"what they cost is {price.basis}"
    else:
        each = price.dollars_per_1000 / 1000
        cost = f"${n * each:,.4g} at {teacher}'s ${each:.3g} a label ({price.basis})"
    return f"Twice the examples, {n:,} more, would change the score by {bought}; {cost}."


def _plain(one: Curve, metric: str) -> list[str]:
    table = Table(*heads(one, metric), box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.justify = "right"
    for size in one.sizes:
        table.add_row(*cells(size))
    out = io.StringIO()
    console = Console(
        file=out, width=WIDTH, color_system=None, force_terminal=False, markup=False, emoji=False, highlight=False
    )
    console.print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def _filled(lines: Sequence[str]) -> list[str]:
    return [textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines]
