"""A T5 fine-tuned for real, on a tiny random one: it learns, is served as it was trained, resumes, and refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("ctranslate2")

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tests.contract import TASKS, examples
from tests.tiny import make_base, make_t5
from tutelage.answering.seq2seq import Codec, Writer
from tutelage.errors import StoreError, TrainingError
from tutelage.students.base import FitContext
from tutelage.students.finetune.convert import Converter
from tutelage.students.finetune.seq2seq import spare_tokens
from tutelage.students.seq2seq import Seq2SeqSettings, Seq2SeqStudent, writing_plan
from tutelage.tasks import Task
from tutelage.types import Labelled


def base(folder: Path, task: Task, train: Sequence[Labelled], **options: Any) -> str:
    folder.mkdir(parents=True)
    texts = [one.example.input["text"] for one in train] + [task.render(one.value) for one in train]
    return str(make_t5(folder, texts, **options))


def context(folder: Path, progress: Any = lambda share, shown: None) -> FitContext:
    folder.mkdir(exist_ok=True)
    work = folder / f"work-{len(list(folder.iterdir()))}"
    work.mkdir()
    return FitContext(work, Path, progress, checkpoints=folder / "checkpoints")


def quick(base: str, **options: Any) -> Seq2SeqSettings:
    given = {"method": "full", "epochs": 12, "learning_rate": 4e-3, "batch_size": 4, "threads": 1, **options}
    return Seq2SeqSettings(base, **given)


class Fitted:
    def __init__(self, folder: Path, output: str, tied: bool, **options: Any) -> None:
        self.task, self.train, self.told = TASKS[output], examples(output), list[Mapping[str, object]]()
        self.settings = quick(base(folder / "base", self.task, self.train, tied=tied), **options)
        self.student = Seq2SeqStudent(self.task, self.settings)
        where = context(folder / "fit", lambda share, shown: self.told.append({"share": share, **shown}))
        self.facts = self.student.fit(self.train[:16], self.train[16:], where)
        self.saved = folder / "saved"
        self.saved.mkdir()
        self.student.save(self.saved)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """As T5 1.1 and FLAN are."""
    return Fitted(tmp_path_factory.mktemp("label"), "label", tied=False)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """As the first T5 is, by LoRA."""
    folder = tmp_path_factory.mktemp("strings")
    return Fitted(folder, "strings", tied=True, method="lora", epochs=8, learning_rate=2e-2)


def test_it_learns_what_it_was_shown(fitted: Fitted) -> None:
    found = fitted.student.predict_batch([one.example.input for one in fitted.train])
    right = sum(p.value == one.value for p, one in zip(found, fitted.train, strict=True))
    assert right >= 18
    assert fitted.facts["dev_scores"][-1] >= 0.75 and fitted.facts["int8"]["megabytes"] < 0.5
    assert {"sequence_probability", "mean_probability", "min_probability"} <= set(found[0].signals)


def test_lora_learns_too_and_leaves_an_adapter(lists: Fitted) -> None:
    before, after = lists.facts["dev_losses"][0], min(lists.facts["dev_losses"])
    assert after < before / 2
    assert lists.facts["trained_parameters"] < lists.facts["base"]["parameters"]
    adapter = json.loads((lists.saved / "weights" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == lists.settings.base
    assert sorted(path.name for path in (lists.saved / "weights").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_progress_tells_loss_speed_and_time_left(fitted: Fitted) -> None:
    last = fitted.told[-1]
    assert last["share"] == 1 and {"epoch", "loss", "dev", "steps_per_s", "left"} <= set(last)


def test_the_card_says_what_was_found(fitted: Fitted) -> None:
    facts = fitted.facts
    assert facts["base"]["name"] == fitted.settings.base and facts["trained_in"] in ("bf16", "fp32")
    assert set(facts["spare_tokens"]) == {"{", "}"}
    assert (facts["answers_changed_by_tokenizer"], facts["inputs_cut"]) == (0, 0)


@pytest.mark.parametrize("tied", [False, True])
def test_served_probabilities_are_those_of_the_model(tied: bool, tmp_path: Path) -> None:
    task, train = TASKS["label"], examples("label")
    source = base(tmp_path / "base", task, train, tied=tied)
    Converter(source).convert(str(tmp_path / "model"))
    tokenizer = AutoTokenizer.from_pretrained(source).backend_tokenizer
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    form = {"end": "</s>", "max_input": 64, "max_output": 6, "spare": {"{": "<extra_id_0>", "}": "<extra_id_1>"}}
    (tmp_path / "student.json").write_text(json.dumps(form))
    writer = Writer.load(task, tmp_path, 1)
    sources = [writer._source(one.example.input) for one in train]
    model = AutoModelForSeq2SeqLM.from_pretrained(source)
    for at, (tokens, _) in enumerate(writer._write(sources)):
        ids = torch.tensor([[tokenizer.token_to_id(name) for name in sources[at]]])
        written = model.generate(ids, max_length=7, min_new_tokens=1, output_scores=True, return_dict_in_generate=True)
        sure = [scores.log_softmax(-1).max().item() for scores in written.scores]
        assert [token.logprob for token in tokens] == pytest.approx(sure[: len(tokens)], abs=2e-3)


def test_the_weights_of_a_full_training_load_elsewhere(fitted: Fitted) -> None:
    config = json.loads((fitted.saved / "weights" / "config.json").read_text())
    assert config["tie_word_embeddings"] is False  # what transformers before 5 reads the scaling from
    model = AutoModelForSeq2SeqLM.from_pretrained(fitted.saved / "weights")
    assert model.config.scale_decoder_outputs is False
    tokenizer = AutoTokenizer.from_pretrained(fitted.saved / "weights")
    given = tokenizer(fitted.train[0].example.input["text"], return_tensors="pt")
    text = tokenizer.decode(model.generate(given.input_ids, max_length=20)[0])
    assert str(fitted.train[0].value) in text


class Killed(Exception):
    pass


def test_a_killed_training_goes_on_to_the_same_end(fitted: Fitted, tmp_path: Path) -> None:
    """It is broken off by an exception in a step, as a signal would, with half a checkpoint left behind."""
    settings, shares = replace(fitted.settings, epochs=6), list[float]()
    task, train = fitted.task, fitted.train

    def kill(share: float, _shown: object) -> None:
        if share > 0.6:
            raise Killed

    with pytest.raises(Killed):
        Seq2SeqStudent(task, settings).fit(train[:16], train[16:], context(tmp_path / "killed", kill))
    checkpoints = tmp_path / "killed" / "checkpoints"
    assert list(checkpoints.glob("checkpoint-*/trainer_state.json"))
    (checkpoints / "checkpoint-9999").mkdir()
    resumed, whole = Seq2SeqStudent(task, settings), Seq2SeqStudent(task, settings)
    resumed.fit(train[:16], train[16:], context(tmp_path / "killed", lambda share, _: shares.append(share)))
    whole.fit(train[:16], train[16:], context(tmp_path / "whole"))
    assert shares[0] > 0.4
    asked = [one.example.input for one in train]
    assert resumed.predict_batch(asked) == whole.predict_batch(asked)


def test_beams_give_no_single_tokens(fitted: Fitted) -> None:
    form = replace(fitted.student.answerer.form, beams=3)  # type: ignore[union-attr]
    writer = Writer(fitted.task, fitted.saved / "model", form, 1)
    found = writer.predict_batch([fitted.train[0].example.input])[0]
    assert found.value == fitted.train[0].value and not found.parts
    assert set(found.signals) == {"mean_probability", "sequence_probability"}


def test_what_is_no_label_is_the_likeliest_one(tmp_path: Path) -> None:
    student = Fitted(tmp_path, "label", False, epochs=1, learning_rate=1e-5).student
    found = student.predict_batch([{"text": "Tom wept"}])[0]
    assert found.value in ("glad", "sad") and found.note and 0.5 <= (found.confidence or 0) <= 1


def test_an_encoder_is_no_base(tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    given = quick(str(make_base(tmp_path / "bert", ["a text"])))
    train = examples("label")
    with pytest.raises(TrainingError, match="is a bert; 'seq2seq' takes an encoder-decoder of kind t5 or mt5"):
        Seq2SeqStudent(TASKS["label"], given).fit(train[:16], train[16:], context(tmp_path / "work"))


def test_answers_that_cannot_be_spelled_are_refused(tmp_path: Path) -> None:
    task, train = TASKS["label"], examples("label")
    given = quick(base(tmp_path / "base", task, train, spares=0))
    with pytest.raises(TrainingError, match=r"changes every one of the 16, e\.g\. '\{\"label\": \"glad\"\}'"):
        Seq2SeqStudent(task, given).fit(train[:16], train[16:], context(tmp_path / "work"))


def test_a_damaged_student_is_one_line(fitted: Fitted, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "student.json").write_text('{"end": "</s>", "max_input": 9, "max_output": 9}')
    with pytest.raises(StoreError, match="cannot be read"):
        Writer.load(fitted.task, tmp_path)


def test_texts_come_back_as_they_were(fitted: Fitted) -> None:
    tokenizer = Tokenizer.from_file(str(fitted.saved / "model" / "tokenizer.json"))
    texts = ['{"a": "x {y} z"}', "{ a}", "a\nb", "{}", "", "a\\b \n c"]
    codec = Codec(tokenizer, spare_tokens(tokenizer, texts, "</s>"), "</s>")
    assert [codec.decode(codec.encode(text)) for text in texts if set(text) - set('abxyz": ')] == [
        text for text in texts if set(text) - set('abxyz": ')
    ]
    assert len(codec.encode("sang and laughed " * 50, 10)) == 10


def test_few_examples_take_more_epochs() -> None:
    plans = [writing_plan(Seq2SeqSettings("base"), n).epochs for n in (20, 200, 2000, 20000)]
    assert plans == sorted(plans, reverse=True) and plans[-1] >= 2
    assert (
        writing_plan(Seq2SeqSettings("b", method="full"), 50).learning_rate
        < writing_plan(Seq2SeqSettings("b"), 50).learning_rate
    )
