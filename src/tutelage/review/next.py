"""Which examples to label next: for the largest expected gain of students, or for the next certificate.

For gain: the greedy k-centre of what is labelled already (Sener and Savarese 2018, "Active learning for convolutional neural
networks: a core-set approach"), each distance weighted by how unsure the answer is (as Zhdanov 2019, "Diverse mini-batch active
learning", weights his clusters). An example is taken for its uncertainty x its distance from the nearest labelled or taken one,
so that what is sure, known or alike what was just taken comes late. Distances are 1 - cosine by TF-IDF of runs of two to five
characters. Without any confidence all are equally unsure, and it is the plain k-centre, which likes oddities.

For a certificate chance must choose: what is proved of calibration examples holds for inputs like them, so the order is drawn by
hash and knows nothing of the examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from tutelage.errors import UsageError
from tutelage.project import Project
from tutelage.review.doubts import doubtful
from tutelage.review.orders import audit_order
from tutelage.store import Queued, in_force, origin
from tutelage.types import Example, Split

TAKEN = 500
"""Examples that are taken one after another; the others follow by what they would be worth then."""
MOST = 20_000
"""Examples, labelled and unlabelled each, that are looked at: a draw by hash of more."""
MOST_CHARACTERS = 5_000
BLOCK = 512
SALT = "certificate"


def next_for_gain(project: Project, split: Split, k: int = TAKEN) -> list[Queued]:
    """The examples of `split` that no person has labelled and no import, the most useful first; `k` are chosen in turn.

    Raises UsageError where none is left.
    """
    known, left = _by_gold(project, split)
    if not left:
        raise UsageError(
            f"Every example of {split!r} has a label by a person or an import. Add some: tutelage add FILE"
        )
    unsure = _unsure(project, split, left)
    rows = vectors_of([project.task.input_text(one.input)[:MOST_CHARACTERS] for one in (*known, *left)])
    taken, worth = farthest(rows[len(known) :], distances_from(rows, len(known)), unsure, k)
    ids = [one.id for one in left]
    return [
        Queued(
            ids[at], round(float(worth[at, 0]), 6), f"{unsure[at]:.2f} unsure, {worth[at, 1]:.2f} from what is labelled"
        )
        for at in taken
    ]


def next_for_certificate(project: Project, split: Split) -> list[Queued]:
    """The calibration examples without a label by a person or an import, as chance has it. Raises UsageError for another split,
    and where none is left."""
    if split != "calibration":
        raise UsageError(f"A certificate is proved on calibration, not on {split!r}. Use: --split calibration")
    _, left = _by_gold(project, split, None)
    if not left:
        raise UsageError(
            "Every example of 'calibration' has a label by a person or an import. Add some: tutelage add FILE --split calibration"
        )
    reason = "drawn at random for the next certificate"
    return [Queued(id, None, reason) for id in audit_order([one.id for one in left], SALT)]


def farthest(
    rows: csr_matrix, distances: NDArray[np.float64], weights: NDArray[np.float64], k: int
) -> tuple[list[int], NDArray[np.float64]]:
    """All rows in order, the first `k` taken greedily by weight x distance from what is known or taken. Returns, of each row,
    that product and the distance when it was taken, (n, 2)."""
    near, worth = distances.copy(), np.zeros((len(distances), 2))
    open_, order = np.ones(len(near), dtype=bool), list[int]()
    for _ in range(min(k, len(near))):
        value = np.where(open_, weights * near, -1.0)
        at = int(value.argmax())
        worth[at] = value[at], near[at]
        order.append(at)
        open_[at] = False
        alike = (rows @ rows[[at]].T).toarray().ravel()
        near = np.minimum(near, np.clip(1 - alike, 0, 1))
    rest = np.flatnonzero(open_)
    worth[rest] = np.stack([weights[rest] * near[rest], near[rest]], axis=1)
    return order + rest[np.argsort(-worth[rest, 0], kind="stable")].tolist(), worth


def _by_gold(project: Project, split: Split, most: int | None = MOST) -> tuple[list[Example], list[Example]]:
    """Train's examples that a person or an import labelled, and those of the split that none has; at most `most` of each."""
    examples = list(project.store.examples.read(split))
    known = {one.example.id: one.example for one in project.store.labels.read("train", "gold")}
    labels = project.store.labels.of([one.id for one in examples])
    gold = {id for id, given in labels.items() if (one := in_force(given)) is not None and origin(one.source) == "gold"}
    left = {one.id: one for one in examples if one.id not in gold}
    return [known[id] for id in _drawn(known, most)], [left[id] for id in _drawn(left, most)]


def _drawn(some: dict[str, Example], most: int | None) -> list[str]:
    return list(some) if most is None or len(some) <= most else audit_order(some, SALT)[:most]


def _unsure(project: Project, split: Split, left: Sequence[Example]) -> NDArray[np.float64]:
    """1 - confidence of each, by whoever gave one (see `doubts.doubtful`); the mean where it is not known."""
    try:
        sure = {one.example_id: one.score for one in doubtful(project, split)}
    except UsageError:
        return np.ones(len(left))
    found = np.array([np.nan if (score := sure.get(one.id)) is None else 1 - score for one in left])
    if np.isnan(found).all():
        return np.ones(len(left))
    return np.asarray(np.clip(np.where(np.isnan(found), np.nanmean(found), found), 0.01, 1.0))


def vectors_of(texts: Sequence[str]) -> csr_matrix:
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), max_features=200_000, sublinear_tf=True)
    try:
        return csr_matrix(vectorizer.fit_transform(texts))
    except ValueError:  # nothing but white space
        return csr_matrix((len(texts), 1))


def distances_from(rows: csr_matrix, known: int) -> NDArray[np.float64]:
    """Of each row after the first `known` its distance from the nearest of them; 1 where there are none."""
    found = np.ones(rows.shape[0] - known)
    if known:
        turned = rows[:known].T.tocsr()
        for start in range(0, len(found), BLOCK):
            block = rows[known + start : known + start + BLOCK] @ turned
            found[start : start + BLOCK] = 1 - block.max(axis=1).toarray().ravel()
    return np.asarray(np.clip(found, 0, 1))
