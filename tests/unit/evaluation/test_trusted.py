"""The report says which confidence to trust: in the terminal, on the page, in JSON."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.reports import make_report, make_row

from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.confidence import Trust
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import evaluate, example_set
from tutelage.evaluation.reporting import make_report as report_on
from tutelage.evaluation.table import WIDTH, terminal_table
from tutelage.evaluation.trusted import TITLE, trust_html
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.project import open_project
from tutelage.types import Example, Label

ROWS = (
    Trust("llm", "agreement", True, 40, 1.0, 0.8, Estimate(0.75, 0.6, 0.875), 0.0625, 0.125),
    Trust("[b]llm</td>", "parts", False, 1200, 0.5, 1.0, None, 0.1, 0.2, "all 1200 right"),
    Trust("x" * 90, "mean_probability", False, 20, 0.5, 0.8, Estimate(0.5, 0.4, 0.6), None, None),
)


def test_the_terminal_has_a_second_table() -> None:
    lines = terminal_table(replace(make_report(make_row()), trust=ROWS)).splitlines()
    lines = lines[lines.index(TITLE) :]
    assert lines[3].split("  ")[0] == "llm" and lines[3].split()[1:] == [
        *("agreement", "*", "0.750", "0.600", "to", "0.875", "0.062", "0.125", "40", "(100%)")
    ]
    assert "all 1200 right" in lines[4] and "1,200 parts" in lines[4] and lines[4].startswith("[b]llm</td>")
    assert max(map(len, lines)) <= WIDTH


def test_the_page_has_it_as_text() -> None:
    section = trust_html(ROWS)
    assert f"<h2>{TITLE}</h2>" in section and "<td>[b]llm&lt;/td&gt;</td>" in section


def test_without_a_confidence_nothing_is_said() -> None:
    assert trust_html([]) == "" and TITLE not in terminal_table(make_report(make_row()))


TASK = """
name = "tone"
output = "label"
labels = ["happy", "sad"]
[candidates.llm]
family = "prompted"
model = "m"
base_url = "{url}"
[candidates.voted]
family = "self-consistency"
of = "llm"
draws = 3
"""


def test_a_report_judges_every_confidence_of_every_candidate(tmp_path: Path) -> None:
    gold = ["happy", "sad", "sad", "sad"]
    with FakeOpenAI(Script(answer="sad")) as server:
        (tmp_path / "task.toml").write_text(TASK.format(url=server.base_url))
        project = open_project(tmp_path)
        examples = [Example(str(at), {"text": f"text {at}"}, "test") for at in range(4)]
        project.store.examples.add(examples)
        project.store.labels.add([Label(e.id, value, "human:ada") for e, value in zip(examples, gold, strict=True)])
        chosen, tests = [candidate(project, name) for name in ("llm", "voted")], example_set(project, "test")
        for one in chosen:
            asyncio.run(evaluate(project, one, tests))
        report, _ = report_on(project, chosen, tests)
    (agreement,) = [row for row in report.json()["confidences"] if row["candidate"] == "voted"]
    assert agreement["signal"] == "agreement" and agreement["used"] and agreement["note"] == "the same for all"
    assert (agreement["n"], agreement["right"], agreement["ece"], agreement["brier"]) == (4, 0.75, 0.25, 0.25)
    assert {row.signal for row in report.trust if row.candidate == "llm"} == {"mean_probability", "min_probability"}
