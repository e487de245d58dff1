"""The figures of each field stand in the terminal, in the page, in JSON and in CSV; other kinds have no such section."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

from tests.reports import make_report, make_row

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.exports import write_report
from tutelage.evaluation.fields import FieldScore
from tutelage.evaluation.fieldtable import field_csv
from tutelage.evaluation.results import Report
from tutelage.evaluation.table import terminal_table

FIELDS = {
    "vendor": FieldScore(600, Estimate(0.96, 0.942, 0.973), Estimate(0.966, 0.949, 0.978)),
    "<due>": FieldScore(509, Estimate(1.0, 0.994, 1.0), Estimate(0.5, 0.4, 0.6)),
}


def records() -> Report:
    return make_report(*(replace(make_row(name), fields=FIELDS) for name in ("teacher", "student")))


def test_the_terminal_lists_the_candidates_of_a_field_together() -> None:
    section = terminal_table(records()).partition("Field by field\n")[2].splitlines()
    assert " ".join(section[0].split()) == "field candidate in gold exact 95 % interval token F1 95 % interval"
    figures = "0.960 0.942 to 0.973 0.966 0.949 to 0.978"
    assert [" ".join(line.split()) for line in section[2:6]] == [
        f"vendor teacher 600 {figures}",
        f"student 600 {figures}",
        "<due> teacher 509 1.000 0.994 to 1.000 0.500 0.400 to 0.600",
        "student 509 1.000 0.994 to 1.000 0.500 0.400 to 0.600",
    ]
    assert "Field by field" not in terminal_table(make_report(make_row("a")))


def test_files_hold_the_fields(tmp_path: Path) -> None:
    files = write_report(records(), [], tmp_path / "records")
    page = files["html"].read_text(encoding="utf-8")
    assert "<h2>Field by field</h2>" in page and page.count("<td>&lt;due&gt;</td>") == 2
    found = json.loads(files["json"].read_text(encoding="utf-8"))["candidates"][0]["fields"]["vendor"]
    assert (found["n"], found["exact"]["value"], found["token_f1"]["low"]) == (600, 0.96, 0.949)
    lines = list(csv.DictReader(io.StringIO(files["fields.csv"].read_text(encoding="utf-8"))))
    assert [(line["field"], line["candidate"]) for line in lines] == [
        ("vendor", "teacher"),
        ("vendor", "student"),
        ("<due>", "teacher"),
        ("<due>", "student"),
    ]
    assert [lines[2][name] for name in ("n", "exact", "exact_low", "token_f1_high")] == ["509", "1.0", "0.994", "0.6"]
    others = write_report(make_report(make_row("a")), [], tmp_path / "labels")
    assert "fields.csv" not in others and "Field by field" not in others["html"].read_text(encoding="utf-8")
    assert field_csv([]).count("\n") == 1
