"""The whole leaderboard: overall, by domain, for one input, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tutelage.embeddings.encoder import Encoder
from tutelage.errors import DataError, UnknownName
from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.preference.domains import Domain, domain_count, find_domains
from tutelage.evaluation.preference.held import Held, cross_validated
from tutelage.evaluation.preference.matches import Matches, Table, tabulate
from tutelage.evaluation.preference.predictor import fit_predictor
from tutelage.evaluation.preference.ranking import RESAMPLES, Ranking, grid, on_scale, rank
from tutelage.evaluation.preference.vectors import Vectors, fit_vectors

DOMAIN_RESAMPLES = 400
LEARNT = 20_000
"""Matches at most that the predictor learns from and is scored on: inputs are drawn at random, so that it takes seconds."""


@dataclass(frozen=True)
class DomainRanking:
    """The leaderboard on a group of like inputs; `problem` says why there is none."""

    name: str
    inputs: int
    ranking: Ranking | None
    problem: str | None = None


@dataclass(frozen=True)
class InputRanking:
    """What the predictor says of one input: ratings by model, the best first, and P(win), P(loss), P(tie) of each against each.

    With `ridge` None the input changes nothing, and the ratings are the overall ones.
    """

    input: str
    ridge: float | None
    ratings: tuple[tuple[str, float], ...]
    grid: tuple[tuple[tuple[float, float, float], ...], ...]


@dataclass(frozen=True)
class Leaderboard:
    """Everything about one source of matches; `features` says what the predictor and the domains see of an input."""

    source: str
    features: str
    overall: Ranking
    ties: int
    domains: tuple[DomainRanking, ...]
    held: Held | None
    input: InputRanking | None
    undecided: int
    unusable: int
    absent: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Options:
    """`anchor` is the model that gets 1000 points (None: the mean does); `domains` how many (None: sized from the data)."""

    anchor: str | None = None
    encoder: Encoder | None = None
    domains: int | None = None
    input: str | None = None
    resamples: int = RESAMPLES
    seed: int = 0


def make_leaderboard(matches: Matches, options: Options) -> Leaderboard:
    """Raises DataError where the matches do not compare all models, UnknownName for the anchor."""
    overall = rank(matches.matches, options.anchor, options.resamples, options.seed)
    table = tabulate(matches.matches)
    vectors = fit_vectors(table.inputs, options.encoder)
    rows = vectors(table.inputs)
    count = domain_count(len(table.inputs)) if options.domains is None else options.domains
    domains = find_domains(table.inputs, rows, count, options.seed) if count > 1 else []
    return Leaderboard(
        matches.source,
        "a sentence encoder's vectors" if options.encoder else "the words (TF-IDF)",
        overall,
        int((table.outcome == 2).sum()),
        tuple(_domain(matches, table, domain, options) for domain in domains if len(domains) > 1),
        cross_validated(table.sample(LEARNT, options.seed), rows, options.seed),
        None if options.input is None else _for_input(table, vectors, rows, options),
        matches.undecided,
        len(matches.bad),
        matches.absent,
    )


def _domain(matches: Matches, table: Table, domain: Domain, options: Options) -> DomainRanking:
    within = {table.inputs[at] for at in domain.inputs}
    kept = tuple(match for match in matches.matches if match.input in within)
    try:
        found = rank(kept, options.anchor, min(options.resamples, DOMAIN_RESAMPLES), options.seed)
    except (DataError, UnknownName) as error:
        return DomainRanking(domain.name, len(within), None, str(error))
    return DomainRanking(domain.name, len(within), found)


def _for_input(table: Table, vectors: Vectors, rows: Floats, options: Options) -> InputRanking:
    assert options.input is not None
    model = fit_predictor(table.sample(LEARNT, options.seed), rows, seed=options.seed)
    at = vectors([options.input])
    strengths, tie = model.strengths(at)[0], float(model.ties(at)[0])
    points = on_scale(strengths, None if options.anchor is None else table.models.index(options.anchor))
    order = np.argsort(-points, kind="stable")
    ratings = tuple((table.models[at], float(points[at])) for at in order)
    return InputRanking(options.input, model.ridge, ratings, grid(strengths[order], tie))
