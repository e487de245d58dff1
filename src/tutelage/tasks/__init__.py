"""Tasks and their output kinds: schema, render, parse, canonical form."""

from tutelage.registry import Table
from tutelage.tasks.base import Task

OUTPUTS = Table(
    "tasks",
    "output kind",
    {
        "label": "tutelage.tasks.label:LabelTask",
        "labels": "tutelage.tasks.labels:LabelsTask",
        "record": "tutelage.tasks.record:RecordTask",
        "strings": "tutelage.tasks.strings:StringsTask",
        "text": "tutelage.tasks.text:TextTask",
    },
)

__all__ = ["OUTPUTS", "Task"]
