"""The label model: what the right label probably is, from the votes of labelling functions, without a single gold label.

Functions that agree more often than chance would have them are right more often; so their accuracies can be estimated from
their agreements alone (Dawid & Skene 1979; Ratner et al. 2016, "Data Programming"; Ratner et al. 2019). Here by expectation
maximisation, which starts from the majority vote. Two models of a function, given the right label:

`one-coin`     it speaks with one probability where the right label is among those it can give, with another where it is not;
               where it speaks and could be right, it is right with one probability. Three numbers a function.
`confusion`    it gives each label, or none, with a probability of its own for every right label, drawn towards what
               `one-coin` says by STRENGTH examples. So a function can be trusted for one label and not for another.

Both assume that functions are independent given the right label. Those that are not, such as two lists with the same words,
are counted twice: make one of them. That a function keeps silent says something too, as much as it usually speaks of that label.
`majority` is the plain vote, for comparison: of a tie each label is as probable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["confusion", "one-coin", "majority"]
Event: TypeAlias = tuple[int, int]
"""A function by its number, and the class that it votes for."""

ROUNDS, ENOUGH = 200, 1e-6
"""Most rounds of expectation maximisation, and the change of the mean log likelihood at which they end."""

STRENGTH = 10.0
"""Examples that speak for what is believed of a function before any was seen."""

SPEAKS, STRAYS, RIGHT = 0.3, 0.05, 0.8
"""How often a function is believed to speak of its labels, to speak where another is right, and to be right where it speaks
and can be, before anything was seen."""

LEAST = 1e-4


class Votes(NamedTuple):
    """`rows` (inputs, events): 1 where the event happened; `support`: of each function the classes that it can vote for."""

    events: list[Event]
    rows: csr_matrix
    support: list[list[int]]


@dataclass(frozen=True)
class LabelModel:
    """`says` (events, classes) is what an event adds to the log probability of each class, `silent` (classes,) what is known
    where no function speaks."""

    events: list[Event]
    says: Floats
    silent: Floats
    counted: bool = False
    """Votes are counted alike, and nothing is learnt."""
    rounds: int = 0

    def posterior(self, rows: csr_matrix) -> Floats:
        """(inputs, classes), each row summing to 1."""
        scores = np.asarray(rows @ self.says) + self.silent
        if not self.counted:
            return softmax(scores)
        total = scores.sum(axis=1, keepdims=True)
        result: Floats = np.where(total > 0, scores / np.maximum(total, LEAST), 1 / scores.shape[1])
        return result


def votes_of(given: Sequence[Mapping[int, int]], support: Sequence[Sequence[int]]) -> Votes:
    """The votes of each input, by function; those outside a function's `support` are left out."""
    events = [(function, label) for function, labels in enumerate(support) for label in labels]
    return Votes(events, rows_of(given, events), [list(labels) for labels in support])


def rows_of(given: Sequence[Mapping[int, int]], events: Sequence[Event]) -> csr_matrix:
    """(inputs, events), 1 where the event happened."""
    place = {event: at for at, event in enumerate(events)}
    found = [sorted(place[vote] for vote in one.items() if vote in place) for one in given]
    starts = np.cumsum([0, *(len(one) for one in found)])
    columns = np.array([at for one in found for at in one], np.int64)
    return csr_matrix((np.ones(len(columns)), columns, starts), shape=(len(given), len(events)))


def fit(votes: Votes, classes: int, kind: Kind, start: Floats | None = None) -> LabelModel:
    """The model of these votes, from the posterior `start` (inputs, classes): by default from the majority, where inputs of which
    no function speaks are left out."""
    heard = votes.rows if start is not None else votes.rows[np.diff(votes.rows.indptr) > 0]
    nothing = np.zeros(classes)
    if start is not None:
        nothing[0] = LEAST  # of several labels one that nobody speaks of does not apply
    majority = LabelModel(votes.events, _one_each(votes.events, classes), nothing, True)
    if kind == "majority" or not heard.shape[0]:
        return majority
    model, rounds = _maximised(votes, heard, shared(heard, majority) if start is None else start, None)
    if kind == "confusion":
        table, _ = _tied(votes, heard, model.posterior(heard))
        model, more = _maximised(votes, heard, model.posterior(heard), table)
        rounds += more
    return replace(model, rounds=rounds)


def shared(rows: csr_matrix, majority: LabelModel) -> Floats:
    """(inputs, classes): the share of the votes that each class has among those with the most; even where nobody votes."""
    counts = np.asarray(rows @ majority.says)
    most = counts >= counts.max(axis=1, keepdims=True)
    result: Floats = most / most.sum(axis=1, keepdims=True)
    return result


def _maximised(votes: Votes, rows: csr_matrix, start: Floats, prior: Floats | None) -> tuple[LabelModel, int]:
    """Expectation maximisation from the posterior `start`; with `prior` (events, classes) a table for every function."""
    posterior, before, model, done = start, -np.inf, None, 0
    while done < ROUNDS:
        done += 1
        table = _tied(votes, rows, posterior)[0] if prior is None else _own(rows, posterior, prior)
        model = _model(votes, table, _balance(posterior))
        scores = np.asarray(rows @ model.says) + model.silent
        top = scores.max(axis=1, keepdims=True)
        likelihood = float((top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))).mean())
        posterior = softmax(scores)
        if abs(likelihood - before) < ENOUGH:
            break
        before = likelihood
    assert model is not None, "there is at least one round"
    return model, done


def _balance(posterior: Floats) -> Floats:
    """How frequent each class is, drawn towards equality."""
    classes = posterior.shape[1]
    result: Floats = (posterior.sum(axis=0) + STRENGTH) / (len(posterior) + STRENGTH * classes)
    return result


def _tied(votes: Votes, rows: csr_matrix, posterior: Floats) -> tuple[Floats, Floats]:
    """P(event | class) by three numbers a function, and those numbers (functions, 3): how often it speaks of its labels, and
    of others, and how often it is then right."""
    counts, totals = np.asarray(rows.T @ posterior), posterior.sum(axis=0)
    table, numbers, start = np.empty_like(counts), [], 0
    for labels in votes.support:
        part = slice(start, start + len(labels))
        start += len(labels)
        own, spoken = counts[part], counts[part].sum(axis=0)
        inside = np.zeros(len(totals), bool)
        inside[labels] = True
        speaks = (spoken[inside].sum() + STRENGTH * SPEAKS) / (totals[inside].sum() + STRENGTH)
        strays = (spoken[~inside].sum() + STRENGTH * STRAYS) / (totals[~inside].sum() + STRENGTH)
        hits = own[np.arange(len(labels)), labels].sum()
        right = (hits + STRENGTH * RIGHT) / (spoken[inside].sum() + STRENGTH)
        usual = (own.sum(axis=1) + 1) / (own.sum() + len(labels))
        block = np.outer(usual, np.full(len(totals), strays))
        for at, label in enumerate(labels):
            wrong = np.delete(usual, at)
            block[:, label] = speaks * np.insert((1 - right) * wrong / wrong.sum(), at, right) if len(wrong) else speaks
        table[part] = block
        numbers.append((speaks, strays, right))
    return table, np.array(numbers)


def _own(rows: csr_matrix, posterior: Floats, prior: Floats) -> Floats:
    """P(event | class), each by itself, drawn towards `prior`."""
    counts, totals = np.asarray(rows.T @ posterior), posterior.sum(axis=0)
    result: Floats = (counts + STRENGTH * prior) / (totals + STRENGTH)
    return result


def _model(votes: Votes, table: Floats, balance: Floats) -> LabelModel:
    silent, says, start = np.log(balance), np.log(np.maximum(table, 1e-12)), 0
    for labels in votes.support:
        part = slice(start, start + len(labels))
        start += len(labels)
        nothing = np.log(np.maximum(1 - table[part].sum(axis=0), LEAST))
        silent = silent + nothing
        says[part] -= nothing
    return LabelModel(votes.events, says, silent)


def _one_each(events: Sequence[Event], classes: int) -> Floats:
    says = np.zeros((len(events), classes))
    says[np.arange(len(events)), [label for _, label in events]] = 1.0
    return says


def softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: Floats = powers / powers.sum(axis=1, keepdims=True)
    return result
