"""Preference pairs in files: what each format has on a line, what is left out, and that nothing half-written stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.compared import compared_project
from tests.unit.cli.test_verbs import run

from tutelage.errors import DataError
from tutelage.evaluation.candidates import candidate
from tutelage.project import Project
from tutelage.review.preference_files import STYLES, describe_pairs, write_pairs
from tutelage.store import Answer, Preference


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return compared_project(tmp_path / "project", {"small": ["no", "well"], "large": ["yes", "well yes"]})


def said(project: Project, id: str, who: str, scores: dict[str, float], at: int = 0, **more: Any) -> None:
    """Store a comparison of what these candidates answered to the example number `at` by id."""
    example = sorted(one.id for one in project.store.examples.read("dev"))[at]
    stored = {
        name: project.store.predictions.read(candidate(project, name).fingerprint(project), [example])[example]
        for name in ("small", "large")
    }
    answers = tuple(Answer(name, stored[name].value if name in stored else name) for name in scores)  # type: ignore[arg-type]
    kind: Any = "ranking" if len(scores) > 2 else "pair"
    project.store.preferences.add(
        Preference(
            id=id, example_id=example, annotator=who, kind=kind, answers=answers, scores=tuple(scores.values()), **more
        )
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_stands_on_a_line(project: Project, tmp_path: Path) -> None:
    said(project, "p1", "Ada", {"small": 0.0, "large": 1.0}, note="kinder", created="2026-11-21T10:00:00+00:00")
    question = next(iter(project.store.examples.pick([project.store.preferences.stand()[0].example_id]).values()))
    chosen, rejected = (str(one.value) for one in reversed(project.store.preferences.stand()[0].answers))
    report = write_pairs(project, tmp_path / "out" / "dpo.jsonl", "dpo")
    assert (report.pairs, report.ties, report.annotators) == (1, 0, {"Ada": 1})
    (dpo,) = lines(tmp_path / "out" / "dpo.jsonl")
    assert list(dpo) == ["prompt", "chosen", "rejected"]
    assert [one["role"] for one in dpo["prompt"]] == ["system", "user"]
    assert question.input["text"] in dpo["prompt"][-1]["content"]
    assert [dpo[name][0]["role"] for name in ("chosen", "rejected")] == ["assistant", "assistant"]
    assert chosen in dpo["chosen"][0]["content"] and rejected in dpo["rejected"][0]["content"]
    write_pairs(project, tmp_path / "openai.jsonl", "openai-dpo")
    (openai,) = lines(tmp_path / "openai.jsonl")
    assert openai == {
        "input": {"messages": dpo["prompt"]}, "preferred_output": dpo["chosen"], "non_preferred_output": dpo["rejected"]
    }  # fmt: skip
    write_pairs(project, tmp_path / "plain.jsonl", "preferences", "dev")
    (plain,) = lines(tmp_path / "plain.jsonl")
    assert (plain["chosen"], plain["rejected"]) == (chosen, rejected) and plain["input"] == question.input
    assert (plain["chosen_by"], plain["rejected_by"], plain["chosen_score"]) == ("large", "small", 1.0)
    assert (plain["annotator"], plain["created"], plain["note"]) == ("Ada", "2026-11-21T10:00:00+00:00", "kinder")


def test_ties_are_left_out_rankings_give_each_two_and_contradictions_are_counted(
    project: Project, tmp_path: Path
) -> None:
    said(project, "p1", "Ada", {"small": 0.5, "large": 0.5})
    said(project, "p2", "Bob", {"small": 1.0, "large": 0.0})
    said(project, "p3", "Cid", {"large": 7.0, "small": 2.0, "third": 7.0, "fourth": 1.0})
    said(project, "p4", "Ada", {"small": 1.0, "large": 0.0}, at=1)
    project.store.preferences.add(Preference(id="u", example_id="x", annotator="Ada", kind="undo", undoes="p4"))
    report = write_pairs(project, tmp_path / "pairs.jsonl", "preferences")
    assert (report.pairs, report.ties, report.contradicted, report.examples) == (6, 2, 1, 1)
    assert report.annotators == {"Bob": 1, "Cid": 5}
    assert "1 pairs of answers on which annotators contradict" in describe_pairs(report)
    assert {(one["chosen_by"], one["rejected_by"]) for one in lines(tmp_path / "pairs.jsonl") if one["annotator"] == "Cid"} == {
        ("large", "small"), ("large", "fourth"), ("small", "fourth"), ("third", "small"), ("third", "fourth")
    }  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_nothing_is_overwritten_and_nothing_half_written(project: Project, tmp_path: Path, style: str) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=r"prefers an answer \(0 ties\). Make some with: tutelage prefer A B"):
        write_pairs(project, out, style)
    assert not out.exists()
    said(project, "p1", "Ada", {"small": 1.0, "large": 0.0})
    with pytest.raises(DataError, match="of the split 'train' prefers"):
        write_pairs(project, out, style, "train")
    out.write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        write_pairs(project, out, style)
    write_pairs(project, out, style, force=True)
    assert len(lines(out)) == 1 and list(tmp_path.glob(".*")) == []


def test_tutelage_dataset_writes_them(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(project, "p1", "Ada", {"small": 1.0, "large": 0.0})
    arguments = ("dataset", "--to", "dpo", "--out", tmp_path / "dpo.jsonl", "-C", project.folder)
    assert run(*arguments, "--split", "all", "--json") == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 1 and len(lines(tmp_path / "dpo.jsonl")) == 1
    assert run(*arguments, "--force") == 0
    assert "1 preference pairs on 1 examples, 0 ties left out" in capsys.readouterr().out
    assert run(*arguments, "--whose", "gold") == 2
    assert "holds what people preferred, not labels" in capsys.readouterr().err
    assert run("prefer", "small", "large", "--status", "-C", project.folder) == 0
    assert "small against large: wins 1, ties 0, losses 0; win rate 1.000" in capsys.readouterr().out
