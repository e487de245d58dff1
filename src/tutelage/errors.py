"""The exceptions of tutelage.

TutelageError                 one line: what is wrong, the value, what to do   (exit code 1)
+-- UsageError                the call or the task file is wrong               (exit code 2)
|   +-- TaskFileError         task.toml cannot be used
|   +-- UnknownName           a name that is in no table
+-- DataError                 a file or a field cannot be used
+-- StoreError                the database or a folder cannot be used
+-- AnswerError               a model's answer does not fit the task
+-- ModelError                a model did not answer; `retryable`: asking again may help; `fatal`: all calls will fail
+-- BudgetExceeded            the next call could cost more than is left
+-- MissingPackage            an optional package is not installed
+-- TrainingError             a student cannot be trained on what there is
+-- CertificateError          nothing can be proved, or a certificate is not of what is there
+-- StaleDecision             an annotator decided on what has been decided elsewhere meanwhile
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TutelageError(Exception):
    """Base of all errors that tutelage raises; the message is one line for people."""

    exit_code = 1


class UsageError(TutelageError):
    exit_code = 2


class TaskFileError(UsageError):
    pass


class UnknownName(UsageError):
    """A name that is in no table; the message gives the known ones and the nearest."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"{name!r} is not a known {what}.{hint} Known: {', '.join(known) or '(none)'}.")


class DataError(TutelageError):
    pass


class StoreError(TutelageError):
    pass


class AnswerError(TutelageError):
    pass


class ModelError(TutelageError):
    """`fatal` means that every other call would fail the same way now (a bad key, no such model, an endpoint down)."""

    def __init__(self, message: str, *, retryable: bool = False, fatal: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.fatal = fatal


class BudgetExceeded(TutelageError):
    pass


class MissingPackage(TutelageError):
    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what!r} needs the package {package!r}. Install it with: pip install 'tutelage[{extra}]'")


class TrainingError(TutelageError):
    pass


class CertificateError(TutelageError):
    pass


class StaleDecision(TutelageError):
    pass
