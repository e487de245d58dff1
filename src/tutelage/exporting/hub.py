"""A folder that is ready for `hf upload`: card with front matter, files, and the wheel where one can be made."""

from __future__ import annotations

from tutelage.answering.alone.command import README
from tutelage.answering.alone.student import CARD, TASK
from tutelage.errors import UsageError
from tutelage.exporting.card import written
from tutelage.exporting.leaving import Files, Leaving, Target
from tutelage.exporting.wheel import make_wheel


def _files(student: Leaving) -> Files:
    files: Files = {**student.own_files(), TASK: student.task_json(), CARD: student.card_json()}
    try:
        wheel = make_wheel(student)
    except UsageError:
        return {**files, README: written(student, use="Its files are as tutelage loads them.").encode()}
    return {**files, wheel.file: wheel.content, README: written(student, wheel.requires).encode()}


TARGET = Target("a folder ready for `hf upload`, nothing is uploaded", lambda _: True, "", _files)
