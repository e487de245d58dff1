"""The split that follows from an example's identity.

It is a hash, so it does not depend on the order of files, on other examples or on the machine: the same input always
gets the same split, and growing the data never moves an example from train to test.
"""

from __future__ import annotations

import hashlib

from tutelage.tasks.identity import canonical_input as canonical_input
from tutelage.tasks.identity import example_id as example_id
from tutelage.types import Split

_SALT = b"tutelage split 1\0"
_TEN_THOUSAND = 10_000
_ENDS: tuple[tuple[Split, int], ...] = (
    ("train", 7_000),
    ("calibration", 8_000),
    ("dev", 9_000),
    ("test", _TEN_THOUSAND),
)


def split_of(key: str) -> Split:
    """The split of an example id, or of the name of a group that must stay together: 70 % train, 10 % each of
    dev, calibration and test."""
    # Salted, so that the split is independent of anything else that is decided by an id's first digits.
    share = int.from_bytes(hashlib.sha256(_SALT + key.encode("utf-8", "surrogatepass")).digest()[:8]) % _TEN_THOUSAND
    return next(split for split, end in _ENDS if share < end)
