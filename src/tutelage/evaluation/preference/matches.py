"""Matches between two models on one input, and the counts that ratings are computed from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from tutelage.errors import DataError, UnknownName
from tutelage.evaluation.judge.pairwise import Winner
from tutelage.evaluation.metrics import Floats
from tutelage.labels.readers import BadRow

OUTCOMES: tuple[Winner, ...] = ("a", "b", "tie")
"""In the order of the columns of counts and probabilities."""

Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The numbers of the two models of each pair, (pairs,) each."""

_FLIPPED: dict[Winner, Winner] = {"a": "b", "b": "a", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class Match:
    """On `input` (as text) models `a` and `b` were compared."""

    input: str
    a: str
    b: str
    winner: Winner

    @property
    def flipped(self) -> Match:
        """The same match with B named first."""
        return Match(self.input, self.b, self.a, _FLIPPED[self.winner])


@dataclass(frozen=True)
class Matches:
    """Matches of one source, in the order they were played; `source` says in words whose verdicts they are.

    `undecided` comparisons have no verdict, `bad` rows of a file cannot be used; neither is among the matches. `absent` says why
    models were left out.
    """

    source: str
    matches: tuple[Match, ...]
    undecided: int = 0
    bad: tuple[BadRow, ...] = ()
    absent: tuple[str, ...] = ()

    @cached_property
    def models(self) -> list[str]:
        return sorted({name for match in self.matches for name in (match.a, match.b)})

    def among(self, names: Collection[str]) -> Matches:
        """The matches in which both sides are of `names` (all, where there are none). Raises UnknownName."""
        for name in names:
            if name not in self.models:
                raise UnknownName("model of these matches", name, self.models)
        kept = (match for match in self.matches if {match.a, match.b} <= set(names))
        return replace(self, matches=tuple(kept)) if names else self


@dataclass(frozen=True)
class Table:
    """Matches as numbers: of match m models a[m] < b[m], outcome[m] (0 a, 1 b, 2 tie) and input[m], int64, shape (n,).

    The order in which the two were named is gone: a match and its flip are the same row, so nothing that is computed from a
    table can favour a side.
    """

    models: tuple[str, ...]
    inputs: tuple[str, ...]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    outcome: NDArray[np.int64]
    input: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.a)

    @property
    def pairs(self) -> Pairs:
        """The two models of each possible pair, i < j, in a fixed order: shape (pairs,) each."""
        return np.triu_indices(len(self.models), 1)

    @cached_property
    def cells(self) -> csr_array:
        """How often each input gave each pair each outcome: (inputs, pairs x 3), sparse."""
        count = len(self.models)
        number = np.zeros((count, count), np.int64)
        number[self.pairs] = np.arange(len(self.pairs[0]))
        columns = number[self.a, self.b] * 3 + self.outcome
        shape = (len(self.inputs), len(self.pairs[0]) * 3)
        return csr_array((np.ones(len(self)), (self.input, columns)), shape=shape)

    @property
    def counts(self) -> Floats:
        """Matches by pair and outcome, (pairs, 3)."""
        return np.asarray(self.cells.sum(axis=0), np.float64).reshape(-1, 3)

    def take(self, rows: NDArray[np.bool_]) -> Table:
        """Some of the matches; models and inputs keep their numbers."""
        return replace(self, a=self.a[rows], b=self.b[rows], outcome=self.outcome[rows], input=self.input[rows])

    def sample(self, most: int, seed: int = 0) -> Table:
        """The matches on inputs drawn at random, at most `most` of them; all where there are no more."""
        order = np.random.default_rng(seed).permutation(len(self.inputs))
        together = np.bincount(self.input, minlength=len(self.inputs))[order].cumsum()
        kept = np.zeros(len(self.inputs), np.bool_)
        kept[order[together <= most]] = True
        return self.take(kept[self.input])


def tabulate(matches: Sequence[Match], models: Sequence[str] | None = None) -> Table:
    """The matches as a table; `models` default to those that occur, by name."""
    names = sorted({name for match in matches for name in (match.a, match.b)}) if models is None else models
    number = {name: at for at, name in enumerate(names)}
    inputs = {text: at for at, text in enumerate(dict.fromkeys(match.input for match in matches))}
    ordered = [match if number[match.a] < number[match.b] else match.flipped for match in matches]
    columns = (
        np.array(
            [found[at] for found in ((number[m.a], number[m.b], OUTCOMES.index(m.winner)) for m in ordered)], np.int64
        )
        for at in range(3)
    )
    a, b, outcome = columns
    return Table(tuple(names), tuple(inputs), a, b, outcome, np.array([inputs[m.input] for m in ordered], np.int64))


def linked(counts: Floats, pairs: Pairs, models: int) -> list[list[int]]:
    """Groups of models that met, directly or through others, the largest first."""
    return _groups(*pairs, counts.sum(axis=1) > 0, models, "weak")


def bounded(counts: Floats, pairs: Pairs, models: int) -> NDArray[np.bool_]:
    """Whether Davidson's likelihood has a finite maximum, for each of `counts` (n, pairs, 3): shape (n,).

    It has none where strengths d and tie parameter t can grow along a line that no result speaks against. With t at rest
    that needs a group of models that never lost to, nor tied with, the others (Ford 1957). With t growing as well, every win
    must go to a d that is larger by 2 t and every tie be between d within 2 t: possible unless some round of models has more
    wins than ties in it, that is a negative cycle of the difference constraints.
    """
    i, j = pairs
    won, lost, tied = (counts[:, :, at] > 0 for at in range(3))
    reach = np.zeros((len(counts), models, models), np.bool_)
    reach[:, i, j], reach[:, j, i] = lost | tied, won | tied
    reach |= np.eye(models, dtype=np.bool_)
    slack = np.where(np.eye(models, dtype=np.bool_), 0.0, np.full((len(counts), 1, 1), np.inf))
    slack[:, i, j] = np.where(won, -1.0, np.where(tied, 1.0, np.inf))
    slack[:, j, i] = np.where(lost, -1.0, np.where(tied, 1.0, np.inf))
    for at in range(models):
        reach |= reach[:, :, at, None] & reach[:, None, at, :]
        slack = np.minimum(slack, slack[:, :, at, None] + slack[:, None, at, :])
    contradicted = (np.diagonal(slack, axis1=1, axis2=2) < 0).any(axis=1)
    return np.asarray(reach.all(axis=(1, 2)) & (contradicted | ~tied.any(axis=1)))


def unbounded(counts: Floats, pairs: Pairs, models: int) -> list[int]:
    """The models without a finite maximum-likelihood rating, for `counts` (pairs, 3).

    Those outside the largest group in which each can be beaten back; all where even within it nothing contradicts one order.
    """
    if bounded(counts[None], pairs, models)[0]:
        return []
    i, j = pairs
    ends = np.concatenate([i, j]), np.concatenate([j, i])
    beaten = np.concatenate([counts[:, 1] + counts[:, 2], counts[:, 0] + counts[:, 2]]) > 0
    groups = _groups(*ends, beaten, models, "strong")
    return sorted(at for group in groups[1:] for at in group) or list(range(models))


def _groups(
    i: NDArray[np.int64], j: NDArray[np.int64], present: NDArray[np.bool_], models: int, connection: str
) -> list[list[int]]:
    graph = csr_array((np.ones(present.sum()), (i[present], j[present])), shape=(models, models))
    count, member = connected_components(graph, directed=True, connection=connection)
    groups = [np.flatnonzero(member == group).tolist() for group in range(count)]
    return sorted(groups, key=len, reverse=True)


def check_linked(table: Table) -> None:
    """Raises DataError for fewer than two models, and naming the models that nothing compares with the others."""
    if len(table.models) < 2:
        raise DataError("A leaderboard needs matches between at least two models; there are none.")
    groups = linked(table.counts, table.pairs, len(table.models))
    if len(groups) > 1:
        shown = "; ".join(", ".join(table.models[at] for at in group) for group in groups[:5])
        raise DataError(
            f"No match links these groups of models, directly or through others, so nothing compares them: {shown}. "
            "Name the models of one group, or get matches between them."
        )
