"""Identity of inputs: a hash, so that equal inputs have one id on every machine."""

from __future__ import annotations

import unicodedata

from tutelage.types import Input, digest


def canonical_input(input: Input) -> dict[str, str]:
    """`input` in Unicode form NFC, field names sorted: equal inputs become equal mappings."""
    return {name: unicodedata.normalize("NFC", input[name]) for name in sorted(input)}


def example_id(input: Input) -> str:
    """The example's id: 32 hexadecimal digits of the hash of the canonical input."""
    return digest(canonical_input(input))
