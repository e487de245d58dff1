"""Exact search finds what sorting all cosines finds, whatever the order and size of what is added and asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.embeddings import index as module
from tutelage.embeddings.index import ExactIndex, highest


@given(st.lists(st.integers(-3, 3), max_size=20), st.integers(0, 25))
def test_highest_is_the_stable_sort(scores: list[int], count: int) -> None:
    expected = sorted(range(len(scores)), key=lambda at: -scores[at])[:count]
    assert highest(np.array(scores, np.float32), count).tolist() == expected


@pytest.mark.parametrize("block", [1, 64, 1 << 22])
def test_search_is_the_sorted_cosines_in_pieces_of_any_size(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    draw = np.random.default_rng(0)
    stored, queries = draw.normal(size=(50, 8)).astype(np.float32), draw.normal(size=(7, 8)).astype(np.float32)
    index = ExactIndex()
    for part in np.split(stored, [3, 3, 20]):
        index.add(part)
    found = index.search(queries, 5)
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(stored, axis=1)
    cosines = queries @ stored.T / lengths
    assert len(index) == 50
    assert found.numbers.tolist() == np.argsort(-cosines, axis=1)[:, :5].tolist()
    assert found.scores == pytest.approx(-np.sort(-cosines, axis=1)[:, :5], abs=1e-5)
    assert found.scores.dtype == np.float32


def test_equal_vectors_tie_in_the_order_added() -> None:
    index = ExactIndex()
    index.add(np.tile(np.random.default_rng(1).normal(size=384), (41, 1)).astype(np.float32))
    assert index.search(index.vectors[:1], 41).numbers[0].tolist() == list(range(41))


def test_fewer_than_asked_for_and_none_at_all() -> None:
    index, query = ExactIndex(), np.ones((2, 4), np.float32)
    assert index.search(query, 3).numbers.shape == (2, 0)
    index.add(np.eye(4, dtype=np.float32)[:2])
    assert index.search(query, 3).numbers.tolist() == [[0, 1], [0, 1]]
    assert index.search(query[:0], 3).scores.shape == (0, 2)


def test_a_vector_of_zeros_is_like_nothing() -> None:
    index = ExactIndex()
    index.add(np.array([[0, 0], [1, 0]], np.float32))
    assert index.search(np.array([[1, 0]], np.float32), 2).scores.tolist() == [[1, 0]]
