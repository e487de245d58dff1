"""Pretrained models to build on: where one is, under which licence, and which licences forbid selling what is made of it.

find_base("weights/minilm", project.path).licence      # apache-2.0
forbidden("cc-by-nc-4.0")                              # why it may not be used commercially, or None

The licence is the one that the model's card names (README.md's front matter, a GGUF file's header, Hugging Face's page).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import yaml
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from tutelage.errors import TrainingError

NOT_STATED = "not stated"
OFFLINE = "not known offline"
UNKNOWN = (NOT_STATED, OFFLINE, "other", "unknown")

FORBIDDING: dict[str, str] = {
    r"(.*-)?nc(-.*)?": "is for non-commercial use",  # cc-by-nc-4.0, cc-by-nc-sa-3.0, ...
    r".*non-?commercial.*": "is for non-commercial use",  # fair-noncommercial-research-license, ...
    r".*research.*": "is for research only",  # intel-research, qwen-research, mistral-ai-research-license, ...
    r"apple-amlr|llama1?|opt-175b|mrl": "is for research only",
    r"mnpl.*": "is for tests and research only",
}
"""Licence ids, as regular expressions of the whole id in lower case, that forbid commercial use, and why.

From Hugging Face's list of ids and the names that vendors give theirs (`license_name`); read 2026-11-21.
"""

_HUB_NAME = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_FRONT = re.compile(r"\A﻿?---[^\S\n]*\r?\n(.*?)^---", re.DOTALL | re.MULTILINE)


class Found(NamedTuple):
    """A base: the folder, file or Hugging Face name to load it from, and the licence its card names."""

    source: str
    licence: str


def find_base(base: str, path: Callable[[str], Path]) -> Found:
    """The base at `path(base)` (a folder, or a GGUF file), or the one of that name on Hugging Face.

    Raises TrainingError when there is neither.
    """
    place = path(base)
    if place.is_file() and place.suffix == ".gguf":
        return Found(str(place), _licence_of_gguf(place) or _licence_of_card(place.parent) or NOT_STATED)
    if place.is_dir():
        files = sorted(place.glob("*.gguf"))
        return Found(
            str(place), _licence_of_card(place) or (_licence_of_gguf(files[0]) if files else None) or NOT_STATED
        )
    if _HUB_NAME.fullmatch(base):
        return Found(base, _licence_on_hub(base, place))
    raise TrainingError(_no_base(base, place, "it is no folder"))


def forbidden(licence: str) -> str | None:
    """Why `licence` forbids commercial use, in words; None where it does not, or is not known."""
    return next((why for ids, why in FORBIDDING.items() if re.fullmatch(ids, licence.lower())), None)


def check_use(base: str, licence: str, use: str) -> str | None:
    """A warning where it cannot be told whether `licence` allows `use`. Raises TrainingError where it forbids it."""
    if use != "commercial":
        return None
    if why := forbidden(licence):
        raise TrainingError(
            f"base = {base!r} has the licence {licence}, which {why}; this task's use is 'commercial'. "
            'Choose another base, or set use = "research" in task.toml if that is what it is for.'
        )
    if licence.lower() in UNKNOWN:
        return f"the licence of base {base!r} is {licence}: check that it allows commercial use"
    return None


def _licence_of_card(folder: Path) -> str | None:
    """The licence in the front matter of the folder's README.md."""
    try:
        front = _FRONT.match((folder / "README.md").read_text(encoding="utf-8"))
        card = yaml.safe_load(front[1]) if front else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return _named(card.get("license"), card.get("license_name")) if isinstance(card, dict) else None


def _licence_on_hub(base: str, place: Path) -> str:
    """The licence on the model's page. One quick question first, since loading itself retries for half a minute."""
    try:
        card = HfApi().model_info(base, timeout=10).card_data
    except HfHubHTTPError as error:
        raise TrainingError(_no_base(base, place, f"Hugging Face answers: {str(error).splitlines()[0]}")) from None
    except Exception as error:  # no network: the class depends on the HTTP library that huggingface_hub chose
        cached = try_to_load_from_cache(base, "config.json")
        if not isinstance(cached, str):
            raise TrainingError(_no_base(base, place, f"Hugging Face cannot be reached ({error})")) from None
        return _licence_of_card(Path(cached).parent) or OFFLINE
    return _named(getattr(card, "license", None), getattr(card, "license_name", None)) or NOT_STATED


def _named(licence: object, name: object) -> str | None:
    """The id; of "other" the name that the card gives it; of several the first that forbids something."""
    if isinstance(licence, list):
        each = [str(one) for one in licence]
        return next((one for one in each if forbidden(one)), each[0] if each else None)
    if licence is None or (str(licence).lower() == "other" and name):
        return str(name) if name else None
    return str(licence)


def _licence_of_gguf(file: Path) -> str | None:
    """`general.license` in the header of a GGUF file, where it stands before the vocabulary."""
    try:
        with file.open("rb") as header:
            if header.read(4) != b"GGUF":
                return None
            _, _, count = struct.unpack("<IQQ", header.read(20))
            for _ in range(min(count, 200)):
                key, kind = _text(header), struct.unpack("<I", header.read(4))[0]
                if kind == _ARRAY:
                    if not key.startswith("general."):
                        return None  # the vocabulary: what is general stands before it
                    _skip(header)
                    continue
                value = _text(header) if kind == _STRING else header.read(_SIZES[kind])
                if key == "general.license":
                    return str(value)
    except (OSError, struct.error, KeyError, UnicodeDecodeError):
        pass
    return None


_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a GGUF value by its type's number."""


def _skip(header: BinaryIO) -> None:
    """Pass over a list."""
    kind, count = struct.unpack("<IQ", header.read(12))
    for _ in range(min(count, 10_000)):
        _ = _text(header) if kind == _STRING else header.read(_SIZES[kind])


def _text(header: BinaryIO) -> str:
    return header.read(min(struct.unpack("<Q", header.read(8))[0], 1 << 20)).decode()


def _no_base(base: str, place: Path, why: str) -> str:
    return (
        f"base = {base!r} does not exist: there is no folder {place}, and {why}. "
        "Give a folder with config.json, model.safetensors and tokenizer.json, or the name of a model on Hugging Face."
    )
