"""Human votes on pairs of answers, read from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.evaluation.judge.pairwise import Pair, Winner
from tutelage.labels.readers import BadRow, Row, read_rows
from tutelage.types import digest

LABELS: dict[str, Winner] = {"model_a": "a", "model_b": "b", "tie": "tie"}
UNDECIDED = "no_majority"
"""People were asked and did not agree: nothing to compare a judge with."""


@dataclass(frozen=True)
class Vote:
    """What people said of a pair: the label in force, and each one's own vote where the file has them."""

    pair: Pair
    label: Winner
    votes: tuple[Winner, ...] = ()

    @property
    def agreement(self) -> float | None:
        """The share of pairs of annotators that voted alike; None where fewer than two votes are known."""
        pairs = list(combinations(self.votes, 2))
        return sum(one == other for one, other in pairs) / len(pairs) if pairs else None


@dataclass(frozen=True)
class Votes:
    """The rows that can be used; `undecided` have no majority, `bad` ones cannot be read."""

    votes: tuple[Vote, ...]
    undecided: int
    bad: tuple[BadRow, ...]


def read_votes(path: Path, task: str = "", keep: Callable[[Mapping[str, Any]], bool] = bool) -> Votes:
    """The votes in a file of rows with text, response_a, response_b, label (model_a, model_b, tie, no_majority), [votes].

    `task` is what the answers were asked for, empty where each text says it; `keep` says which rows are wanted.
    Raises DataError when the file cannot be read or no row of it can be used.
    """
    votes: list[Vote] = []
    bad: list[BadRow] = []
    undecided = 0
    for row in read_rows(path):
        if isinstance(row, BadRow):
            bad.append(row)
        elif not keep(row.fields):
            continue
        elif problem := _problem(row):
            bad.append(BadRow(row.line, str(row.fields)[:200], problem))
        elif row.fields["label"] == UNDECIDED:
            undecided += 1
        else:
            votes.append(_vote(row, task))
    if not votes:
        why = f"; line {bad[0].line}: {bad[0].reason}" if bad else ""
        raise DataError(f"{path} has no row with a vote that can be used{why}.")
    return Votes(tuple(votes), undecided, tuple(bad))


def sample(votes: Sequence[Vote], limit: int | None) -> list[Vote]:
    """At most `limit` votes, chosen by a hash of the pair: always the same ones, and a larger limit only adds to them."""
    return sorted(votes, key=lambda vote: digest(vote.pair))[:limit]


def _problem(row: Row) -> str | None:
    for name in ("text", "response_a", "response_b"):
        value = row.fields.get(name)
        if not isinstance(value, str):
            return f"{name} must be text, found {value!r}"
    if not row.fields["text"].strip():
        return "text is empty"
    if row.fields.get("label") not in (*LABELS, UNDECIDED):
        return f"label must be one of {', '.join(LABELS)}, {UNDECIDED}, found {row.fields.get('label')!r}"
    return None


def _vote(row: Row, task: str) -> Vote:
    fields: dict[str, Any] = row.fields
    single = fields.get("votes")
    known = [LABELS[one] for one in single if one in LABELS] if isinstance(single, list) else []
    return Vote(
        Pair(task, fields["text"], fields["response_a"], fields["response_b"]), LABELS[fields["label"]], tuple(known)
    )
