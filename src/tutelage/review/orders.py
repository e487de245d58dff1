"""In which order people look at examples. An order is made once and kept, so that it outlives the page that shows it.

An order names some examples first; all others of the split follow as they came, and so do those added later. It is made again
when it is asked for anew. Other packages add orders with an entry point in the group `tutelage.orders`: a function of the
project and the split that returns what comes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeAlias

from tutelage.project import Project
from tutelage.registry import Table
from tutelage.store import Queued
from tutelage.types import Split

Order: TypeAlias = Callable[[Project, Split], list[Queued]]
"""What comes first, and why. Raises UsageError where nothing tells what that is."""

FILE, AUDIT, NEXT, CERTIFICATE = "file", "audit", "next", "certificate"

ORDERS = Table(
    "orders",
    "order",
    {
        "doubtful": "tutelage.review.doubts:doubtful",
        "disagree": "tutelage.review.doubts:disagree",
        "novel": "tutelage.review.doubts:novel",
        "errors": "tutelage.review.errors:suspected",
        "threshold": "tutelage.review.doubts:threshold",
        NEXT: "tutelage.review.next:next_for_gain",
        CERTIFICATE: "tutelage.review.next:next_for_certificate",
        AUDIT: "tutelage.review.orders:audit",
        FILE: "tutelage.review.orders:as_they_came",
    },
)


def order(project: Project, name: str, split: Split, *, refresh: bool = False) -> list[Queued]:
    """The examples of `split` in the order `name`, each once: as stored, with new ones at the end, or made now.

    Raises UnknownName for an order that is none, UsageError where it has nothing to go by.
    """
    made: Order = ORDERS.load(name)
    stored = [] if refresh else project.store.queues.read(name, split)
    if stored and name not in (
        AUDIT,
        CERTIFICATE,
    ):  # whose new examples stand where chance puts them, or its first would be no random ones
        return _whole(project, split, stored)
    whole = _whole(project, split, made(project, split))
    if whole != stored:
        project.store.queues.put(name, split, whole)
    return whole


def label_next(project: Project, split: Split, count: int) -> tuple[str, list[Queued]]:
    """The order of what to label next, made anew: for a certificate on calibration, else for gain; and its first examples."""
    name = CERTIFICATE if split == "calibration" else NEXT
    found = order(project, name, split, refresh=True)
    return name, [one for one in found if one.reason][:count]


def _whole(project: Project, split: Split, first: Iterable[Queued]) -> list[Queued]:
    """`first`, then the other examples of the split as they came."""
    kept = {one.example_id: one for one in first}
    ids = project.store.examples.ids(split)
    known = set(ids)
    return [one for id, one in kept.items() if id in known] + [Queued(id) for id in ids if id not in kept]


def as_they_came(project: Project, split: Split) -> list[Queued]:
    """The oldest first."""
    return []


def audit(project: Project, split: Split) -> list[Queued]:
    """At random: the first k are a random sample of the split, whatever k is."""
    return [Queued(id, None, "drawn at random") for id in audit_order(project.store.examples.ids(split), AUDIT)]


def audit_order(ids: Iterable[str], salt: str) -> list[str]:
    """The ids sorted by the SHA-256 of salt and id: an order that knows nothing of the examples, and into which a new example
    falls at random."""
    return sorted(ids, key=lambda id: hashlib.sha256((salt + id).encode()).digest())
