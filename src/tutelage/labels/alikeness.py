"""How much of two texts is the same: the runs of four characters that they share."""

from __future__ import annotations

from tutelage.tasks.matching import normal

RUN = 4


def runs(text: str) -> frozenset[str]:
    """The runs of four characters of `text` in its strict form (see `tasks.matching`); a shorter text is one run."""
    form = normal(text)
    return frozenset(form[at : at + RUN] for at in range(max(1, len(form) - RUN + 1)))


def alike(a: frozenset[str], b: frozenset[str]) -> float:
    """The share of the runs of both that they have in common (Jaccard), in [0, 1]."""
    return len(a & b) / len(a | b)
