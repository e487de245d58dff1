"""Several answers to one question merged by vote (self-consistency, Wang et al. 2023, https://arxiv.org/abs/2203.11171).

What is chosen, by the kind of value:

- a string (`label`, `text`): the most frequent answer under strict matching;
- a list of strings (`strings`, `labels`): every string that more than half of the answers hold;
- a record: for each field the most frequent value, as the task's own comparison sees it.

A tie goes to the answer with the highest mean probability, where the model gives it, else to the one that was drawn first.
Failed draws do not vote; they count as disagreement.

Draws of different models may count unequally: each then has a weight by field, with "" for whole answers and strings, and
"most frequent" reads "of the most weight". Their probabilities are of different scales, so that a tie goes to the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from tutelage.errors import AnswerError
from tutelage.tasks import Task
from tutelage.tasks.matching import normal
from tutelage.types import Prediction, Value, canonical_json

Form: TypeAlias = Callable[[Any], Hashable]
"""Equal forms mean the same answer."""

Weights: TypeAlias = Mapping[str, float]
"""How much a draw counts, above 0: by a record's field, and under "" for all else."""

EQUAL: Weights = {"": 1}


class Vote(NamedTuple):
    """The merged answer. All shares are of all draws, failed ones included, in [0, 1].

    `agreement` is the share of draws that gave `value`, for lists and records the mean over its `parts` (the share of
    draws that hold this string or this value of the field; for an empty list the share of draws that are empty; of a label
    the parts are the shares of all labels that were given);
    `exact` is the share of draws that gave the whole of `value`.
    """

    value: Value
    agreement: float
    exact: float
    parts: Mapping[str, float]


class _Ballot(NamedTuple):
    value: Any
    probability: float
    weights: Weights = EQUAL

    def weight(self, part: str = "") -> float:
        return _weight(self.weights, part)


def vote(task: Task, draws: Sequence[Prediction], weights: Sequence[Weights] | None = None) -> Vote | None:
    """The answer that most draws agree on; None when every draw failed. With `weights`, one a draw, shares are of weight."""
    if weights is None:
        given: Sequence[Weights] = [EQUAL] * len(draws)
        ballots = [_Ballot(p.value, probability(p)) for p in draws if p.value is not None]
    else:
        given = weights
        ballots = [_Ballot(p.value, -1.0, own) for p, own in zip(draws, weights, strict=True) if p.value is not None]
    if not ballots:
        return None
    if isinstance(ballots[0].value, str):
        return _vote_whole(task, ballots, given)
    if isinstance(ballots[0].value, list):
        return _vote_strings(task, ballots, given)
    return _vote_fields(task, ballots, given)


def _weight(weights: Weights, part: str) -> float:
    return weights.get(part, weights[""])


def _total(weights: Sequence[Weights], part: str = "") -> float:
    return sum(_weight(own, part) for own in weights)


def probability(draw: Prediction) -> float:
    """The mean probability of a draw's tokens, -1 where the model gave none."""
    return draw.signals.get("mean_probability", -1.0)


def text_form(task: Task) -> Callable[[str], str]:
    """Labels are spelled in one way, and two of them may differ in nothing but case; other strings may vary."""
    return str if getattr(task, "labels", ()) else normal


def _vote_whole(task: Task, ballots: Sequence[_Ballot], weights: Sequence[Weights]) -> Vote:
    total = _total(weights)
    value, weight = _most_frequent(ballots, text_form(task))
    labelled: dict[str, float] = {}
    for ballot in ballots if getattr(task, "labels", ()) else ():
        labelled[ballot.value] = labelled.get(ballot.value, 0) + ballot.weight()
    return Vote(value, weight / total, weight / total, {label: found / total for label, found in labelled.items()})


def _vote_strings(task: Task, ballots: Sequence[_Ballot], weights: Sequence[Weights]) -> Vote:
    form_of, spellings, total = text_form(task), dict[str, list[_Ballot]](), _total(weights)
    for ballot in ballots:
        for form, spelling in {form_of(text): text for text in reversed(ballot.value)}.items():
            spellings.setdefault(form, []).append(ballot._replace(value=spelling))
    voting = _sum(ballots)
    kept = {form: found for form, found in spellings.items() if 2 * _sum(found) > voting}
    shares = {_most_frequent(found, str)[0]: _sum(found) / total for found in kept.values()}
    value: Value = task.canonical(sorted(shares, key=lambda text: _place(form_of(text), ballots, form_of)))
    exact = _sum([one for one in ballots if {form_of(text) for text in one.value} == set(kept)]) / total
    parts = {text: shares[text] for text in value if text in shares}
    return Vote(value, sum(parts.values()) / len(parts) if parts else exact, exact, parts)


def _vote_fields(task: Task, ballots: Sequence[_Ballot], weights: Sequence[Weights]) -> Vote:
    forms = {field: form_of(task, field) for ballot in ballots for field in ballot.value}
    merged = {}
    for field, form in forms.items():
        values = [ballot._replace(value=ballot.value.get(field)) for ballot in ballots]
        merged[field] = _most_frequent(values, form, field)[0]

    def agreeing(answer: Mapping[str, Any], other: Mapping[str, Any]) -> list[bool]:
        return [form(answer.get(field)) == form(other.get(field)) for field, form in forms.items()]

    try:
        value = task.canonical(merged)
    except AnswerError:  # fields that fit one by one need not fit together; the draw nearest to them does
        value = max(ballots, key=lambda ballot: (sum(agreeing(ballot.value, merged)), ballot.probability)).value
    found: Mapping[str, Any] = value  # type: ignore[assignment]
    agreed = [(ballot, agreeing(ballot.value, found)) for ballot in ballots]
    parts = {
        field: _sum([ballot for ballot, row in agreed if row[at]], field) / _total(weights, field)
        for at, field in enumerate(forms)
    }
    exact = _sum([ballot for ballot, row in agreed if all(row)]) / _total(weights)
    return Vote(value, sum(parts.values()) / len(parts) if parts else exact, exact, parts)


def _sum(ballots: Sequence[_Ballot], part: str = "") -> float:
    return sum(ballot.weight(part) for ballot in ballots)


def form_of(task: Task, field: str) -> Form:
    """When two values of a record's field are the same: as the field's own normaliser sees them, else as JSON."""
    for described in getattr(task, "answer_fields", ()):
        if described.name == field:
            return lambda value: frozenset(described.keys(value).items())
    return canonical_json


def _most_frequent(ballots: Sequence[_Ballot], form: Form, part: str = "") -> tuple[Any, float]:
    """The value whose form has the most weight, in its most frequent spelling, and the weight of that form."""
    groups: dict[Hashable, list[_Ballot]] = {}
    for ballot in ballots:
        groups.setdefault(form(ballot.value), []).append(ballot)
    group = max(groups.values(), key=lambda group: (_sum(group, part), max(b.probability for b in group)))
    spelled = Counter(canonical_json(ballot.value) for ballot in group)
    best = max(group, key=lambda b: (spelled[canonical_json(b.value)], b.probability))
    return best.value, _sum(group, part)


def _place(wanted: str, ballots: Sequence[_Ballot], form_of: Callable[[str], str]) -> float:
    """Where a string stands on average in the answers that hold it: 0 first, towards 1 last."""
    found = []
    for ballot in ballots:
        forms = [form_of(text) for text in ballot.value]
        if wanted in forms:
            found.append(forms.index(wanted) / len(forms))
    return sum(found) / len(found)
