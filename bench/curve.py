"""Learning curves on real data: what they say, and whether what they foretell comes true.

    python -m bench.curve --work FOLDER                    # banking77 and clinc150, TF-IDF: about 4 minutes on one core
    python -m bench.curve --work FOLDER --part embeddings  # banking77, TF-IDF beside MiniLM embeddings
    python -m bench.curve --work FOLDER --part prompt      # 20 intents of clinc150 beside a prompted local model
    python -m bench.curve --work FOLDER --part examples    # examples/characters and examples/tickets, with their teachers
    python -m bench.curve --work FOLDER --part simulated   # curves whose law is known

Curves end at 2,000 examples of train; twice as many are then trained for, and compared with what was foretold. Scored on
dev, which no student sees; test is not touched. FOLDER keeps every point: broken off, a run goes on there.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.projects import answer, drawn, lines, make_project, write_log
from tutelage import settings
from tutelage.cli.label import label_with_teacher
from tutelage.cli.options import plain
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.curve.curves import Curves, against
from tutelage.evaluation.curve.exports import write_curves
from tutelage.evaluation.curve.fitting import Law, fit
from tutelage.evaluation.curve.measuring import CurveOptions, measure_curves
from tutelage.evaluation.curve.points import plan, points
from tutelage.evaluation.curve.scores import scores
from tutelage.evaluation.curve.table import curves_text
from tutelage.evaluation.harness import example_set
from tutelage.evaluation.metrics import Mean, Statistic
from tutelage.labels.adding import AddOptions, add_file
from tutelage.labels.teach import TeachOptions
from tutelage.project import Project, open_project

SEED, INTENTS, SHOTS = 7, 20, 8
MOST = 2000
SIMULATED = 200
SIZES = (50, 100, 200, 400, 800, 1600, MOST)
EXAMPLES = Path(__file__).parents[1] / "examples"

WORDS = """
[candidates.tfidf]
family = "linear"
features = "tfidf"
effort = "low"
labels = "gold"
"""
EMBEDDINGS = """
[candidates.minilm]
family = "linear"
features = "embedding"
effort = "low"
base = "{base}"
labels = "gold"
threads = 1
"""
PROMPTS = """
[candidates.constrained]
{model}
[candidates.fixed-shots]
shots = {shots}
{model}
"""
MODEL = 'family = "prompted"\nprovider = "gguf"\nmodel = "{path}"\nstructured = "choice"\nthreads = 1\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the projects; used again, it goes on")
    parser.add_argument("--part", choices=list(PARTS), default="words")
    parser.add_argument("--n", type=int, default=500, help="examples of dev that are scored")
    parser.add_argument("--datasets", nargs="+", default=["banking77", "clinc150"], help="of the part words")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    start = time.monotonic()
    body = PARTS[chosen.part](chosen)
    write_log(f"curve: {chosen.part}", f"{body}\n\n{time.monotonic() - start:.0f} s on one core of a busy machine.")
    return 0


def words(chosen: argparse.Namespace) -> str:
    told = []
    for dataset in chosen.datasets:
        project = intents(chosen.work / dataset, dataset, chosen.n, WORDS)
        told.append(f"{dataset}, TF-IDF\n\n" + curves_of(project, ["tfidf"], SIZES, chosen.repeats, MOST * 2))
    return "\n\n".join(told)


def embeddings(chosen: argparse.Namespace) -> str:
    more = WORDS + EMBEDDINGS.format(base=settings.weights_folder().resolve() / "minilm")
    project = intents(chosen.work / "banking77-embeddings", "banking77", chosen.n, more)
    return "banking77\n\n" + curves_of(project, ["tfidf", "minilm"], (100, 200, 400, 800, 1600), chosen.repeats)


def prompt(chosen: argparse.Namespace) -> str:
    """The curves of 20 intents, as `bench.prompting` draws them, beside a prompted model."""
    weights = settings.weights_folder().resolve()
    path = weights / "qwen2.5-coder-0.5b" / "qwen2.5-coder-0.5b-instruct.q4_k_m.gguf"
    more = WORDS + EMBEDDINGS.format(base=weights / "minilm")
    more += PROMPTS.format(model=MODEL.format(path=path), shots=SHOTS)
    project = intents(chosen.work / "clinc150-20", "clinc150", chosen.n, more, INTENTS)
    problems = answer(project, ["constrained", "fixed-shots"], "dev")
    for name, problem in problems.items():
        print(f"{name}: {problem}", file=sys.stderr)
    sizes = (25, 50, 100, 200, 400, 800)
    return f"clinc150, {INTENTS} intents, {path.stem}\n\n" + curves_of(
        project, ["tfidf", "minilm"], sizes, chosen.repeats
    )


def tickets(chosen: argparse.Namespace) -> str:
    return shipped(chosen, "tickets", ["linear", "imitator"])


def characters(chosen: argparse.Namespace) -> str:
    return shipped(chosen, "characters", ["tagger-teacher", "tagger-gold"])


def examples(chosen: argparse.Namespace) -> str:
    return f"{tickets(chosen)}\n\n{characters(chosen)}"


def shipped(chosen: argparse.Namespace, name: str, students: Sequence[str]) -> str:
    project = example(chosen.work / name, name)
    label_with_teacher(project, "all", TeachOptions())
    answer(project, ["teacher"], "dev")
    return f"examples/{name}\n\n" + curves_of(project, students, (), chosen.repeats)


def intents(folder: Path, dataset: str, n: int, candidates: str, intents: int | None = None) -> Project:
    """Gold labels of train and n examples of dev; only `intents` of the labels, where that is given."""
    splits = {split: lines(dataset, split) for split in ("train", "dev")}
    labels = sorted({one["label"] for one in splits["train"]} - ({"oos"} if intents else set()))
    if intents:
        labels = sorted(random.Random(SEED).sample(labels, intents))
    kept = {split: [one for one in found if one["label"] in labels] for split, found in splits.items()}
    task = f'name = "intent"\noutput = "label"\nlabels = {labels!r}\n'
    task += 'instructions = "Which intent has the user of an assistant who says this?"\n' + candidates
    return make_project(folder, task, "label", {"train": kept["train"], "dev": drawn(kept["dev"], n, SEED)})


def example(folder: Path, name: str) -> Project:
    """A copy of a shipped example with its data added."""
    if not folder.exists():
        shutil.copytree(EXAMPLES / name, folder)
        path, weights = folder / "task.toml", settings.weights_folder().resolve()
        text = path.read_text(encoding="utf-8").replace("../../weights", str(weights))
        if name == "tickets":
            linear = text[text.index("[candidates.linear]") : text.index("[hardware]")]
            text += "\n" + linear.replace(".linear]", ".imitator]").replace('"gold"', '"teacher"')
        path.write_text(text, encoding="utf-8")
    project = open_project(folder)
    for data in project.file.data:
        assert isinstance(data.label, str)
        add_file(project, folder / data.file, AddOptions(label=data.label, source=data.source))
    return project


def curves_of(
    project: Project, names: Sequence[str], sizes: Sequence[int], repeats: int, check: int | None = None
) -> str:
    """The curves as they are shown, in a block; with `check` also whether what was foretold for that size is true."""
    chosen, data, last = [candidate(project, name) for name in names], example_set(project, "dev", "gold"), 0.0

    def tell(what: str, share: float, _shown: object) -> None:
        nonlocal last
        if time.monotonic() - last > 20:
            last = time.monotonic()
            print(f"{what}: {share:.0%}", file=sys.stderr, flush=True)

    found = measure_curves(project, chosen, data, CurveOptions(sizes, repeats), tell)
    write_curves(found, plain(found.json()), project.reports)
    told = f"```\n{curves_text(found)}\n```"
    return told + (f"\n\n{came_true(project, found, check, repeats)}" if check else "")


def came_true(project: Project, found: Curves, size: int, repeats: int) -> str:
    """Each curve at `size`, foretold and then measured."""
    data, said = example_set(project, "dev", "gold"), []
    for one in found.curves:
        if one.fit is None or one.gain is None:
            said.append(f"- {one.candidate}: nothing was foretold.")
            continue
        largest = one.fit.largest
        planned = plan(project, candidate(project, one.candidate), (largest, size), repeats)
        beside = against(project, data)
        found_points, _ = points(project, planned, data)
        statistics = {
            n: [beside.statistic([p.value for p in point.predictions]) for point in found_points if point.size == n]
            for n in (largest, size)
        }
        measured = scores(statistics, len(data.examples), len(planned.train))
        apart = measured.draws[1] - measured.draws[0]
        gain, low, high = measured.means[1] - measured.means[0], *np.quantile(apart, [0.025, 0.975])
        foretold, bottom, top = (float(end[0]) for end in one.fit.band(np.array([float(size)])))
        reached = measured.estimates()[1]
        inside = "inside" if one.gain.low <= gain <= one.gain.high else "outside"
        overlap = "overlap" if low <= one.gain.high and high >= one.gain.low else "do not overlap"
        said.append(
            f"- {one.candidate} at {size:,}: foretold {foretold:.3f} ({bottom:.3f} to {top:.3f}), measured "
            f"{reached.value:.3f} ({reached.low:.3f} to {reached.high:.3f}). Gain over {largest:,}: foretold "
            f"{one.gain.value:+.3f} ({one.gain.low:+.3f} to {one.gain.high:+.3f}), measured {gain:+.3f} ({low:+.3f} to "
            f"{high:+.3f}): {inside} the interval that was foretold; the two intervals {overlap}."
        )
    return "\n".join(said)


def simulated(_chosen: argparse.Namespace) -> str:
    """How often the interval of what twice the examples add holds the truth, where the law holds."""
    n, sizes, right, refused, widths = 400, (50, 100, 200, 400, 800, 1600), 0, 0, []
    for seed in range(SIMULATED):
        chance = np.random.default_rng(seed)
        end, c, drop = chance.uniform(0.8, 0.98), chance.uniform(0.25, 0.8), chance.uniform(0.15, 0.5)
        law, hardness = Law(end, drop * 50**c, c), chance.uniform(size=n)
        found: dict[int, list[Statistic]] = {}
        for size in sizes:
            reached = [float(law(np.array([size]))[0]) + chance.normal(0, 0.3 / size**0.5) for _ in range(3)]
            found[size] = [Mean((hardness + chance.normal(0, 0.03, n) < one).astype(float)) for one in reached]
        fitted, _ = fit(scores(found, n, sizes[-1]))
        gain = fitted.gain() if fitted else None
        if gain is None:
            refused += 1
            continue
        truth = float(np.diff(law(np.array([1600.0, 3200.0])))[0])
        right += gain.low <= truth <= gain.high
        widths.append(gain.high - gain.low)
    said = (
        f"{SIMULATED} simulated curves, n = {n}, sizes {sizes[0]} to {sizes[-1]}, 3 repeats: {refused} refused; of the"
    )
    return f"{said} others {right} of {len(widths)} intervals of the gain held the truth; median width {np.median(widths):.3f}."


PARTS = {one.__name__: one for one in (words, embeddings, prompt, tickets, characters, examples, simulated)}

if __name__ == "__main__":
    sys.exit(main())
