"""A report made of simulated answers to short stories, for tests of what reports look like."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.latency import from_seconds
from tutelage.evaluation.marking import marked
from tutelage.evaluation.metrics import METRICS
from tutelage.evaluation.results import Answered, Difference, Report, Row, pareto_front
from tutelage.registry import Role
from tutelage.tasks.strings import StringsTask
from tutelage.types import Prediction

TASK = StringsTask("t", ("text",), "")

METRIC_NAMES = ("f1", "precision", "recall", "alias_f1")
NAMES = (
    "Oliver the Owl",
    "Mrs. Smarty Pants",
    "Patty the Polite Parrot",
    "Tom",
    "Grandma Ruth",
    "Pip",
    "Captain Flint",
    "Daisy",
)

CANDIDATES: Sequence[tuple[str, str, Role, float, float, float | None]] = (
    # name, family, role, share of names it finds, seconds an answer, dollars per 1,000
    ("teacher-1.5b", "replay", "recorded", 0.97, 3.1, 0.43),
    ("tagger-on-teacher", "tagger", "student", 0.92, 0.006, 0.0008),
    ("tagger-on-gold", "tagger", "student", 0.88, 0.007, 0.0009),
    ("small-llm", "prompted", "llm", 0.6, 1.3, None),
    ("spacy-sm", "pretrained-ner", "pretrained", 0.5, 0.009, 0.0012),
)


def make_row(
    name: str = "linear",
    *,
    value: float = 0.9,
    dollars: float | None = 0.5,
    seconds: float = 0.01,
    violations: Mapping[str, int] | None = None,
) -> Row:
    """A candidate with given figures on one metric, `accuracy`."""
    latency = from_seconds([seconds], 1 / seconds if seconds else 0.0, "measured here")
    score = Estimate(value, max(0.0, value - 0.05), min(1.0, value + 0.05))
    basis = "API price per token" if dollars is not None else "not known: no price for the model under [prices]"
    return Row(
        name,
        "linear",
        "student",
        False,
        {"accuracy": score},
        None,
        0,
        latency,
        dollars,
        basis,
        10,
        2,
        "8 human labels",
        True,
        violations or {},
    )


def make_report(*rows: Row, skipped: Mapping[str, str] | None = None) -> Report:
    """A report of `rows`, in their order."""
    reference = "gold (8 human:ada)"
    return Report("moods", "label", "accuracy", "test", 8, "f" * 32, reference, rows, skipped or {})


def stories(n: int = 40, seed: int = 1) -> tuple[Report, list[Answered]]:
    """Five candidates on n stories: scores and intervals are computed from the simulated answers."""
    chance = random.Random(seed)
    gold = [sorted(chance.sample(NAMES, chance.randint(1, 3))) for _ in range(n)]
    inputs = [{"text": _story(names, at)} for at, names in enumerate(gold)]
    found = {name: [_answer(chance, names, share) for names in gold] for name, _, _, share, _, _ in CANDIDATES}
    statistics = {
        name: {metric: METRICS.load(metric)(TASK, gold, [p.value for p in predictions]) for metric in METRIC_NAMES}
        for name, predictions in found.items()
    }
    teacher = CANDIDATES[0][0]
    costs = {name: dollars for name, _, _, _, _, dollars in CANDIDATES}
    front = pareto_front({name: (costs[name], float(s["f1"].scores.mean())) for name, s in statistics.items()})
    rows = []
    for name, family, role, _, seconds, dollars in CANDIDATES:
        mine = statistics[name]
        apart = None if name == teacher else Difference(teacher, difference(mine["f1"], statistics[teacher]["f1"], n))
        times = [seconds * chance.uniform(0.8, 1.6) for _ in range(n)]
        rows.append(
            Row(
                name,
                family,
                role,
                role == "llm" and dollars is None,
                {metric: estimate(statistic, n) for metric, statistic in mine.items()},
                apart,
                sum(p.value is None for p in found[name]),
                from_seconds(times, n / sum(times), "measured here"),
                dollars,
                "not known: no price for the model under [prices]"
                if dollars is None
                else f"{seconds:.3g} s x $0.25/h (this machine) / 50% occupancy",
                0 if role in ("student", "pretrained") else 140 * n,
                0 if role in ("student", "pretrained") else 20 * n,
                f"{n} teacher labels" if name == "tagger-on-teacher" else "",
                name in front,
            )
        )
    rows.sort(key=lambda row: -row.scores["f1"].value)
    reference = f"gold ({n} human:ada)"
    report = Report(
        "characters", "strings", "f1", "test", n, "0123456789abcdef" * 2, reference, rows, {"big": "not evaluated"}
    )
    answered = [
        Answered(
            f"{at:032x}",
            inputs[at],
            gold[at],
            {name: predictions[at] for name, predictions in found.items()},
            {name: float(statistics[name]["f1"].scores[at]) for name in found},
            {name: marked(TASK, gold[at], predictions[at].value) for name, predictions in found.items()},
        )
        for at in range(n)
    ]
    return report, answered


def _story(names: Sequence[str], at: int) -> str:
    cast = " and ".join(names)
    return (
        f"One morning in the {at + 1}th year of the orchard, {cast} found a blue kite caught in the oldest pear tree. "
        "Nobody knew who had flown it there, and the wind would not say. They built a ladder of branches, tied it with "
        "grass, and took turns climbing until the kite came loose and sailed over the hill towards the sea."
    )


def _answer(chance: random.Random, names: Sequence[str], share: float) -> Prediction:
    if chance.random() < (1 - share) / 8:
        return Prediction(None, error="the answer is not JSON after 2 repairs")
    kept = [name for name in names if chance.random() < share]
    if chance.random() > share:
        kept.append(chance.choice(["Orchard", "Blue Kite", "Pear"]))
    return Prediction(kept, round(chance.uniform(0.4, 1.0), 3))
