"""A small subset of the labelled examples: less can be more, where it is diverse and right (Zhou et al. 2023, LIMA).

`diverse` maximises the facility location function (Mirzasoleiman et al. 2013; Wei et al. 2015): the sum, over all examples,
of how alike the chosen one is that is most like it. The greedy choice reaches at least 63 % of the best subset's value. A
gain is multiplied by how probably its label is right, where that is known. Of a `label` each class is chosen by itself, as
many as its share of the examples, at least one. Texts are compared by TF-IDF of their words, reduced to WIDTH dimensions.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

from tutelage.answering.features import WORDS
from tutelage.errors import TrainingError
from tutelage.students.features import vectorizer
from tutelage.tasks import Task
from tutelage.types import Labelled

WIDTH = 256
"""Dimensions of the vectors that are compared."""

MOST_COMPARED = 4_000
"""Examples of a class that stand for all of it, drawn with the seed: similarities are kept in one table."""


def subset_of(
    task: Task, examples: Sequence[Labelled], most: int, choose: str, quality: Mapping[str, float], seed: int
) -> list[Labelled]:
    """`most` of the examples, in their order. `quality`: how probably the label is right, by example; 1 where it is not given."""
    draw = random.Random(seed)
    if choose == "random":
        return [examples[at] for at in sorted(draw.sample(range(len(examples)), most))]
    groups: dict[str, list[int]] = {}
    for at, one in enumerate(examples):
        groups.setdefault(str(one.value) if task.output == "label" else "", []).append(at)
    if most < len(groups):
        raise TrainingError(
            f"most = {most}, but train has {len(groups)} labels, each of which needs an example. Raise it."
        )
    vectors = vectors_of([task.input_text(one.example.input) for one in examples], seed)
    right = np.array([quality.get(one.example.id, 1.0) for one in examples])
    found: list[int] = []
    parts = [group for _, group in sorted(groups.items())]
    for group, count in zip(parts, shares([len(part) for part in parts], most), strict=True):
        some = sorted(draw.sample(group, min(len(group), MOST_COMPARED)))
        found += [some[at] for at in facility_location(vectors[some], count, right[some]).tolist()]
        if (left := count - len(some)) > 0:
            found += draw.sample(sorted(set(group) - set(some)), left)
    return [examples[at] for at in sorted(found)]


def shares(sizes: Sequence[int], most: int) -> list[int]:
    """How many of each group, in proportion to `sizes`, at least one each; they sum to `most`, which is below the sizes' sum."""
    total = sum(sizes)
    found = [max(1, most * size // total) for size in sizes]

    def too_many(at: int) -> float:
        return found[at] - most * sizes[at] / total

    while sum(found) < most:
        found[min((at for at, size in enumerate(sizes) if found[at] < size), key=too_many)] += 1
    while sum(found) > most:
        found[max((at for at in range(len(sizes)) if found[at] > 1), key=too_many)] -= 1
    return found


def facility_location(vectors: NDArray[np.float32], count: int, right: NDArray[np.float64]) -> NDArray[np.int64]:
    """`count` rows of `vectors` (unit length) that stand for all, greedily; the gain of each is multiplied by `right`."""
    wanted, covered = np.ones(len(vectors), np.float32), np.zeros(len(vectors), np.float32)
    return covering(vectors, count, wanted, covered, right)[0]


def covering(
    vectors: NDArray[np.float32],
    count: int,
    wanted: NDArray[np.float32],
    covered: NDArray[np.float32],
    right: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`count` rows of `vectors` (n, d), of unit length, that stand for all, greedily, and what each gained when it was taken.

    How well row i is stood for is its cosine with the nearest taken one, `covered[i]` at the beginning, and counts `wanted[i]`.
    The gain of a row is multiplied by `right`.
    """
    alike = np.maximum(vectors @ vectors.T, 0)
    right = np.ones(len(vectors)) if right is None else right
    most = (
        wanted @ np.maximum(alike - covered[:, None], 0)
    ) * right  # gains only shrink, so most are never computed again
    found, gains = list[int](), list[float]()  # (Minoux 1978)
    while len(found) < min(count, len(vectors)):
        at = int(most.argmax())
        most[at] = wanted @ np.maximum(alike[:, at] - covered, 0) * right[at]
        if most[at] >= most.max():
            covered = np.maximum(covered, alike[:, at])
            found.append(at)
            gains.append(float(most[at]))
            most[at] = -1
    return np.array(found, np.int64), np.array(gains)


def vectors_of(texts: Sequence[str], seed: int) -> NDArray[np.float32]:
    """Unit vectors of the texts."""
    try:
        rows: csr_matrix = vectorizer(WORDS).fit_transform(texts)
    except ValueError:
        raise TrainingError(
            f'The {len(texts)} texts of train hold no words to compare them by. Set: choose = "random"'
        ) from None
    width = min(WIDTH, min(rows.shape) - 1)
    if width > 1:
        left, strengths, _ = randomized_svd(rows, width, random_state=seed)
        dense = left * strengths
    else:
        dense = rows.toarray()
    lengths = np.linalg.norm(dense, axis=1, keepdims=True)
    return np.asarray(dense / np.where(lengths > 0, lengths, 1), np.float32)
