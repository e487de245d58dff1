"""Who may review, and which examples are whose: by hash, so that it is the same on every machine and every day."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from tutelage.errors import DataError, UsageError
from tutelage.project import Project

LONGEST = 60


def annotator_name(project: Project, given: str) -> str:
    """The name `given` in its one form. Raises DataError for what is no name, and who is not among [review] annotators."""
    name = " ".join(unicodedata.normalize("NFC", given).split())
    known = project.file.review.annotators
    if not name:
        raise DataError("An annotator needs a name. Type yours.")
    if len(name) > LONGEST:
        raise DataError(f"The name has {len(name)} characters, {LONGEST} are allowed. Take a shorter one.")
    if wrong := [one for one in name if unicodedata.category(one).startswith("C")]:
        raise DataError(f"A name holds letters, digits, signs and spaces, found {wrong[0]!r}. Type it without.")
    if known and name not in known:
        raise DataError(f"{name!r} is not among [review] annotators in task.toml: {', '.join(known)}.")
    return name


def check_review(project: Project) -> None:
    """Raises UsageError where [review] in task.toml asks for what cannot be."""
    review = project.file.review
    for name in review.annotators:
        try:
            annotator_name(project, name)
        except DataError as error:
            raise UsageError(f"[review] annotators: {error}") from None
    if review.assign and not review.annotators:
        raise UsageError(
            "[review] assign = true shares the examples out among annotators, but names none. Set: annotators"
        )
    if review.double and len(review.annotators) == 1:
        raise UsageError(
            "[review] double needs two annotators, and annotators names one. Add another, or set double = 0."
        )


def doubled(project: Project, example_id: str) -> bool:
    """Whether the example is of the share that two annotators label, blind."""
    share = project.file.review.double
    return share > 0 and _point("double", example_id) < share


def owners(project: Project, example_id: str) -> Sequence[str]:
    """Whose the example is: one annotator's, a doubled one two's; () where examples are not assigned.

    By rendezvous hashing: an annotator more or less moves only the examples that go to or come from that one.
    """
    review = project.file.review
    if not review.assign:
        return ()
    ranked = sorted(review.annotators, key=lambda name: _point(name, example_id), reverse=True)
    return ranked[: 2 if doubled(project, example_id) else 1]


def _point(salt: str, example_id: str) -> float:
    """Where the example falls in [0, 1) for this salt."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{example_id}".encode()).digest()[:8]) / 2**64
