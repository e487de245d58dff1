"""The report as files: whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from tests.reports import make_report, make_row, stories

from tutelage.errors import StoreError
from tutelage.evaluation.exports import csv_text, write_report
from tutelage.evaluation.results import Answered
from tutelage.types import Prediction


def test_every_kind_of_file_is_written(tmp_path: Path) -> None:
    report, answered = stories(6)
    files = write_report(report, answered, tmp_path / "new" / "reports")
    charts = [f"{name}.{end}" for name in ("cost", "time", "precision-recall") for end in ("svg", "png")]
    assert sorted(files) == sorted(["html", "json", "csv", *charts])
    assert sorted(path.name for path in (tmp_path / "new" / "reports").iterdir()) == sorted(
        p.name for p in files.values()
    )
    assert json.loads(files["json"].read_text(encoding="utf-8")) == report.json()
    assert files["html"].read_text(encoding="utf-8").startswith("<!doctype html>")
    assert files["cost.png"].read_bytes().startswith(b"\x89PNG")
    assert files["cost.svg"].read_text(encoding="utf-8").startswith("<svg")


def test_a_second_report_replaces_the_first_whole(tmp_path: Path) -> None:
    first = write_report(*stories(6), tmp_path)
    link = tmp_path / "kept.json"
    link.hardlink_to(first["json"])
    before = link.read_bytes()
    write_report(make_report(make_row("a")), [], tmp_path)
    # A reader who had the file open still reads the whole old one.
    assert link.read_bytes() == before
    assert json.loads(first["json"].read_text())["task"] == "moods"
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        write_report(make_report(make_row("a")), [], tmp_path / "file" / "reports")
    message = str(caught.value)
    assert "\n" not in message and "--out" in message and str(tmp_path / "file" / "reports") in message


def test_a_file_that_cannot_be_replaced_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(make_report(make_row("a")), [], tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_text_that_is_no_unicode_is_kept_as_jsons_escape(tmp_path: Path) -> None:
    lone = "a\ud83d \\ b"
    answered = [Answered("1", {"text": lone}, lone, {"a": Prediction(lone)}, {"a": 1.0})]
    page = write_report(make_report(make_row("a")), answered, tmp_path)["html"].read_text(encoding="utf-8")
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["examples"][0]["input"] == {"text": lone}


def test_csv_parses_back() -> None:
    report, _ = stories(6)
    lines = list(csv.DictReader(io.StringIO(csv_text(report), newline="")))
    assert [line["name"] for line in lines] == [row.name for row in report.candidates]
    for line, row in zip(lines, report.candidates, strict=True):
        assert float(line["f1"]) == row.scores["f1"].value
        assert float(line["f1_low"]) == row.scores["f1"].low
        assert float(line["p99"]) == row.latency.p99
        assert line["cost_basis"] == row.cost_basis
        assert int(line["input_tokens"]) == row.input_tokens
        assert line["on_pareto_front"] == str(row.on_pareto_front)
        assert (line["dollars_per_1000"] == "") == (row.dollars_per_1000 is None)


def test_csv_keeps_commas_quotes_and_line_ends() -> None:
    name = 'a, "b"\nc'
    [line] = csv.DictReader(io.StringIO(csv_text(make_report(make_row(name))), newline=""))
    assert line["name"] == name
    assert csv_text(make_report()).count("\n") == 1
