"""`tutelage export` on a trained linear student: every target, what is refused, the card, the wheel's form."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shlex
import zipfile
from dataclasses import replace
from email import message_from_string
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer, models

from tutelage.cli.entry import cli
from tutelage.exporting import TARGETS
from tutelage.exporting.leaving import Leaving, export, leaving
from tutelage.exporting.wheel import make_wheel
from tutelage.project import LEARNED_FROM, open_project

TASK = """
name = "topic-{name}"
output = "label"
labels = ["money", "weather", "sport"]
instructions = "Which topic?"
teacher = "words"

[candidates.words]
family = "linear"
labels = "gold"

[candidates.other]
family = "linear"

[candidates.recorded]
family = "replay"
file = "answers.jsonl"
"""
WORDS = {"money": ["card", "transfer", "bank", "refund"], "weather": ["rain", "sun", "storm", "cloud"]}


def run(project: Path, *arguments: str, code: int = 0) -> str:
    found = CliRunner().invoke(cli, [*arguments, "-C", str(project)])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        assert code, found.exception
        return str(found.exception)
    assert found.exit_code == code, found.output
    return found.output


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaving")
    (folder / "task.toml").write_text(TASK.format(name="A"), encoding="utf-8")
    lines = ["text,label"] + [f"a {w} today {n},{k}" for k, ws in WORDS.items() for w in ws for n in range(12)]
    (folder / "topics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run(folder, "add", str(folder / "topics.csv"), "--label", "label", "--source", "human:me")
    run(folder, "train", "words")
    run(folder, "evaluate", "words")
    return folder


@pytest.fixture
def student(project: Path) -> Leaving:
    return leaving(open_project(project), "words", "mit", "CC BY 4.0")


def test_a_wheel_is_what_pip_expects(student: Leaving, tmp_path: Path) -> None:
    wheel = make_wheel(student)
    assert wheel.requires == [f"numpy>={metadata.version('numpy')}"]
    assert re.fullmatch(r"topic_a_student-2\d{3}\.\d+\.\d+\.\d+-py3-none-any\.whl", wheel.file)
    (tmp_path / wheel.file).write_bytes(wheel.content)
    with zipfile.ZipFile(tmp_path / wheel.file) as archive:
        names = archive.namelist()
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        rows = list(csv.reader(archive.read(f"{info}/RECORD").decode().splitlines()))
        assert [row[0] for row in rows] == names
        for name, hashed, size in rows[:-1]:
            content = archive.read(name)
            wanted = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (hashed, int(size)) == (f"sha256={wanted}", len(content))
        facts = message_from_string(archive.read(f"{info}/METADATA").decode())
        assert (facts["Name"], facts["Requires-Dist"]) == ("topic-a-student", wheel.requires[0])
        assert facts["License-Expression"] == "mit"
        points = archive.read(f"{info}/entry_points.txt").decode()
        assert points == "[console_scripts]\ntopic-A = topic_a_student.__main__:main\n"
        assert {"task.json", "card.json", "README.md", "artefact/weights.npz"} <= {
            name.removeprefix("topic_a_student/") for name in names
        }
    assert LEARNED_FROM in student.artefact()
    assert not [name for name in names if LEARNED_FROM in name]  # whose inputs were learned from stays at home


def test_the_same_student_gives_the_same_bytes(student: Leaving, project: Path) -> None:
    again = leaving(open_project(project), "words", "mit", "CC BY 4.0")
    assert make_wheel(student) == make_wheel(again)


def test_a_second_export_changes_nothing_and_overwrites_nothing(project: Path, tmp_path: Path) -> None:
    first = json.loads(run(project, "export", "words", "--to", "wheel", "--out", str(tmp_path), "--json"))
    assert len(first["written"]) == 1 and first["unchanged"] == 0
    second = json.loads(run(project, "export", "words", "--to", "wheel", "--out", str(tmp_path), "--json"))
    assert (second["written"], second["unchanged"]) == ([], 1)
    path, other = Path(first["written"][0]), tmp_path / "mine.txt"
    content = path.read_bytes()
    path.write_text("something else")
    other.write_text("mine")
    told = run(project, "export", "words", "--to", "wheel", "--out", str(tmp_path), code=2)
    assert told == f"{path} exists with other content. Give another --out, or --force to overwrite."
    assert path.read_text() == "something else"
    run(project, "export", "words", "--to", "wheel", "--out", str(tmp_path), "--force")
    assert (path.read_bytes(), other.read_text()) == (content, "mine")
    assert sorted(tmp_path.iterdir()) == sorted([path, other])


@pytest.mark.parametrize("target", TARGETS.rows())
def test_every_target_writes_or_names_those_that_can(project: Path, target: str, tmp_path: Path) -> None:
    if target in ("onnx", "gguf"):
        told = run(project, "export", "words", "--to", target, "--out", str(tmp_path / "x"), code=2)
        assert told.startswith(f"'words' (family linear) cannot be exported to {target}: its artefact has no ")
        assert told.endswith("It can be exported to: wheel, safetensors, hub-folder, image.")
        assert not (tmp_path / "x").exists()
        return
    if target == "safetensors":
        pytest.importorskip("safetensors")
    run(project, "export", "words", "--to", target, "--out", str(tmp_path))
    files = {path.name for path in tmp_path.iterdir()}
    if target != "wheel":
        assert (tmp_path / "README.md").read_text().startswith("---\nlicense: other\n")
    if target in ("hub-folder", "image", "wheel"):
        assert sum(name.endswith(".whl") for name in files) == 1
    if target in ("hub-folder", "safetensors"):
        assert {"task.json", "card.json", "terms.json", "student.json"} <= files


def test_safetensors_hold_the_students_weights(project: Path, student: Leaving, tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    run(project, "export", "words", "--to", "safetensors", "--out", str(tmp_path))
    found = numpy.load_file(tmp_path / "weights.safetensors")
    with np.load(student.folder / "weights.npz", allow_pickle=False) as wanted:
        assert sorted(found) == sorted(wanted.files)
        assert all(np.array_equal(found[name], wanted[name]) for name in found)


def test_the_image_starts_the_command(project: Path, tmp_path: Path) -> None:
    run(project, "export", "words", "--to", "image", "--out", str(tmp_path))
    text = (tmp_path / "Dockerfile").read_text()
    lines = text.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("FROM", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
    ]
    wheel = next(path.name for path in tmp_path.glob("*.whl"))
    assert lines[1] == f"COPY {wheel} /tmp/"
    assert json.loads(lines[6].removeprefix("ENTRYPOINT ")) == ["topic-A"]
    assert json.loads(lines[7].removeprefix("CMD ")) == ["serve", "--host", "0.0.0.0", "--port", "8000"]
    check = json.loads(lines[5].partition("CMD ")[2])
    compile(check[2], "health", "exec")
    assert (tmp_path / ".dockerignore").read_text() == f"*\n!{wheel}\n"
    assert "docker build -t topic-a-student ." in (tmp_path / "README.md").read_text()


def test_the_card_says_where_labels_and_figures_come_from(student: Leaving, project: Path) -> None:
    with zipfile.ZipFile(_file(make_wheel(student).content, project)) as archive:
        card = archive.read("topic_a_student/README.md").decode()
    front, _, text = card.removeprefix("---\n").partition("\n---\n")
    assert front.startswith("license: mit\npipeline_tag: text-classification\n")
    assert student.report is not None
    row = student.report.candidates[0].scores["accuracy"]
    assert f"| accuracy | {row.value:.4f} | {row.low:.4f} to {row.high:.4f} |" in text
    assert f"On {student.report.n} test examples" in text
    train = student.card["train"]["n"]
    assert f"| train | {train} | gold {train} | `human:me` {train} |" in text
    assert "Labels without an example in train are never answered: sport." in text
    assert "are few: see how wide the intervals are." in text
    assert "- Training data: CC BY 4.0" in text and "- Base model: none" in text
    assert str(project) not in card


def _file(content: bytes, folder: Path) -> Path:
    path = folder / "card.whl"
    path.write_bytes(content)
    return path


def test_a_certificate_in_the_artefact_leaves_with_it(student: Leaving, tmp_path: Path) -> None:
    folder = tmp_path / student.folder.name
    folder.mkdir()
    for path in student.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "certificate.json").write_text("{}")
    wheel = make_wheel(replace(student, folder=folder))
    with zipfile.ZipFile(_file(wheel.content, tmp_path)) as archive:
        assert archive.read("topic_a_student/artefact/certificate.json") == b"{}"
        assert "no certificate" not in archive.read("topic_a_student/README.md").decode()


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("other", "wheel", "'other' is not trained yet. Run: tutelage train other"),
        ("recorded", "wheel", "'recorded' cannot be exported: family 'replay' is not a trained student. Name one."),
        ("nobody", "wheel", "'nobody' is not a known candidate. Known: other, recorded, words."),
        (
            "words",
            "tarball",
            "'tarball' is not a known target. Known: gguf, hub-folder, image, onnx, safetensors, wheel.",
        ),
    ],
)
def test_what_cannot_leave_is_said_in_one_line(project: Path, name: str, target: str, message: str) -> None:
    code = 1 if "trained yet" in message else 2
    assert run(project, "export", name, "--to", target, code=code) == message


@pytest.mark.parametrize(("name", "command"), [("test", "test-student"), ("Queue_2", "Queue_2"), ("class", "class")])
def test_the_command_is_the_tasks_name_made_safe(student: Leaving, name: str, command: str) -> None:
    named = replace(student, task=replace(student.task, name=name))
    assert named.command == command
    assert named.package.isidentifier() and named.package.endswith("_student")


def test_a_gguf_leaves_with_the_prompt_it_learned(student: Leaving, tmp_path: Path) -> None:
    folder = tmp_path / student.folder.name
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.gguf").write_bytes(b"GGUF")
    (folder / "card.json").write_bytes((student.folder / "card.json").read_bytes())
    names = {"<|user|>": 0, "It's": 1, "<|end|>": 2}
    tokenizer = Tokenizer(models.WordLevel(names, unk_token="It's"))
    tokenizer.add_special_tokens(["<|user|>", "<|end|>"])
    tokenizer.save(str(folder / "model" / "tokenizer.json"))
    (folder / "student.json").write_text(json.dumps({"before": [0, 1], "after": [2]}))
    files = export(replace(student, folder=folder), "gguf", TARGETS)
    modelfile = files["Modelfile"]
    assert isinstance(modelfile, bytes)
    assert modelfile.decode() == (
        'FROM ./model/model.gguf\nTEMPLATE """<|user|> It\'s{{ .Prompt }}<|end|>"""\nPARAMETER temperature 0\n'
    )
    readme = files["README.md"]
    assert isinstance(readme, bytes)
    line = next(line for line in readme.decode().splitlines() if line.startswith('curl -d \'{"prompt"'))
    assert json.loads(shlex.split(line)[2])["prompt"] == "<|user|> It's...<|end|>"
    assert files["model/model.gguf"] == folder / "model" / "model.gguf"
