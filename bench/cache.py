"""The caches: microseconds of the exact one; of the semantic one what it gives within a budget of 2 % wrong, beside others.

    OMP_NUM_THREADS=1 python -m bench.cache --work FOLDER [--gptcache PYTHON]     # 4 minutes; appends to bench/LOG.md

semantic_cache_advising: pairs of questions, and whether one answer serves both. Each pair is a scope of its own: its first
question is kept, then its second one is asked, so that the truth about every hit is known; what is learnt from one pair
serves the next, so the order matters, and the figures are means over orders drawn with fixed seeds. `--gptcache` is the Python
of an environment with gptcache and faiss-cpu, which want other versions than ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from bench.projects import lines, write_log
from tutelage.embeddings.runtime import Array
from tutelage.embeddings.stored import stored_encoder
from tutelage.gateway.cache import Entry, Hit, open_cache
from tutelage.gateway.cache.checks import Words, difference, read_words
from tutelage.gateway.cache.evidence import LEAST, Observation, fit_curve
from tutelage.gateway.cache.semantic import Choices, SemanticCache
from tutelage.gateway.settings import Cache as CacheSettings
from tutelage.gateway.settings import SemanticCache as SemanticSettings

DATASET, BUDGET, ORDERS, REASK = "semantic_cache_advising", 0.02, 5, 0.05
MODEL, ENTRY = "advisor", Entry(b"{}", "advisor", 0.0)


class Pair(NamedTuple):
    """Two questions, whether one answer serves both, of which kind the pair is, and their cosine."""

    kept: str
    asked: str
    right: bool
    kind: str
    similarity: float


@dataclass
class Outcome:
    """What one order gave: pairs asked, hits and wrong ones, by kind; and what was asked again."""

    asked: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    reasked: tuple[int, int] = (0, 0)
    first: int | None = None

    def count(self, pair: Pair, *, hit: bool) -> None:
        self.asked += 1
        if hit:
            self.first = self.first if self.first is not None else self.asked
            self.hits[pair.kind] += 1
            self.wrong[pair.kind] += not pair.right


class Inline(SemanticCache):
    """The shipped cache without its thread, whose hand-overs would take longer than the rest."""

    async def _run(self, work: Callable[[], Any]) -> Any:
        return work()


class Known:
    """The encoder's vectors, computed once."""

    def __init__(self, vectors: dict[str, Array], identity: str) -> None:
        self.vectors, self.identity = vectors, identity
        self.width = len(next(iter(vectors.values())))

    def encode(self, texts: Sequence[str]) -> Array:
        return np.stack([self.vectors[text] for text in texts])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoder", default="weights/minilm")
    parser.add_argument("--gptcache", type=Path, help="the Python of an environment with gptcache and faiss-cpu")
    options = parser.parse_args()
    start = time.monotonic()
    rows = {split: lines(DATASET, split) for split in ("train", "dev", "test")}
    encoder = stored_encoder(options.encoder, Path, options.work / "encoders", threads=1)
    texts = sorted({row[name] for split in rows.values() for row in split for name in ("text", "text_b")})
    known = Known(dict(zip(texts, encoder.encode(texts), strict=True)), encoder.identity)
    pairs = {split: [_pair(row, known) for row in found] for split, found in rows.items()}
    body = "\n".join(
        [semantic(pairs, known, options.gptcache, options.work), curves(pairs["test"]), exact(options.work), NOTES]
    )
    where = f"{time.monotonic() - start:.0f} s; Python {platform.python_version()}, {os.cpu_count()} shared cores."
    write_log(f"caches: {DATASET}, budget {BUDGET:.0%}", f"{body}\n\n{where}")
    return 0


NOTES = """- Wrong hits: of the answers given, those that were wrong; the interval (95 %, Clopper and Pearson) is an average
  order's, since the orders ask the same pairs. Hit rate: of all pairs asked; 41.5 % of the test pairs have one answer.
- "After train": what was observed on train and dev pairs, whose templates are others, is known before the first test pair, as
  in a gateway that has run for a while. Thresholds are chosen on dev: the least with at most 2 % wrong hits there.
- A pair is a scope of its own, so questions do not compete for the nearest place here, and each is asked about once: curves of
  single questions have nothing to go on, neither vCache's nor ours."""


def semantic(pairs: dict[str, list[Pair]], known: Known, peer: Path | None, work: Path) -> str:
    """The table of what each way gives on test."""
    test, before = pairs["test"], pairs["train"] + pairs["dev"]
    plain = tuned(pairs["dev"], lambda _a, _b: None)
    checked = tuned(pairs["dev"], difference)
    ways: list[tuple[str, list[Outcome]]] = [
        (f"cosine of at least {plain:.3f}, chosen on dev", [fixed(test, plain, lambda _a, _b: None)]),
        (f"the same with our checks, {checked:.3f}", [fixed(test, checked, difference)]),
    ]
    ways += [
        (f"GPTCache, threshold {at:.3f} ({why})", [found])
        for at, why, found in gptcache(test, plain, known, peer, work)
    ]
    ways.append(("vCache's rule: a curve for each question, 2 % of requests", orders(lambda seed: vcache(test, seed))))
    for name, check in (("ours without the checks", lambda _a, _b: None), ("ours", difference)):
        for when, first in (("from nothing", []), ("after train", before)):
            ways.append(
                (f"{name}, {when}", orders(lambda seed, c=check, f=first: asyncio.run(ours(test, f, known, c, seed))))
            )
    rows = [
        "| asked about the test pairs | hit rate | wrong hits (95 %) | estimated by asking again | first hit after |",
        "|---|---|---|---|---|",
        *(_row(name, found) for name, found in ways),
        "",
        "| hits (wrong) by kind, mean of orders | " + " | ".join(kinds := sorted({pair.kind for pair in test})) + " |",
        "|---" * (len(kinds) + 1) + "|",
        *(_kinds(name, found, kinds) for name, found in ways),
    ]
    return "\n".join(rows) + "\n"


def tuned(dev: Sequence[Pair], check: Callable[[Words, Words], str | None]) -> float:
    """The least cosine at which at most BUDGET of the hits on `dev` are wrong."""
    for least in sorted({pair.similarity for pair in dev}):
        found = fixed(dev, least, check)
        if found.wrong.total() <= BUDGET * found.hits.total():
            return least
    return 1.0


def fixed(pairs: Sequence[Pair], least: float, check: Callable[[Words, Words], str | None]) -> Outcome:
    outcome = Outcome()
    for pair in pairs:
        hit = pair.similarity >= least and not check(read_words(pair.asked), read_words(pair.kept))
        outcome.count(pair, hit=hit)
    return outcome


def orders(run: Callable[[int], Outcome]) -> list[Outcome]:
    return [run(seed) for seed in range(ORDERS)]


async def ours(
    test: Sequence[Pair], before: Sequence[Pair], known: Known, check: Callable[[Words, Words], str | None], seed: int
) -> Outcome:
    """The shipped cache: each pair's first question is kept, then its second is asked."""
    semantic = SemanticSettings(error_budget=BUDGET, encoder="known", models=[MODEL], reask=REASK, size=100_000)
    cache = Inline(CacheSettings(semantic=semantic, ttl=1e9), known, None, Choices(seed=seed, difference=check))
    outcome, chance = Outcome(), random.Random(seed)
    for part, counted in ((list(before), False), (list(test), True)):
        chance.shuffle(part)
        before_test = cache.stats.reasked, cache.stats.reasked_wrong
        for number, pair in enumerate(part):
            scope = f"{counted} {number}"
            first = await cache.lookup(MODEL, pair.kept, scope)
            await cache.learn(first.token, ENTRY, "answer")
            found = await cache.lookup(MODEL, pair.asked, scope)
            if not isinstance(found, Hit):
                await cache.learn(found.token, ENTRY, "answer" if pair.right else "another")
            if counted:
                outcome.count(pair, hit=isinstance(found, Hit))
    outcome.reasked = (cache.stats.reasked - before_test[0], cache.stats.reasked_wrong - before_test[1])
    await cache.close()
    return outcome


def vcache(test: Sequence[Pair], seed: int) -> Outcome:
    """The paper's rule: of a question with a curve the answer is given with probability d / (1 - alpha)."""
    chance, outcome = random.Random(seed), Outcome()
    shuffled = list(test)
    chance.shuffle(shuffled)
    own: dict[str, list[Observation]] = {}
    for pair in shuffled:
        seen = own.setdefault(pair.kept, [])
        hit = len(seen) >= LEAST and chance.random() < BUDGET / max(1e-9, 1 - fit_curve(seen).bound(pair.similarity))
        outcome.count(pair, hit=hit)
        if not hit:
            seen.append(Observation(pair.similarity, pair.right))
    return outcome


def gptcache(
    test: Sequence[Pair], cosine: float, known: Known, peer: Path | None, work: Path
) -> list[tuple[float, str, Outcome]]:
    """GPTCache with the same vectors, at its default and at the threshold chosen on dev; its scores are (1 + cosine) / 2."""
    if peer is None or not peer.is_file():
        print("SKIPPED: GPTCache. Give --gptcache the Python of an environment with gptcache and faiss-cpu.")
        return []
    file, vectors = work / "pairs.json", known.vectors
    file.write_text(json.dumps([[vectors[one.kept].tolist(), vectors[one.asked].tolist()] for one in test]))
    thresholds = {0.8: "its default", (1 + cosine) / 2: "chosen on dev"}
    script = Path(__file__).with_name("cache_gptcache.py")
    ran = subprocess.run([peer, script, file, *map(str, thresholds)], stdout=subprocess.PIPE, text=True, check=True)
    found = []
    for (at, why), hits in zip(thresholds.items(), json.loads(ran.stdout.splitlines()[-1]), strict=True):
        outcome = Outcome()
        for pair, hit in zip(test, hits, strict=True):
            outcome.count(pair, hit=bool(hit))
        found.append((at, why, outcome))
    return found


def curves(test: Sequence[Pair]) -> str:
    """How often one answer serves both, by cosine, with and without the checks."""
    passed = [pair for pair in test if not difference(read_words(pair.asked), read_words(pair.kept))]
    edges = (1.01, 0.95, 0.9, 0.85, 0.8, 0.7, 0.5, -1.0)
    lines = ["| cosine of test pairs | all | wrong | pass the checks | wrong |", "|---|---|---|---|---|"]
    for high, low in pairwise(edges):
        cells = []
        for part in (test, passed):
            inside = [pair.right for pair in part if low <= pair.similarity < high]
            cells += [f"{len(inside)}", f"{len(inside) - sum(inside)}"]
        lines.append(f"| {max(low, 0):.2f} to {min(high, 1):.2f} | {' | '.join(cells)} |")
    right = sum(pair.right for pair in test)
    kept = sum(pair.right for pair in passed)
    lines.append(
        f"\nThe checks refuse {len(test) - right - len(passed) + kept} of {len(test) - right} pairs with different"
    )
    lines.append(f"answers and {right - kept} of {right} with one.\n")
    return "\n".join(lines)


def exact(work: Path) -> str:
    """Microseconds of a call, the median of 5 rounds."""
    question = "Which courses about databases may undergraduates take with Professor Mars in Spring? " * 3
    system = {"role": "system", "content": "You answer students' questions about courses. " * 10}
    body = {"model": "gpt", "messages": [system, {"role": "user", "content": question}], "temperature": 0}
    rows = ["| exact cache, microseconds | key | get | put | once (a hit) |", "|---|---|---|---|---|"]
    for kind in ("memory", "sqlite", "redis"):
        url = os.environ.get("TUTELAGE_TEST_REDIS", "")
        if kind == "redis" and not url:
            print("SKIPPED: Redis. Set TUTELAGE_TEST_REDIS.")
            continue
        rows.append(f"| {kind} | " + " | ".join(asyncio.run(_timed(kind, url, work, body))) + " |")
    return "\n".join(rows) + "\n"


async def _timed(kind: Any, url: str, work: Path, body: dict[str, Any]) -> list[str]:
    cache = open_cache(CacheSettings(kind=kind), url, work)
    assert cache is not None
    entry = Entry(b'{"choices": [{"message": {"content": "' + b"x" * 1000 + b'"}}]}', "gpt", time.time())
    key = cache.key(body, "chat")
    assert key is not None

    async def made() -> Entry:
        return entry

    calls: list[Callable[[], Any]] = [
        lambda: cache.get(key),
        lambda: cache.put(key, entry),
        lambda: cache.once(key, made),
    ]
    count = 20_000 if kind == "memory" else 1000
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            cache.key(body, "chat")
        spent = [time.perf_counter() - start]
        for call in calls:
            start = time.perf_counter()
            for _ in range(count):
                await call()
            spent.append(time.perf_counter() - start)
        rounds.append(spent)
    await cache.close()
    return [f"{sorted(one)[2] / count * 1e6:.1f}" for one in zip(*rounds, strict=True)]


def _pair(row: dict[str, Any], known: Known) -> Pair:
    similarity = round(float(known.vectors[row["text"]] @ known.vectors[row["text_b"]]), 6)
    return Pair(row["text"], row["text_b"], row["label"] == "equivalent", row["kind"], similarity)


def _row(name: str, found: Sequence[Outcome]) -> str:
    hits, wrong = fmean(one.hits.total() for one in found), fmean(one.wrong.total() for one in found)
    rates = [one.hits.total() / one.asked for one in found]
    spread = f" ({min(rates):.1%} to {max(rates):.1%})" if len(found) > 1 else ""
    shown = "no hit"
    if hits >= 0.5:
        interval = binomtest(round(wrong), round(hits)).proportion_ci()
        shown = f"{wrong / hits:.2%} ({interval.low:.2%} to {interval.high:.2%}), {wrong:.1f} of {hits:.1f}"
    again = [sum(one.reasked[at] for one in found) / len(found) for at in (0, 1)]
    estimated = f"{again[1]:.1f} of {again[0]:.1f}" if again[0] else ""
    firsts = [one.first for one in found if one.first is not None and len(found) > 1]
    return (
        f"| {name} | {fmean(rates):.1%}{spread} | {shown} | {estimated} | {f'{fmean(firsts):.0f}' if firsts else ''} |"
    )


def _kinds(name: str, found: Sequence[Outcome], kinds: Sequence[str]) -> str:
    cells = [
        f"{fmean(one.hits[kind] for one in found):.1f} ({fmean(one.wrong[kind] for one in found):.1f})"
        for kind in kinds
    ]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
