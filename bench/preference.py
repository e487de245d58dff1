"""Preference: who would win on this input, beside Bradley-Terry; known strengths recovered; what the intervals cover.

    python -m bench.preference                     # everything, half an hour on one core
    python -m bench.preference --part pandalm      # or: recovery, coverage, mmlu
    python -m bench.preference --part pandalm --dev    # what settings were chosen on; never looks at test

Data in TUTELAGE_DATA: pandalm_pairs (Wang et al. 2023; people's votes on answers of five models), routellm_mmlu (Ong et al. 2024;
which of two models is right). Settings are chosen on train and dev by cross-validation over inputs; test is scored once.
`recovery` and `coverage` are simulations with known truth. Prints its tables and appends them to bench/LOG.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.projects import drawn as drawn_of
from bench.projects import lines, write_log
from tutelage import settings
from tutelage.embeddings.encoder import Encoder
from tutelage.embeddings.stored import stored_encoder
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import Mean
from tutelage.evaluation.preference.bradley_terry import SCALE, fit, fit_many, probabilities
from tutelage.evaluation.preference.held import Held, compared
from tutelage.evaluation.preference.matches import OUTCOMES, Match, Table, tabulate
from tutelage.evaluation.preference.predictor import (
    PreferencePredictor,
    fit_predictor,
    folds,
    log_loss,
    plain,
    with_ridge,
)
from tutelage.evaluation.preference.ranking import rank
from tutelage.evaluation.preference.sources import WINNERS
from tutelage.evaluation.preference.vectors import fit_vectors

RUNS = 400
RESAMPLES = 300
FIXED = (1.0, 3.0, 10.0, 30.0)
Numbers = NDArray[np.float64]


class Data(NamedTuple):
    """Matches to learn from and to score, with the vectors of their inputs under one choice of features."""

    learn: Table
    held: Table
    learn_at: Numbers
    held_at: Numbers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, Callable[[argparse.Namespace], None]] = {
        "pandalm": pandalm,
        "mmlu": mmlu,
        "recovery": recovery,
        "coverage": coverage,
    }
    parser.add_argument("--part", choices=list(parts), help="one part")
    parser.add_argument("--dev", action="store_true", help="pandalm: compare settings on train and dev, print only")
    parser.add_argument("--runs", type=int, default=RUNS, help="simulations of each condition")
    chosen = parser.parse_args()
    for name, part in parts.items():
        if chosen.part in (None, name):
            part(chosen)
    return 0


def encoder(name: str) -> Encoder | None:
    """The sentence encoder in the folder of weights, kept in the temporary folder; None for the words alone."""
    if name == "words":
        return None
    base = settings.weights_folder() / name
    if not base.is_dir():
        print(f"SKIPPED: there is no {base}. Run: python scripts/weights.py {name}")
        raise SystemExit(0)
    return stored_encoder(str(base.resolve()), Path, Path(tempfile.gettempdir()) / "tutelage-bench-preference")


def pandalm_matches(*splits: str) -> list[Match]:
    """Rows whose annotators had a majority."""
    rows = [row for split in splits for row in lines("pandalm_pairs", split)]
    return [
        Match(row["text"], row["model_a"], row["model_b"], WINNERS[row["label"]])
        for row in rows
        if row["label"] in WINNERS
    ]


def pandalm(chosen: argparse.Namespace) -> None:
    learn = pandalm_matches("train", "dev")
    table = tabulate(learn)
    vectors = {name: fit_vectors(table.inputs, encoder(name))(table.inputs) for name in ("words", "minilm")}
    found = {name: settings_table(table, rows) for name, rows in vectors.items()}
    text = [
        f"Settings, on train and dev ({len(table)} matches, {len(table.inputs)} inputs), 5 folds over inputs; gain: mean log "
        "loss of Bradley-Terry minus the predictor's, paired, bootstrapped over inputs; positive is better.",
        "",
        "| features | ridge | gain in log loss (95 %) |",
        "|---|---|---|",
    ]
    rows = ((name, ridge, gain) for name, gains in found.items() for ridge, gain in gains.items())
    text += [f"| {name} | {ridge:g} | {shown(gain, sign=True)} |" for name, ridge, gain in rows]
    features, ridge = max(
        ((n, r) for n, gains in found.items() for r in gains), key=lambda at: found[at[0]][at[1]].value
    )
    text.append(f"\nChosen: {features}, ridge {ridge:g} where a ridge is forced.")
    if chosen.dev:
        print("\n".join(text))
        return
    data = split_data(learn, pandalm_matches("test"), encoder(features))
    base = plain(data.learn, data.learn_at.shape[1])
    shipped = fit_predictor(data.learn, data.learn_at)
    forced = with_ridge(data.learn, data.learn_at, base.base, ridge)
    text += ["", f"test, n = {len(data.held)} matches on {len(data.held.inputs)} inputs, scored once:", ""]
    took = "Bradley-Terry alone, no ridge helped beyond noise" if shipped.ridge is None else f"ridge {shipped.ridge:g}"
    text += score_table(
        data, base, {f"predictor as shipped ({took})": shipped, f"predictor, ridge {ridge:g} forced": forced}
    )
    write_log("preference: pandalm_pairs, predictor beside Bradley-Terry", "\n".join(text))


def settings_table(table: Table, vectors: Numbers) -> dict[float, Estimate]:
    """By ridge: how much less the mean log loss of held inputs is than plain Bradley-Terry's."""
    losses = {ridge: np.empty(len(table)) for ridge in (None, *FIXED)}
    for held in folds(table):
        learnt, rest = table.take(~held), table.take(held)
        base = plain(learnt, vectors.shape[1])
        for ridge, kept in losses.items():
            model = base if ridge is None else with_ridge(learnt, vectors, base.base, ridge)
            kept[held] = log_loss(model.predict(vectors[rest.input], rest.a, rest.b), rest.outcome)
    return {ridge: gain(table, losses[None] - losses[ridge]) for ridge in FIXED}


def gain(table: Table, better: Numbers, seed: int = 0) -> Estimate:
    """The mean over matches with a percentile interval over inputs; not bound to [0, 1]."""
    sums, counts = np.bincount(table.input, better), np.bincount(table.input)
    draws = np.random.default_rng(seed).integers(len(sums), size=(2000, len(sums)))
    low, high = np.quantile(sums[draws].sum(axis=1) / counts[draws].sum(axis=1), [0.025, 0.975])
    return Estimate(float(better.mean()), float(low), float(high))


def split_data(learn: Sequence[Match], held: Sequence[Match], by: Encoder | None) -> Data:
    first = tabulate(learn)
    second = tabulate(held, first.models)
    vectors = fit_vectors(first.inputs, by)
    return Data(first, second, vectors(first.inputs), vectors(second.inputs))


def score_table(data: Data, base: PreferencePredictor, models: dict[str, PreferencePredictor]) -> list[str]:
    """One row a model; differences are to Bradley-Terry, paired, all intervals over inputs."""
    held = data.held

    def told(model: PreferencePredictor) -> Numbers:
        return model.predict(data.held_at[held.input], held.a, held.b)

    always = np.tile(np.bincount(data.learn.outcome, minlength=3) / len(data.learn), (len(held), 1))
    always[:, :2] = always[:, :2].mean(axis=1, keepdims=True)
    heads = ["", "outcome right", "winner right, no tie", "Brier", "log loss", "accuracy to B.-T.", "Brier to B.-T."]
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, ours in {
        "no ratings: the first by name, ties as often as in train": always,
        "Bradley-Terry": told(base),
    }.items():
        rows.append(row(name, held, compared(held, ours, told(base)), ours, bare=name == "Bradley-Terry"))
    return rows + [row(name, held, compared(held, told(one), told(base)), told(one)) for name, one in models.items()]


def row(name: str, held: Table, found: Held, ours: Numbers, *, bare: bool = False) -> str:
    score = found.predictor
    apart = ("", "") if bare else (shown(found.accuracy, sign=True), shown(found.brier, sign=True))
    decided = shown(score.decided) if score.decided else ""
    cells = [
        name,
        shown(score.accuracy),
        decided,
        shown(score.brier),
        f"{log_loss(ours, held.outcome).mean():.4f}",
        *apart,
    ]
    return "| " + " | ".join(cells) + " |"


def mmlu(chosen: argparse.Namespace) -> None:
    """Where the input may say more: which of two models answers rightly. Shown on dev; test is not touched."""
    learn = [mmlu_match(one) for one in drawn_of(lines("routellm_mmlu", "train"), 3000)]
    held = [mmlu_match(one) for one in lines("routellm_mmlu", "dev")]
    text = [
        f"routellm_mmlu, learnt on {len(learn)} matches of train (two models), scored on dev ({len(held)}); a tie: both right or "
        "both wrong. Features: the words.",
        "",
    ]
    data = split_data(learn, held, None)
    shipped = fit_predictor(data.learn, data.learn_at)
    base = plain(data.learn, data.learn_at.shape[1])
    text += score_table(data, base, {f"predictor as shipped, ridge {shipped.ridge}": shipped})
    write_log("preference: where the input may say more", "\n".join(text))


def mmlu_match(row: dict[str, Any]) -> Match:
    (a, right), (b, other) = row["labels"].items()
    return Match(row["text"], a, b, "tie" if right == other else "a" if right else "b")


def recovery(chosen: argparse.Namespace) -> None:
    """Six models with known strengths over 600 points and ties: how near the estimates come, and whether they lean."""
    text = [
        "Six models, strengths 1300, 1150, 1050, 950, 850, 700, tie parameter 0.7 (a fifth of the matches tie), random pairs; "
        f"{chosen.runs} runs. Errors in rating points.",
        "",
        "| matches | root mean squared error | mean error, strongest | mean error, weakest | ln tie parameter, true -0.357 |",
        "|---|---|---|---|---|",
    ]
    truth = (np.array([1300, 1150, 1050, 950, 850, 700.0]) - 1000) / SCALE
    rng = np.random.default_rng(0)
    for n in (150, 600, 2400):
        errors, ties = np.empty((chosen.runs, len(truth))), np.empty(chosen.runs)
        for run in range(chosen.runs):
            found = fit(
                tabulate(played(rng, np.tile(truth, (n, 1)), np.log(0.7), 1), [str(at) for at in range(len(truth))])
            )
            errors[run], ties[run] = (found.values - truth) * SCALE, found.tie
        kept = ties[np.isfinite(ties)]
        text.append(
            f"| {n} | {np.sqrt((errors**2).mean()):.1f} | {errors[:, 0].mean():+.1f} | {errors[:, -1].mean():+.1f} | "
            f"{kept.mean():.3f} (standard deviation {kept.std():.3f}) |"
        )
    write_log("preference: known strengths recovered", "\n".join(text))


def drawn(rng: np.random.Generator, strengths: Numbers, tie: float) -> NDArray[np.int64]:
    """On each input, whose models have the strengths (inputs, models), the outcome of every pair: (inputs, pairs)."""
    a, b = np.triu_indices(strengths.shape[1], 1)
    chances = probabilities(strengths[:, a], strengths[:, b], tie)
    return np.asarray((rng.random((*chances.shape[:2], 1)) > chances.cumsum(axis=2)).sum(axis=2).clip(max=2))


def played(rng: np.random.Generator, strengths: Numbers, tie: float, pairs: int) -> list[Match]:
    """On each input so many different pairs play; inputs are named by number."""
    outcomes = drawn(rng, strengths, tie)
    every = [(str(a), str(b)) for a, b in zip(*np.triu_indices(strengths.shape[1], 1), strict=True)]
    chosen = rng.random(outcomes.shape).argsort(axis=1)[:, :pairs]
    found = []
    for number, row in enumerate(chosen):
        for at in row:
            a, b = every[at]
            found.append(Match(str(number), a, b, OUTCOMES[outcomes[number, at]]))
    return found


def coverage(chosen: argparse.Namespace) -> None:
    """Five models on inputs that differ: how often 95 % intervals hold the truth, by what is resampled."""
    text = [
        "Five models, strengths 1200, 1100, 1000, 900, 800; on each input each model is moved by a normal with the standard "
        f"deviation given; {chosen.runs} runs of {RESAMPLES} resamples. Truth: the fit to 200,000 inputs. Share of ratings in "
        "their 95 % interval, and of models whose true place is among `places`, with its interval over runs.",
        "",
        "| inputs | pairs an input | inputs differ by | resampling inputs | matches (as evalica) | width | place inside |",
        "|---|---|---|---|---|---|---|",
    ]
    centre = (np.array([1200, 1100, 1000, 900, 800.0]) - 1000) / SCALE
    for inputs, pairs, spread in ((30, 10, 200), (100, 10, 0), (100, 10, 200), (100, 1, 200), (300, 10, 200)):
        truth = population(centre, spread / SCALE)
        cells = simulated(chosen.runs, centre, truth, (inputs, pairs, spread / SCALE))
        text.append(f"| {inputs} | {pairs} | {spread} | " + " | ".join(cells) + " |")
        print(text[-1], file=sys.stderr, flush=True)
    write_log("preference: what the bootstrap intervals cover", "\n".join(text))


def population(centre: Numbers, spread: float) -> Numbers:
    """The ratings that so many matches converge to."""
    rng = np.random.default_rng(12345)
    outcomes = drawn(rng, centre + rng.normal(0, spread, (200_000, len(centre))), np.log(0.7))
    counts = np.stack([(outcomes == at).sum(axis=0) for at in range(3)], axis=-1, dtype=np.float64)
    found = fit_many(counts[None], np.triu_indices(len(centre), 1), len(centre))
    return np.asarray(1000 + SCALE * found.values[0])


def simulated(runs: int, centre: Numbers, truth: Numbers, condition: tuple[int, int, float]) -> list[str]:
    inputs, pairs, spread = condition
    rng = np.random.default_rng(1)
    by_input, by_match, widths, places = [], [], [], []
    for run in range(runs):
        matches = played(rng, centre + rng.normal(0, spread, (inputs, len(centre))), np.log(0.7), pairs)
        apart = [Match(f"{at}", one.a, one.b, one.winner) for at, one in enumerate(matches)]
        first, second = (rank(tuple(one), resamples=RESAMPLES, seed=run) for one in (matches, apart))
        by_input.append(np.mean([one.rating.low <= truth[int(one.model)] <= one.rating.high for one in first.ratings]))
        by_match.append(np.mean([one.rating.low <= truth[int(one.model)] <= one.rating.high for one in second.ratings]))
        widths.append(np.mean([one.rating.high - one.rating.low for one in first.ratings]))
        places.append(np.mean([one.ranks[0] <= int(one.model) + 1 <= one.ranks[1] for one in first.ratings]))
    return [shown(mean(by_input)), shown(mean(by_match)), f"{np.mean(widths):.0f}", shown(mean(places))]


def mean(shares: Sequence[Any]) -> Estimate:
    return estimate(Mean(np.array(shares, np.float64)), len(shares))


def shown(value: Estimate, *, sign: bool = False) -> str:
    form = "+.4f" if sign else ".3f"
    return f"{value.value:{form}} ({value.low:{form}} to {value.high:{form}})"


if __name__ == "__main__":
    sys.exit(main())
