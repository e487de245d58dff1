"""The only reader of the environment: secrets and paths. A secret is read when it is used, never stored or logged."""

from __future__ import annotations

import os
from pathlib import Path

from tutelage.errors import UsageError


def api_key(variable: str) -> str:
    """The secret in environment variable `variable`. Raises UsageError naming the variable when it is not set."""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"The API key {variable} is not set. Set it with: export {variable}=...")
    return key


def variable(name: str) -> str:
    """The environment variable `name`, "" where it is not set."""
    return os.environ.get(name, "").strip()


def set_default(**values: str) -> None:
    """Set the variables that are not set, for libraries that read them themselves."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def data_folder() -> Path:
    """Where benchmarks look for data sets: TUTELAGE_DATA, default `../shared/data`."""
    return Path(os.environ.get("TUTELAGE_DATA", "../shared/data"))


def weights_folder() -> Path:
    """Where downloaded weights are kept: TUTELAGE_WEIGHTS, default `~/.cache/tutelage/weights`."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "tutelage" / "weights"
    return Path(os.environ.get("TUTELAGE_WEIGHTS", default)).expanduser()


def child(**more: str) -> dict[str, str]:
    """The environment for a process that we start, with `more` where it does not say otherwise."""
    return more | os.environ


def wait_passively() -> None:
    """Let OpenMP's threads sleep where they wait, unless OMP_WAIT_POLICY says otherwise. Call before torch is loaded.

    Spinning threads gain nothing on a quiet machine and starve themselves on a busy one: training beside one other busy
    process took more than three times the processor time with them.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
