"""The predictive router where both models' answers are known: accuracy at every share of strong calls, with intervals.

    python -m bench.routing --work FOLDER                       # what cross-validation on train and dev says of each model
    python -m bench.routing --work FOLDER --test linear         # that model on test, once
    python -m bench.routing --part speed --work FOLDER          # time per decision
    python -m bench.routing --part certified --work FOLDER --test linear+subject    # does a certified bar hold?
    python -m bench.routing --part judged --work FOLDER --ways linear linear+minilm knn+minilm    # MT-Bench, by a judge's scores

Data: routellm_mmlu, routellm_gsm8k (RouteLLM, Ong et al. 2024), right or wrong for a weak and a strong model. Settings are
chosen on train and dev, by five-fold cross-fitting; test is scored for what was chosen. FOLDER keeps the encoder's vectors.
routellm_mtbench: a judge's scores of the same models' answers to 80 questions of two turns, all of them test; a question is one
example, its quality the mean of its two scores by 10.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.projects import lines, write_log
from tutelage import settings
from tutelage.embeddings.encoder import Encoder
from tutelage.embeddings.runtime import Array
from tutelage.embeddings.stored import stored_encoder
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.bars import bars
from tutelage.routing.router.curves import CostQuality, cost_quality
from tutelage.routing.router.exact import exact
from tutelage.routing.router.features import fit_features
from tutelage.routing.router.knapsack import under_budget
from tutelage.routing.router.recipes import RECIPES, held_out
from tutelage.routing.router.strategies import RunningPrice, cheapest_above
from tutelage.routing.testing import Limit, Sample, prove
from tutelage.tasks.label import LabelTask
from tutelage.types import Input

WEAK, STRONG = "mixtral-8x7b-instruct", "gpt-4-1106-preview"
COSTS = np.array([0.0, 1.0])
SHARES = (0.25, 0.5, 0.75)
CHOSEN = {"linear": 1.0, "linear+subject": 1.0, "linear+minilm": 0.3, "knn+minilm": 100.0}
"""Options that cross-fitting on routellm_mmlu's train and dev chose (bench/LOG.md)."""


@dataclass(frozen=True)
class Known:
    """Inputs with their fields, and how right both models are, (n, 2)."""

    fields: tuple[str, ...]
    inputs: tuple[Input, ...]
    quality: Floats

    @property
    def task(self) -> LabelTask:
        return LabelTask("routing", self.fields, "", labels=("right", "wrong"))


@dataclass(frozen=True)
class Way:
    """A kind of model, whether it sees the subject's field where there is one, and whether it sees MiniLM's vectors."""

    kind: str
    subject: bool = False
    embedding: bool = False


WAYS: Mapping[str, Way] = {
    "linear": Way("linear"),
    "linear+subject": Way("linear", subject=True),
    "linear+minilm": Way("linear", embedding=True),
    "linear+subject+minilm": Way("linear", subject=True, embedding=True),
    "boosting": Way("boosting"),
    "boosting+subject": Way("boosting", subject=True),
    "boosting+subject+minilm": Way("boosting", subject=True, embedding=True),
    "knn+minilm": Way("knn", embedding=True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the encoder and its vectors")
    parser.add_argument("--dataset", default="routellm_mmlu")
    parser.add_argument("--part", choices=("routing", "speed", "judged", "certified"), default="routing")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="what is cross-validated")
    parser.add_argument("--test", choices=list(WAYS), help="score this one on test")
    parser.add_argument("--runs", type=int, default=400, help="calibration sets drawn for certified bars")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 2000], help="examples in each of them")
    chosen = parser.parse_args()
    start = time.monotonic()
    if chosen.part == "speed":
        title, body = "speed of a decision", speed(chosen)
    elif chosen.part == "certified":
        title, body = f"{chosen.dataset}, certified bars", certified(chosen)
    elif chosen.part == "judged":
        title, body = "routellm_mtbench, a judge's scores", judged(chosen)
    elif chosen.test:
        title, body = f"{chosen.dataset}, test", tested(chosen)
    else:
        title, body = f"{chosen.dataset}, cross-fitted on train and dev", compared(chosen)
    write_log(f"routing: {title}", f"{body}\n\n{time.monotonic() - start:.0f} s on one core of a busy machine.")
    return 0


def known(dataset: str, files: Sequence[str], way: Way) -> Known:
    found = [one for file in files for one in lines(dataset, file)]
    fields = ("subject", "text") if way.subject and "subject" in found[0] else ("text",)
    quality = np.array([[one["labels"][WEAK], one["labels"][STRONG]] for one in found], np.float64)
    return Known(fields, tuple({field: one[field] for field in fields} for one in found), quality)


def encoder(work: Path) -> Encoder:
    return stored_encoder("minilm", lambda name: settings.weights_folder().resolve() / name, work / "encoders", 1)


def compared(chosen: argparse.Namespace) -> str:
    rows = []
    for name in chosen.ways:
        way = WAYS[name]
        data = known(chosen.dataset, ("train", "dev"), way)
        features = fit_features(data.task, data.inputs, encoder(chosen.work) if way.embedding else None)
        crossed = held_out(RECIPES[way.kind], features(data.inputs), data.quality, 0, lambda share: None)
        curve = cost_quality((WEAK, STRONG), crossed.chances, data.quality[crossed.numbers], COSTS, at=SHARES)
        losses = ", ".join(f"{option:g}: {loss:.4f}" for option, loss in crossed.losses.items())
        rows.append([name, f"{crossed.option:g}", losses, *figures(curve)])
        print(rows[-1], file=sys.stderr, flush=True)
    n = len(data.inputs)
    return f"n = {n:,}.\n\n" + table(["way", "option", "log-loss of each option", *HEADS], rows)


def tested(chosen: argparse.Namespace) -> str:
    """Options are chosen by cross-fitting on train and dev, the model fitted on all of it, and test scored."""
    way = WAYS[chosen.test]
    data = known(chosen.dataset, ("train", "dev"), way)
    test = known(chosen.dataset, ("test",), way)
    features = fit_features(data.task, data.inputs, encoder(chosen.work) if way.embedding else None)
    seen, recipe = features(data.inputs), RECIPES[way.kind]
    crossed = held_out(recipe, seen, data.quality, 0, lambda share: None)
    chances = recipe.fit(seen, data.quality, crossed.option).chances(features(test.inputs))
    curve = cost_quality((WEAK, STRONG), chances, test.quality, COSTS, at=SHARES)
    weak, strong = (curve.alone[name][1] for name in (WEAK, STRONG))
    said = [f"{chosen.test}, option {crossed.option:g}; learnt from {len(data.inputs):,}, n = {curve.n:,} of test."]
    said.append(f"Always {WEAK}: {weak:.3f}; always {STRONG}: {strong:.3f}.")
    rows = [
        [f"{share:.0%}", *(shown(curve.at[share][name]) for name in ("random", "router", "oracle", "gain"))]
        for share in SHARES
    ]
    rows.append(["area", *(shown(curve.areas[name]) for name in ("random", "router", "oracle")), shown(curve.gain)])
    said.append(table(["strong calls, at most", "random", "router", "oracle", "router less random"], rows))
    return "\n\n".join([*said, streamed(crossed.chances, chances, test.quality), offline(chances)])


def certified(chosen: argparse.Namespace) -> str:
    """Calibration sets drawn from test with replacement, so that every bar's true loss is known: how often a certified bar loses
    more than its limit, how often the point estimate's does, and how many strong calls either takes."""
    way = WAYS[chosen.test]
    data, test = known(chosen.dataset, ("train", "dev"), way), known(chosen.dataset, ("test",), way)
    features = fit_features(data.task, data.inputs, encoder(chosen.work) if way.embedding else None)
    seen, recipe, option = features(data.inputs), RECIPES[way.kind], CHOSEN[chosen.test]
    chances, rows = recipe.fit(seen, data.quality, option).chances(features(test.inputs)), []
    lost, every = 1 - test.quality, np.arange(len(test.inputs))
    for most in (0.21, 0.23, 0.25):
        for n in chosen.sizes:
            rng, misses, strong = np.random.default_rng(n), np.zeros(2), np.zeros(2)
            for run in range(chosen.runs):
                at = rng.integers(0, len(every), n)
                for rule, bar in enumerate(both_bars(chances[at], lost[at], most, run)):
                    asked = cheapest_above(chances, bar) if bar is not None else np.ones(len(every), np.int64)
                    misses[rule] += bar is not None and lost[every, asked].mean() > most
                    strong[rule] += asked.mean()
            shares = [f"{one / chosen.runs:.3f}" for one in (*misses, *strong)]
            rows.append([f"{most:g}", str(n), *shares])
            print(rows[-1], file=sys.stderr, flush=True)
    safest = lost[every, chances.argmax(axis=1)].mean()
    said = f"{chosen.test}, option {option:g}; test, {len(every):,}, is the population, {chosen.runs} sets of n drawn from it. "
    said += f"Always {STRONG} loses {lost[:, 1].mean():.3f}, whoever promises most {safest:.3f}. Level 5 %.\n\n"
    heads = ["limit", "n", "misses, certified", "misses, point", "strong calls, certified", "strong calls, point"]
    return said + table(heads, rows)


def both_bars(chances: Floats, lost: Floats, most: float, run: int) -> tuple[float | None, float | None]:
    """The certified bar, and the lowest whose mean loss keeps the limit; None: no bar does, and the strong model is asked."""
    every, order = np.arange(len(chances)), bars(chances)
    limit = Limit("wrong", most, lambda bar: lost[every, cheapest_above(chances, bar)], True)
    proved = prove([limit], order, Sample([f"{run} {one}" for one in every]), 0.05).threshold
    kept = [bar for bar in order[:: max(1, len(order) // 200)].tolist() if limit.of(bar).mean() <= most]
    return proved, kept[-1] if kept else None


def judged(chosen: argparse.Namespace) -> str:
    """MT-Bench by routers that learnt who is right about routellm_mmlu, and by ones that learnt these questions, cross-fitted."""
    test, rows = questions(), []
    for name in chosen.ways:
        way = WAYS[name]
        vectors, recipe = encoder(chosen.work) if way.embedding else None, RECIPES[way.kind]
        data = known("routellm_mmlu", ("train", "dev"), way)
        features = fit_features(data.task, data.inputs, vectors)
        seen = features(data.inputs)
        model = recipe.fit(seen, data.quality, CHOSEN[name])
        rows.append([name, "routellm_mmlu", *judged_figures(model.chances(features(test.inputs)), test)])
        own = fit_features(test.task, test.inputs, vectors)(test.inputs)
        rows.append(
            [name, "these", *judged_figures(held_out(recipe, own, test.quality, 0, lambda share: None).chances, test)]
        )
        print(rows[-2:], file=sys.stderr, flush=True)
    weak, strong = test.quality.mean(axis=0)
    difference = test.quality[:, 1] - test.quality[:, 0]
    said = f"n = {len(test.inputs)} questions. Always {WEAK}: {weak:.4f}; always {STRONG}: {strong:.4f}; "
    said += f"{(difference > 0).sum()} questions better answered by the strong model, {(difference < 0).sum()} by the weak one."
    return said + "\n\n" + table(["way", "learnt from", *HEADS], rows)


def judged_figures(chances: Floats, test: Known) -> list[str]:
    return figures(cost_quality((WEAK, STRONG), chances, test.quality, COSTS, at=SHARES))


def questions() -> Known:
    """MT-Bench's questions: what the user said in both turns, and the mean score by 10 of either model, (n, 2)."""
    scores: dict[str, dict[str, list[float]]] = {}
    texts: dict[str, str] = {}
    for one in lines("routellm_mtbench", "test"):
        number = str(one["question_id"])
        scores.setdefault(number, {}).setdefault(one["model"], []).append(float(one["label"]) / 10)
        if int(one["turn"]) == 2:
            talk = one["text"].rpartition("<|The End of Reference Answer|>")[2]
            texts[number] = "\n\n".join(re.findall(r"### User:\n(.*?)\n\n### Assistant A:", talk, re.DOTALL))
    order = sorted(texts)
    quality = np.array([[float(np.mean(scores[one][name])) for name in (WEAK, STRONG)] for one in order])
    return Known(("text",), tuple({"text": texts[one]} for one in order), quality)


def streamed(learnt: Floats, chances: Floats, quality: Floats) -> str:
    """The same share kept without knowing the stream: a price fixed beforehand, and one that follows."""
    every, rows = np.arange(len(chances)), []
    order = np.random.default_rng(0).permutation(len(chances))
    hard = np.argsort(chances[:, 0])
    for share in SHARES:
        price = under_budget(learnt, COSTS, share).price
        for name, sequence in (("in random order", order), ("the hardest first", hard)):
            for step in (0.0, 0.005):
                pacer = RunningPrice(COSTS, share, price, step, 10 if step else float("inf"))
                choice = np.array([pacer.choose(chances[at]) for at in sequence.tolist()])
                right = quality[sequence][every, choice].mean()
                rows.append(
                    [f"{share:.0%}", name, "follows" if step else "fixed", f"{choice.mean():.3f}", f"{right:.3f}"]
                )
    bars = [
        [f"bar {bar}", "any", "-", f"{choice.mean():.3f}", f"{quality[every, choice].mean():.3f}"]
        for bar in (0.6, 0.7, 0.8)
        for choice in [cheapest_above(chances, bar)]
    ]
    head = ["strong calls, at most", "stream", "price", "strong calls", "accuracy"]
    return "On a stream, price from train and dev:\n\n" + table(head, rows + bars)


def offline(chances: Floats) -> str:
    """What the greedy choice loses to the best whole one, in expected accuracy."""
    every, said = np.arange(len(chances)), []
    for share in SHARES:
        greedy = under_budget(chances, COSTS, share)
        best = float(chances[every, exact(chances, COSTS, share)].mean())
        said.append(f"{share:.0%}: {greedy.quality:.6f} of {best:.6f} (bound {greedy.bound:.6f})")
    return f"Expected accuracy of the greedy choice beside the exact knapsack's: {'; '.join(said)}."


def speed(chosen: argparse.Namespace) -> str:
    """One input at a time on one thread: features, chances and the choice; of embeddings the encoder's part apart."""
    rows = []
    for name in chosen.ways:
        way = WAYS[name]
        data = known(chosen.dataset, ("dev",), way)
        made = (
            Ready(encoder(chosen.work), [data.task.input_text(one) for one in data.inputs]) if way.embedding else None
        )
        features, recipe = fit_features(data.task, data.inputs, made), RECIPES[way.kind]
        option = recipe.options[len(recipe.options) // 2]
        model = recipe.fit(features(data.inputs), data.quality, option)
        walls, computing = [], []
        for one in data.inputs[:1000]:
            begun, worked = time.perf_counter(), time.thread_time()
            cheapest_above(model.chances(features([one])), 0.7)
            computing.append(1000 * (time.thread_time() - worked))
            walls.append(1000 * (time.perf_counter() - begun))
        rows.append([name, f"{option:g}", f"{np.median(walls):.3f}"])
        rows[-1] += [f"{np.percentile(computing, p):.3f}" for p in (50, 90, 99)]
        rows[-1].append(
            f"{made.milliseconds(data.task.input_text(one) for one in data.inputs[:50]):.1f}" if made else "-"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    characters = np.percentile([len(data.task.input_text(one)) for one in data.inputs[:1000]], [50, 90])
    said = f"{chosen.dataset}, dev, {len(data.inputs):,} inputs of {characters[0]:.0f} characters at the median and "
    said += f"{characters[1]:.0f} at the 90th percentile. Embedding is not in the time of a decision.\n\n"
    heads = ["way", "option", "wall p50, ms", "computing p50, ms", "p90", "p99", "embedding apart, computing p50, ms"]
    return said + table(heads, rows)


class Ready:
    """An encoder whose vectors are at hand, so that what else a decision takes can be timed."""

    def __init__(self, encoder: Encoder, texts: Sequence[str]) -> None:
        self.encoder, self.width, self.identity = encoder, encoder.width, encoder.identity
        self.vectors = dict(zip(texts, encoder.encode(texts), strict=True))

    def encode(self, texts: Sequence[str]) -> Array:
        return np.stack([self.vectors[text] for text in texts])

    def milliseconds(self, texts: Iterable[str]) -> float:
        """What computing one vector takes, by the median."""
        found = []
        for text in texts:
            begun = time.process_time()
            self.encoder.encode([text])
            found.append(1000 * (time.process_time() - begun))
        return float(np.median(found))


HEADS = ["accuracy at 25 %", "at 50 %", "at 75 %", "area", "area less random's"]


def figures(curve: CostQuality) -> list[str]:
    return [*(shown(curve.at[share]["router"]) for share in SHARES), shown(curve.areas["router"]), shown(curve.gain)]


def shown(one: Estimate) -> str:
    return f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f})"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    made = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*made, *(f"| {' | '.join(row)} |" for row in rows)])


if __name__ == "__main__":
    sys.exit(main())
