"""What routers see of a text, and what they make of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.features import (
    BUCKETS,
    Features,
    Seen,
    counts,
    fit_features,
    load_features,
    terms,
    words_of,
)
from tutelage.routing.router.models import KINDS, Linear
from tutelage.routing.router.recipes import RECIPES, fit_boosting, fit_linear, held_out, log_loss
from tutelage.tasks.label import LabelTask
from tutelage.types import Input

TASK = LabelTask("sums", ("subject", "text"), "", labels=("yes", "no"))


def inputs(n: int = 200) -> list[Input]:
    """Every other text is a sum, and every third of subject "maths"."""
    texts = ["What is 12 + 7?", "Who wrote it?"]
    return [{"subject": "maths" if at % 3 == 0 else "art", "text": f"{texts[at % 2]} {at}"} for at in range(n)]


def quality(n: int = 200) -> Floats:
    """The first is right about words alone, the second about everything, the third about nothing."""
    return np.column_stack([np.arange(n) % 2, np.ones(n), np.zeros(n)]).astype(float)


@pytest.fixture(scope="module")
def features() -> Features:
    return fit_features(TASK, inputs())


@pytest.fixture(scope="module")
def seen(features: Features) -> Seen:
    return features(inputs())


def test_terms_are_words_and_pairs_in_their_order() -> None:
    assert len(terms(["one", "two"])[0]) == 3
    assert set(terms(["one", "two"])[0]) != set(terms(["two", "one"])[0])
    assert sorted(terms(["one", "one"])[1]) == [1, 2]
    assert terms([])[0].tolist() == []
    columns, times = terms(words_of("a b a b a \udc80 ?"))
    assert (np.diff(columns) > 0).all()
    assert times.sum() == 5 + 4


@pytest.mark.parametrize("text", ["", " ", "a", "日本語", "\udc80", "x = {1: 2};\nWhat is not known?"])
def test_counts_are_finite_for_any_text(text: str) -> None:
    assert np.isfinite(counts(text, words_of(text))).all()


def test_counts_are_of_the_characters_that_they_say() -> None:
    text = 'Is 12 + 7, "so" 19?'
    found = np.expm1(counts(text, words_of(text))).round().astype(int).tolist()
    assert found[:2] == [len(text), 5]
    assert found[5] == 3
    assert found[8:] == [5, 1, 5, 0, 1, 0, 1, 2, 1, 0, 0]


def test_a_row_of_terms_has_length_one_and_an_empty_text_zeros(features: Features) -> None:
    found = features([{"subject": "", "text": "a b c"}])
    assert np.square(found.terms.values).sum() == pytest.approx(1)
    assert (
        len(fit_features(LabelTask("t", ("text",), "", labels=("a", "b")), [{"text": ""}])([{"text": ""}]).terms.values)
        == 0
    )


def test_values_that_several_share_have_a_column(features: Features) -> None:
    assert set(features.values["subject"]) == {"maths", "art"}
    assert features.values["text"] == {}
    rows = features([{"subject": "art", "text": ""}, {"subject": "unknown", "text": ""}]).dense
    assert rows[0, -2:].tolist() == [1, 0]
    assert rows[1, -2:].tolist() == [0, 0]


def test_some_of_the_inputs_have_the_rows_they_had(seen: Seen) -> None:
    kept = seen.only(np.array([3, 0, 199]))
    for place, number in enumerate((3, 0, 199)):
        one = seen.only(np.array([number]))
        start, end = kept.terms.starts[place : place + 2]
        assert kept.terms.columns[start:end].tolist() == one.terms.columns.tolist()
    assert kept.texts[2] == seen.texts[199]
    assert len(seen.only(np.empty(0, np.int64)).texts) == 0


def test_features_come_back_from_their_facts_and_arrays(features: Features, seen: Seen) -> None:
    facts = json.loads(json.dumps(features.facts()))
    again = load_features(TASK, facts, features.arrays(), None)(inputs())
    assert (again.dense == seen.dense).all()
    assert (again.terms.values == seen.terms.values).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_who_is_right_and_comes_back_the_same(kind: str, seen: Seen, tmp_path: Path) -> None:
    recipe = RECIPES[kind]
    model = recipe.fit(seen, quality(), recipe.options[0])
    found = model.chances(seen)
    assert found.shape == (200, 3)
    assert ((found >= 0) & (found <= 1)).all()
    right = quality()[:, 0] == 1
    assert found[right, 0].min() > found[~right, 0].max()
    assert found[:, 1].min() > 0.9
    assert found[:, 2].max() < 0.1
    np.savez(tmp_path / "model.npz", allow_pickle=False, **model.arrays())  # type: ignore[attr-defined]
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        again = KINDS[kind].of(dict(stored), BUCKETS)
    assert (again.chances(seen) == found).all()


def test_trees_say_what_scikit_learns_say(seen: Seen) -> None:
    random = np.random.default_rng(0)
    right = (random.random(200) < 0.3 + 0.4 * quality()[:, 0]).astype(float)
    model = fit_boosting(seen, right[:, None], 20)
    theirs = GradientBoostingClassifier(
        n_estimators=20,
        learning_rate=0.05,
        max_depth=3,
        subsample=0.5,
        max_features="sqrt",
        min_samples_leaf=10,
        random_state=0,
    )
    # The same rows twice over, right ones first, as fitting lays them out.
    order = np.concatenate([np.flatnonzero(right), np.flatnonzero(right == 0)])
    theirs.fit(seen.dense[order], right[order].astype(bool), np.ones(200))
    assert model.chances(seen)[:, 0] == pytest.approx(theirs.predict_proba(seen.dense)[:, 1], abs=1e-5)


def test_a_quality_of_seven_tenths_is_learnt_as_such(seen: Seen) -> None:
    found = fit_linear(seen, np.full((200, 1), 0.7), 0.1).chances(seen)
    assert found == pytest.approx(np.full((200, 1), 0.7), abs=0.01)


def test_nobody_is_certain_who_was_always_right(seen: Seen) -> None:
    found = fit_linear(seen, np.ones((200, 1)), 1.0).chances(seen)
    assert (found < 1).all()
    assert found[0, 0] == pytest.approx(200.5 / 201)


def test_what_is_held_out_was_not_learnt(seen: Seen) -> None:
    """Of coins nothing can be learnt, whatever a model says of those it has seen."""
    coins = np.random.default_rng(3).integers(0, 2, (200, 1)).astype(float)
    told: list[float] = []
    found = held_out(RECIPES["linear"], seen, coins, 0, told.append)
    assert found.numbers.tolist() == list(range(200))
    assert log_loss(found.chances, coins) > 0.68
    assert found.option == min(RECIPES["linear"].options)
    assert told[-1] == pytest.approx(1)
    once = held_out(RECIPES["linear"]._replace(rounds=1), seen, coins, 0, told.append)
    assert len(once.numbers) == 40


def test_a_sparse_model_keeps_the_terms_it_uses() -> None:
    sparse = np.zeros((BUCKETS, 1), np.float32)
    sparse[7] = 1
    assert len(Linear(sparse, np.zeros((0, 1), np.float32), np.zeros(1, np.float32)).arrays()["sparse"]) == 1
