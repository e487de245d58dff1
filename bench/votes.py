"""Do votes and verifiers help, and is what an order promises true? banking77.

    python -m bench.votes --work FOLDER

Three students of 3,000 examples that err differently: `tfidf` and `minilm` (logistic regressions on words and on sentence
vectors) and `bayes` (naive Bayes on runs of characters, recorded). Votes and verifiers learn on dev; the threshold of each is set
on 3,000 calibration examples so that a cascade to a person who is always right loses at most 3 % (confidence 95 %), and what it
then passes on is measured on test, which has no other use. For orders a `teacher` is simulated: right 96 times of 100, one dollar
per 1,000; the promise is the cross-validated figure on dev, and test says what it is worth.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB

from bench.projects import answer, lines, make_project, write_log
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.confidence import Auroc, calibration_error
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Floats, Mean
from tutelage.labels.splitting import example_id
from tutelage.project import Project, newest_artefact
from tutelage.routing.answered import Answers, Goal, answered_by
from tutelage.routing.confidence import fit_confidence
from tutelage.routing.learning import learned_text
from tutelage.routing.maps import log_loss
from tutelage.routing.order import Facts as Stored
from tutelage.routing.order import Rule, Wish, applied, learn_order, sureness
from tutelage.routing.testing import Limit, Sample, prove, thresholds
from tutelage.students.training import train
from tutelage.types import Split

MEMBERS = ("minilm", "tfidf", "bayes")
MOST = 0.03
ROWS: dict[str, dict[str, Any]] = {
    "minilm": {},
    "tfidf": {},
    "bayes": {},
    "equal": {"family": "vote", "of": list(MEMBERS)},
    "weighted": {"family": "vote", "of": list(MEMBERS), "weights": "dev"},
    "sure": {"family": "verified", "of": "minilm"},
    "sure-beside": {"family": "verified", "of": "minilm", "beside": "tfidf"},
    "sure-boosted": {"family": "verified", "of": "minilm", "beside": "tfidf", "model": "boosting"},
    "sure-vote": {"family": "verified", "of": "weighted", "beside": "minilm"},
}
TASK = """name = "banking77"
output = "label"
instructions = "Which intent?"
labels = {labels}
[candidates.tfidf]
family = "linear"
features = "tfidf"
[candidates.minilm]
family = "linear"
features = "embedding"
base = "{base}"
[candidates.bayes]
family = "replay"
file = "bayes.jsonl"
[candidates.teacher]
family = "replay"
file = "teacher.jsonl"
{more}
[hardware]
dollars_per_hour = 0.08
"""
SPLITS: tuple[Split, ...] = ("dev", "calibration", "test")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--base", default="weights/minilm")
    parser.add_argument("--dry", action="store_true", help="write no log")
    chosen = parser.parse_args()
    start = time.monotonic()
    project = made(chosen.work, str(Path(chosen.base).resolve()))
    learned = [learned_text(project, candidate(project, name)).split(" -> ")[0] for name in learn(project)]
    body = "\n\n".join([table(project), "\n".join(f"- {line}" for line in learned), orders(project)])
    body += f"\n\n{time.monotonic() - start:.0f} s."
    print(body) if chosen.dry else write_log("votes, verifiers and orders: banking77", body)
    return 0


def made(folder: Path, base: str) -> Project:
    """The project, its students trained, everybody's answers stored."""
    rows = lines("banking77", "train")
    random.Random(5).shuffle(rows)
    splits: dict[Split, Any] = {"train": rows[:3000], "calibration": rows[3000:6000]}
    splits |= {"dev": lines("banking77", "dev"), "test": lines("banking77", "test")}
    more = ""
    for name, settings in ROWS.items():
        if settings:
            more += f"[candidates.{name}]\n" + "".join(f"{key} = {json.dumps(one)}\n" for key, one in settings.items())
    labels = json.dumps(sorted({row["label"] for row in rows}))
    folder.mkdir(parents=True, exist_ok=True)
    record(folder, splits)
    project = make_project(folder, TASK.format(labels=labels, base=base, more=more), "label", splits)
    for name in ("tfidf", "minilm"):
        if newest_artefact(project, name) is None:
            one = candidate(project, name)
            train(project, name, one.family_name, one.family.student, one.settings, lambda share, shown: None)  # type: ignore[arg-type]
    for split in SPLITS:
        answer(project, [*MEMBERS, "teacher"], split)
    return project


def record(folder: Path, splits: dict[Split, Any]) -> None:
    """What `bayes` and the simulated teacher answer."""
    texts, gold = ([row[key] for row in splits["train"]] for key in ("text", "label"))
    runs = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True)
    bayes = MultinomialNB(alpha=0.02).fit(runs.fit_transform(texts), gold)
    found: dict[str, list[str]] = {"bayes": [], "teacher": []}
    chance = random.Random(0)
    for split in SPLITS:
        rows = splits[split]
        chances = bayes.predict_proba(runs.transform([row["text"] for row in rows]))
        for row, shares in zip(rows, chances, strict=True):
            id = example_id({"text": row["text"]})
            taught = row["label"] if chance.random() < 0.96 else chance.choice(list(bayes.classes_))
            said = {
                "bayes": (bayes.classes_[shares.argmax()], float(shares.max()), 1e-6),
                "teacher": (taught, None, 1e-3),
            }
            for name, (value, confidence, dollars) in said.items():
                usage = {"dollars": dollars, "seconds": 0.001}
                found[name].append(json.dumps({"id": id, "value": value, "confidence": confidence, "usage": usage}))
    for name, recorded in found.items():
        (folder / f"{name}.jsonl").write_text("\n".join(recorded) + "\n", encoding="utf-8")


def learn(project: Project) -> list[str]:
    """Those that learn, the vote before who verifies it; then all answer."""
    learned_text(project, candidate(project, "weighted"))
    for split in SPLITS:
        answer(project, ["equal", "weighted"], split)
    verified = [name for name, settings in ROWS.items() if settings.get("family") == "verified"]
    for name in verified:
        learned_text(project, candidate(project, name))
    for split in SPLITS:
        answer(project, verified, split)
    return ["weighted", *verified]


def answered(project: Project, names: Sequence[str], split: Split) -> Answers:
    return answered_by(
        project, [candidate(project, name) for name in names], split, Goal({"wrong": MOST}, against="gold")
    )


def table(project: Project) -> str:
    """Each candidate: right on test, how well its calibrated confidence tells, and what a certified cascade passes on."""
    dev, calibration, test = (answered(project, list(ROWS), split) for split in SPLITS)
    passed: dict[str, Floats] = {}
    rows = [
        "| candidate | right on test (95 %) | to minilm, paired | log loss | ECE | AUROC (95 %) | passed on at 3 % | "
        "to minilm, paired | wrong in all |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first = Mean(1 - test.losses["wrong"][0])
    for at, name in enumerate(ROWS):
        fitted = fit_confidence(project.task, dev.stages[at], dev.gold, dev.right[at])
        assert fitted is not None
        right, sure = test.right[at], fitted.confidence.of(test.stages[at])
        threshold = certified(fitted.confidence.of(calibration.stages[at]), calibration, at)
        passed[name] = (sure < threshold).astype(np.float64)
        n, score = test.n, Mean(right.astype(np.float64))
        cells = [
            name,
            shown(estimate(score, n)),
            "" if not at else shown(difference(score, first, n), "+"),
            f"{log_loss(sure, right).mean():.4f}",
            f"{calibration_error(sure, right):.4f}",
            shown(estimate(Auroc(sure, right, np.arange(n)), n)),
            shown(estimate(Mean(passed[name]), n)),
            "" if not at else shown(difference(Mean(passed[name]), Mean(passed["minilm"]), n), "+"),
            shown(estimate(Mean((1 - passed[name]) * ~right), n)),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    head = f"dev {dev.n}, calibration {calibration.n}, test {test.n}; students learned from 3,000 examples."
    return "\n".join([head, "", *rows])


def certified(sure: Floats, calibration: Answers, at: int) -> float:
    """The certified threshold before a person who is always right; above every confidence where none is proved."""
    lost = calibration.losses["wrong"][at]
    limit = Limit("wrong", MOST, lambda threshold: np.where(sure >= threshold, lost, 0.0), binary=True)
    found = prove([limit], thresholds(sure), Sample(calibration.examples.ids, 0.05), 0.05).threshold
    return 2.0 if found is None else found


def orders(project: Project) -> str:
    """What an order promises on dev, and what it brings on test."""
    names = ["bayes", "tfidf", "minilm", "sure-beside", "teacher"]
    dev, test = answered(project, names, "dev"), answered(project, names, "test")
    rows = [
        "| wish | chosen | on dev where it was chosen | cross-validated on dev (95 %) | test (95 %) | "
        "$ per 1,000: wish, dev, test |",
        "|---|---|---|---|---|---|",
    ]
    every = np.arange(dev.n)
    for wish in (Wish(budget=0.1), Wish(budget=0.3), Wish(max_loss=0.06), Wish(max_loss=0.05)):
        found = learn_order(project, names, wish, "gold").chosen
        rule = Rule(tuple(names.index(one) for one in found.stages), found.thresholds)
        results = []
        for split in (dev, test):
            # Confidences are calibrated on dev, also for test.
            sure = sureness(project.task, dev, every) if split is dev else calibrated(project, dev, test)
            dollars = np.array([[one.usage.dollars for one in stage] for stage in split.stages], np.float64)
            results.append(applied(rule, Stored(np.stack(split.losses["wrong"]), dollars, sure)))
        (lost, _, _), (on_test, spent, _) = results
        asked = f"$ {wish.budget:g}" if wish.budget else f"loss {wish.max_loss:g}"
        cells = [
            asked,
            " -> ".join(found.stages),
            f"{lost.mean():.4f}",
            shown(found.loss),
            shown(estimate(Mean(on_test), test.n)),
            f"{wish.budget or '-'}, {found.dollars_per_1000:.4f}, {1000 * spent.mean():.4f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def calibrated(project: Project, dev: Answers, test: Answers) -> Floats:
    """(m, n) confidences on test by the maps of dev."""
    found = []
    for at, predictions in enumerate(test.stages):
        fitted = fit_confidence(project.task, dev.stages[at], dev.gold, dev.right[at])
        found.append(np.full(test.n, np.nan) if fitted is None else fitted.confidence.of(predictions))
    return np.stack(found)


def shown(one: Estimate, sign: str = "") -> str:
    return f"{one.value:{sign}.4f} ({one.low:{sign}.4f} to {one.high:{sign}.4f})"


if __name__ == "__main__":
    raise SystemExit(main())
