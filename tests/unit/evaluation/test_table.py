"""The terminal table holds every figure, in plain text no wider than a terminal of 120 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.reports import make_report, make_row, stories

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.results import Difference
from tutelage.evaluation.table import terminal_table


def cells(table: str, name: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(name))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_every_figure_is_there() -> None:
    row = replace(
        make_row("linear", value=0.875, dollars=0.0123, seconds=0.0042),
        difference=Difference("teacher", Estimate(-0.1, -0.2, 0.05)),
        failures=3,
    )
    table = terminal_table(make_report(row))
    assert cells(table, "linear") == [
        "linear",
        "0.875",
        "0.825 to 0.925",
        "-0.100 (-0.200 to +0.050)",
        "4.2 ms",
        "238",
        "0.0123",
        "3",
        "*",
    ]
    assert table.startswith("moods: 8 examples of test, scored against gold (8 human:ada)")
    assert "accuracy minus that of teacher" in table
    assert "linear (linear; trained on 8 human labels): cost API price per token; time measured here" in table


def test_unknown_is_said() -> None:
    row = replace(make_row("linear", dollars=None, seconds=0.0), on_pareto_front=False)
    table = terminal_table(make_report(row, skipped={"big": "not evaluated on test; run: tutelage evaluate big"}))
    assert cells(table, "linear")[-4:] == ["unknown", "unknown", "unknown", "0"]
    assert "no price for the model under [prices]" in table
    assert "big: not evaluated on test" in table
    assert "difference:" not in table


def test_seconds_above_one_are_seconds() -> None:
    assert "2.5 s" in cells(terminal_table(make_report(make_row("slow", seconds=2.5))), "slow")


def test_names_and_reasons_are_text_not_markup() -> None:
    table = terminal_table(make_report(make_row("[bold]a[/bold] :smile:"), make_row("[/nothing]")))
    assert "[bold]a[/bold] :smile:" in table and "[/nothing]" in table


def test_plain_text_within_120_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("COLUMNS", "300")
    report, _ = stories(12)
    wide = replace(make_row("a-name-" * 12), cost_basis="seconds of a machine " * 12)
    for table in (terminal_table(report), terminal_table(make_report(wide, skipped={"big": "because " * 40}))):
        assert "\x1b" not in table
        assert max(len(line) for line in table.splitlines()) <= 120
        assert all(line == line.rstrip() for line in table.splitlines())
    assert [line.split()[0] for line in terminal_table(report).splitlines()[3:8]] == [r.name for r in report.candidates]


def test_no_candidate() -> None:
    assert "candidate" in terminal_table(make_report())
