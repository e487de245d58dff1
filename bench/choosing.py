"""Which examples to label next: does the order `next` teach a student more than chance does?

    python -m bench.choosing [--dataset banking77] [--split dev]     # three minutes on one core

500 labelled examples of train drawn at random, then 250 more: drawn at random, the least confident, those that stand for all
(facility location), and `next`, where the unsure ones count more (`review.next`). The student is a logistic regression on TF-IDF
of words; its accuracy on the split asked for (dev to choose a method, test once) is the mean of five first draws, each paired
with the same draw at random.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import t
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bench.projects import lines, write_log
from tutelage.review.next import MOST, nearest
from tutelage.students.subset import covering, vectors_of

FIRST, STEP, STEPS, DRAWS = 500, 250, 1, 5
ORDERS = ("random", "least confident", "stands for all", "next")

Floats = NDArray[np.float64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="banking77")
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    chosen, start = parser.parse_args(), time.monotonic()
    train, test = (
        [one for one in lines(chosen.dataset, split) if one.get("label")] for split in ("train", chosen.split)
    )
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    data = Data(
        csr_matrix(words.fit_transform([one["text"] for one in train])),
        np.array([one["label"] for one in train]),
        csr_matrix(words.transform([one["text"] for one in test])),
        np.array([one["label"] for one in test]),
        vectors_of([one["text"] for one in train], 0),
    )
    scores = np.array([[data.course(order, draw) for order in ORDERS] for draw in range(DRAWS)])
    took = f"{time.monotonic() - start:.0f} s on one core of a busy machine."
    write_log(
        f"what to label next, {chosen.dataset}", f"{table(scores, chosen.split, len(test), len(train))}\n\n{took}"
    )
    return 0


class Data:
    def __init__(
        self,
        train: csr_matrix,
        gold: NDArray[np.str_],
        test: csr_matrix,
        wanted: NDArray[np.str_],
        near: NDArray[np.float32],
    ) -> None:
        self.train, self.gold, self.test, self.wanted, self.near = train, gold, test, wanted, near
        self._first: dict[int, LogisticRegression] = {}

    def course(self, order: str, draw: int) -> list[float]:
        """Test accuracy with the first labels and after every step."""
        chance, n = random.Random(draw), len(self.gold)
        known, scores = chance.sample(range(n), FIRST), list[float]()
        for step in range(STEPS + 1):
            student = self._first.get(draw) if not step else None
            if student is None:
                student = LogisticRegression(C=30, max_iter=200).fit(self.train[known], self.gold[known])
                self._first.setdefault(draw, student)
            scores.append(float((student.predict(self.test) == self.wanted).mean()))
            if step < STEPS:
                known += self.chosen(order, known, student, chance)
        return scores

    def chosen(self, order: str, known: Sequence[int], student: LogisticRegression, chance: random.Random) -> list[int]:
        left = sorted(set(range(len(self.gold))) - set(known))
        if order == "random":
            return chance.sample(left, STEP)
        unsure: Floats = 1 - student.predict_proba(self.train[left]).max(axis=1)
        if order == "least confident":
            return [left[at] for at in np.argsort(-unsure, kind="stable")[:STEP]]
        some = sorted(chance.sample(range(len(left)), min(len(left), MOST)))
        weights = unsure[some] if order == "next" else np.ones(len(some))
        rows = self.near[[*known, *(left[at] for at in some)]]
        taken, _ = covering(rows[len(known) :], STEP, weights.astype(np.float32), nearest(rows, len(known)))
        return [left[some[at]] for at in taken]


def table(scores: Floats, split: str, n: int, of: int) -> str:
    """`scores` (draws, orders, steps)."""
    sizes = [FIRST + STEP * step for step in range(1, STEPS + 1)]
    lines_ = [
        f"Accuracy on {split} (n = {n}) by labelled examples of {of}, mean of {DRAWS} first draws; in brackets the "
        "difference from random, paired by draw, with its 95 % t interval. "
        f"With the first {FIRST}: {scores[:, 0, 0].mean():.4f}.\n",
        "| order | " + " | ".join(f"{size:,}" for size in sizes) + " |",
        "|---|" + "---|" * len(sizes),
    ]
    for at, order in enumerate(ORDERS):
        cells = []
        for step in range(1, STEPS + 1):
            ahead = scores[:, at, step] - scores[:, 0, step]
            half = t.ppf(0.975, DRAWS - 1) * ahead.std(ddof=1) / np.sqrt(DRAWS)
            beside = (
                "" if not at else f" ({ahead.mean():+.4f}, {ahead.mean() - half:+.4f} to {ahead.mean() + half:+.4f})"
            )
            cells.append(f"{scores[:, at, step].mean():.4f}{beside}")
        lines_.append(f"| {order} | " + " | ".join(cells) + " |")
    return "\n".join(lines_)


if __name__ == "__main__":
    sys.exit(main())
