"""The contract of the students whose training needs torch, on tiny random bases, or seconds. See tests/contract.py."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.contract import CASES, Lesson, check_bad_input, check_contract, outputs

SLOW_ONES = [one for one in outputs() if CASES[one[0]].base is not None or CASES[one[0]].slow]


@pytest.mark.parametrize(("name", "output"), SLOW_ONES)
def test_contract(name: str, output: str, tmp_path: Path) -> None:
    check_contract(Lesson(name, output, tmp_path))


@pytest.mark.parametrize(("name", "output"), SLOW_ONES)
def test_bad_input(name: str, output: str, tmp_path: Path) -> None:
    check_bad_input(Lesson(name, output, tmp_path))
