"""Identity of examples, and the split that follows from it.

Both are hashes, so they do not depend on the order of files, on other examples or on the machine: the same input always
gets the same id and the same split, and growing the data never moves an example from train to test.
"""

from __future__ import annotations

import hashlib
import unicodedata

from tutelage.types import Input, Split, digest

_SALT = b"tutelage split 1\0"
_TEN_THOUSAND = 10_000


def canonical_input(input: Input) -> dict[str, str]:
    """`input` in Unicode form NFC, field names sorted: equal inputs become equal mappings."""
    return {name: unicodedata.normalize("NFC", input[name]) for name in sorted(input)}


def example_id(input: Input) -> str:
    """The example's id: 32 hexadecimal digits of the hash of the canonical input."""
    return digest(canonical_input(input))


def split_of(key: str) -> Split:
    """The split of an example id, or of the name of a group that must stay together: 80 % train, 10 % dev, 10 % test."""
    # Salted, so that the split is independent of anything else that is decided by an id's first digits.
    share = int.from_bytes(hashlib.sha256(_SALT + key.encode("utf-8", "surrogatepass")).digest()[:8]) % _TEN_THOUSAND
    return "train" if share < 8_000 else "dev" if share < 9_000 else "test"
