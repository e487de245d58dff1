"""A novelty gate: is this input like those the student learnt from?

    gate = fit_gate(training_texts, held_out)        # held_out: texts of the same source that the student did not learn from
    novel = gate.p_values(texts) <= 0.05             # a false alarm for at most 5 % of inputs of that source

The score of a text is its distance (1 - cosine) from the nearest training text, seen in up to three ways:

frame        what texts of one layout share: frequent runs of one to three words and marks, digits made alike, no weights
             for rare terms, which would drown the frame in names and amounts. Finds new layouts, templates, senders
characters   TF-IDF of runs of two to five characters within words. Finds new vocabulary; needs no model
embedding    a sentence encoder's vector. Finds new meanings

Of several ways the one counts in which the text is the oddest: in which the fewest training texts are as far from the
others as it is from them. The score becomes a p-value by split conformal prediction (Vovk, Gammerman and Shafer 2005;
Papadopoulos et al. 2002): p = (1 + number of held-out scores at or above it) / (n + 1).

What is promised: if the held-out texts and a new one are exchangeable (as if drawn from one source in random order) then
P(p <= rate) is at most `rate`, over the draw of both. Nothing is promised about inputs of another kind: how many of them
are caught is measured (docs/shift.md), not proved.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tutelage.embeddings.encoder import Encoder
from tutelage.errors import DataError, StoreError, UnknownName
from tutelage.routing.nearness import EMBEDDING, KINDS, Nearness, Scores, Vectors, from_arrays, near_texts
from tutelage.types import digest

FACTS, ARRAYS = "gate.json", "gate.npz"
VERSION = 1
MOST_KNOWN, MOST_HELD_OUT = 10_000, 2000
"""Training and held-out texts kept; of more, so many are drawn. Memory and time are those of so many rows."""
LEAST_HELD_OUT = 19
"""With fewer no p-value is as low as 5 %."""
USUAL = 500
"""Training texts whose distances from the others are known."""
FOLDS, MOST_TRIED, TRIED_AT = 4, 1000, 0.05
"""Parts of the groups that are left out in turn, training texts taken for it, and the rate at which texts are noticed."""
BLOCK = 128
"""Texts compared at a time."""


@dataclass(frozen=True)
class View:
    """One way to see texts; `usual` are the distances of some training texts from the others, ascending."""

    near: Nearness
    usual: Scores

    def scores(self, texts: Sequence[str]) -> Scores:
        """Minus the log of the share of usual distances above each text's, on lines between them; the higher the odder."""
        found, n = self.near.distances(texts), len(self.usual)
        levels = -np.log(1 - (np.arange(n) + 0.5) / n)
        # Texts that are all alike have no spread: whatever then differs by a hundredth is far.
        spread = max(self.usual[-1] - self.usual[n // 2], 0.01)
        outside = np.maximum(found - self.usual[-1], 0) + np.minimum(found - self.usual[0], 0)
        result: Scores = np.interp(found, self.usual, levels) + outside / spread
        return result


@dataclass(frozen=True)
class Gate:
    """`views` by their kind; `held_out` are the scores of the held-out texts, ascending; `encoder` the identity of the
    encoder, "" where none is used."""

    views: Mapping[str, View]
    held_out: Scores
    encoder: str = ""

    def scores(self, texts: Sequence[str]) -> Scores:
        """How unlike the training texts each text is, (n,): about 3, -log(0.05), for the 95th percentile of these."""
        blocks = [texts[at : at + BLOCK] for at in range(0, len(texts), BLOCK)]
        found = [np.max([view.scores(block) for view in self.views.values()], axis=0) for block in blocks]
        return np.concatenate(found) if found else np.empty(0)

    def p_values(self, texts: Sequence[str]) -> Scores:
        """(n,) in [1 / (held out + 1), 1]: escalate where it is at most the rate of false alarms that you accept."""
        return conformal(self.scores(texts), self.held_out)

    def fingerprint(self) -> str:
        """Changes whenever a p-value could."""
        return digest([self._facts(), {name: array.tolist() for name, array in self._arrays().items()}])

    def save(self, folder: Path) -> None:
        """Write gate.json and gate.npz into `folder`, which is made. Raises StoreError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(folder / ARRAYS, allow_pickle=False, **self._arrays())
            (folder / FACTS).write_text(json.dumps(self._facts()) + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"The gate cannot be written to {folder}: {error.strerror or error}.") from None

    def _facts(self) -> dict[str, Any]:
        return {"version": VERSION, "encoder": self.encoder, "views": list(self.views)}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {
            f"{kind}-{name}": array for kind, view in self.views.items() for name, array in view.near.arrays().items()
        }
        usual = {f"{kind}-usual": view.usual for kind, view in self.views.items()}
        return arrays | usual | {"held-out": self.held_out}


def conformal(scores: Scores, held_out: Scores) -> Scores:
    """(1 + number of `held_out`, ascending, at or above each score) / (their number + 1)."""
    above = len(held_out) - np.searchsorted(held_out, scores, side="left")
    result: Scores = (1 + above) / (len(held_out) + 1)
    return result


def fit_gate(
    texts: Sequence[str],
    held_out: Sequence[str] | None = None,
    *,
    encoder: Encoder | None = None,
    kinds: Iterable[str] | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Gate:
    """A gate that knows `texts`, those that a student learnt from.

    `held_out` are texts from the same source that are not among them (the calibration examples, say); without any, a
    fifth of `texts` is drawn and held out. `kinds` are the ways to see texts. Without any they are chosen by `groups`, what
    each of `texts` belongs to (its layout, its sender, else its label): the ways are taken that best notice groups left
    out. Without groups: frame and characters, with an `encoder` frame and embedding. A way in which the texts have nothing
    in common is left out.

    Raises DataError for too few texts or groups, or texts with nothing in common at all, UnknownName for a kind.
    """
    if kinds is None:
        kinds = _usual_kinds(encoder) if groups is None else _widest(texts, groups, encoder, seed)
    chance, known = random.Random(seed), list(texts)
    if held_out is None:
        chance.shuffle(known)
        cut = min(MOST_HELD_OUT, len(known) // 5)
        held_out, known = known[:cut], known[cut:]
    if len(held_out) < LEAST_HELD_OUT or len(known) < 2:
        raise DataError(
            f"A novelty gate needs {LEAST_HELD_OUT} held-out texts or more and 2 to compare with, found "
            f"{len(held_out)} and {len(known)}. Add more examples."
        )
    known = known if len(known) <= MOST_KNOWN else chance.sample(known, MOST_KNOWN)
    held_out = held_out if len(held_out) <= MOST_HELD_OUT else chance.sample(list(held_out), MOST_HELD_OUT)
    sample = chance.sample(known, min(USUAL, len(known)))
    views = _views(kinds, known, encoder, sample)
    identity = encoder.identity if encoder and EMBEDDING in views else ""
    return Gate(views, np.sort(Gate(views, np.empty(0)).scores(held_out)), identity)


def load_gate(folder: Path, encoder: Encoder | None = None) -> Gate:
    """The gate that `Gate.save` wrote; `encoder` is the one it was fitted with. Raises StoreError."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if facts["version"] != VERSION:
            raise ValueError(f"version {facts['version']!r} is not {VERSION}")
        if facts["encoder"] and (encoder is None or encoder.identity != facts["encoder"]):
            raise ValueError("it was fitted with another encoder")
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        views = {}
        for kind in facts["views"]:
            own = {name.partition("-")[2]: array for name, array in arrays.items() if name.partition("-")[0] == kind}
            views[kind] = View(from_arrays(kind, own, encoder), own["usual"])
        return Gate(views, arrays["held-out"], facts["encoder"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"The gate in {folder} cannot be read: {reason}. Fit it again.") from None


def _near(kind: str, known: Sequence[str], encoder: Encoder | None) -> Nearness:
    if kind == EMBEDDING and encoder is not None:
        return Vectors(encoder, encoder.encode(known))
    if kind not in KINDS:
        raise UnknownName("way to see texts", kind, [*KINDS, EMBEDDING])
    return near_texts(kind, known)


def _views(
    kinds: Iterable[str], known: Sequence[str], encoder: Encoder | None, sample: Sequence[str]
) -> dict[str, View]:
    """Those of `kinds` in which the texts have something in common. Raises DataError where that is none of them."""
    views, problem = {}, None
    for kind in kinds:
        try:
            views[kind] = _view(_near(kind, known, encoder), sample)
        except DataError as error:
            problem = error
    if not views:
        raise problem or UnknownName("way to see texts", "", [*KINDS, EMBEDDING])
    return views


def _view(near: Nearness, known: Sequence[str]) -> View:
    """With the distances of `known` texts, each of which is near itself and compared with the others."""
    found = [near.distances(known[at : at + BLOCK], skip=1) for at in range(0, len(known), BLOCK)]
    return View(near, np.sort(np.concatenate(found)))


def _widest(texts: Sequence[str], groups: Sequence[str], encoder: Encoder | None, seed: int) -> tuple[str, ...]:
    """The ways to see texts with which a gate notices most of groups left out, a quarter of the groups in turn.

    Raises DataError where there are fewer than FOLDS groups.
    """
    chance = random.Random(seed)
    names = sorted(set(groups))
    if len(names) < FOLDS:
        raise DataError(
            f"{len(names)} groups cannot be left out in turn: {FOLDS} or more are needed. Name `kinds` instead."
        )
    chance.shuffle(names)
    fold = {name: at % FOLDS for at, name in enumerate(names)}
    pairs = chance.sample(list(zip(texts, groups, strict=True)), min(MOST_TRIED, len(texts)))
    singles = [*KINDS, *([EMBEDDING] if encoder else [])]
    tries = [*((kind,) for kind in singles), _usual_kinds(encoder)]
    noticed = dict.fromkeys(tries, 0.0)
    for out in range(FOLDS):
        rest = [text for text, group in pairs if fold[group] != out]
        new = [text for text, group in pairs if fold[group] == out]
        held_out, known = rest[: len(rest) // 5], rest[len(rest) // 5 :]
        views = fit_gate(known, held_out, encoder=encoder, kinds=singles, seed=seed).views
        seen = {kind: Gate({kind: view}, np.empty(0)).scores([*held_out, *new]) for kind, view in views.items()}
        for kinds in [one for one in tries if set(one) <= set(seen)]:
            scores = np.max([seen[kind] for kind in kinds], axis=0)
            usual, odd = np.sort(scores[: len(held_out)]), scores[len(held_out) :]
            noticed[kinds] += float((conformal(odd, usual) <= TRIED_AT).sum())
    return max(tries, key=lambda kinds: noticed[kinds])


def _usual_kinds(encoder: Encoder | None) -> tuple[str, ...]:
    return ("frame", EMBEDDING if encoder else "characters")
