"""A novelty gate: is this input like those the student learnt from?

    gate = fit_gate(training_texts, held_out)        # held_out: texts of the same source that the student did not learn from
    novel = gate.p_values(texts) <= 0.05             # a false alarm for at most 5 % of inputs of that source

The score of a text is its distance (1 - cosine) from the nearest training text, seen in up to three ways:

frame        what texts of one layout share: frequent runs of one to three words and marks, digits made alike, no weights
             for rare terms, which would drown the frame in names and amounts. Finds new layouts, templates, senders
characters   TF-IDF of runs of two to five characters within words. Finds new vocabulary; needs no model
embedding    a sentence encoder's vector. Finds new meanings

Each distance is brought to one scale (0 at the median of training texts from one another, 1 at their 95th percentile); the
largest counts. The score becomes a p-value by split conformal prediction (Vovk, Gammerman and Shafer 2005; Papadopoulos et
al. 2002): p = (1 + number of held-out scores at or above it) / (n + 1).

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
SCALED_BY = 500
"""Training texts whose distances from the others give the scale."""
BLOCK = 128
"""Texts compared at a time."""


@dataclass(frozen=True)
class View:
    """One way to see texts: distances in it are `middle` at the training texts' median, and `spread` more at the 95th
    percentile."""

    near: Nearness
    middle: float
    spread: float

    def scores(self, texts: Sequence[str]) -> Scores:
        return (self.near.distances(texts) - self.middle) / self.spread


@dataclass(frozen=True)
class Gate:
    """`views` by their kind; `held_out` are the scores of the held-out texts, ascending; `encoder` the identity of the
    encoder, "" where none is used."""

    views: Mapping[str, View]
    held_out: Scores
    encoder: str = ""

    def scores(self, texts: Sequence[str]) -> Scores:
        """How unlike the training texts each text is, (n,): about 1 for the 95th percentile of these themselves."""
        blocks = [texts[at : at + BLOCK] for at in range(0, len(texts), BLOCK)]
        found = [np.max([view.scores(block) for view in self.views.values()], axis=0) for block in blocks]
        return np.concatenate(found) if found else np.empty(0)

    def p_values(self, texts: Sequence[str]) -> Scores:
        """(n,) in [1 / (held out + 1), 1]: escalate where it is at most the rate of false alarms that you accept."""
        below = np.searchsorted(self.held_out, self.scores(texts), side="left")
        result: Scores = (1 + len(self.held_out) - below) / (len(self.held_out) + 1)
        return result

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
        views = {kind: {"middle": view.middle, "spread": view.spread} for kind, view in self.views.items()}
        return {"version": VERSION, "encoder": self.encoder, "views": views}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {
            f"{kind}-{name}": array for kind, view in self.views.items() for name, array in view.near.arrays().items()
        }
        return arrays | {"held-out": self.held_out}


def fit_gate(
    texts: Sequence[str],
    held_out: Sequence[str] | None = None,
    *,
    encoder: Encoder | None = None,
    kinds: Iterable[str] | None = None,
    seed: int = 0,
) -> Gate:
    """A gate that knows `texts`, those that a student learnt from.

    `held_out` are texts from the same source that are not among them (the calibration examples, say); without any, a
    fifth of `texts` is drawn and held out. `kinds` are the ways to see texts: frame and characters, with an `encoder`
    frame and embedding. Raises DataError for too few texts or texts with nothing in common, UnknownName for a kind.
    """
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
    chosen = tuple(kinds) if kinds is not None else ("frame", EMBEDDING if encoder else "characters")
    sample = chance.sample(known, min(SCALED_BY, len(known)))
    views = {kind: _view(_near(kind, known, encoder), sample) for kind in chosen}
    if not views:
        raise UnknownName("way to see texts", "", [*KINDS, EMBEDDING])
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
        for kind, scale in facts["views"].items():
            own = {name.partition("-")[2]: array for name, array in arrays.items() if name.partition("-")[0] == kind}
            views[kind] = View(from_arrays(kind, own, encoder), float(scale["middle"]), float(scale["spread"]))
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


def _view(near: Nearness, known: Sequence[str]) -> View:
    """With the scale of the distances of `known` texts, each of which is near itself and compared with the others."""
    found = np.concatenate([near.distances(known[at : at + BLOCK], skip=1) for at in range(0, len(known), BLOCK)])
    middle, high = np.quantile(found, [0.5, 0.95])
    # Texts that are all alike have no spread: whatever then differs by a hundredth is far.
    return View(near, float(middle), float(max(high - middle, 0.01)))
