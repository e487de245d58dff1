"""All curves of a project: every point trained or taken from the store, then what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.errors import StoreError, TutelageError, UsageError
from tutelage.evaluation.candidates import Candidate
from tutelage.evaluation.curve.curves import Curve, Curves, against, curve, label_price
from tutelage.evaluation.curve.points import REPEATS, Tell, plan, points
from tutelage.evaluation.harness import ExampleSet
from tutelage.evaluation.intervals import estimate
from tutelage.project import Project


@dataclass(frozen=True)
class CurveOptions:
    """`sizes` are those of the points (default: sized from the data), `repeats` how often each is trained."""

    sizes: Sequence[int] = ()
    repeats: int = REPEATS


def measure_curves(
    project: Project,
    candidates: Sequence[Candidate],
    examples: ExampleSet,
    options: CurveOptions | None = None,
    tell: Tell = lambda what, share, shown: None,
) -> Curves:
    """The curves of `candidates`, scored on `examples`. Killed and called again it loses one point at most.

    One without a curve is left out with its reason. Raises UsageError when all are.
    """
    options = options or CurveOptions()
    beside = against(project, examples)
    found: list[Curve] = []
    skipped: dict[str, str] = {}
    for one in candidates:
        try:
            planned = plan(project, one, options.sizes, options.repeats)
            measured, refused = points(project, planned, examples, tell)
        except StoreError:
            raise
        except TutelageError as error:
            skipped[one.name] = str(error)
            continue
        if not measured:
            skipped[one.name] = f"it learns from none of the sizes: {refused[0].reason}"
            continue
        found.append(curve(planned, measured, refused, beside))
    if not found:
        reasons = " ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise UsageError(f"No candidate has a learning curve. {reasons}")
    n = len(examples.examples)
    return Curves(
        project.task.name,
        project.task.metric,
        examples.split,
        n,
        examples.fingerprint,
        examples.reference,
        project.file.teacher,
        label_price(project),
        {name: estimate(one, n) for name, one in beside.prompts.items()},
        found,
        skipped,
    )
