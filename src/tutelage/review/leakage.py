"""Inputs that stand on both sides of a border between splits: what is measured on one that a student learned is no measure.

Equal inputs never cross, since the split follows from the input. Near-duplicates do: the same text in other case, or a word
exchanged. Counted are pairs of which one is in train or dev, which students learn from and are chosen on; calibration and test
are measured on, and neither is learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import proportion
from tutelage.project import Project
from tutelage.review.duplicates import Twins
from tutelage.types import SPLITS, Split

LEARNED_FROM = ("train", "dev")


@dataclass(frozen=True)
class Leaked:
    """How many of the `n` examples of `split` have a near-duplicate in a split before it; the interval is over examples."""

    split: Split
    n: int
    leaked: int
    share: Estimate


@dataclass(frozen=True)
class Leakage:
    """The pairs across splits, the most alike first, and how much of each split they spoil."""

    pairs: Sequence[Twins]
    splits: Sequence[Leaked]


def leakage(project: Project, pairs: Iterable[Twins]) -> Leakage:
    """Those of `pairs` that leak."""
    crossing = [pair for pair in pairs if pair.first.split != pair.second.split and pair.first.split in LEARNED_FROM]
    counts, found = project.store.examples.counts(), []
    for split in SPLITS[1:]:
        leaked = len({pair.second.id for pair in crossing if pair.second.split == split})
        if counts[split]:
            found.append(Leaked(split, counts[split], leaked, proportion(leaked, counts[split])))
    return Leakage(crossing, found)
