"""A base whose licence forbids the task's use is refused before anything is trained."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.students.test_training import Constant, ConstantSettings, fill

from tutelage.cli.train import describe
from tutelage.embeddings.bases import find_base, forbidden
from tutelage.errors import TrainingError
from tutelage.project import Project, open_project
from tutelage.students.training import TrainReport, train

TASK = 'name = "moods"\noutput = "label"\nlabels = ["good", "bad"]\n'


@dataclass(frozen=True)
class OnBase(ConstantSettings):
    base: str = "base"


def project_with(folder: Path, card: str | None, use: str = "") -> Project:
    (folder / "task.toml").write_text(TASK + use)
    (folder / "base").mkdir(exist_ok=True)
    if card is not None:
        (folder / "base" / "README.md").write_text(card)
    project = open_project(folder)
    fill(project, "import")
    return project


def fit(project: Project) -> TrainReport:
    return train(project, "constant", "constant", Constant, OnBase(), lambda share, shown: None)


def test_a_forbidden_base_is_one_clear_line_and_leaves_no_run(tmp_path: Path) -> None:
    project = project_with(tmp_path, "---\nlicense: cc-by-nc-4.0\n---\n")
    line = (
        r"base = 'base' has the licence cc-by-nc-4\.0, which is for non-commercial use; this task's use is 'commercial'"
    )
    with pytest.raises(TrainingError, match=line):
        fit(project)
    assert project.store.runs.read() == []


def test_research_may_use_it_until_the_use_changes(tmp_path: Path) -> None:
    report = fit(project_with(tmp_path, "---\nlicense: cc-by-nc-4.0\n---\n", 'use = "research"\n'))
    assert report.card["licence"] == {"base": "base", "licence": "cc-by-nc-4.0", "use": "research"}
    with pytest.raises(TrainingError, match="which is for non-commercial use"):
        fit(project_with(tmp_path, None))


@pytest.mark.parametrize(
    "card", [None, "# no front matter", "---\ntags: [a]\n---\n", "---\nlicense: other\n---\n", "---\n: [\n---\n"]
)
def test_an_unknown_licence_is_a_warning(card: str | None, tmp_path: Path) -> None:
    report = fit(project_with(tmp_path, card))
    said = report.card["licence"]["warning"]
    assert said.endswith("check that it allows commercial use")
    assert describe(report).endswith(f"\n  {said}")


def test_a_known_licence_that_allows_it_says_nothing(tmp_path: Path) -> None:
    report = fit(project_with(tmp_path, "---\r\nlicense: apache-2.0\r\n---\r\n"))
    assert report.card["licence"] == {"base": "base", "licence": "apache-2.0", "use": "commercial"}
    assert "\n" not in describe(report)


@pytest.mark.parametrize(
    ("front", "licence"),
    [
        ("license: other\nlicense_name: qwen-research", "qwen-research"),
        ("license: [mit, cc-by-nc-2.0]", "cc-by-nc-2.0"),
        ("license_name: mine", "mine"),
        ("license: 'mit'  # ours", "mit"),
    ],
)
def test_the_card_is_read_as_yaml(front: str, licence: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\nlicense: none\n")
    assert find_base(str(tmp_path), Path).licence == licence


def gguf(folder: Path, *pairs: tuple[str, str]) -> Path:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    tags = text("general.tags") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    number = text("general.size") + struct.pack("<If", 6, 1.5)
    facts = b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in pairs)
    file = folder / "model.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2 + len(pairs)) + tags + number + facts)
    return file


def test_a_gguf_files_header_names_its_licence(tmp_path: Path) -> None:
    file = gguf(tmp_path, ("general.name", "tiny"), ("general.license", "mit"))
    assert find_base(str(file), Path).licence == find_base(str(tmp_path), Path).licence == "mit"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(40), b"no"])
def test_a_damaged_gguf_file_states_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    assert find_base(str(tmp_path / "model.gguf"), Path).licence == "not stated"


def test_what_is_no_base_says_what_one_is(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"does not exist: there is no folder .*, and it is no folder"):
        find_base(str(tmp_path / "nothing here"), Path)


@pytest.mark.parametrize(
    "licence",
    [
        "cc-by-nc-sa-3.0",
        "CC-BY-NC-ND-4.0",
        "intel-research",
        "apple-amlr",
        "flux-1-dev-non-commercial-license",
        "mnpl-0.1",
    ],
)
def test_licences_that_forbid(licence: str) -> None:
    assert forbidden(licence)


@pytest.mark.parametrize(
    "licence", ["apache-2.0", "mit", "ncsa", "cc-by-sa-4.0", "llama3.1", "gemma", "openrail++", "not stated"]
)
def test_licences_that_do_not(licence: str) -> None:
    assert forbidden(licence) is None
