"""Inputs of another kind than the student learnt from: how many a novelty gate notices.

    OMP_NUM_THREADS=1 python -m bench.shift --work FOLDER               # 5 minutes on a quiet core; appends to bench/LOG.md
    python -m bench.shift --work FOLDER --dev                           # where choices are made; appends nothing

Data, in TUTELAGE_DATA: invoices (test: 600 of 6 layouts that train has not), clinc150 (out-of-scope messages), banking77 shown
clinc150's messages, ingredients (lines of another site). A gate knows texts of train, its p-values come from held-out texts
of the same source, false alarms are counted on others of it. With --dev what is new are layouts and intents of train that
were left out, and dev's out-of-scope messages. FOLDER keeps the vectors of texts.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from bench.projects import lines, write_log
from tutelage import settings
from tutelage.embeddings.stored import StoredEncoder, stored_encoder
from tutelage.routing.novelty import FOLDS, Gate, conformal, fit_gate

RATE, SEED = 0.05, 0
KNOWN, MOST = 4000, 500
"""Texts of train that a gate knows, and texts of each kind that it is shown, drawn where there are more."""
WAYS = {
    "frame": ["frame"],
    "characters": ["characters"],
    "frame + characters (the default)": ["frame", "characters"],
    "embedding": ["embedding"],
    "frame + embedding (the default with an encoder)": ["frame", "embedding"],
}


Row: TypeAlias = dict[str, Any]
Known: TypeAlias = tuple[list[str], list[str]]


class Case(NamedTuple):
    """`known`, of `groups`, and `held_out` make the gate; `same` are others of their source; `new` those to be noticed, by
    their kind."""

    name: str
    known: list[str]
    groups: list[str]
    held_out: list[str]
    same: list[str]
    new: dict[str, list[str]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for vectors of texts; used again, it is faster"
    )
    parser.add_argument("--base", default=str(settings.weights_folder() / "minilm"), help="folder of the encoder")
    parser.add_argument("--dev", action="store_true", help="on what train and dev alone show; write no log")
    parser.add_argument("--only", nargs="+", help="cases whose names begin so")
    chosen = parser.parse_args()
    encoder = (
        stored_encoder(chosen.base, Path, chosen.work / "encoders", threads=1) if Path(chosen.base).is_dir() else None
    )
    start = time.monotonic()
    for case in dev_cases() if chosen.dev else test_cases():
        if chosen.only and not case.name.startswith(tuple(chosen.only)):
            continue
        title, text = f"novelty gate: {case.name}", table(case, encoder)
        print(f"## {title}\n\n{text}", flush=True) if chosen.dev else write_log(title, text)
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
    return 0


def table(case: Case, encoder: StoredEncoder | None) -> str:
    """What each way to see texts notices at RATE, by kind of new text."""
    kinds = list(case.new)
    sizes = f"{len(case.known):,} known, {len(case.held_out):,} held out, {len(case.same):,} others, "
    sizes += f"{sum(map(len, case.new.values())):,} new; escalated where p <= {RATE}"
    each = [f"{kind} (n = {len(case.new[kind])})" for kind in kinds] if len(kinds) > 1 else []
    heads = ["seen as", "new: escalated (95 %)", "AUROC", "same source: escalated (95 %)", "ms a text", *each]
    rows = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    tried: list[tuple[str, list[str] | None]] = [*WAYS.items(), ("chosen by groups of train left out", None)]
    for name, ways in tried:
        if (encoder is None and ways and "embedding" in ways) or (ways is None and len(set(case.groups)) < FOLDS):
            continue
        gate = fit_gate(case.known, case.held_out, encoder=encoder, kinds=ways, groups=case.groups)
        rows.append(row(name if ways else f"{name}: {' + '.join(gate.views)}", gate, case, each=bool(each)))
        print(f"{case.name}: {name}", file=sys.stderr, flush=True)
    return sizes + "\n\n" + "\n".join(rows)


def row(name: str, gate: Gate, case: Case, *, each: bool) -> str:
    new = {kind: gate.scores(texts) for kind, texts in case.new.items()}
    scores, same = np.concatenate(list(new.values())), gate.scores(case.same)
    noticed, alarms = (conformal(found, gate.held_out) <= RATE for found in (scores, same))
    area = roc_auc_score([0] * len(same) + [1] * len(scores), np.concatenate([same, scores]))
    few = case.same[:50]
    start = time.process_time()
    for text in few:
        gate.p_values([text])
    milliseconds = (time.process_time() - start) / len(few) * 1000
    by_kind = [f"{(conformal(one, gate.held_out) <= RATE).mean():.3f}" for one in new.values()] if each else []
    return f"| {' | '.join([name, share(noticed), f'{area:.4f}', share(alarms), f'{milliseconds:.2g}', *by_kind])} |"


def share(found: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    low, high = binomtest(int(found.sum()), len(found)).proportion_ci()
    return f"{found.mean():.3f} ({low:.3f} to {high:.3f})"


def test_cases() -> list[Case]:
    train, test = lines("invoices", "train"), lines("invoices", "test")
    known, same, held_out = parts(train, "layout", 1200, 400)
    found = [Case("invoices, test's 6 unseen layouts", *known, held_out, same, by(test, "layout"))]
    known, same, held_out = parts(lines("ingredients", "train"), "source", KNOWN, 600)
    shown = {"another site": drawn(texts(lines("ingredients", "test_newsource")))}
    found.append(Case("ingredients, test_newsource", *known, held_out, drawn(same), shown))
    train, dev, test = (lines("clinc150", split) for split in ("train", "dev", "test"))
    known, _, _ = parts(in_scope(train), "label", KNOWN, 0)
    shown = {"out of scope": drawn(texts([one for one in test if one["label"] == "oos"]))}
    same = drawn(texts(in_scope(test)))
    found.append(Case("clinc150, test's out-of-scope", *known, drawn(texts(in_scope(dev)), 1000), same, shown))
    train, dev, own = (lines("banking77", split) for split in ("train", "dev", "test"))
    known, _, _ = parts(train, "label", KNOWN, 0)
    shown = {"clinc150": drawn(texts(test))}
    return [*found, Case("banking77, shown clinc150's test", *known, texts(dev), drawn(texts(own)), shown)]


def dev_cases() -> list[Case]:
    """Nothing of test: what is new was taken out of train, or is dev's."""
    train, found = lines("invoices", "train"), []
    for fold in range(2):
        rest, new = without(train, "layout", 5, fold)
        known, same, held_out = parts(rest, "layout", 900, 300)
        found.append(Case(f"invoices, 5 layouts of train left out, draw {fold}", *known, held_out, same, new))
    known, same, held_out = parts(train, "layout", 1200, 400)
    new = by(lines("invoices", "dev"), "layout")
    found.append(Case("invoices, dev's 4 layouts", *known, held_out, same, new))
    known, same, held_out = parts(in_scope(lines("clinc150", "train")), "label", KNOWN, 1000)
    outside = texts([one for one in lines("clinc150", "dev") if one["label"] == "oos"])
    found.append(Case("clinc150, dev's out-of-scope", *known, held_out, drawn(same), {"out of scope": outside}))
    rest, new = without(lines("banking77", "train"), "label", 15, 0)
    known, same, held_out = parts(rest, "label", KNOWN, 1000)
    together = {"intents left out": drawn([text for each in new.values() for text in each])}
    return [*found, Case("banking77, 15 intents of train left out", *known, held_out, drawn(same), together)]


def texts(found: Sequence[Row]) -> list[str]:
    return [one["text"] for one in found]


def in_scope(found: Sequence[Row]) -> list[Row]:
    return [one for one in found if one["label"] != "oos"]


def by(examples: Sequence[Row], key: str) -> dict[str, list[str]]:
    names = sorted({one[key] for one in examples})
    return {name: [one["text"] for one in examples if one[key] == name] for name in names}


def without(examples: Sequence[Row], key: str, count: int, fold: int) -> tuple[list[Row], dict[str, list[str]]]:
    """All but those of `count` values of `key`, and the texts of these by value."""
    every = by(examples, key)
    out = random.Random(SEED + fold).sample(sorted(every), count)
    return [one for one in examples if one[key] not in out], {name: every[name] for name in out}


def parts(found: Sequence[Row], key: str, known: int, held_out: int) -> tuple[Known, list[str], list[str]]:
    """Known texts and their `key`, the texts left over, and held-out ones, in random order."""
    mixed = random.Random(SEED).sample(list(found), len(found))
    first = mixed[:known]
    pair = (texts(first), [one[key] for one in first])
    return pair, texts(mixed[known + held_out :]), texts(mixed[known : known + held_out])


def drawn(found: Sequence[str], most: int = MOST) -> list[str]:
    return random.Random(SEED).sample(list(found), min(most, len(found)))


if __name__ == "__main__":
    sys.exit(main())
