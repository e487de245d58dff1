"""Soft labels and teachers at hand, learnt by real networks on tiny random bases."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.contract import TASKS, examples
from tests.taught import encoder_project, fit
from tests.tiny import make_base
from tutelage.embeddings.export import Base, load_base
from tutelage.embeddings.runtime import MODEL, TextModel
from tutelage.errors import TrainingError
from tutelage.evaluation.candidates import candidate
from tutelage.project import Project, newest_artefact, open_project
from tutelage.students.base import FitContext
from tutelage.students.encoder import EncoderSettings, EncoderStudent
from tutelage.students.finetune.distil import Distilled, kept_layers, matching, smaller, states
from tutelage.students.finetune.keeping import kept_network
from tutelage.students.finetune.networks import TextClassifier
from tutelage.students.finetune.soft import NOT_KNOWN, blended
from tutelage.students.soft import Blend
from tutelage.types import Example, Labelled

SMALL = '[candidates.small]\nfamily = "white-box"\nof = "teacher"\neffort = "low"\nthreads = 1\n'


def soft(labelled: list[Labelled], p: float = 0.7) -> list[Labelled]:
    other = {"glad": "sad", "sad": "glad"}
    return [replace(one, distribution={str(one.value): p, other[str(one.value)]: 1 - p}) for one in labelled]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    base = make_base(tmp_path_factory.mktemp("base"), [one.example.input["text"] for one in examples("label")])
    return EncoderSettings(str(base), epochs=12, learning_rate=5e-3, batch_size=4, threads=1, quantise="none")


def fitted(settings: EncoderSettings, train: list[Labelled], folder: Path) -> tuple[EncoderStudent, dict[str, object]]:
    folder.mkdir()
    student = EncoderStudent(TASKS["label"], settings)
    return student, student.fit(train, [], FitContext(folder, Path))


def sureness(student: EncoderStudent) -> float:
    found = student.predict_batch([one.example.input for one in examples("label")])
    return float(np.mean([one.confidence for one in found]))


def test_an_encoder_is_as_sure_as_the_soft_labels_it_learns(settings: EncoderSettings, tmp_path: Path) -> None:
    given = soft(examples("label"))
    student, facts = fitted(settings, given, tmp_path / "soft")
    assert (facts["targets"], facts["soft_labels"]) == ("soft", 18)
    hard, facts = fitted(replace(settings, targets="hard"), given, tmp_path / "hard")
    assert (facts["targets"], facts["soft_labels"]) == ("hard", 0)
    assert sureness(student) < 0.8 < 0.9 < sureness(hard)


def test_half_of_the_loss_in_the_labels_makes_it_surer(settings: EncoderSettings, tmp_path: Path) -> None:
    given = soft(examples("label"))
    whole, half = (
        sureness(fitted(replace(settings, soft_weight=w, temperature=2.0), given, tmp_path / str(w))[0])
        for w in (1.0, 0.5)
    )
    assert whole < half


def test_a_label_that_was_only_considered_can_be_answered(settings: EncoderSettings, tmp_path: Path) -> None:
    glad = [replace(one, value="glad") for one in soft(examples("label"), 0.9) if one.value == "glad"]
    near = [replace(one, value="glad", distribution={"glad": 0.51, "sad": 0.49}) for one in examples("label")[1::2]]
    _, facts = fitted(settings, glad + near, tmp_path / "work")
    assert facts["labels"] == 2 and facts["labels_without_examples"] == []
    with pytest.raises(TrainingError, match="at least 2 labels"):
        fitted(replace(settings, targets="hard"), glad + near, tmp_path / "hard")


def test_trust_in_its_own_answers_goes_with_hard_labels_too(settings: EncoderSettings, tmp_path: Path) -> None:
    trusting, facts = fitted(replace(settings, self_weight=0.5), examples("label"), tmp_path / "one")
    assert facts["targets"] == "hard"
    assert all(one.value in ("glad", "sad") for one in trusting.predict_batch([{"text": "Tom sang"}]))
    student = EncoderStudent(TASKS["labels"], replace(settings, self_weight=0.5))
    with pytest.raises(TrainingError, match="self_weight is for one label, not labels"):
        student.fit(examples("labels"), [], FitContext(tmp_path, Path))


LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0]])
TAUGHT = torch.tensor([[0.8, 0.15, 0.05], [0.3, 0.4, 0.3]])


def test_the_loss_is_hinton_s() -> None:
    hard = torch.nn.functional.cross_entropy(LOGITS, torch.tensor([0, 1]))
    assert torch.isclose(blended(LOGITS, torch.tensor([0, 1]), TAUGHT, Blend()), hard)
    softer = TAUGHT.sqrt() / TAUGHT.sqrt().sum(-1, keepdim=True)
    near = (softer * (softer.log() - torch.log_softmax(LOGITS / 2, -1))).sum(-1).mean()
    found = blended(LOGITS, torch.tensor([0, 1]), TAUGHT, Blend(0.75, 2.0))
    assert torch.isclose(found, 0.25 * hard + 0.75 * 4 * near)
    assert torch.isclose(
        blended(torch.log(TAUGHT), torch.tensor([0, 1]), TAUGHT, Blend(1.0, 3.0)), torch.tensor(0.0), atol=1e-6
    )


def test_what_has_no_label_is_taught_by_the_distribution_alone() -> None:
    nobody = torch.tensor([NOT_KNOWN, NOT_KNOWN])
    whole = blended(LOGITS, nobody, TAUGHT, Blend(0.5, 1.0))
    assert torch.isclose(whole, 0.5 * blended(LOGITS, nobody, TAUGHT, Blend(1.0, 1.0)))
    half = blended(LOGITS, torch.tensor([0, NOT_KNOWN]), TAUGHT, Blend())
    assert torch.isclose(half, torch.nn.functional.cross_entropy(LOGITS[:1], torch.tensor([0])) / 2)


def test_trust_in_its_own_answers_grows_with_the_training() -> None:
    wrong = torch.tensor([2, 2])
    at = [float(blended(LOGITS, wrong, TAUGHT, Blend(trust=0.5), share)) for share in (0.0, 0.1, 0.2, 1.0)]
    own = float(torch.nn.functional.cross_entropy(LOGITS, LOGITS.argmax(-1)))
    assert at[0] > at[1] > at[2] == at[3]
    assert math.isclose(at[3], 0.5 * at[0] + 0.5 * own, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("layers", "wanted", "kept"),
    [(12, None, [0, 2, 4, 7, 9, 11]), (6, None, [0, 2, 5]), (2, None, [0]), (6, 2, [0, 5]), (3, None, [0])],
)
def test_every_second_layer_is_kept(layers: int, wanted: int | None, kept: list[int]) -> None:
    assert kept_layers(layers, wanted) == kept


@pytest.mark.parametrize(("layers", "wanted"), [(6, 6), (6, 9), (1, None)])
def test_a_student_is_smaller_than_its_teacher(layers: int, wanted: int | None) -> None:
    with pytest.raises(TrainingError, match=f"has {layers} layers"):
        kept_layers(layers, wanted)


def test_layers_match_at_the_same_depth() -> None:
    assert matching(3, 6) == [(1, 2), (2, 4), (3, 6)]
    assert matching(2, 3) == [(1, 1), (2, 3)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = encoder_project(tmp_path_factory.mktemp("taught"), examples("label"), SMALL)
    made.store.examples.add([Example(f"more-{at}", {"text": f"Ada sang on day {at}"}, "train") for at in range(5)])
    return made


def artefact(project: Project, name: str) -> Path:
    folder = newest_artefact(project, name)
    assert folder is not None
    return folder


def test_a_student_made_of_its_teacher_is_smaller_and_learns_from_texts_without_labels(project: Project) -> None:
    card = fit(project, "small")
    facts = card["fit"]
    assert isinstance(facts, dict)
    assert facts["unlabelled"] == 5 and facts["windows"] == 23  # two of the twenty are held out
    assert facts["base"]["name"] == "teacher" and facts["base"]["licence"] == "apache-2.0"
    assert facts["teacher"]["artefact"] == artefact(project, "teacher").name
    sizes = [(artefact(project, name) / "model" / MODEL).stat().st_size for name in ("small", "teacher")]
    assert sizes[0] < sizes[1]
    assert not (artefact(project, "small") / "weights").exists()


def test_it_is_trained_in_a_project_whose_path_is_relative(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder.parent)
    assert fit(open_project(Path(project.folder.name)), "small")["fit"]


def test_it_is_trained_again_when_its_teacher_is_or_texts_come(project: Project) -> None:
    one = candidate(project, "small")
    kind = one.family.student
    assert kind is not None
    before = kind.depends("small", one.settings, project)
    project.store.examples.add([Example("another", {"text": "Tom wept"}, "train")])
    assert kind.depends("small", one.settings, project) != before


def test_the_same_size_taught_is_nearer_to_its_teacher(project: Project) -> None:
    """The hidden states and the distribution come nearer to the teacher's with training."""
    folder = artefact(project, "teacher") / "weights"
    base: Base = load_base(str(folder), Path)
    teacher = kept_network(base, folder)
    network = Distilled(smaller(base, None), teacher, Blend(1.0, 2.0), 1.0)
    assert len(list(network.state_dict())) < len(list(teacher.state_dict()))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    found = base.tokenizer.encode_batch(["tom sang and laughed", "ada wept and sighed"])
    ids = torch.tensor([one.ids for one in found])
    mask = torch.ones_like(ids)
    nobody = torch.full((2, 1), NOT_KNOWN)
    network.eval()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = network.learn(ids, mask, nobody)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(one.grad is None for one in teacher.parameters())


def test_kept_weights_are_those_that_are_served(project: Project) -> None:
    folder = artefact(project, "teacher")
    base = load_base(str(folder / "weights"), Path)
    network: TextClassifier = kept_network(base, folder / "weights").eval()
    served = TextModel(folder / "model", 1)
    encodings = served.encode_texts(["tom sang and laughed"])
    assert encodings[0].ids == base.tokenizer.encode("tom sang and laughed").ids
    ids = torch.tensor([encodings[0].ids])
    with torch.no_grad():
        _, logits = states(network, ids, torch.ones_like(ids))
    # The served one may be int8.
    assert np.allclose(logits.numpy()[0], served.run(encodings)[0], atol=0.05)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            '[candidates.small]\nfamily = "white-box"\nof = "plain"\n[candidates.plain]\nfamily = "linear"',
            "is of family 'linear'",
        ),
        (
            SMALL.replace("teacher", "fresh") + '[candidates.fresh]\nfamily = "encoder"\nbase = "base"',
            "is not trained yet. Run: tutelage train fresh",
        ),
        (f"{SMALL}layers = 2\n", "The teacher has 2 layers"),
    ],
)
def test_what_cannot_teach_is_said_in_one_line(more: str, message: str, tmp_path: Path) -> None:
    made = encoder_project(tmp_path, examples("label"), more)
    with pytest.raises(TrainingError, match=message):
        fit(made, "small")


def test_a_teacher_without_its_weights_is_told_to_keep_them(tmp_path: Path) -> None:
    light = '[candidates.light]\nfamily = "encoder"\nbase = "base"\neffort = "low"\n'
    made = encoder_project(tmp_path, examples("label"), SMALL + light)
    fit(made, "light")
    file = tmp_path / "task.toml"
    file.write_text(file.read_text().replace('of = "teacher"', 'of = "light"'))
    with pytest.raises(TrainingError, match=r"Set keep_weights = true in \[candidates.light\]"):
        fit(open_project(tmp_path), "small")
