"""The loss of an answer, in [0, 1], that a certificate keeps under its limit.

wrong    1 where the answer is not exactly right (a record: some field; a failed answer: always), else 0
metric   1 minus the main metric's score of the example (1 - F1, 1 - ROUGE-L); a failed answer: 1
excess   how much more is lost than by the last stage, by the main metric: (1 + loss - the last stage's loss) / 2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

from tutelage.errors import UsageError
from tutelage.evaluation.exact import exact_match
from tutelage.evaluation.metrics import TWO_VALUED, Answers, Floats, Mean
from tutelage.evaluation.scoring import statistic
from tutelage.project import Project
from tutelage.tasks import Task
from tutelage.types import Split, Value

Loss: TypeAlias = Literal["wrong", "metric", "excess"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


def losses_of(project: Project, loss: Loss, split: Split, gold: Sequence[Value], answers: Answers) -> Floats:
    """The loss of each answer, shape (n,); "excess" is made of two of these by `excess`.

    Raises UsageError where the task's main metric has no score of a single example.
    """
    if loss == "wrong":
        return 1.0 - exact_match(project.task, gold, answers).scores
    found = statistic(project, split, project.task.metric, gold, answers)
    if not isinstance(found, Mean):
        raise UsageError(
            f"metric = {project.task.metric!r} has no score of a single example, so that no bound on it can be proved. "
            f"Take the loss 'wrong', or another metric in task.toml: {', '.join(project.task.metrics)}."
        )
    return np.asarray(1.0 - found.scores)


def two_valued(task: Task, loss: Loss) -> bool:
    """Whether the loss is 0 or 1 by what it is, whatever the answers: the exact test is then the sharpest."""
    return loss == "wrong" or (loss == "metric" and task.metric in TWO_VALUED)


def excess(loss: Floats, of_last: Floats) -> Floats:
    """The difference of two losses in [-1, 1], brought to [0, 1]: 0.5 is no difference."""
    return np.asarray((1.0 + loss - of_last) / 2.0)


def limit_of(loss: Loss, most: float) -> float:
    """`most` on the scale of the loss as it is tested."""
    return (1.0 + most) / 2.0 if loss == "excess" else most


def as_given(loss: str, tested: float) -> float:
    """A limit or a mean on the scale of `--max-loss`, from that of the loss as it is tested."""
    return 2.0 * tested - 1.0 if loss == "excess" else tested


def default_loss(output: str) -> Loss:
    """What is meant by --max-loss 0.03: a wrong answer, for free text the main metric's loss."""
    return "metric" if output == "text" else "wrong"
