"""Weak supervision: a label model beside the majority vote, labels weighed by their quality, and a small diverse subset.

    python -m bench.weak --work FOLDER                    # all parts; about half an hour on one core
    python -m bench.weak --work FOLDER --part functions   # clinc150, 20 intents, keyword functions
    python -m bench.weak --work FOLDER --part quality     # banking77, a fifth of the labels wrong, 300 reviewed
    python -m bench.weak --work FOLDER --part subset      # the same labels: all of them, or few

functions   The first 20 intents by the alphabet. The label model learns from the inputs of train alone; its kind was chosen on
            dev. Of a tied majority vote every answer counts as much as it is probable. Abstaining is wrong. Snorkel's label
            model is asked beside it where --snorkel names a Python that has it (pip install snorkel==0.10.0).
quality     Of 4,000 labels of train, drawn by the seed, a fifth is changed to another one; 300 drawn at random are
            reviewed (and right then). dev is as wrong as train, and chosen on as it is; test is right.
subset      On the labels of `quality`, reviewed ones first.

Data: clinc150 (CC BY 3.0), banking77 (CC BY 4.0). Students are logistic regression on TF-IDF.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.projects import drawn, lines, make_project, write_log
from bench.weak_rules import RULES
from tutelage.cli.train import train_one
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Mean
from tutelage.labels.weak.functions import Function, Rule, rule_functions
from tutelage.labels.weak.labeller import Labeller, fitted
from tutelage.labels.weak.model import Kind
from tutelage.project import Project
from tutelage.review.weights import weigh
from tutelage.students.base import FitContext
from tutelage.types import Label, Labelled, Split

INTENTS, SEEDS, LEARNT, REVIEWED, WRONG = 20, 3, 4_000, 300, 0.2
KINDS: tuple[Kind, ...] = ("majority", "one-coin", "confusion")

SNORKEL = """
import json, sys
import numpy as np
from snorkel.labeling.model import LabelModel, MajorityLabelVoter
given = json.load(sys.stdin)
learnt, asked, k = np.array(given["train"]), np.array(given["test"]), given["labels"]
model = LabelModel(cardinality=k, verbose=False)
model.fit(learnt, n_epochs=500, seed=0)
print(json.dumps(model.predict_proba(asked).argmax(axis=1).tolist()))
"""


class Right(NamedTuple):
    """How right each input was answered, in [0, 1], and whether it was answered at all."""

    scores: NDArray[np.float64]
    covered: NDArray[np.bool_]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the projects")
    parser.add_argument("--part", choices=["functions", "quality", "subset"], help="one part alone (default: all)")
    parser.add_argument("--snorkel", type=Path, help="a Python with snorkel installed")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    chosen = parser.parse_args()
    for name in [chosen.part] if chosen.part else ["functions", "quality", "subset"]:
        if name == "functions":
            functions(chosen.work, chosen.snorkel)
        elif name == "quality":
            quality(chosen.work, chosen.seeds)
        else:
            subset(chosen.work, chosen.seeds)
    return 0


# --- functions


def functions(work: Path, snorkel: Path | None) -> None:
    splits: dict[Split, list[dict[str, Any]]] = {
        split: [{"text": one["text"], "intent": one["label"]} for one in lines("clinc150", split)] for split in _SPLITS
    }
    names = sorted({one["intent"] for one in splits["train"]} - {"oos"})[:INTENTS]
    kept = {split: [one for one in examples if one["intent"] in names] for split, examples in splits.items()}
    task = f'name = "intents"\noutput = "label"\nlabels = {json.dumps(names)}\n'
    for kind in ("majority", "confusion"):
        task += f'[candidates.{kind}]\nfamily = "linear"\nlabels = "weak"\n'
    project = make_project(work / "functions", task, "intent", kept)
    rules = rule_functions(project.task, [Rule(label, tuple(words)) for label, words in RULES], "bench")
    said = {
        split: [[one.vote(project.task, {"text": e["text"]}) for one in rules] for e in kept[split]]
        for split in _SPLITS
    }
    gold = [one["intent"] for one in kept["test"]]
    models = {kind: _labeller(project, rules, said["train"], kind) for kind in KINDS}
    found: dict[str, Right] = {kind: _judged(one, said["test"], gold) for kind, one in models.items()}
    if snorkel:
        found["Snorkel 0.10"] = _snorkel(snorkel, names, said, gold)
    students = {kind: _taught(project, models[kind], said["train"], kind) for kind in ("majority", "confusion")}
    _write_functions(
        found,
        students,
        (len(kept["train"]), len(rules)),
        _judged(models["confusion"], said["dev"], [o["intent"] for o in kept["dev"]]),
    )


_SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def _labeller(project: Project, rules: Sequence[Function], said: Sequence[Sequence[Any]], kind: Kind) -> Labeller:
    return fitted(project.task, [one.name for one in rules], [one.labels for one in rules], said, kind)


def _judged(labeller: Labeller, said: Sequence[Sequence[Any]], gold: Sequence[str]) -> Right:
    """Of equally probable answers each counts as much; where nothing is said the answer is wrong."""
    probabilities = labeller.probabilities(said)
    best = probabilities >= probabilities.max(axis=1, keepdims=True) - 1e-9
    covered = np.array([any(word is not None for word in words) for words in said])
    column = np.array([labeller.labels.index(one) for one in gold])
    return Right(best[np.arange(len(gold)), column] / best.sum(axis=1) * covered, covered)


def _snorkel(
    python: Path, names: Sequence[str], said: Mapping[Split, Sequence[Sequence[Any]]], gold: Sequence[str]
) -> Right:
    place = {name: at for at, name in enumerate(names)}

    def matrix(split: Split) -> list[list[int]]:
        return [[-1 if word is None else place[word] for word in words] for words in said[split]]

    given = json.dumps({"train": matrix("train"), "test": matrix("test"), "labels": len(names)})
    done = subprocess.run([str(python), "-c", SNORKEL], input=given, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout.splitlines()[-1])
    covered = np.array([any(word is not None for word in words) for words in said["test"]])
    right = np.array([names[at] == one for at, one in zip(answers, gold, strict=True)])
    return Right((right * covered).astype(np.float64), covered)


def _taught(project: Project, labeller: Labeller, said: Sequence[Sequence[Any]], kind: str) -> Right:
    """A student that learns from the pseudo-labels of `labeller`, and from no label besides."""
    examples = list(project.store.examples.read("train"))
    answers = labeller.predictions(said)
    source = f"weak:{kind}@bench"
    project.store.labels.add(
        [
            Label(example.id, answer.value, source, distribution=answer.parts)
            for example, answer in zip(examples, answers, strict=True)
            if answer.value is not None
        ]
    )
    learnt = list(project.store.labels.read("train", "weak", source))
    return _student(project, kind, learnt)


def _student(project: Project, name: str, learnt: Sequence[Labelled]) -> Right:
    """Candidate `name` fitted on these labels, on test."""
    one = candidate(project, name)
    student = one.family.student(project.task, one.settings)  # type: ignore[misc]
    student.fit(learnt, [], FitContext(project.folder, project.path))
    test = list(project.store.labels.read("test", "gold"))
    answers = student.predict_batch([e.example.input for e in test])
    scores = np.array([float(answer.value == gold.value) for answer, gold in zip(answers, test, strict=True)])
    return Right(scores, np.ones(len(scores), bool))


def _write_functions(
    found: Mapping[str, Right], students: Mapping[str, Right], sizes: tuple[int, int], dev: Right
) -> None:
    n = len(found["majority"].scores)
    rows = [
        "| | right of all | right of those with a vote | beside the majority vote, paired (95 %) |",
        "|---|---|---|---|",
    ]
    for name, one in found.items():
        some = estimate(Mean(one.scores[one.covered]), int(one.covered.sum()))
        rows.append(f"| {name} | {_shown(one.scores)} | {some.value:.3f} | {_beside(one, found['majority'])} |")
    for name, one in students.items():
        rows.append(f"| student of {name} | {_shown(one.scores)} | | {_beside(one, students['majority'])} |")
    covered = int(found["majority"].covered.sum())
    write_log(
        "Keyword functions on clinc150, first 20 intents",
        f"{sizes[1]} keyword lists by hand, learnt from the {sizes[0]} inputs of train without labels; n = {n} of test, of which "
        f"{covered} have a vote. On dev, where the kind of model was chosen, `confusion` {dev.scores.mean():.3f} "
        f"(n = {len(dev.scores)}). Students (linear, TF-IDF) learn from the pseudo-labels of train alone; their difference is to "
        "the student of the majority.\n\n" + "\n".join(rows),
    )


# --- quality and subset


QUALITY = """
[candidates.all]
family = "linear"
effort = "low"
[candidates.weigh]
family = "linear"
effort = "low"
quality = "weigh"
[candidates.drop]
family = "linear"
effort = "low"
quality = "drop"
"""


def noisy(work: Path, seed: int) -> tuple[Project, int]:
    """banking77 with a fifth of train's and dev's labels changed and REVIEWED of train's reviewed; and how many are wrong."""
    splits = {
        split: [{"text": one["text"], "intent": one["label"]} for one in lines("banking77", split)] for split in _SPLITS
    }
    names, draw, wrong = sorted({one["intent"] for one in splits["train"]}), random.Random(seed), 0
    splits["train"] = drawn(splits["train"], LEARNT, seed)
    told: dict[str, str] = {}
    for split in ("train", "dev"):
        for one in splits[split]:
            told[one["text"]] = one["intent"]
            if draw.random() < WRONG:
                one["intent"] = draw.choice([name for name in names if name != one["intent"]])
                wrong += split == "train"
    folder = work / f"quality-{seed}"
    fresh = not (folder / "tutelage.db").exists()
    project = make_project(folder, _task(names, QUALITY), "intent", splits)  # type: ignore[arg-type]
    if fresh:
        examples = list(project.store.examples.read("train"))
        some = [examples[at] for at in sorted(draw.sample(range(len(examples)), REVIEWED))]
        project.store.labels.add([Label(one.id, told[one.input["text"]], "human:bench") for one in some])
    return project, wrong


def _task(names: Sequence[str], candidates: str) -> str:
    return f'name = "bank"\noutput = "label"\nlabels = {json.dumps(names)}\n{candidates}'


def quality(work: Path, seeds: int) -> None:
    found: dict[str, list[Right]] = {"all": [], "weigh": [], "drop": []}
    told = []
    for seed in range(seeds):
        project, wrong = noisy(work, seed)
        report = weigh(project, "train", "all", seed)
        told.append(
            f"seed {seed}: {wrong} labels wrong; AUROC {report.auroc.value:.3f} ({report.auroc.low:.3f} to "
            f"{report.auroc.high:.3f}, n = {report.reviewed}, cross-fitted), {report.doubtful} of {report.estimated} below 0.5"
        )
        for name in found:
            train_one(project, candidate(project, name))
            found[name].append(_on_test(project, name))
    rows = ["| | right, mean of the seeds | beside all labels, paired (95 %) |", "|---|---|---|"]
    pooled = {
        name: Right(np.mean([one.scores for one in some], axis=0), some[0].covered) for name, some in found.items()
    }
    for name, one in pooled.items():
        each = ", ".join(f"{some.scores.mean():.3f}" for some in found[name])
        rows.append(f"| {name} | {_shown(one.scores)} ({each}) | {_beside(one, pooled['all'])} |")
    n = len(pooled["all"].scores)
    write_log(
        f"A fifth of banking77's labels wrong, {REVIEWED} reviewed: weighed and dropped",
        f"{LEARNT:,} labels, n = {n} of test, {seeds} seeds (which inputs, which labels are wrong, which are reviewed); "
        f"intervals over test examples, of which the seeds' mean is taken. {'; '.join(told)}.\n\n" + "\n".join(rows),
    )


def subset(work: Path, seeds: int) -> None:
    sizes = (500, 1500)
    found: dict[str, list[Right]] = {}
    for seed in range(seeds):
        kept = work / f"subset-{seed}.json"
        if not kept.exists():
            project, _ = noisy(work, seed)
            weigh(project, "train", "all", seed)
            scores = {name: _subset_scores(project, changes, seed) for name, changes in _subsets(sizes)}
            kept.write_text(json.dumps(scores), encoding="utf-8")
        for name, scored in json.loads(kept.read_text(encoding="utf-8")).items():
            found.setdefault(name, []).append(Right(np.array(scored), np.ones(len(scored), bool)))
    pooled = {
        name: Right(np.mean([one.scores for one in some], axis=0), some[0].covered) for name, some in found.items()
    }
    rows = [
        "| labels learnt from | right, mean of the seeds | beside all labels | beside as many at random, paired (95 %) |",
        "|---|---|---|---|",
    ]
    for name, one in pooled.items():
        twin = pooled.get(name.replace("diverse and probably right", "random").replace("diverse", "random"))
        beside = _beside(one, twin) if twin is not None and twin is not one else ""
        rows.append(f"| {name} | {_shown(one.scores)} | {_beside(one, pooled['all'])} | {beside} |")
    write_log(
        "Less is more? Subsets of banking77 with a fifth of the labels wrong",
        f"n = {len(pooled['all'].scores)} of test, {seeds} seeds as above, {REVIEWED} labels reviewed.\n\n"
        + "\n".join(rows),
    )


def _subset_scores(project: Project, changes: Mapping[str, Any], seed: int) -> list[float]:
    changed = {**changes, "seed": seed} if changes else {}
    train_one(project, candidate(project, "all", changed))
    return _on_test(project, "all", changed).scores.tolist()


def _subsets(sizes: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = [("all", {})]
    for size in sizes:
        found += [
            (f"{size:,} random", {"most": size, "choose": "random"}),
            (f"{size:,} diverse", {"most": size}),
            (f"{size:,} diverse and probably right", {"most": size, "quality": "drop"}),
        ]
    return found


def _on_test(project: Project, name: str, changes: Mapping[str, Any] | None = None) -> Right:
    test = list(project.store.labels.read("test", "gold"))
    answers = asyncio.run(candidate(project, name, changes).build(project).predict([e.example.input for e in test]))
    scores = np.array([float(answer.value == gold.value) for answer, gold in zip(answers, test, strict=True)])
    return Right(scores, np.ones(len(scores), bool))


def _shown(scores: NDArray[np.float64]) -> str:
    found = estimate(Mean(scores), len(scores))
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _beside(ours: Right, theirs: Right) -> str:
    if ours is theirs:
        return ""
    found = difference(Mean(ours.scores), Mean(theirs.scores), len(ours.scores))
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


if __name__ == "__main__":
    raise SystemExit(main())
