"""What a teacher's probabilities, layers and doubts are worth beside its plain labels, at equal cost.

    OMP_NUM_THREADS=1 python -m bench.distillation --part soft --student linear          # 5 minutes on one core
    OMP_NUM_THREADS=1 python -m bench.distillation --part soft --student encoder --only banking77 --seeds 2
    OMP_NUM_THREADS=1 python -m bench.distillation --part white-box --work FOLDER
    OMP_NUM_THREADS=1 python -m bench.distillation --part weak
    ... --dev                                        # where choices are made: other temperatures too, appends nothing

Data, in TUTELAGE_DATA: banking77 (CC BY 4.0), clinc150 (CC BY 3.0; 50 of its 150 intents, drawn with a seed, without "oos"),
snips (CC0; the intent of a command).

soft: the teacher is logistic regression on MiniLM's vectors, of 3,000 gold labels (half of train where that is less). It labels
200 texts that it has not seen, drawn with each seed. Both students learn from the same 200 answers, one from the labels, one from
the probabilities that came with them, which cost nothing more. Every other setting is at its default.
white-box: an encoder on MiniLM learns LABELLED gold labels. Half its size: MiniLM's own layers 0, 2 and 5 fine-tuned on the same
labels, and a white-box student, without and with texts that have no label.
weak: TF-IDF and logistic regression on 300 gold labels answers 400 other texts, from which an encoder on MiniLM learns.

Scores are the mean over seeds; intervals are of the test examples (paired bootstrap), of which all seeds answer the same.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.intents import OUT_OF_SCOPE
from bench.projects import drawn, lines, make_project, write_log
from tutelage import settings
from tutelage.cli.train import train_one
from tutelage.embeddings.encoder import OnnxEncoder, export_encoder
from tutelage.embeddings.export import load_base
from tutelage.embeddings.runtime import Array
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Floats, Mean
from tutelage.project import Project
from tutelage.students.base import FitContext, Student
from tutelage.students.encoder import EncoderSettings, EncoderStudent
from tutelage.students.finetune.distil import smaller
from tutelage.students.finetune.keeping import save_base
from tutelage.students.linear import LinearSettings, LinearStudent
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Labelled

SETS = ("banking77", "clinc150", "snips")
INTENTS = 50
LABELS, TEACHING = 200, 3000
LABELLED, TEXTS = 1000, 2000
WEAK, BY_WEAK = 300, 400
TEMPERATURES = (1.0, 2.0, 4.0)


class Data(NamedTuple):
    task: LabelTask
    train: list[Labelled]
    judged: list[Labelled]


class Scored(NamedTuple):
    """A student's right answers, the mean over the seeds for each test example, and each seed's accuracy."""

    name: str
    right: Floats
    seeds: list[float]


@dataclass
class Remembered:
    """MiniLM as ONNX with the vectors it has given: the students of all seeds read the same texts."""

    encoder: OnnxEncoder
    known: dict[str, Array]

    def encode(self, texts: Sequence[str]) -> Array:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        self.known.update(zip(new, self.encoder.encode(new), strict=True) if new else ())
        return np.stack([self.known[text] for text in texts])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["soft", "white-box", "weak"], required=True)
    parser.add_argument("--student", choices=["linear", "tfidf", "encoder"], default="linear", help="of part soft")
    parser.add_argument(
        "--only", choices=SETS, nargs="*", help="data sets (default: all; of the other parts banking77)"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n", type=int, default=1000, help="examples of test, drawn with a seed")
    parser.add_argument("--work", type=Path, help="folder for the project of part white-box")
    parser.add_argument("--dev", action="store_true", help="score on dev, write no log")
    given = parser.parse_args()
    base = str((settings.weights_folder() / "minilm").resolve())
    if not Path(base).is_dir():
        print(f"SKIPPED: there is no {base}. Fetch it with: python scripts/weights.py minilm")
        return 0
    for name in given.only or (SETS if given.part == "soft" else SETS[:1]):
        data = read(name, "dev" if given.dev else "test", given.n)
        if given.part == "white-box":
            about, scored = white_box(data, base, given.work or Path(tempfile.mkdtemp(prefix="distillation-")))
        else:
            about, scored = {"soft": soft, "weak": weak}[given.part](data, base, given)
        title = f"distillation, {given.part}: {name} {'dev' if given.dev else 'test'}, n = {len(data.judged)}, {about}"
        if given.dev:
            print(f"{title}\n{table(scored)}", flush=True)
        else:
            write_log(title, table(scored))
    return 0


def read(name: str, split: str, n: int) -> Data:
    train, judged = ([one for one in lines(name, file) if one["label"] != OUT_OF_SCOPE] for file in ("train", split))
    labels = sorted({one["label"] for one in train})
    if name == "clinc150":
        labels = sorted(random.Random(7).sample(labels, INTENTS))
    kept = set(labels)
    train, judged = ([one for one in split if one["label"] in kept] for split in (train, judged))
    random.Random(0).shuffle(train)
    task = LabelTask(name, ("text",), "", labels=tuple(labels))
    return Data(task, [labelled(one) for one in train], [labelled(one) for one in drawn(judged, n, 1)])


def labelled(one: dict[str, Any]) -> Labelled:
    return Labelled(Example(one["id"], {"text": one["text"]}, "train"), one["label"], "import")


def soft(data: Data, base: str, given: argparse.Namespace) -> tuple[str, list[Scored]]:
    with tempfile.TemporaryDirectory() as folder:
        export_encoder(base, Path(folder), Path)
        encoder = Remembered(OnnxEncoder(Path(folder), 1), {})

        class OnVectors(LinearStudent):
            """Vectors that are known are not computed again."""

            def _encoder(self, learnt: Sequence[Labelled], context: FitContext) -> Any:
                return encoder, {}

        half = min(TEACHING, len(data.train) // 2)
        teacher = OnVectors(data.task, LinearSettings("embedding", base, threads=1))
        fit(teacher, data.train[:half])
        right = float(right_of(teacher, data.judged).mean())

        def student(**chosen: Any) -> Student:
            if given.student == "encoder":
                return EncoderStudent(data.task, EncoderSettings(base, quantise="none", threads=1, **chosen))
            read = base if given.student == "linear" else None
            return OnVectors(data.task, LinearSettings(base=read, threads=1, **chosen))

        made: dict[str, Callable[[], Student]] = {
            "hard labels": lambda: student(targets="hard"),
            "soft labels": lambda: student(targets="soft"),
        }
        if given.dev:
            del made["soft labels"]
            made |= {f"soft, T = {t:g}": partial(student, targets="soft", temperature=t) for t in TEMPERATURES}
            made |= {"soft, weight 0.5": partial(student, targets="soft", soft_weight=0.5)}
        return f"student {given.student}, teacher {right:.3f} right, {LABELS} of its labels, {given.seeds} seeds", [
            over_seeds(name, make, data, lambda seed: answered(teacher, data.train[half:], LABELS, seed), given.seeds)
            for name, make in made.items()
        ]


def weak(data: Data, base: str, given: argparse.Namespace) -> tuple[str, list[Scored]]:
    teacher = LinearStudent(data.task, LinearSettings("tfidf", threads=1))
    fit(teacher, data.train[:WEAK])
    others = data.train[WEAK:]

    def student(**chosen: Any) -> Student:
        return EncoderStudent(data.task, EncoderSettings(base, quantise="none", threads=1, **chosen))

    def labels(seed: int) -> list[Labelled]:
        return answered(teacher, others, BY_WEAK, seed)

    made: dict[str, tuple[Callable[[], Student], Callable[[int], list[Labelled]]]] = {
        "weak labels": (lambda: student(targets="hard"), labels),
        "weak labels, self_weight 0.5": (lambda: student(targets="hard", self_weight=0.5), labels),
        "weak soft labels": (lambda: student(targets="soft"), labels),
        "gold labels of the same texts": (student, lambda seed: random.Random(seed).sample(others, BY_WEAK)),
    }
    right = float(right_of(teacher, data.judged).mean())
    about = f"{BY_WEAK} labels of a teacher that is {right:.3f} right, {given.seeds} seeds"
    return about, [over_seeds(name, make, data, told, given.seeds) for name, (make, told) in made.items()]


def white_box(data: Data, base: str, work: Path) -> tuple[str, list[Scored]]:
    half = work / "half"
    if not half.is_dir():
        save_base(smaller(load_base(base, Path), None), half)
    common = "quantise = 'none'\nthreads = 1\n"
    made = {
        "large": f"family = 'encoder'\nbase = '{base}'\nkeep_weights = true\n",
        "plain": f"family = 'encoder'\nbase = '{half}'\n",
        "white-box-labelled": "family = 'white-box'\nof = 'large'\nunlabelled = 0\n",
        "white-box": f"family = 'white-box'\nof = 'large'\nunlabelled = {TEXTS}\n",
    }
    head = f"name = '{data.task.name}'\noutput = 'label'\nlabels = {list(data.task.labels)}\n"
    file = head + "".join(f"[candidates.{name}]\n{given}{common}" for name, given in made.items())
    rows: list[dict[str, str]] = [{"text": one.example.input["text"], "label": str(one.value)} for one in data.train]
    project = make_project(work, file, "label", {"train": rows[:LABELLED], "dev": rows[-500:]})
    texts = [
        Example(f"no-label-{at}", {"text": row["text"]}, "train") for at, row in enumerate(rows[LABELLED:][:TEXTS])
    ]
    project.store.examples.add(texts)
    scored = []
    for name in made:
        card = train_one(project, candidate(project, name)).card
        print(f"{name}: {card['seconds']:.0f} s, dev {card['fit']['dev_scores']}", file=sys.stderr, flush=True)
        right = right_of(built(project, name), data.judged)
        scored.append(Scored(f"{name}, trained in {card['seconds']:.0f} s", right, [float(right.mean())]))
    # Compared with the plain one of the same size.
    return f"{LABELLED} gold labels, {TEXTS} texts without, 3 of 6 layers", [scored[1], *scored[2:], scored[0]]


def built(project: Project, name: str) -> Student:
    trained: Any = candidate(project, name).build(project)
    student: Student = trained.student
    return student


def fit(student: Student, train: Sequence[Labelled]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        student.fit(train, [], FitContext(Path(folder), Path))


def answered(teacher: Student, pool: Sequence[Labelled], n: int, seed: int) -> list[Labelled]:
    """What the teacher says of `n` of the texts, with its probabilities."""
    chosen = random.Random(seed).sample(list(pool), n)
    found = teacher.predict_batch([one.example.input for one in chosen])
    return [
        Labelled(one.example, said.value, "teacher:bench", said.parts)
        for one, said in zip(chosen, found, strict=True)
        if said.value is not None
    ]


def over_seeds(
    name: str, make: Callable[[], Student], data: Data, told: Callable[[int], list[Labelled]], seeds: int
) -> Scored:
    rights = []
    for seed in range(seeds):
        student = make()
        with tempfile.TemporaryDirectory() as folder:
            student.fit(told(seed), [], FitContext(Path(folder), Path, seed=seed))
            rights.append(right_of(student, data.judged))
        print(f"{name}, seed {seed}: {rights[-1].mean():.4f}", file=sys.stderr, flush=True)
    return Scored(name, np.mean(rights, axis=0), [float(one.mean()) for one in rights])


def right_of(student: Student, judged: Sequence[Labelled]) -> Floats:
    found = student.predict_batch([one.example.input for one in judged])
    return np.array([said.value == one.value for said, one in zip(found, judged, strict=True)], np.float64)


def table(scored: Sequence[Scored]) -> str:
    """Each with its difference to the first."""
    rows = ["| student | accuracy (95 %) | to the first, paired (95 %) | each seed |", "|---|---|---|---|"]
    for one in scored:
        whole = estimate(Mean(one.right), len(one.right))
        gain = ""
        if one is not scored[0]:
            found = difference(Mean(one.right), Mean(scored[0].right), len(one.right))
            gain = f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
        each = " ".join(f"{seed:.3f}" for seed in one.seeds)
        rows.append(f"| {one.name} | {whole.value:.4f} ({whole.low:.4f} to {whole.high:.4f}) | {gain} | {each} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
