from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import hypergeom

from tutelage.evaluation.estimates import Estimate
from tutelage.project import open_project
from tutelage.review.audit import Judged, audited, audits
from tutelage.review.finite import interval, limits
from tutelage.review.orders import AUDIT, audit_order
from tutelage.store import Decision
from tutelage.types import Example, Label

TOML = 'name = "mood"\noutput = "label"\nlabels = ["happy", "sad"]\nfields = ["text"]\ninstructions = "Mood?"\n'


def coverage(n: int, population: int, right: int, coins: Sequence[float]) -> float:
    """The exact probability that the interval of an audit covers the true number, over all outcomes and these coins."""
    outcomes = np.arange(n + 1)
    chances = hypergeom.pmf(outcomes, population, right, n)
    covered = 0.0
    for seen in outcomes[chances > 1e-5].tolist():
        for coin in coins:
            low, high = limits(seen, n, population, coin)
            covered += chances[seen] * (low <= right <= high) / len(coins)
    return covered


@pytest.mark.parametrize(("n", "population"), [(30, 500), (60, 2000)])
@pytest.mark.parametrize("share", [0.7, 0.9, 0.97, 0.99])
def test_the_interval_covers_93_to_97_percent(n: int, population: int, share: float) -> None:
    assert 0.93 <= coverage(n, population, round(share * population), [0.125, 0.375, 0.625, 0.875]) <= 0.97


def test_a_thousand_simulated_audits() -> None:
    population, n, right = 600, 50, 564
    judged = {f"{at}": Judged("teacher:m@1", seen=True, right=at < right, by_audit=True) for at in range(population)}
    chance, hit = random.Random(7), 0
    for _ in range(1000):
        names = [f"{chance.getrandbits(64):x}" for _ in range(population)]
        order = set(audit_order(names, AUDIT)[:n])
        some = {
            name: one if name in order else replace(one, seen=False, right=None, by_audit=False)
            for name, one in zip(names, judged.values(), strict=True)
        }
        found = audited("all", some)
        assert found.audited == n and found.accuracy and found.rest
        rest = (right - found.right) / (population - n)
        covered = found.accuracy.low <= right / population <= found.accuracy.high
        assert (found.rest.low <= rest <= found.rest.high) == covered  # one is the other less known numbers
        hit += covered
    assert 930 <= hit <= 970


def test_limits_are_those_of_trying_every_number() -> None:
    for right, n, population, coin in [(27, 30, 500, 0.2), (30, 30, 400, 0.7), (0, 12, 60, 0.5), (95, 100, 900, 0.9)]:
        kept = []
        for number in range(right, population - (n - right) + 1):
            chances = hypergeom.pmf(np.arange(n + 1), population, number, n)
            less = chances[chances < chances[right] * (1 - 1e-7)].sum()
            alike = chances[np.isclose(chances, chances[right], rtol=1e-7, atol=0)].sum()
            if less + coin * alike >= 0.05:
                kept.append(number)
        assert limits(right, n, population, coin) == (kept[0], kept[-1])


def test_an_audit_of_everything_is_no_estimate() -> None:
    found = interval(3, 4, 4, 0.5)
    assert (found.value, found.low, found.high) == (0.75, 0.75, 0.75)


def judged(order: Sequence[str], said: str, **more: object) -> dict[str, Judged]:
    """Labels in the audit's order: r(ight), w(rong), s(kipped) and not seen (.) ones; upper case: through another order."""
    rights = {"r": True, "w": False, "s": None, ".": None}
    return {
        id: Judged("t", seen=letter != ".", right=rights[letter.lower()], by_audit=letter.islower())
        for id, letter in zip(order, said, strict=True)
    }


IDS = audit_order([str(number) for number in range(12)], AUDIT)


def test_the_sample_is_the_decided_front_of_the_order() -> None:
    found = audited("t", judged(IDS, "rrWr.wrr...."))
    assert (found.audited, found.right, found.unreviewed) == (4, 3, 5)
    assert found.accuracy and found.accuracy.value == 0.75
    assert found.rest and found.rest.value == pytest.approx((9 - 5) / 5)  # 9 right ones expected, 5 known
    assert audited("t", judged(IDS, "rrWW.wrr....")).audited == 2  # no further than the audit went
    none = audited("t", judged(IDS, "RR.WWWWW...."))
    assert (none.audited, none.accuracy, none.rest) == (0, None, None)
    everything = audited("t", judged(IDS, "RRRRRRRRRWWW"))
    assert (everything.accuracy, everything.rest) == (Estimate(0.75, 0.75, 0.75), None)


def test_what_was_known_before_is_counted_and_not_estimated() -> None:
    ids = audit_order([str(number) for number in range(400)], AUDIT)
    some = judged(ids, "r" * 57 + "w" * 3 + "." * 340)
    known = {f"k{at}": Judged("t", seen=True, right=at % 2 == 0, before=True) for at in range(100)}
    found = audited("t", some | known)
    assert (found.labels, found.known, found.audited, found.right) == (500, 100, 60, 57)
    assert found.accuracy and found.accuracy.value == pytest.approx((50 + 380) / 500)
    assert found.rest and found.rest.value == pytest.approx(0.95)
    alone = audited("t", some)
    assert alone.rest == found.rest


def test_the_skipped_widen_the_interval_to_both_sides() -> None:
    ids = audit_order([str(number) for number in range(300)], AUDIT)
    plain = audited("t", judged(ids, "r" * 45 + "w" * 5 + "." * 250)).accuracy
    skipping = audited("t", judged(ids, "r" * 40 + "w" * 5 + "s" * 5 + "." * 250))
    assert plain and skipping.accuracy
    assert (skipping.audited, skipping.skipped) == (50, 5)
    assert skipping.accuracy.value == pytest.approx(40 / 45)
    assert skipping.accuracy.low < plain.low
    assert skipping.accuracy.high == pytest.approx(plain.high)


def test_from_the_store(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(TOML)
    project = open_project(tmp_path)
    store = project.store
    examples = [Example(f"e{number}", {"text": f"text {number}"}, "train") for number in range(40)]
    store.examples.add(examples)
    store.labels.add([Label(one.id, "sad", f"teacher:m@{int(one.id[1:]) % 2}") for one in examples])
    store.labels.add([Label("e0", "happy", "human:ann")])  # before the audit
    order = [id for id in audit_order([one.id for one in examples], AUDIT) if id != "e0"]
    for number, id in enumerate(order[:10]):
        verdict = "edit" if number == 0 else "reject" if number == 1 else "skip" if number == 2 else "accept"
        value = {"edit": "happy", "accept": "sad"}.get(verdict)
        facts: dict[str, Any] = {"annotator": "ann", "verdict": verdict, "queue": AUDIT}
        made = Decision(id=str(number), example_id=id, value=value, suggestion="sad", **facts)
        labels = [] if verdict == "skip" else [Label(id, value or "sad", "human:ann")]
        if verdict == "reject":
            labels = [Label(id, "sad", "human:ann", status="rejected")]
        store.decisions.add(made, labels)
    everything, *by_source = audits(project, "train")
    assert (everything.labels, everything.known, everything.audited) == (40, 1, 10)
    assert (everything.right, everything.skipped, everything.unreviewed) == (7, 1, 30)
    assert [one.source for one in by_source] == ["teacher:m@0", "teacher:m@1"]
    assert sum(one.audited for one in by_source) <= 10
    assert sum(one.known for one in by_source) == 1
    store.close()


def test_nothing_to_audit(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(TOML)
    project = open_project(tmp_path)
    assert audits(project, "train") == []
    project.store.close()
