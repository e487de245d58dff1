"""Which candidates make the best cascade: the subset, the order and the thresholds that lose least under a budget, or cost
least under a loss (FrugalGPT: Chen, Zaharia & Zou 2023, https://arxiv.org/abs/2305.05176).

Everything is read from stored answers to dev: each candidate's calibrated confidence (`routing.confidence`), its loss and its
dollars on each example. All orders of at most three candidates are tried, at a grid of thresholds. A cascade has one
threshold for all stages, since calibrated confidences are probabilities and compare; `own_thresholds` says what one for each
would bring.

A choice among thousands looks better where it was made than anywhere else. So the figures are cross-validated: maps,
order and thresholds are chosen on one half of dev and measured on the other, both ways. They are not a proof: that is
`tutelage calibrate`'s, on the calibration examples, afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import DataError, UsageError
from tutelage.evaluation.candidates import candidate, teacher_name
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import answers
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import Floats, Mean
from tutelage.project import Project
from tutelage.routing.answered import Answers, Goal, answered_by, reference_set
from tutelage.routing.confidence import fit_confidence
from tutelage.routing.losses import default_loss
from tutelage.store import Origin
from tutelage.tasks import Task

LONGEST = 3
"""Stages of a cascade."""
MOST = 8
"""Candidates to choose from: 400 orders."""
GRID = 20
"""Thresholds tried for a stage: quantiles of its confidence; three times as many where all stages share one."""
LEAST = 100
"""Examples of dev, at least: half of them choose, half measure."""
SHOWN = 5
"""Orders in the result besides the best."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Wish:
    """At most so many dollars per 1,000 inputs, and the least loss; or at most that mean loss, and the fewest dollars."""

    budget: float | None = None
    max_loss: float | None = None


@dataclass(frozen=True)
class Row:
    """A cascade on dev, cross-validated: its mean loss with a 95 % interval, its dollars per 1,000 inputs and the share of
    inputs that each stage answers. `thresholds` are those chosen on all of dev, one for each stage but the last."""

    stages: tuple[str, ...]
    thresholds: tuple[float, ...]
    loss: Estimate
    dollars_per_1000: float
    answered: Mapping[str, float]


@dataclass(frozen=True)
class Ordering:
    """`rows` are the best orders found, the chosen one first; `alone` each candidate by itself. `chosen` measures the whole
    choice, order included: `stages` are those chosen on all of dev, the figures are of what the halves chose, named in `halves`.
    `own_thresholds` is the same with a threshold for each stage."""

    wish: Wish
    loss: str
    reference: str
    n: int
    rows: Sequence[Row]
    alone: Sequence[Row]
    chosen: Row
    halves: Sequence[tuple[str, ...]]
    own_thresholds: Row
    left_out: Mapping[str, str]


class Rule(NamedTuple):
    """Numbers of the candidates in their order, and a threshold for each but the last."""

    stages: tuple[int, ...]
    thresholds: tuple[float, ...]


class Facts(NamedTuple):
    """What each of m candidates did on n examples, (m, n): loss in [0, 1], dollars, and calibrated confidence (NaN: none)."""

    losses: Floats
    dollars: Floats
    sure: Floats

    def only(self, at: Numbers) -> Facts:
        return Facts(self.losses[:, at], self.dollars[:, at], self.sure[:, at])


class Found(NamedTuple):
    """Rules of one order, (r, stages - 1) thresholds, with their mean loss and dollars, (r,)."""

    stages: tuple[int, ...]
    thresholds: Floats
    loss: Floats
    dollars: Floats


def learn_order(
    project: Project, names: Sequence[str], wish: Wish, against: Origin | None = None, seed: int = 0
) -> Ordering:
    """The best cascade of candidates `names` (none: all that have answered dev).

    Raises UsageError for too many or too few candidates, DataError where answers or dollars are missing, or where nothing
    keeps the wish on dev.
    """
    against = against or _default_reference(project)
    chosen, left_out = _candidates(project, names, against)
    loss = default_loss(project.task.output)
    found = answered_by(
        project, [candidate(project, name) for name in chosen], "dev", Goal({loss: 0.5}, against=against)
    )
    if found.n < LEAST:
        raise DataError(
            f"dev has {found.n} examples to choose on, and at least {LEAST} are needed: half of them choose, half measure. "
            "Add some: tutelage add FILE --split dev"
        )
    half = np.random.default_rng(seed).permutation(found.n) % 2
    losses, dollars = np.stack(found.losses[loss]), _dollars(chosen, found)
    folds = [np.flatnonzero(half == side) for side in (0, 1)]
    every = np.arange(found.n)
    views = [Facts(losses, dollars, sureness(project.task, found, at)) for at in (*folds, every)]
    _check(chosen, wish, views[-1])
    return _ordering(wish, tuple(chosen), views, folds, (loss, found.examples.reference, left_out))


def _ordering(
    wish: Wish,
    names: tuple[str, ...],
    views: Sequence[Facts],
    folds: Sequence[Numbers],
    about: tuple[str, str, Mapping[str, str]],
) -> Ordering:
    """`views` are the facts with confidences fitted on each of `folds` and on everything."""
    sides = [view.only(at) for view, at in zip(views, folds, strict=False)]

    def crossed(shared: bool, stages: tuple[int, ...] | None = None) -> tuple[Row, list[Rule]]:
        """What is chosen (of the order `stages` alone, where given) on one half and measured on the other."""
        rules = [best(search(side, shared=shared, only=stages), wish) for side in (*sides, views[-1])]
        return measured(names, rules, views, folds), rules

    everything = search(views[-1])
    ranked = sorted(everything, key=lambda one: _rank(one, wish))
    rows = [crossed(True, one.stages)[0] for one in ranked[: SHOWN + 1]]
    alone = [crossed(True, (number,))[0] for number in range(len(names))]
    chosen, rules = crossed(True)
    halves = [tuple(names[at] for at in rule.stages) for rule in rules[:2]]
    return Ordering(
        wish,
        about[0],
        about[1],
        len(folds[0]) + len(folds[1]),
        rows,
        alone,
        chosen,
        halves,
        crossed(False)[0],
        about[2],
    )


def search(facts: Facts, *, shared: bool = True, only: tuple[int, ...] | None = None) -> list[Found]:
    """Every order of at most LONGEST candidates with all thresholds of the grid; with `shared` one threshold for all stages.

    A candidate without a confidence stands last.
    """
    m = len(facts.losses)
    orders = [only] if only else [one for size in range(1, LONGEST + 1) for one in permutations(range(m), size)]
    unsure = {at for at in range(m) if np.isnan(facts.sure[at]).any()}
    return [_along(facts, one, shared=shared) for one in orders if not unsure & set(one[:-1])]


def _along(facts: Facts, stages: tuple[int, ...], *, shared: bool) -> Found:
    losses, dollars = facts.losses[list(stages)], facts.dollars[list(stages)]
    n, asked = losses.shape[1], [facts.sure[at] for at in stages[:-1]]
    if not asked:
        return Found(stages, np.empty((1, 0)), losses.mean(axis=1), dollars.mean(axis=1))
    together = shared or len(asked) == 1
    grids = [_grid(np.concatenate(asked), 3 * GRID)] * len(asked) if together else [_grid(one, GRID) for one in asked]
    # (grid, n): 1 where the stage passes the input on.
    passed = [(one < grid[:, None]).astype(np.float64) for one, grid in zip(asked, grids, strict=True)]
    if len(asked) == 1:
        thresholds = grids[0][:, None]
        lost = (1 - passed[0]) @ losses[0] + passed[0] @ losses[1]
        spent = dollars[0].sum() + passed[0] @ dollars[1]
    else:
        first, second = passed
        below = (1 - second) * losses[1] + second * losses[2]
        paid = dollars[1] + second * dollars[2]
        own = (1 - first) @ losses[0]
        if together:
            thresholds = np.stack([grids[0], grids[0]], axis=1)
            lost, spent = own + (first * below).sum(axis=1), dollars[0].sum() + (first * paid).sum(axis=1)
        else:
            thresholds = np.array([(a, b) for a in grids[0] for b in grids[1]])
            lost = (own[:, None] + first @ below.T).ravel()
            spent = (dollars[0].sum() + first @ paid.T).ravel()
    return Found(stages, thresholds, lost / n, spent / n)


def _grid(sure: Floats, size: int) -> Floats:
    """Quantiles of the confidences, with equal steps of answered examples; above the highest nothing is answered."""
    return np.unique(np.quantile(sure, np.linspace(0, 1, size), method="higher"))


def best(found: Sequence[Found], wish: Wish) -> Rule:
    """The rule that keeps the wish and loses (costs) least; where none keeps it, the one that comes nearest."""
    chosen = min(found, key=lambda one: _rank(one, wish))
    at = _best_of(chosen, wish)
    return Rule(chosen.stages, tuple(chosen.thresholds[at].tolist()))


def _best_of(found: Found, wish: Wish) -> int:
    order = np.lexsort(_keys(found, wish)[::-1])
    return int(order[0])


def _keys(found: Found, wish: Wish) -> tuple[Floats, Floats, Floats]:
    """What is wanted least first: by how much the wish is missed, what is to be small, and the other."""
    kept, small, most = found.dollars, found.loss, (wish.budget or 0.0) / 1000
    if wish.max_loss is not None:
        kept, small, most = found.loss, found.dollars, wish.max_loss
    missed: Floats = np.maximum(0.0, kept - most * (1 + 1e-9))
    # Two orders that do the same must be seen to be equal, for the shorter one to be taken.
    return missed.round(12), small.round(12), kept.round(12)


def _rank(found: Found, wish: Wish) -> tuple[float, ...]:
    at = _best_of(found, wish)
    return (*(float(one[at]) for one in _keys(found, wish)), float(len(found.stages)))


def measured(names: Sequence[str], rules: Sequence[Rule], views: Sequence[Facts], folds: Sequence[Numbers]) -> Row:
    """Each half by the rule (and the confidences) of the other; named by the last rule, that of everything."""
    n = len(folds[0]) + len(folds[1])
    lost, spent, who = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for side in (0, 1):
        at = folds[1 - side]
        lost[at], spent[at], who[at] = applied(rules[side], views[side].only(at))
    shares = {name: float((who == number).mean()) for number, name in enumerate(names) if (who == number).any()}
    rule = rules[-1]
    return Row(
        tuple(names[at] for at in rule.stages),
        rule.thresholds,
        estimate(Mean(lost), n),
        1000 * float(spent.mean()),
        shares,
    )


def applied(rule: Rule, facts: Facts) -> tuple[Floats, Floats, Numbers]:
    """Loss, dollars and the number of who answers, (n,) each."""
    n = facts.losses.shape[1]
    left, spent, who = np.ones(n, np.bool_), np.zeros(n), np.full(n, rule.stages[-1])
    for place, stage in enumerate(rule.stages):
        spent += np.where(left, facts.dollars[stage], 0.0)
        if place < len(rule.thresholds):
            answered = left & (facts.sure[stage] >= rule.thresholds[place])
            who[answered], left = stage, left & ~answered
    return facts.losses[who, np.arange(n)], spent, who


def sureness(task: Task, found: Answers, at: Numbers) -> Floats:
    """(m, n) calibrated confidences, the maps fitted on the examples `at`; NaN for a candidate that gives none."""
    rows = []
    for predictions, right in zip(found.stages, found.right, strict=True):
        own = at.tolist()
        fitted = fit_confidence(task, [predictions[one] for one in own], [found.gold[one] for one in own], right[at])
        rows.append(np.full(found.n, np.nan) if fitted is None else fitted.confidence.of(predictions))
    return np.stack(rows)


def _candidates(project: Project, names: Sequence[str], against: Origin) -> tuple[list[str], dict[str, str]]:
    """Whom to choose from, the teacher last, and why others are left out."""
    examples = reference_set(project, "dev", against)
    kept, left_out = [], dict[str, str]()
    for name in names or project.selected():
        one = candidate(project, name)
        if one.family_name == "cascade" and not names:
            left_out[name] = "is a cascade itself"
        elif not names and answers(project, one, examples) is None:
            left_out[name] = f"has not answered dev (tutelage evaluate {name} --split dev)"
        else:
            kept.append(name)
    if against == "teacher":
        teacher = teacher_name(project)
        kept = [*(name for name in kept if name != teacher), teacher]
    if not 2 <= len(kept) <= MOST:
        why = "; ".join(f"{name!r} {reason}" for name, reason in left_out.items())
        raise UsageError(
            f"{len(kept)} candidates to choose from, and it takes 2 to {MOST}: name them. {f'Left out: {why}.' if why else ''}"
        )
    return kept, left_out


def _default_reference(project: Project) -> Origin:
    return "gold" if any(not one.example.synthetic for one in project.store.labels.read("dev", "gold")) else "teacher"


def _dollars(names: Sequence[str], found: Answers) -> Floats:
    table = np.array([[np.nan if (d := one.usage.dollars) is None else d for one in stage] for stage in found.stages])
    if np.isnan(table).any():
        unknown = [name for name, row in zip(names, table, strict=True) if np.isnan(row).any()]
        raise DataError(
            f"What an answer of {', '.join(map(repr, unknown))} costs is not known. Set dollars_per_hour under [hardware] for "
            "what runs here, [prices] for what is asked elsewhere, and evaluate it on dev again if it has no times."
        )
    return table


def _check(names: Sequence[str], wish: Wish, facts: Facts) -> None:
    """Raises DataError where no rule keeps the wish on dev."""
    if wish.budget is not None:
        cheapest = int(facts.dollars.mean(axis=1).argmin())
        least = 1000 * float(facts.dollars[cheapest].mean())
        if wish.budget < least:
            raise DataError(
                f"--budget {wish.budget:g}: the cheapest candidate, {names[cheapest]!r}, costs {least:.4g} dollars per 1,000."
            )
    if wish.max_loss is not None:
        least = min(float(one.loss.min()) for one in search(facts))
        if wish.max_loss < least:
            raise DataError(f"--max-loss {wish.max_loss:g}: no cascade loses less than {least:.4f} on dev.")
