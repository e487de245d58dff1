"""What every student family keeps: twenty examples, fit, save, load, the same predictions. See tests/contract.py."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from tests.contract import CASES, PICKLE_STARTS, Lesson, check_bad_input, check_contract, check_files, outputs

from tutelage.errors import MissingPackage
from tutelage.students import FAMILIES

QUICK_ONES = [one for one in outputs() if CASES[one[0]].base is None and not CASES[one[0]].slow]


def test_every_family_takes_part() -> None:
    for name in FAMILIES.rows():
        try:
            student = FAMILIES.load(name).student
        except (MissingPackage, ModuleNotFoundError):
            continue
        assert student is None or name in CASES, f"{name!r} is no row of CASES in tests/contract.py"


@pytest.mark.parametrize(("name", "output"), QUICK_ONES)
def test_contract(name: str, output: str, tmp_path: Path) -> None:
    check_contract(Lesson(name, output, tmp_path))


@pytest.mark.parametrize(("name", "output"), QUICK_ONES)
def test_bad_input(name: str, output: str, tmp_path: Path) -> None:
    check_bad_input(Lesson(name, output, tmp_path))


@pytest.mark.parametrize("start", [*PICKLE_STARTS])
def test_the_check_finds_a_pickle(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(start + b"rest")
    with pytest.raises(AssertionError, match=r"model\.npz"):
        check_files(tmp_path)


def test_the_check_finds_what_torch_saves(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.bin", "w") as archive:
        archive.writestr("model/data.pkl", b"")
    with pytest.raises(AssertionError, match=r"model\.bin"):
        check_files(tmp_path)
