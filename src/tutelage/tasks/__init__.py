"""Tasks and their output kinds: schema, render, parse, canonical form."""

from tutelage.registry import Table
from tutelage.tasks.base import Task

OUTPUTS = Table(
    "tasks",
    "output kind",
    {
        "label": "tutelage.tasks.label:LabelTask",
        "strings": "tutelage.tasks.strings:StringsTask",
    },
)

__all__ = ["OUTPUTS", "Task"]
