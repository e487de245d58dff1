"""The novelty gate: p-values that keep their promise, and inputs of another kind that are noticed."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.letters import Letters

from tutelage.errors import DataError, StoreError, UnknownName
from tutelage.routing import nearness
from tutelage.routing.nearness import KINDS, frame_terms, near_texts
from tutelage.routing.novelty import Gate, View, fit_gate, load_gate

NAMES = ("Ada", "Bert", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hal", "Ida", "Jo")
THINGS = ("bolts", "lamps", "paper", "tyres", "flour", "glass", "tea", "rope")


def letters(n: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [
        f"Dear {chance.choice(NAMES)},\nplease find the invoice over {chance.randint(10, 9999)} euros for "
        f"{chance.choice(THINGS)}.\nKind regards\n{chance.choice(NAMES)}"
        for _ in range(n)
    ]


def receipts(n: int, seed: int) -> list[str]:
    """The same names and things in another layout."""
    chance = random.Random(seed)
    return [
        f"RECEIPT #{chance.randint(100, 999)} | {chance.choice(THINGS)} | {chance.choice(NAMES)} | "
        f"total = {chance.randint(10, 9999)}"
        for _ in range(n)
    ]


def both(gate: Gate, texts: Sequence[str]) -> tuple[list[float], list[float]]:
    return gate.scores(texts).tolist(), gate.p_values(texts).tolist()


def test_another_layout_is_noticed_and_the_same_one_is_not() -> None:
    gate = fit_gate(letters(150, 1), letters(200, 2))
    assert (gate.p_values(receipts(40, 3)) <= 0.05).all()
    assert (gate.p_values(letters(300, 4)) <= 0.05).mean() < 0.1


def test_words_never_seen_are_noticed_in_a_known_layout() -> None:
    gate = fit_gate(letters(150, 1), letters(200, 2), kinds=["characters"])
    strange = [text.replace("invoice", "zygomorphic xylophone") for text in letters(20, 5)]
    assert (gate.p_values(strange) <= 0.05).mean() > 0.9


def test_p_values_are_no_smaller_than_chance_allows() -> None:
    """Over draws of held-out texts and new ones of the same source: P(p <= rate) is at most rate."""
    rates, counts, draws = (0.05, 0.2, 0.5), np.zeros(3), 60
    for seed in range(draws):
        texts = letters(99, 100 + seed)
        gate = fit_gate(letters(60, 7), texts[:59], kinds=["frame"])
        found = gate.p_values(texts[59:])
        counts += [(found <= rate).mean() for rate in rates]
    for rate, count in zip(rates, counts, strict=True):
        assert count / draws <= rate + 3 * np.sqrt(rate * (1 - rate) / draws)


USUAL = np.array([1.0, 2.0, 3.0])


class Fixed:
    """A nearness whose distances are written in the texts."""

    def distances(self, texts: Sequence[str], skip: int = 0) -> np.ndarray:
        return np.array([float(text) for text in texts])

    def arrays(self) -> dict[str, np.ndarray]:
        return {}


def holding(held_out: Sequence[int]) -> Gate:
    view = View(Fixed(), USUAL)
    return Gate({"fixed": view}, np.sort(view.scores(list(map(str, held_out)))))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 5))
def test_a_p_value_counts_the_held_out_at_or_above(held_out: list[int], new: int) -> None:
    [found] = holding(held_out).p_values([str(new)])
    assert found == pytest.approx((1 + sum(one >= new for one in held_out)) / (len(held_out) + 1))


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_p_values_of_exchangeable_scores_are_super_uniform(scores: list[int]) -> None:
    """Each score in turn as the new one: at most the share `rate` of them gets p <= rate, exactly, whatever the ties."""
    found = []
    for at, new in enumerate(scores):
        found += holding(scores[:at] + scores[at + 1 :]).p_values([str(new)]).tolist()
    for rate in sorted(set(found)):
        assert np.mean(np.array(found) <= rate + 1e-12) <= rate + 1e-12


def test_a_gate_is_saved_without_pickle_and_loaded_the_same(tmp_path: Path) -> None:
    gate, texts = fit_gate(letters(80, 1), letters(60, 2)), [*letters(5, 8), *receipts(5, 8), "", "\ud800 lone", "🦜"]
    gate.save(tmp_path / "gate")
    loaded = load_gate(tmp_path / "gate")
    assert both(loaded, texts) == both(gate, texts) and loaded.fingerprint() == gate.fingerprint()
    assert sorted(path.name for path in (tmp_path / "gate").iterdir()) == ["gate.json", "gate.npz"]
    assert gate.fingerprint() != fit_gate(letters(80, 9), letters(60, 2)).fingerprint()


def test_an_encoders_gate_needs_that_encoder(tmp_path: Path) -> None:
    encoder = Letters()
    gate = fit_gate(letters(80, 1), letters(60, 2), encoder=encoder)
    assert list(gate.views) == ["frame", "embedding"] and gate.encoder == encoder.identity
    gate.save(tmp_path)
    assert both(load_gate(tmp_path, encoder), receipts(5, 1)) == both(gate, receipts(5, 1))
    with pytest.raises(StoreError, match="another encoder"):
        load_gate(tmp_path)


@pytest.mark.parametrize("damage", ["no folder", "no arrays", "no JSON", "another version", "an unknown kind", "cut"])
def test_a_gate_that_is_damaged_is_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "gate"
    if damage != "no folder":
        fit_gate(letters(80, 1), letters(60, 2)).save(folder)
    facts = folder / "gate.json"
    if damage == "no arrays":
        (folder / "gate.npz").unlink()
    if damage == "no JSON":
        facts.write_text("[")
    if damage == "another version":
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"version": 99}))
    if damage == "an unknown kind":
        facts.write_text(facts.read_text().replace('"frame"', '"mood"'))
    if damage == "cut":
        (folder / "gate.npz").write_bytes((folder / "gate.npz").read_bytes()[:200])
    with pytest.raises(StoreError, match="cannot be read"):
        load_gate(folder)


def test_a_part_of_the_texts_is_held_out_where_none_are_given() -> None:
    gate = fit_gate(letters(100, 1))
    assert len(gate.held_out) == 20 and both(gate, letters(3, 2)) == both(fit_gate(letters(100, 1)), letters(3, 2))


def test_the_way_to_see_texts_is_chosen_by_groups_left_out() -> None:
    texts = [f"{shape} {text}" for shape in "abcdefgh" for text in letters(20, ord(shape))]
    framed = [(text.replace("\n", f" {shape}{shape} "), shape) for text in texts for shape in text[0]]
    gate = fit_gate([text for text, _ in framed], groups=[shape for _, shape in framed])
    assert list(gate.views) == ["frame"]
    with pytest.raises(DataError, match="2 groups cannot be left out"):
        fit_gate(letters(80, 1), groups=["a", "b"] * 40)


def test_too_few_texts_or_none_in_common() -> None:
    with pytest.raises(DataError, match="19 held-out texts or more"):
        fit_gate(letters(50, 1))
    with pytest.raises(DataError, match="found 30 and 1"):
        fit_gate(["one text"], letters(30, 1))
    with pytest.raises(DataError, match="no characters in common"):
        fit_gate(["dim", "fog", "lux"], letters(30, 1))
    assert list(fit_gate(["alphabet", "alphorn", "betel"], letters(30, 1)).views) == ["characters"]
    for kinds in (["mood"], [], ["embedding"]):
        with pytest.raises(UnknownName, match="way to see texts"):
            fit_gate(letters(80, 1), letters(60, 2), kinds=kinds)


def test_no_text_at_all_is_as_new_as_can_be() -> None:
    gate = fit_gate(letters(80, 1), letters(60, 2), kinds=["frame"])
    assert gate.p_values([]).shape == (0,) and gate.p_values(["", "?"]) == pytest.approx([1 / 61, 1 / 61])


def test_of_many_texts_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.routing.novelty.MOST_KNOWN", 40)
    monkeypatch.setattr("tutelage.routing.novelty.MOST_HELD_OUT", 30)
    gate = fit_gate(letters(200, 1), letters(100, 2), kinds=["frame"])
    assert len(gate.held_out) == 30 and gate.views["frame"].near.arrays()["texts"] == 40
    monkeypatch.setattr(nearness, "MOST_TERMS", 500)
    assert near_texts("characters", letters(100, 1)).arrays()["texts"] < 40


def test_a_frame_is_runs_of_words_and_marks_with_all_numbers_alike() -> None:
    assert list(frame_terms("No. 12\nA")) == [
        *("no", ".", "0", "\n", "a"),
        *("no .", ". 0", "0 \n", "\n a"),
        *("no . 0", ". 0 \n", "0 \n a"),
    ]
    assert set(KINDS) == {"frame", "characters"}
