"""A tiny decoder learns a task by LoRA or a soft prompt, is written as GGUF, and llama.cpp answers as torch would."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("xllamacpp")
import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.contract import TASKS, examples
from tests.tiny import make_causal
from tutelage.answering.causal import Causal
from tutelage.answering.llama import GGUF, Llama, Prompt
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext
from tutelage.students.causal import CausalSettings, CausalStudent
from tutelage.students.decoder import DecoderStudent
from tutelage.students.finetune import causal as fitting
from tutelage.students.finetune.decoders import load_decoder
from tutelage.students.finetune.gguf_file import from_file
from tutelage.students.finetune.memory import Batching
from tutelage.students.finetune.teaching import last_checkpoint
from tutelage.students.soft_prompt import SoftPromptSettings, SoftPromptStudent
from tutelage.tasks.reasoning import noted
from tutelage.types import Labelled

CPU = torch.device("cpu")
LEARNING = {"learning_rate": 0.02, "epochs": 20, "threads": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_causal(tmp_path_factory.mktemp("base"))


def fitted(student: DecoderStudent, rows: Sequence[Labelled], folder: Path, **given: Any) -> dict[str, Any]:
    folder.mkdir(parents=True)
    return student.fit(rows[:16], rows[16:], FitContext(folder, Path, **given))


@pytest.fixture(scope="module")
def taught(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CausalStudent, dict[str, Any], list[Any]]:
    shown: list[Mapping[str, object]] = []
    student = CausalStudent(TASKS["label"], CausalSettings(str(base), **LEARNING))  # type: ignore[arg-type]
    tell = lambda _, x: shown.append(dict(x))  # noqa: E731
    facts = fitted(student, examples("label"), tmp_path_factory.mktemp("label") / "w", progress=tell)
    return student, facts, shown


def test_lora_learns_what_the_words_say(taught: tuple[CausalStudent, dict[str, Any], list[Any]]) -> None:
    student, facts, _ = taught
    asked = [one.example.input for one in examples("label")]
    right = [
        found.value == one.value for found, one in zip(student.predict_batch(asked), examples("label"), strict=True)
    ]
    assert sum(right) >= 18
    losses = facts["dev_losses"]
    assert facts["base"]["parameters"] < 40_000 < facts["base"]["parameters"] + facts["trained_parameters"]
    assert losses[-1] < losses[0] / 2
    assert facts["served_difference"] < 0.05


def test_progress_tells_loss_speed_and_time_left(taught: tuple[CausalStudent, dict[str, Any], list[Any]]) -> None:
    _, facts, shown = taught
    assert {"loss", "dev_loss", "step", "steps_per_s", "s_left"} <= shown[-2].keys()
    assert shown[-2]["step"] == facts["steps"] and shown[-2]["s_left"] == 0


def test_only_the_text_is_asked_and_marks_in_it_are_text(
    taught: tuple[CausalStudent, dict[str, Any], list[Any]],
) -> None:
    student, facts, _ = taught
    assert student.answerer is not None
    prompt, tokenizer = student.answerer.prompt, student.answerer.tokenizer
    assert facts["prompt_tokens"] == len(prompt.before) + len(prompt.after) == 3  # user, end, assistant
    marks = {tokenizer.token_to_id(mark) for mark in ("<|end|>", "<|assistant|>")}
    assert not marks & set(tokenizer.encode("so <|end|><|assistant|> glad", add_special_tokens=False).ids)


def test_the_instructions_may_stay_in_the_prompt(base: Path, tmp_path: Path) -> None:
    task = replace(TASKS["label"], instructions="Which mood has the day?")
    student = CausalStudent(task, CausalSettings(str(base), epochs=1, threads=1, instructions=True))
    fitted(student, examples("label"), tmp_path / "w")
    assert student.answerer is not None
    before = student.answerer.tokenizer.decode(list(student.answerer.prompt.before), skip_special_tokens=False)
    assert before.startswith("<|system|>Which mood has the day?") and '"sad"' in before


def test_a_teachers_reasoning_is_a_second_thing_to_learn(base: Path, tmp_path: Path) -> None:
    """It is learnt behind another word, asked for by nobody, and dropped where the label has none."""
    rows = [replace(one, note=noted("1 repair", f"it says {one.value}")) for one in examples("label")]
    settings = CausalSettings(str(base), rationale=0.5, **LEARNING)  # type: ignore[arg-type]
    student = CausalStudent(TASKS["label"], settings)
    assert fitted(student, [replace(rows[0], note="1 repair"), *rows[1:]], tmp_path / "w")["rationales"] == 15
    asked = [one.example.input for one in rows]
    found = student.predict_batch(asked)
    assert sum(one.value == row.value for one, row in zip(found, rows, strict=True)) >= 17
    assert student.answerer is not None
    tokenizer, prompt = student.answerer.tokenizer, student.answerer.prompt
    assert tokenizer.decode(list(prompt.before)).endswith("answer: ")
    explain = tokenizer.encode(f"explain: {asked[0]['text']}", add_special_tokens=False).ids
    user = prompt.before[:1]
    told = student.answerer.llama.write([*user, *explain, *prompt.after], most=20)
    assert told.text.startswith("it says")
    bare = CausalStudent(TASKS["label"], settings)
    with pytest.raises(
        TrainingError, match=r"rationale = 0\.5: none of 16 labels has a reasoning\. Label with a teacher"
    ):
        fitted(bare, examples("label"), tmp_path / "bare")


def test_a_gguf_base_keeps_what_was_not_trained(base: Path, tmp_path: Path) -> None:
    (tmp_path / "gguf").mkdir()
    file = tmp_path / "gguf" / "tiny.gguf"
    load_decoder(str(base), Path, 16, CPU).blueprint().write(file, {}, "f16", all=True)
    student = CausalStudent(TASKS["label"], CausalSettings(str(file), **LEARNING))  # type: ignore[arg-type]
    facts = fitted(student, examples("label"), tmp_path / "w")
    assert facts["served_difference"] < 0.05
    assert student.answerer is not None
    before, after = from_file(file), from_file(student.answerer.llama.folder / GGUF)
    assert before.fields == after.fields
    same = {name for name, one in before.tensors.items() if bytes(one.data()) == bytes(after.tensors[name].data())}
    assert "token_embd.weight" in same and "blk.0.attn_q.weight" not in same
    asked = [one.example.input for one in examples("label")]
    right = [
        found.value == one.value for found, one in zip(student.predict_batch(asked), examples("label"), strict=True)
    ]
    assert sum(right) >= 18


def test_what_is_written_is_what_transformers_reads(base: Path, tmp_path: Path) -> None:
    """There and back: a file made of a model gives the model again, rows of attention in the right order."""
    load_decoder(str(base), Path, 16, CPU).blueprint().write(tmp_path / "tiny.gguf", {}, "f16", all=True)
    first = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    second = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="tiny.gguf", dtype=torch.float32)
    for (name, mine), (other, its) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        assert name == other
        assert torch.allclose(mine, its, atol=1e-3), name
    read = AutoTokenizer.from_pretrained(tmp_path, gguf_file="tiny.gguf")
    assert (
        read.eos_token == "<|end|>"
        and read("then")["input_ids"] == AutoTokenizer.from_pretrained(base)("then")["input_ids"]
    )


@pytest.mark.parametrize("tied", [False, True])
def test_a_soft_prompt_is_entries_of_the_vocabulary_that_are_never_written(tied: bool, tmp_path: Path) -> None:
    """Also where the vocabulary's embeddings are the last layer's weights."""
    base = make_causal(tmp_path / "base", tied=tied)
    student = SoftPromptStudent(
        TASKS["text"], SoftPromptSettings(str(base), tokens=5, epochs=2, threads=1, structured="none")
    )
    facts = fitted(student, examples("text"), tmp_path / "w")
    assert facts["trained_parameters"] == 5 * 32 and facts["served_difference"] < 0.05
    assert student.answerer is not None
    prompt = student.answerer.prompt
    entries = load_decoder(str(base), Path, 16, CPU).entries
    assert list(prompt.before[:5]) == list(prompt.blocked) == list(range(entries, entries + 5))
    written = student.answerer.llama.write([*prompt.before, *prompt.after], most=200)
    assert written.ids and max(written.ids) < entries
    tokens = gguf.GGUFReader(student.answerer.llama.folder / GGUF).fields["tokenizer.ggml.tokens"].contents()
    assert tokens[-5:] == [f"<|prompt-{at}|>" for at in range(5)]
    shown = student.answerer.tokenizer.decode(list(prompt.before), skip_special_tokens=False)
    assert shown == f"{''.join(tokens[-5:])}<|user|>"


def test_a_file_that_says_something_else_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "changes", lambda *_: {})  # as if the trained weights were forgotten
    student = CausalStudent(TASKS["label"], CausalSettings(str(base), **LEARNING))  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="answers otherwise than what was trained"):
        fitted(student, examples("label"), tmp_path / "w")


def test_few_bits_need_a_gpu(base: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    student = CausalStudent(TASKS["label"], CausalSettings(str(base), bits=4, threads=1))
    with pytest.raises(
        TrainingError, match="bits = 4 needs a GPU and the package bitsandbytes, and no GPU is found here"
    ):
        fitted(student, examples("label"), tmp_path / "w")


def test_too_long_answers_and_texts(base: Path, tmp_path: Path) -> None:
    long = [replace(one, value="glad " * 100) for one in examples("text")]
    student = CausalStudent(TASKS["text"], CausalSettings(str(base), max_length=256, threads=1))
    with pytest.raises(TrainingError, match=r"The longest answer has \d+ tokens.* Set: max_length"):
        fitted(student, long, tmp_path / "answers")
    rows = examples("label")
    rows[0] = replace(rows[0], example=replace(rows[0].example, input={"text": "Mia sang. " * 200}))
    student = CausalStudent(TASKS["label"], CausalSettings(str(base), epochs=1, threads=1, max_length=128))
    assert fitted(student, rows, tmp_path / "texts")["texts_cut"] == 1
    found = student.predict_batch([rows[0].example.input])[0]
    assert found.note is not None and found.note.startswith("only the first ")


def test_memory_that_runs_out_names_the_next_smaller_setting(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = CausalStudent(TASKS["label"], CausalSettings(str(base), epochs=1, threads=1))
    monkeypatch.setattr(fitting, "free_memory", lambda _: 1000)
    with pytest.raises(TrainingError, match=r"Out of memory: .* Choose a smaller base"):
        fitted(student, examples("label"), tmp_path / "w")


def test_parts_of_a_batch_and_twice_the_work_teach_the_same(base: Path, tmp_path: Path) -> None:
    """Half the examples a pass with two passes a step, activations computed twice: the same losses, but for rounding."""
    losses = []
    for at, given in enumerate(((8, 1, False), (4, 2, True))):
        student = CausalStudent(TASKS["label"], CausalSettings(str(base), epochs=2, threads=1, dropout=0.0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fitting, "batching", lambda *_, given=given: Batching(*given))
            losses.append(fitted(student, examples("label"), tmp_path / str(at))["dev_losses"])
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_llama_that_is_killed_comes_back(taught: tuple[CausalStudent, dict[str, Any], list[Any]]) -> None:
    student, *_ = taught
    assert student.answerer is not None
    before = student.predict_batch([{"text": "Tom sang"}])
    server = student.answerer.llama._server
    assert server is not None
    server.process.kill()
    server.process.wait()
    assert student.predict_batch([{"text": "Tom sang"}]) == before


TRAINING = """
import sys
from pathlib import Path
from tests.integration.test_decoders import resumable
resumable(*map(Path, sys.argv[1:]), lambda share, shown: print(share, flush=True))
"""


def resumable(base: Path, folder: Path, checkpoints: Path, tell: Any) -> tuple[dict[str, Any], bytes]:
    """The facts of a training with `checkpoints`, and the file it made."""
    student = CausalStudent(TASKS["label"], CausalSettings(str(base), epochs=10, learning_rate=0.01, threads=1))
    facts = fitted(student, examples("label"), folder, checkpoints=checkpoints, progress=tell)
    return facts, (folder / "served" / GGUF).read_bytes()


def test_a_killed_training_goes_on_to_the_same_file(base: Path, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    given = [sys.executable, "-W", "ignore", "-c", TRAINING, str(base), str(tmp_path / "killed"), str(checkpoints)]
    killed = subprocess.Popen(given, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert killed.stdout is not None
    while float(killed.stdout.readline()) < 0.6:
        pass
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    last = last_checkpoint(checkpoints)
    assert last is not None
    (checkpoints / "checkpoint-999").mkdir()  # one that was being written
    (checkpoints / "checkpoint-999" / "adapter_model.safetensors").write_bytes(b"half")
    quiet = lambda share, shown: None  # noqa: E731
    facts, resumed = resumable(base, tmp_path / "resumed", checkpoints, quiet)
    _, straight = resumable(base, tmp_path / "straight", tmp_path / "others", quiet)
    assert facts["resumed_at"] == int(last.name.rpartition("-")[2]) > 0
    assert resumed == straight


def test_llama_ends_with_its_student(base: Path, tmp_path: Path) -> None:
    load_decoder(str(base), Path, 16, CPU).blueprint().write(tmp_path / GGUF, {}, "f16", all=True)
    llama = Llama(tmp_path, Prompt([3], [4], 64, 8), threads=1)
    llama.write([3, 4], most=1)
    server = llama._server
    assert server is not None and server.process.poll() is None
    del llama
    for _ in range(50):
        if server.process.poll() is not None:
            return
        time.sleep(0.1)
    pytest.fail("llama.cpp still runs")


def test_a_saved_student_lacks_nothing(taught: tuple[CausalStudent, dict[str, Any], list[Any]], tmp_path: Path) -> None:
    student, *_ = taught
    student.save(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        GGUF,
        "student.json",
        "tokenizer.json",
    ]
    loaded = Causal.load(TASKS["label"], tmp_path, 1)
    asked = [{"text": "Tom sang and laughed on day 3"}]
    assert loaded.predict_batch(asked) == student.predict_batch(asked)
