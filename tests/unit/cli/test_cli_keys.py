"""`tutelage keys` as a user calls it: create, list, rotate, revoke, usage, team, and bad calls."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.gateway.keys.budgets import NANO
from tutelage.store import Limits, Trace, now, open_store
from tutelage.store.keys import hashed
from tutelage.types import Usage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.toml").write_text("tasks = []\n")
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run("keys", *arguments, "--json") == 0
    found = last_json(capsys)
    assert isinstance(found, dict)
    return found


def test_a_key_is_made_shown_rotated_and_revoked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = (
        "--team",
        "t",
        "--models",
        "gpt",
        "--models",
        "characters/*",
        "--budget-day",
        "0.5",
        "--budget-month",
        "20",
    )
    limits = ("--requests-per-minute", "60", "--tokens-per-minute", "10000", "--expires", "30d")
    made = answer(capsys, "create", "ci", *flags, *limits, "-C", folder)
    store = open_store(folder / "tutelage.db")
    key = store.keys.by_hash()[hashed(made["secret"])]
    assert made["secret"].startswith("sk-tutelage-") and made["id"] == key.id
    assert (key.name, key.team, key.scopes) == ("ci", "t", ("gpt", "characters/*"))
    assert key.limits == Limits(
        requests_per_minute=60, tokens_per_minute=10000, budget_day=NANO // 2, budget_month=20 * NANO
    )
    left = datetime.fromisoformat(key.expires or "") - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)

    assert run("keys", "list", "-C", folder) == 0
    out = capsys.readouterr().out
    assert made["secret"] not in out and "ci  team t  gpt, characters/*  60 requests/min" in out
    assert "$0.50/day, $20.00/month" in out and "team t  no budget" in out

    rotated = answer(capsys, "rotate", "ci", "--grace", "24h", "-C", folder)
    assert rotated["id"] == made["id"] and rotated["secret"] != made["secret"]
    assert set(store.keys.by_hash()) == {hashed(made["secret"]), hashed(rotated["secret"])}
    assert run("keys", "rotate", made["id"], "-C", folder) == 0
    assert "refused within 5 seconds" in capsys.readouterr().out

    assert answer(capsys, "revoke", "ci", "-C", folder)["revoked"]
    assert answer(capsys, "list", "-C", folder)["keys"][0]["revoked"]
    assert run("keys", "create", "ci", "--expires", "2020-01-01", "-C", folder) == 0
    capsys.readouterr()
    assert run("keys", "list", "-C", folder) == 0
    out = capsys.readouterr().out
    assert "revoked 20" in out and "expired 2020-01-01" in out
    store.close()


def test_usage_adds_up_what_was_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "usage", "-C", folder) == 0
    assert capsys.readouterr().out == "Nothing was asked.\n"
    made = answer(capsys, "create", "ci", "--budget-day", "2", "-C", folder)
    store = open_store(folder / "tutelage.db")
    today = now()
    account = f"key:{made['id']}:{today[:10]}"

    def trace(n: int, model: str, created: str, **more: Any) -> Trace:
        return Trace(id=f"{n:032x}", created=created, model=model, usage=Usage(100, 10), **more)

    store.traces.add(
        [
            trace(1, "gpt", "2026-01-01T00:00:00+00:00", key=made["id"], nanodollars=NANO // 4),
            trace(2, "gpt", today, key=made["id"], nanodollars=NANO // 2, accounts=(account,)),
            trace(3, "tagger", today, key=made["id"], nanodollars=0, task="characters"),
            trace(4, "gpt", today, status=502),
        ]
    )
    found = answer(capsys, "usage", "-C", folder)
    assert [(one["name"], one["requests"], one["dollars"]) for one in found["usage"]] == [
        ("ci", 3, 0.75),
        (None, 1, 0.0),
    ]
    (budget,) = found["budgets"]
    assert (budget["dollars"], budget["spent"], budget["set_aside"]) == (2.0, 0.5, 0.0)
    by_model = answer(capsys, "usage", "ci", "--by", "model", "--since", "2026-02-01", "-C", folder)["usage"]
    assert [(one["name"], one["dollars"]) for one in by_model] == [("gpt", 0.5), ("tagger", 0.0)]
    assert run("keys", "usage", "--by", "task", "-C", folder) == 0
    out = capsys.readouterr().out
    assert "(no task)  $0.7500  3 requests, 300 tokens read, 30 written, 1 failed" in out
    assert "budget of $2.0000 a day of the key 'ci': $0.5000 spent" in out
    store.close()


def test_a_team_is_given_budgets_and_loses_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = answer(capsys, "team", "research", "--budget-month", "200", "--budget-day", "9.99", "-C", folder)
    assert (made["budget_day"], made["budget_month"]) == (9.99, 200.0)
    changed = answer(capsys, "team", "research", "--budget-day", "none", "-C", folder)
    assert (changed["budget_day"], changed["budget_month"]) == (None, 200.0)
    assert answer(capsys, "team", "research", "-C", folder) == changed
    assert run("keys", "team", "resarch", "-C", folder) == 2
    assert "Did you mean 'research'?" in capsys.readouterr().err


def test_bad_calls_are_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "create", "ci", "-C", folder) == 0
    bad = {
        ("create", "ci"): "a key 'ci' already",
        ("create", ""): "1 to 80 characters",
        ("create", "x", "--budget-day", "-1"): "no amount of dollars",
        ("create", "x", "--budget-day", "nan"): "no amount of dollars",
        ("create", "x", "--expires", "soon"): "no time",
        ("create", "x", "--tokens-per-minute", "0"): "not in the range",
        ("revoke", "nobody"): "is not a known key",
        ("usage", "nobody"): "is not a known key",
    }
    capsys.readouterr()
    for arguments, said in bad.items():
        assert run("keys", *arguments, "-C", folder) == 2
        assert said in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("keys", "list", "-C", empty) == 2
    assert "no gateway.toml and no task.toml" in capsys.readouterr().err
    assert list(empty.iterdir()) == []


def test_keys_are_where_the_gateway_looks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "one.toml").write_text('tasks = ["task"]\n')
    (tmp_path / "two.toml").write_text(f"database = {json.dumps(str(tmp_path / 'own.db'))}\n")
    for number, (flags, place) in enumerate(
        [
            (("--settings", tmp_path / "one.toml"), "task/tutelage.db"),
            (("--settings", tmp_path / "two.toml"), "own.db"),
            (("--settings", tmp_path / "two.toml", "--database", tmp_path / "other.db"), "other.db"),
        ]
    ):
        answer(capsys, "create", f"key {number}", *flags)
        store = open_store(tmp_path / place)
        assert [key.name for key in store.keys.list()] == [f"key {number}"]
        store.close()
