"""Changing a task's mode by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tutelage.errors import CertificateError, UnknownName, UsageError
from tutelage.gateway.operation.state import Mode, State, begun, moved_to, promoted, read_state
from tutelage.routing.certificate import read_certificate
from tutelage.store import Store
from tutelage.store.operations import State as Kept


def promote(store: Store, task: str | None, why: str, *, force: bool = False) -> tuple[str, State]:
    """Let the cascade answer, under the certificate that is there now. Returns the task and its state.

    Raises UsageError after an alarm of that certificate, unless by force.
    """
    return _changed(store, task, lambda state: promoted(_current(state), why, force=force))


def demote(store: Store, task: str | None, mode: Mode, why: str) -> tuple[str, State]:
    """Let the last stage answer. Returns the task and its state."""
    return _changed(store, task, lambda state: moved_to(state, mode, why))


def _current(state: State) -> State:
    """The state under the certificate in the file, which a gateway that does not run has not read yet."""
    try:
        certificate = read_certificate(Path(state.file))
    except CertificateError:  # another machine's, or one that is being made
        return state
    return begun(state, certificate, sum(one.delta for one in state.tests.values()), state.file)


def _changed(store: Store, task: str | None, change: Callable[[State], State]) -> tuple[str, State]:
    there = store.operations.read()
    if not there:
        raise UsageError("No cascade has been served yet. Run: tutelage serve")
    if task is None and len(there) > 1:
        raise UsageError(f"{len(there)} tasks are operated. Name one of: {', '.join(there)}.")
    name = task or next(iter(there))
    if name not in there:
        raise UnknownName("operated task", name, there)

    def changed(kept: Kept | None) -> Kept:
        return change(read_state(kept or there[name])).json()

    return name, read_state(store.operations.change(name, changed))
