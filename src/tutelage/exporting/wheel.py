"""A wheel: the student, and the part of this package that answers with it, under a name of its own.

It is written here, byte for byte the same for the same student: a zip with METADATA, entry_points.txt and RECORD.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.answering.alone.command import README, main
from tutelage.answering.alone.student import ARTEFACT, CARD, TASK, open_student
from tutelage.errors import UsageError
from tutelage.exporting.card import summary, written
from tutelage.exporting.closure import Closure, Place
from tutelage.exporting.leaving import Files, Leaving, Target
from tutelage.exporting.rewriting import rewritten

PYTHON = ">=3.11"
FORBIDDEN = ("torch", "tensorflow", "transformers", "sklearn")
"""What a student that leaves must not need."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)

_INIT = '''"""{about}

>>> import {package}
>>> student = {package}.load()
>>> student.predict([{example}])
"""

from __future__ import annotations

from pathlib import Path

from {package}.answering.alone.student import Alone, open_student

__version__ = "{version}"


def load(threads: int | None = None) -> Alone:
    """The student, ready to answer."""
    from {answerer[0]} import {answerer[1]}
    from {task[0]} import {task[1]}

    return open_student(Path(__file__).parent, {task[1]}, {answerer[1]}, threads)
'''

_MAIN = '''"""The command `{command}`."""

from __future__ import annotations

from pathlib import Path

from {package} import __version__, load
from {package}.answering.alone.command import Program, main as run


def main() -> None:
    run(Program({command!r}, __version__, {about!r}, Path(__file__).parent, load))


if __name__ == "__main__":
    main()
'''


class Wheel(NamedTuple):
    """A wheel's file name and bytes, and what it requires."""

    file: str
    content: bytes
    requires: list[str]


def make_wheel(student: Leaving) -> Wheel:
    """The wheel of `student`. Raises UsageError when it needs what a small package must not need."""
    answerer, task = _place(student.answers_by), _place(type(student.task))
    settings = {**dataclasses.asdict(student.task), **student.card["settings"]}
    absent = [name for name, value in settings.items() if not value]
    closure = Closure([answerer, task, _place(main), _place(open_student)], absent)
    if heavy := closure.packages.intersection(FORBIDDEN):
        raise UsageError(
            f"{student.name!r} (family {student.family}) needs {', '.join(sorted(heavy))} to answer, so it leaves as no wheel."
        )
    package, requires = student.package, requirements(closure.packages)
    text = {"package": package, "version": student.version, "command": student.command, "about": summary(student)}
    files: Files = {name: source.encode() for name, source in rewritten(closure, package).items()}
    shown = "{" + ", ".join(f'"{name}": "..."' for name in student.task.fields) + "}"
    places = {"answerer": _moved(answerer, package), "task": _moved(task, package)}
    files[f"{package}/__init__.py"] = _INIT.format(**text, **places, example=shown).encode()
    files[f"{package}/__main__.py"] = _MAIN.format(**text).encode()
    files |= {f"{package}/{ARTEFACT}/{name}": path for name, path in student.own_files().items()}
    readme = written(student, requires)
    files |= {f"{package}/{TASK}": student.task_json(), f"{package}/{CARD}": student.card_json()}
    files[f"{package}/{README}"] = readme.encode()
    distribution = package.replace("_", "-")
    info = f"{package}-{student.version}.dist-info"
    heading = [
        "Metadata-Version: 2.4",
        f"Name: {distribution}",
        f"Version: {student.version}",
        f"Summary: {summary(student)}",
        *([f"License-Expression: {student.licence}"] if student.licence else []),
        f"Requires-Python: {PYTHON}",
        *(f"Requires-Dist: {one}" for one in requires),
        "Description-Content-Type: text/markdown",
    ]
    files[f"{info}/METADATA"] = ("\n".join(heading) + "\n\n" + readme).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tutelage\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{student.command} = {package}.__main__:main\n".encode()
    return Wheel(f"{package}-{student.version}-py3-none-any.whl", _zipped(files, f"{info}/RECORD"), requires)


def requirements(packages: Iterable[str]) -> list[str]:
    """The distributions that hold these packages, each from the version installed here on. Raises UsageError."""
    holders = metadata.packages_distributions()
    found = []
    for package in sorted(packages):
        if package not in holders:
            raise UsageError(
                f"The student needs the package {package!r}, which is not installed here. Install it first."
            )
        name = sorted(set(holders[package]))[0]
        found.append(f"{name}>={metadata.version(name).partition('+')[0]}")
    return sorted(set(found))


def _place(thing: Any) -> Place:
    return thing.__module__, thing.__name__


def _moved(place: Place, package: str) -> Place:
    return f"{package}.{place[0].partition('.')[2]}", place[1]


def _zipped(files: Files, record: str) -> bytes:
    """The files as a zip, names in order, without times; `record` lists them with their hashes."""
    buffer, lines = io.BytesIO(), []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, given in sorted(files.items()):
            content = given.read_bytes() if isinstance(given, Path) else given
            hashed = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{_quoted(name)},sha256={hashed},{len(content)}\n")
            archive.writestr(_entry(name), content)
        archive.writestr(_entry(record), "".join([*lines, f"{record},,\n"]))
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
    return entry


def _quoted(name: str) -> str:
    return f'"{name}"' if "," in name else name


def _files(student: Leaving) -> Files:
    wheel = make_wheel(student)
    return {wheel.file: wheel.content}


TARGET = Target("a Python wheel with a command that answers files and serves HTTP", lambda _: True, "", _files)
