"""Adding labels that are records or sets of labels: from one column, and from a column for each field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.entry import main
from tutelage.errors import UsageError
from tutelage.labels.adding import AddOptions, AddReport, add_file
from tutelage.project import Project, open_project

RECORD = """
name = "invoices"
output = "record"
[schema]
required = ["vendor"]
[schema.properties]
vendor = {type = "string"}
day = {type = "string", format = "date"}
total = {type = "number"}
orders = {type = "array", items = {type = "string"}}
"""
LABELS = 'name = "topics"\noutput = "labels"\nlabels = ["billing", "delivery", "other"]\n'
COLUMNS = {"vendor": "Vendor", "day": "Day", "total": "Amount", "orders": "Orders"}


def project(folder: Path, text: str) -> Project:
    (folder / "task.toml").write_text(text, encoding="utf-8")
    return open_project(folder)


def jsonl(folder: Path, *labels: Any) -> Path:
    path = folder / "data.jsonl"
    facts = [{"text": f"text {at}", "gold": label} for at, label in enumerate(labels)]
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts), encoding="utf-8")
    return path


def table(folder: Path, *lines: str) -> Path:
    path = folder / "data.csv"
    path.write_text("\n".join(["text,Vendor,Day,Amount,Orders", *lines, ""]), encoding="utf-8")
    return path


def values(one: Project) -> list[object]:
    return [label.value for label in one.store.labels.read("train")]


def reasons(report: AddReport) -> list[str]:
    assert report.rejects_file
    return [json.loads(line)["reason"] for line in Path(report.rejects_file).read_text(encoding="utf-8").splitlines()]


def record(**given: object) -> dict[str, object]:
    return dict.fromkeys(COLUMNS) | given


def test_records_in_one_column(tmp_path: Path) -> None:
    one = project(tmp_path, RECORD)
    path = jsonl(
        tmp_path,
        {"vendor": "Acme", "total": 3.0, "day": "17 May 2026"},
        '{"vendor": "Bo", "orders": ["A-1"], "unknown": 1}',
        None,
        "",
        {"total": 3},
        {"vendor": "Acme", "total": "a lot"},
        {"vendor": "Acme", "day": "03/04/2026"},
        {"vndor": "Acme"},
        "Acme",
        ["Acme"],
        7,
    )
    report = add_file(one, path, AddOptions(label="gold", split="train"))
    assert values(one) == [record(vendor="Acme", total=3, day="2026-05-17"), record(vendor="Bo", orders=["A-1"])]
    assert (report.added, report.labelled, report.rejected) == (4, 2, 7)
    assert [reason.split(". Expected")[0] for reason in reasons(report)] == [
        "the label does not fit: vendor is missing",
        "the label does not fit: total: 'a lot' is not a number",
        "the label does not fit: day: '03/04/2026' can be read in two ways; write YYYY-MM-DD",
        "{'vndor': 'Acme'} has none of the fields",
        "the label 'Acme' is not a JSON object",
        "['Acme'] is not a JSON object",
        "7 is not a JSON object",
    ]


def test_records_with_a_column_for_each_field(tmp_path: Path) -> None:
    one = project(tmp_path, RECORD)
    path = table(
        tmp_path,
        'a,Acme,17.05.2026,"PLN 1,651.15",A-1;B-2',
        "b,Bo,,,",
        "c,,,,",
        'd,Cy,,,"[""A;1""]"',
        "e,,2026-05-17,,",
    )
    report = add_file(one, path, AddOptions(label=COLUMNS, split="train"))
    assert values(one) == [
        record(vendor="Acme", day="2026-05-17", total=1651.15, orders=["A-1", "B-2"]),
        record(vendor="Bo"),
        record(vendor="Cy", orders=["A;1"]),
    ]
    assert (report.added, report.labelled) == (4, 3)
    assert reasons(report) == ["the label does not fit: vendor is missing"]


def test_fields_and_columns_that_do_not_exist(tmp_path: Path) -> None:
    one = project(tmp_path, RECORD)
    with pytest.raises(
        UsageError, match=r"'vndor' is not a field of the answers .* Its fields: vendor, day, total, orders"
    ):
        add_file(one, table(tmp_path, "a,b,,,"), AddOptions(label={"vndor": "Vendor"}))
    with pytest.raises(UsageError, match=r"has no column 'Seller'\. Columns: text, Vendor"):
        add_file(one, table(tmp_path, "a,b,,,"), AddOptions(label={"vendor": "Seller"}))
    (tmp_path / "other").mkdir()
    other = project(tmp_path / "other", LABELS)
    with pytest.raises(UsageError, match=r"'billing' is not a field .* Its output is 'labels': name one column"):
        add_file(other, table(tmp_path, "a,b,,,"), AddOptions(label={"billing": "Vendor"}))


def test_columns_are_named_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = project(tmp_path, RECORD)
    path = table(tmp_path, "a,Acme,,12,")
    flags = ["--label", "vendor=Vendor", "--label", "total=Amount", "--split", "train"]
    for arguments, code in ((flags, 0), ([*flags, "--label", "Day"], 2)):
        with pytest.raises(SystemExit) as ended:
            main(["add", str(path), "-C", str(tmp_path), *arguments])
        assert ended.value.code == code
    assert values(one) == [record(vendor="Acme", total=12)]
    assert "'Day' does not map a field. Write: --label NAME=COLUMN" in capsys.readouterr().err


def test_task_toml_maps_the_columns_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candidate = '[candidates.none]\nfamily = "replay"\nfile = "none.jsonl"\n'
    one = project(
        tmp_path, RECORD + candidate + '[[data]]\nfile = "data.csv"\nsplit = "train"\nlabel = {vendor = "Vendor"}\n'
    )
    table(tmp_path, "a,Acme,,12,")
    with pytest.raises(SystemExit):
        main(["run", "-C", str(tmp_path)])
    assert values(one) == [record(vendor="Acme")]


def test_sets_of_labels(tmp_path: Path) -> None:
    one = project(tmp_path, LABELS)
    path = jsonl(tmp_path, ["other", "BILLING"], "delivery; billing", "[]", [], None, ["weather"], ["other", "sports"])
    report = add_file(one, path, AddOptions(label="gold", split="train"))
    assert values(one) == [["billing", "other"], ["billing", "delivery"], [], []]
    first, second = reasons(report)
    assert first.startswith("'weather' is not a label of task 'topics'")
    assert second == 'the label does not fit: no label: ["sports"]'
