"""Votes from a file: what is read, what is left out by line, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.errors import DataError, UnknownName
from tutelage.evaluation.preference.matches import Match
from tutelage.evaluation.preference.sources import from_file


def write(folder: Path, *rows: object) -> Path:
    path = folder / "votes.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def vote(winner: object = "a", **more: object) -> dict[str, object]:
    return {"input": "hello", "model_a": "x", "model_b": "y", "winner": winner, **more}


def test_both_ways_of_naming_and_a_csv(tmp_path: Path) -> None:
    path = write(tmp_path, vote(), vote("tie"), {"text": "t", "model_a": "y", "model_b": "x", "label": "Model_B"})
    assert from_file(path).matches == (
        Match("hello", "x", "y", "a"), Match("hello", "x", "y", "tie"), Match("t", "y", "x", "b")
    )  # fmt: skip
    table = tmp_path / "votes.csv"
    table.write_text("input,model_a,model_b,winner\nhello,x,y,b\n")
    assert from_file(table).matches == (Match("hello", "x", "y", "b"),)


def test_bad_rows_are_kept_apart_by_line(tmp_path: Path) -> None:
    broken = [vote("c"), vote(None), vote(model_b="x"), vote(model_a=3), vote(input=" ")]
    path = write(tmp_path, vote(), "{broken", *broken, vote("no_majority"))
    found = from_file(path)
    assert len(found.matches) == 1 and found.undecided == 1
    assert [row.line for row in found.bad] == [2, 3, 4, 5, 6, 7]
    reasons = [row.reason for row in found.bad]
    assert "not JSON" in reasons[0] and "winner must be a, b or tie, found 'c'" in reasons[1]
    assert (
        "are both 'x'" in reasons[3]
        and "model_a must be text, found 3" in reasons[4]
        and "input must be text" in reasons[5]
    )


def test_sources_are_never_mixed(tmp_path: Path) -> None:
    path = write(tmp_path, vote(source="people"), vote("b", source="gpt"), vote("tie", source="people"))
    with pytest.raises(DataError, match=r"mixes the votes of 'people', 'gpt'.*--source"):
        from_file(path)
    assert [match.winner for match in from_file(path, "people").matches] == ["a", "tie"]
    with pytest.raises(DataError, match=r"no match that can be used of 'me'. It has: 'people', 'gpt'"):
        from_file(path, "me")


def test_a_file_without_a_match_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no match that can be used; line 1: winner must be"):
        from_file(write(tmp_path, vote("c")))
    with pytest.raises(DataError, match="There is no file"):
        from_file(tmp_path / "absent.jsonl")


def test_some_models_only(tmp_path: Path) -> None:
    found = from_file(write(tmp_path, vote(), vote(model_b="z")))
    assert found.models == ["x", "y", "z"] and found.among(()) is found
    assert len(found.among(["x", "y"]).matches) == 1
    with pytest.raises(UnknownName, match="'q' is not a known model of these matches"):
        found.among(["q"])
