"""Which examples to label next: for the largest expected gain of students, or for the next certificate.

For gain: facility location (as `students.subset`; for active learning Wei, Iyer and Bilmes 2015, "Submodularity in data subset
selection and active learning"), where every unlabelled example counts as much as its answer is unsure: greedily the examples are
taken that are most like those that are unsure and not yet like a labelled or taken one. Texts are compared by TF-IDF of their
words in 256 dimensions. Without any confidence all are equally unsure. A plain k-centre weighted by uncertainty likes oddities
and taught less (bench/LOG.md, "what to label next").

For a certificate chance must choose: what is proved of calibration examples holds for inputs like them, so the order is drawn by
hash and knows nothing of the examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import TrainingError, UsageError
from tutelage.project import Project
from tutelage.review.doubts import doubtful
from tutelage.review.orders import audit_order
from tutelage.store import Queued, in_force, origin
from tutelage.students.subset import covering, vectors_of
from tutelage.types import Example, Split

TAKEN = 500
"""Examples that are taken one after another; the others follow, the least sure first."""
MOST = 6_000
"""Examples, labelled and unlabelled each, that are compared: a draw by hash of more."""
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
    vectors = _vectors([project.task.input_text(one.input) for one in (*known, *left)])
    covered = nearest(vectors, len(known))
    taken, gains = covering(vectors[len(known) :], k, unsure.astype(np.float32), covered)
    rest = np.setdiff1d(np.arange(len(left)), taken)
    rest = rest[np.argsort(-unsure[rest], kind="stable")]
    worth = dict(zip(taken.tolist(), gains.tolist(), strict=True))
    return [
        Queued(
            left[at].id,
            round(worth[at], 6) if at in worth else None,
            f"{unsure[at]:.2f} unsure, {covered[at]:.2f} like what is labelled",
        )
        for at in [*taken.tolist(), *rest.tolist()]
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


def _vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    try:
        return vectors_of(texts, 0)
    except TrainingError:  # no words at all: nothing is like anything
        return np.zeros((len(texts), 1), np.float32)


def nearest(vectors: NDArray[np.float32], known: int) -> NDArray[np.float32]:
    """How like the nearest of the first `known` rows each of the others is, as the cosine in [0, 1]; 0 where there are none."""
    if not known:
        return np.zeros(len(vectors), np.float32)
    return np.asarray(np.clip((vectors[known:] @ vectors[:known].T).max(axis=1), 0, 1), np.float32)
