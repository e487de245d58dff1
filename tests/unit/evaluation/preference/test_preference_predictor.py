"""The predictor learns from the input where it says something, and is Bradley-Terry where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.embeddings.runtime import Array
from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.preference import predictor
from tutelage.evaluation.preference.domains import domain_count, find_domains
from tutelage.evaluation.preference.held import compared, cross_validated
from tutelage.evaluation.preference.leaderboard import Options, make_leaderboard
from tutelage.evaluation.preference.matches import Match, Matches, tabulate
from tutelage.evaluation.preference.predictor import fit_predictor, log_loss, plain, with_ridge
from tutelage.evaluation.preference.vectors import fit_vectors

TOPICS = {"code": "write a python function that sorts numbers", "poem": "compose a poem about the autumn sea"}


def two_topics(n: int = 120, seed: int = 0, told: bool = True) -> Matches:
    """`coder` wins on code, `poet` on poems, nine times out of ten; with `told` False the inputs do not say which is which."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(n):
        topic = rng.choice(list(TOPICS))
        better = rng.random() < 0.9
        code = (topic == "code") == better
        text = f"{TOPICS[str(topic)]} {rng.integers(10**6)}" if told else f"please do task number {at}"
        found.append(Match(text, "coder", "poet", "a" if code else "b"))
        found.append(Match(text, "poet", "weak", "tie" if rng.random() < 0.2 else "a" if rng.random() < 0.8 else "b"))
    return Matches("a simulation", tuple(found))


def test_the_input_decides_where_it_says_who_is_better() -> None:
    matches = two_topics()
    table = tabulate(matches.matches)
    vectors = fit_vectors(table.inputs)
    found = fit_predictor(table, vectors(table.inputs))
    assert found.ridge is not None
    coder, poet = table.models.index("coder"), table.models.index("poet")
    at = vectors(["write a python function", "compose a poem"])
    chances = found.predict(at, np.array([coder, coder]), np.array([poet, poet]))
    assert chances[0, 0] > 0.6 and chances[1, 1] > 0.6
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    flipped = found.predict(at, np.array([poet, poet]), np.array([coder, coder]))
    np.testing.assert_allclose(flipped, chances[:, [1, 0, 2]])


def test_held_accuracy_beside_bradley_terry_on_the_same_matches() -> None:
    table = tabulate(two_topics().matches)
    found = cross_validated(table, fit_vectors(table.inputs)(table.inputs))
    assert found is not None and (found.n, found.inputs) == (240, 120)
    assert found.accuracy.low > 0 and found.brier.high < 0
    assert found.predictor.accuracy.value - found.bradley_terry.accuracy.value == pytest.approx(found.accuracy.value)
    assert found.predictor.decided is not None and found.predictor.decided.value > 0.7


def test_it_is_bradley_terry_where_the_input_says_nothing() -> None:
    table = tabulate(two_topics(told=False).matches)
    rows = fit_vectors(table.inputs)(table.inputs)
    found = fit_predictor(table, rows)
    assert found.ridge is None
    base = plain(table, rows.shape[1])
    np.testing.assert_array_equal(
        found.predict(rows[table.input], table.a, table.b), base.base.probabilities(table.a, table.b)
    )
    held = cross_validated(table, rows)
    assert held is not None and None in held.ridges and abs(held.brier.value) < 0.002


def test_too_few_inputs_are_bradley_terry_too() -> None:
    table = tabulate(two_topics(6).matches)
    rows = fit_vectors(table.inputs)(table.inputs)
    assert fit_predictor(table, rows).ridge is None and cross_validated(table, rows) is None


def test_a_great_ridge_goes_to_bradley_terry_and_the_fit_is_a_minimum() -> None:
    table = tabulate(two_topics().matches)
    rows = fit_vectors(table.inputs)(table.inputs)
    base = plain(table, rows.shape[1])
    stiff = with_ridge(table, rows, base.base, 1e9)
    assert np.abs(stiff.weights).max() < 1e-5
    found = with_ridge(table, rows, base.base, 3.0)

    def loss(flat: Floats) -> float:
        weights, ties = flat[: found.weights.size].reshape(found.weights.shape), flat[found.weights.size :]
        model = predictor.PreferencePredictor(base.base, weights, ties, 3.0)
        return float(
            log_loss(model.predict(rows[table.input], table.a, table.b), table.outcome).sum() + 1.5 * (flat @ flat)
        )

    flat = np.concatenate([found.weights.ravel(), found.tie_weights])
    rng = np.random.default_rng(0)
    for _ in range(10):
        assert loss(flat + 0.01 * rng.normal(size=flat.shape)) > loss(flat)


def test_vectors_of_an_encoder_and_of_inputs_that_do_not_differ() -> None:
    class Two:
        width, identity = 2, "two"

        def encode(self, texts: list[str]) -> Array:
            return np.array([[len(text), 1] for text in texts], np.float32)

    vectors = fit_vectors(["a", "bb", "ccc"], Two())  # type: ignore[arg-type]
    rows = vectors(["a", "bb", "ccc"])
    assert rows.shape == (3, 1) and (rows**2).sum() == pytest.approx(3) and rows.mean() == pytest.approx(0)
    assert fit_vectors(["same", "same"])(["same"]).shape == (1, 0)
    assert fit_vectors(["?!", "..."])(["?"]).shape == (1, 0)


def test_domains_are_named_by_what_sets_them_apart() -> None:
    texts = [f"the parcel is late {at}" for at in range(30)] + [f"the password of my account {at}" for at in range(20)]
    found = find_domains(texts, fit_vectors(texts)(texts), 2)
    assert [len(one.inputs) for one in found] == [30, 20]
    assert set(found[0].name.split(", ")) <= {"parcel", "late"} and "password" in found[1].name
    assert "the" not in found[0].name.split(", ")
    assert [one.name for one in find_domains(["x"] * 5, np.zeros((5, 0)), 3)] == ["all"]
    numbers = [f"{at} {at % 2}" for at in range(10)]
    assert {one.name for one in find_domains(numbers, np.arange(10.0)[:, None], 2)} == {"domain 1", "domain 2"}
    assert (domain_count(10), domain_count(100), domain_count(10**6)) == (1, 5, 8)


def test_a_leaderboard_by_domain_and_for_one_input() -> None:
    found = make_leaderboard(
        two_topics(), Options(domains=2, input="a python function that adds numbers", resamples=50)
    )
    assert found.input is not None and found.input.ratings[0][0] == "coder"
    names = {domain.name: domain.ranking for domain in found.domains}
    code = next(ranking for name, ranking in names.items() if "python" in name or "function" in name or "sorts" in name)
    assert code is not None and code.ratings[0].model == "coder"
    assert found.ties == sum(match.winner == "tie" for match in two_topics().matches)


def test_a_domain_without_the_anchor_says_so() -> None:
    matches = two_topics().matches
    code = tuple(m for m in matches if "python" in m.input and "weak" not in (m.a, m.b))
    poems = tuple(m for m in matches if "poem" in m.input)
    found = make_leaderboard(Matches("x", code + poems), Options(domains=2, anchor="weak", resamples=20))
    problems = [domain.problem for domain in found.domains if domain.ranking is None]
    assert len(problems) == 1 and problems[0] is not None and "'weak' is not a known model" in problems[0]


def test_figures_need_no_decided_match() -> None:
    table = tabulate([Match(f"{at}", "a", "b", "tie") for at in range(12)])
    told = np.tile([0.2, 0.2, 0.6], (12, 1))
    found = compared(table, told, told)
    assert found.predictor.decided is None and found.predictor.accuracy.value == 1
