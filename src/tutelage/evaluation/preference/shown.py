"""The leaderboard for people: as text, as a section of the HTML page, and as files."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from tutelage.errors import DataError
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.preference.bradley_terry import PRIOR
from tutelage.evaluation.preference.drawing import ranking_charts
from tutelage.evaluation.preference.elo import K
from tutelage.evaluation.preference.held import Held
from tutelage.evaluation.preference.leaderboard import (
    DomainRanking,
    InputRanking,
    Leaderboard,
    Options,
    make_leaderboard,
)
from tutelage.evaluation.preference.ranking import Ranking
from tutelage.evaluation.preference.sources import from_scores
from tutelage.evaluation.results import Section
from tutelage.project import Project
from tutelage.store import Origin
from tutelage.types import Split

WIDTH = 118
GRID = 9
"""Models at most whose grid is printed; the chart and --json have any number."""
COLUMNS = ("places", "model", "rating", "95 % interval", "Elo", "wins", "ties", "losses")


def preference_section(project: Project, split: Split = "test", against: Origin | None = None) -> Section | None:
    """The leaderboard by scores as a part of the report; None for fewer than two evaluated candidates."""
    try:
        found = make_leaderboard(from_scores(project, split, against), Options())
    except DataError:
        return None
    return section(found)


def section(found: Leaderboard) -> Section:
    titles = {"win-probability": "Who wins against whom", "ratings": "Ratings (circles) and Elo (diamonds)"}
    charts = {titles[name]: chart for name, chart in ranking_charts(found.overall).items()}
    notes = [head(found), *notes_of(found), *_domain_lines(found.domains)]
    return Section("Leaderboard", notes, COLUMNS, rows_of(found.overall), charts)


def text(found: Leaderboard) -> str:
    """The leaderboard as lines for the terminal."""
    lines = [*_filled([head(found)], ""), *_table(COLUMNS, rows_of(found.overall), right=(2, 3, 4, 5, 6, 7))]
    if len(found.overall.ratings) <= GRID:
        lines += ["", "chance in % that the row wins against the column", *_grid(found.overall)]
    lines += ["", *_filled(notes_of(found))]
    if found.domains:
        lines += ["", f"domains, by {found.features}", *_filled(_domain_lines(found.domains))]
    if found.input:
        lines += ["", *_input(found.input)]
    return "\n".join(lines)


def head(found: Leaderboard) -> str:
    board = found.overall
    played = f"{board.n} matches ({found.ties} ties) on {board.inputs} inputs between {len(board.ratings)} models"
    return f"{played}, by {found.source}"


def rows_of(found: Ranking) -> list[list[str]]:
    return [
        [
            f"{row.ranks[0]}" if row.ranks[0] == row.ranks[1] else f"{row.ranks[0]} to {row.ranks[1]}",
            row.model,
            f"{row.rating.value:.0f}",
            f"{row.rating.low:.0f} to {row.rating.high:.0f}",
            f"{row.elo:.0f}",
            *(str(count) for count in (row.wins, row.ties, row.losses)),
        ]
        for row in found.ratings
    ]


def notes_of(found: Leaderboard) -> list[str]:
    """Every assumption behind the figures, and what is not in them."""
    board = found.overall
    fixed = f"{board.anchor} has 1000" if board.anchor else "their mean is 1000"
    notes = [
        f"rating: Bradley-Terry with ties by maximum likelihood; 400 points are odds of 10 to 1 of winning against losing, "
        f"{fixed}; intervals by bootstrap over inputs. places: those that the paired intervals leave open.",
        f"Elo: moved by each match in turn (K = {K:g}), so it hangs on their order; no interval.",
    ]
    if board.unbounded:
        everyone = len(board.unbounded) == len(board.ratings)
        alone = "never beaten nor tied by the others, or never better nor tied"
        why = "no result contradicts one order of the models" if everyone else alone
        notes.append(
            f"{', '.join(board.unbounded)}: {why}, so the likelihood has no finite maximum. Every model was given {PRIOR:g} "
            f"wins and {PRIOR:g} losses against one more, average, opponent."
        )
    if found.undecided:
        notes.append(f"left out: {found.undecided} comparisons without a verdict.")
    if found.unusable:
        notes.append(f"left out: {found.unusable} rows that cannot be used.")
    notes += [f"left out: {line}" for line in found.absent]
    return notes + (list(_held(found.held, found.features)) if found.held else [])


def _held(found: Held, features: str) -> Iterator[str]:
    kept = sum(ridge is None for ridge in found.ridges)
    ours, theirs = found.predictor, found.bradley_terry
    apart = found.accuracy
    yield (
        f"predictor of (input, A, B) by {features} on held inputs, cross-validated, n {found.n}: outcome right "
        f"{_of(ours.accuracy)}, Bradley-Terry alone {_of(theirs.accuracy)}, difference {apart.value:+.3f} ({apart.low:+.3f} "
        f"to {apart.high:+.3f}); Brier score {_of(ours.brier)}, alone {_of(theirs.brier)} (0 is perfect)."
    )
    if kept:
        yield (
            f"predictor: in {kept} of {len(found.ridges)} folds the input did not help beyond noise, and Bradley-Terry alone "
            "was taken."
        )


def _of(value: Estimate) -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def _domain_lines(domains: Sequence[DomainRanking]) -> list[str]:
    lines = []
    for domain in domains:
        if domain.ranking is None:
            lines.append(f"{domain.name} ({domain.inputs} inputs): none. {domain.problem}")
            continue
        rows = domain.ranking.ratings
        order = "; ".join(
            f"{one.model} {one.rating.value:.0f} ({one.rating.low:.0f} to {one.rating.high:.0f})" for one in rows
        )
        lines.append(f"{domain.name} ({domain.inputs} inputs, {domain.ranking.n} matches): {order}")
    return lines


def _input(found: InputRanking) -> list[str]:
    shown = found.input if len(found.input) <= 60 else found.input[:57] + "..."
    lines = [f"for the input {shown!r}"]
    if found.ridge is None:
        lines += _filled(["what the input is made no difference beyond noise: these are the overall ratings."])
    return lines + _table(("model", "rating"), [[name, f"{rating:.0f}"] for name, rating in found.ratings], right=(1,))


def _grid(found: Ranking) -> list[str]:
    names = [row.model for row in found.ratings]
    cells = [
        [name, *("" if i == j else f"{100 * cell[0]:.0f}" for j, cell in enumerate(line))]
        for i, (name, line) in enumerate(zip(names, found.grid, strict=True))
    ]
    return _table(("", *names), cells, right=range(1, len(names) + 1))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for at in right:
        table.columns[at].justify = "right"
    for row in rows:
        table.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=WIDTH, color_system=None, markup=False).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def _filled(notes: Sequence[str], mark: str = "- ") -> list[str]:
    return [line for note in notes for line in textwrap.wrap(mark + note, WIDTH, subsequent_indent=" " * len(mark))]
