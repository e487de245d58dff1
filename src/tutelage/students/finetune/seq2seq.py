"""Fine-tuning an encoder-decoder: transformers' Seq2SeqTrainer, adapters by peft."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    EarlyStoppingCallback,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
)

from tutelage.answering.seq2seq import Codec, Form
from tutelage.embeddings.bases import find_base
from tutelage.embeddings.export import quiet
from tutelage.errors import StoreError, TrainingError
from tutelage.students.base import FitContext
from tutelage.students.finetune.convert import converted
from tutelage.students.finetune.loop import bf16_pays, reproducible
from tutelage.students.finetune.memory import Batching, Need, batching, free_memory, is_out_of_memory, smaller
from tutelage.students.seq2seq import Learnt, Lesson, Seq2SeqSettings, writing_plan
from tutelage.students.sizing import Plan

KINDS = ("t5", "mt5")
SPARE = "<extra_id_{}>"
STEPS = 500
"""Most steps between two looks at dev, with a checkpoint each: what a kill costs."""
LOOKS = 12
"""About as many looks at dev in a training, where its epochs are short."""
LOSS_WEIGHT = 1e-3
"""Of the dev loss beside the dev score, so that it decides between epochs that score alike."""


class Base(NamedTuple):
    """A pretrained encoder-decoder with its tokenizer, and the licence its card names."""

    model: Any
    wrapped: Any
    licence: str

    @property
    def tokenizer(self) -> Tokenizer:
        found: Tokenizer = self.wrapped.backend_tokenizer
        return found


class Coded(NamedTuple):
    """Examples as token ids, how they were coded, and facts for the card."""

    train: list[dict[str, list[int]]]
    dev: list[dict[str, list[int]]]
    codec: Codec
    form: Form
    facts: dict[str, Any]


def fit_seq2seq(lesson: Lesson, settings: Seq2SeqSettings, context: FitContext) -> Learnt:
    """Fine-tune, convert, and return facts for the card. Raises TrainingError in one line."""
    with reproducible(settings.seed, settings.threads), quiet():
        base = load(settings.base, context)
        coded = _coded(base, lesson, settings)
        parameters = base.model.num_parameters()
        plan = writing_plan(settings, len(lesson.train))
        model = _adapted(base.model, settings)
        fitting = _batching(model, coded, plan)
        trainer = _trainer(model, coded, lesson, plan, fitting, context)
        _train(trainer, fitting, settings)
        state, trained = trainer.state, _size(model)
        weights, merged = _saved(trainer.model, base, context.folder, settings)
        folder, precision = converted(merged, context.folder, coded.form, settings, lesson.served)
    looks = [entry for entry in state.log_history if "eval_score" in entry]
    best = next((n for n, entry in enumerate(looks, 1) if entry["step"] == state.best_global_step), len(looks))
    facts = coded.facts | {
        "base": {"name": settings.base, "licence": base.licence, "parameters": parameters},
        "trained_parameters": trained,
        "plan": asdict(plan) | fitting._asdict(),
        "dev_scores": [round(entry["eval_score"], 4) for entry in looks],
        "dev_losses": [round(entry["eval_loss"], 4) for entry in looks],
        "best_epoch": round(looks[best - 1]["epoch"], 2) if looks else None,
        "trained_in": "bf16" if trainer.args.bf16 else "fp32",
    }
    return Learnt(folder, weights, coded.form, facts | precision)


def load(base: str, context: FitContext) -> Base:
    """The encoder-decoder `base`. Raises TrainingError for what is none, or has no fast tokenizer."""
    source, licence = find_base(base, context.path)
    try:
        kind = AutoConfig.from_pretrained(source).model_type
        if kind not in KINDS:
            raise TrainingError(
                f"base = {base!r} is a {kind}; 'seq2seq' takes an encoder-decoder of kind {' or '.join(KINDS)}, "
                "e.g. google/flan-t5-small."
            )
        model = AutoModelForSeq2SeqLM.from_pretrained(source, dtype=torch.float32)
        wrapped = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise TrainingError(f"base = {base!r} cannot be loaded: {' '.join(str(error).split())[:300]}") from None
    if getattr(wrapped, "backend_tokenizer", None) is None:
        raise TrainingError(f"base = {base!r} has no tokenizer.json. Choose a base with a fast tokenizer.")
    wrapped.backend_tokenizer.no_truncation()
    wrapped.backend_tokenizer.no_padding()
    return Base(model, wrapped, licence)


def spare_tokens(tokenizer: Tokenizer, texts: Sequence[str], end: str) -> dict[str, str]:
    """Which spare token stands for each character of `texts` that the tokenizer cannot spell, the most frequent first."""
    plain = Codec(tokenizer, {}, end)
    counts = Counter(character for text in texts for character in text)
    wanted = [
        one for one, _ in counts.most_common() if one != " " and plain.decode(plain.encode(f"a{one}a")) != f"a{one}a"
    ]
    spares = [SPARE.format(at) for at in range(100) if tokenizer.token_to_id(SPARE.format(at)) is not None]
    return dict(zip(wanted, spares, strict=False))


def _coded(base: Base, lesson: Lesson, settings: Seq2SeqSettings) -> Coded:
    end = base.wrapped.eos_token
    targets = [target for _, target in lesson.train]
    codec = Codec(base.tokenizer, spare_tokens(base.tokenizer, targets, end), end)
    written = [codec.encode(target) for target in targets]
    kept = sum(codec.decode(ids) == target for ids, target in zip(written, targets, strict=True))
    if not kept:
        raise TrainingError(
            f"base = {settings.base!r} cannot write these answers: its tokenizer changes every one of the {len(targets)}, "
            f"e.g. {targets[0][:60]!r} to {codec.decode(written[0])[:60]!r}. Choose another base."
        )
    longest = max(map(len, written))
    form = Form(end, settings.max_length, longest + longest // 4 + 8, settings.prefix, settings.beams, codec.spare)
    whole = [len(codec.encode(source)) for source, _ in lesson.train]
    facts = {
        "inputs_cut": sum(length > settings.max_length for length in whole),
        "answers_changed_by_tokenizer": len(targets) - kept,
        "spare_tokens": codec.spare,
        "max_output": form.max_output,
    }
    train, dev = (
        [
            {"input_ids": codec.encode(source, form.max_input), "labels": codec.encode(target, form.max_output)}
            for source, target in pairs
        ]
        for pairs in (lesson.train, lesson.dev)
    )
    return Coded(train, dev, codec, form, facts)


def _adapted(model: Any, settings: Seq2SeqSettings) -> Any:
    """With adapters beside every linear layer but the last, or as it is."""
    if settings.method == "full":
        return model
    lora = LoraConfig(
        task_type=TaskType.SEQ_2_SEQ_LM,
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        lora_dropout=0.05,
        target_modules="all-linear",
    )
    return get_peft_model(model, lora)


def _size(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _batching(model: Any, coded: Coded, plan: Plan) -> Batching:
    config = model.config
    need = Need(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained=_size(model),
        layers=config.num_layers + config.num_decoder_layers,
        width=config.d_model,
        vocabulary=config.vocab_size,
        length=max(max(len(one["input_ids"]), len(one["labels"])) for one in coded.train),
        scored=max(len(one["labels"]) for one in coded.train),
        value_bytes=2.0 if bf16_pays(_device()) else 4.0,
    )
    # On a graphics card the weights are not there yet.
    found = batching(need, plan.batch_size, free_memory(_device()), loaded=_device().type == "cpu")
    if found.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return found


class Trainer(Seq2SeqTrainer):  # type: ignore[misc]
    """That judges dev in its own order, though it learns from train in groups of like length."""

    def _get_eval_sampler(self, eval_dataset: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(eval_dataset)


class Told(TrainerCallback):  # type: ignore[misc]
    """Passes on how far the training is, its loss, and its speed since it was begun or taken up again."""

    def __init__(self, context: FitContext) -> None:
        self.context, self._shown = context, dict[str, object]()
        self._begun: tuple[float, int] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._begun = time.perf_counter(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        names = {"loss": "loss", "eval_loss": "dev_loss", "eval_score": "dev"}
        self._shown |= {shown: round(logs[name], 4) for name, shown in names.items() if logs and name in logs}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self._begun is not None
        seconds, steps = time.perf_counter() - self._begun[0], state.global_step - self._begun[1]
        speed = steps / max(seconds, 1e-9)
        left = (state.max_steps - state.global_step) / speed
        shown = {
            "epoch": round(state.epoch or 0, 1),
            **self._shown,
            "steps_per_s": round(speed, 2),
            "left": _clock(left),
        }
        self.context.progress(min(1.0, state.global_step / state.max_steps), shown)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _trainer(
    model: Any, coded: Coded, lesson: Lesson, plan: Plan, fitting: Batching, context: FitContext
) -> Seq2SeqTrainer:
    a_epoch = math.ceil(len(coded.train) / (fitting.size * fitting.passes))
    every = min(STEPS, max(a_epoch, math.ceil(a_epoch * plan.epochs / LOOKS)))

    def judge(found: Any) -> dict[str, float]:
        score = lesson.score([coded.codec.decode([int(at) for at in row if at >= 0]) for row in found.predictions])
        return {"score": score, "choice": score - LOSS_WEIGHT * float(np.mean(found.losses))}

    patience = max(2, math.ceil(plan.patience * a_epoch / every))
    trainer = Trainer(
        model=model,
        args=_arguments(plan, fitting, every, coded.form.max_output, context),
        data_collator=partial(_collate, model.config.pad_token_id),
        train_dataset=coded.train,
        eval_dataset=coded.dev,
        compute_metrics=judge,
        callbacks=[EarlyStoppingCallback(patience), Told(context)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(
    plan: Plan, fitting: Batching, every: int, max_output: int, context: FitContext
) -> Seq2SeqTrainingArguments:
    on_cpu = _device().type == "cpu"
    return Seq2SeqTrainingArguments(
        output_dir=str(context.checkpoints or context.folder / "checkpoints"),
        num_train_epochs=plan.epochs,
        learning_rate=plan.learning_rate,
        warmup_steps=plan.warm_up,
        weight_decay=plan.weight_decay,
        per_device_train_batch_size=fitting.size,
        per_device_eval_batch_size=fitting.size,
        gradient_accumulation_steps=fitting.passes,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        bf16=bf16_pays(_device()),  # never fp16: T5's activations overflow it
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=1,
        logging_steps=max(1, min(20, every // 5)),
        load_best_model_at_end=True,
        metric_for_best_model="choice",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        include_for_metrics=["loss"],
        predict_with_generate=True,
        generation_max_length=max_output + 1,
        generation_num_beams=1,
        seed=plan.seed,
        data_seed=plan.seed,
        report_to="none",
        disable_tqdm=True,
    )


def _collate(pad: int, batch: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
    ids = [torch.tensor(one["input_ids"]) for one in batch]
    labels = [torch.tensor(one["labels"]) for one in batch]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(one) for one in ids])
    mask = (torch.arange(padded.shape[1])[None, :] < lengths[:, None]).long()
    wanted = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
    return {"input_ids": padded, "attention_mask": mask, "labels": wanted}


def _train(trainer: Seq2SeqTrainer, fitting: Batching, settings: Seq2SeqSettings) -> None:
    """Train, from the newest whole checkpoint where there is one; it is left with the best weights on dev."""
    folder = Path(trainer.args.output_dir)
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / "trainer_state.json").is_file():  # written last: this one was broken off
            shutil.rmtree(checkpoint)
    found = max(folder.glob("checkpoint-*"), key=lambda one: int(one.name.rpartition("-")[2]), default=None)
    try:
        trainer.train(resume_from_checkpoint=str(found) if found else None)
    except SafetensorError as error:
        raise StoreError(f"The checkpoint cannot be written to {folder}: {error}. Free space or permissions.") from None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"Out of memory while training {settings.base!r} with {fitting.size} examples a pass. "
            f"{smaller(fitting.size, settings.max_length)}"
        ) from None


def _saved(model: Any, base: Base, folder: Path, settings: Seq2SeqSettings) -> tuple[Path, Path]:
    """Folders of what was trained (the adapter, or all weights) and of all weights, the adapter merged into them."""
    weights = folder / "weights"
    model = model.float().cpu()
    if settings.method == "lora":
        model.peft_config["default"].base_model_name_or_path = settings.base
        model.save_pretrained(weights)
        (weights / "README.md").unlink(missing_ok=True)  # a form to fill in: the student has a card of its own
        merged = folder / "merged"
        model.merge_and_unload().save_pretrained(merged)
    else:
        merged = weights
        model.save_pretrained(merged)
    base.wrapped.save_pretrained(merged)
    _say_scaling(merged / "config.json")
    return weights, merged


def _say_scaling(file: Path) -> None:
    """In the words of all versions of transformers: before 5 `tie_word_embeddings` said whether outputs are scaled."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config["tie_word_embeddings"] = config.get("scale_decoder_outputs", False)
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
