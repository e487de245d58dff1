"""A decoder taught by transformers' Trainer: the answers' tokens alone have a loss, the best state on dev is kept.

Checkpoints are the Trainer's own, in a folder that outlives a killed training; a whole one is gone on from, to the same
weights. On several GPUs the Trainer spreads each pass over them.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft.utils import SAFETENSORS_WEIGHTS_NAME, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from tutelage.embeddings.export import quiet
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext
from tutelage.students.finetune.memory import is_out_of_memory, smaller

NO_LOSS = -100
STATE = "trainer_state.json"
DEV_MOST = 400
"""Examples of dev whose loss is taken: more do not change which state is best."""
LOOKS = 10
"""How often in a training the loss on dev is taken and its state written down."""


class One(NamedTuple):
    """An example as tokens: its prompt and the answer, with the token that ends it."""

    prompt: list[int]
    answer: list[int]
    weight: float = 1.0
    explains: bool = False

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class Taught:
    """What is learnt and what is chosen on; `padding` is a token, `cut` the number of texts that were cut."""

    train: Sequence[One]
    dev: Sequence[One]
    padding: int
    cut: int = 0


@dataclass(frozen=True)
class Schedule:
    """One training: `size` examples a pass, `passes` a step; see `memory.Batching`. It ends after `patience` looks at dev
    without a smaller loss."""

    epochs: int
    learning_rate: float
    size: int
    passes: int
    checkpointing: bool
    half: bool
    patience: int = 3
    warm_up: float = 0.1
    seed: int = 0

    def steps(self, n: int) -> int:
        """Steps of an epoch over `n` examples."""
        return max(1, math.ceil(math.ceil(n / self.size) / self.passes))


def teach(model: Any, taught: Taught, schedule: Schedule, context: FitContext, entries: int) -> dict[str, Any]:
    """Train what of `model` is trainable, leave the state with the smallest loss on dev, and return facts for the card.

    Only the first `entries` of the vocabulary can be written. Raises TrainingError when memory runs out.
    """
    folder = context.checkpoints or context.folder / "checkpoints"
    told = _Told(context)
    if schedule.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    with quiet():
        trainer = _Answers(
            model=model,
            args=_arguments(folder, schedule, len(taught.train)),
            train_dataset=list(taught.train),
            eval_dataset=list(taught.dev[:DEV_MOST]),
            data_collator=lambda some: _stacked(some, taught.padding),
            callbacks=[told, EarlyStoppingCallback(schedule.patience)],
        )
        trainer.entries = entries
        trainer.model_accepts_loss_kwargs = False  # the loss is a mean of examples: Trainer divides it by the passes
        trainer.remove_callback(PrinterCallback)
        last = last_checkpoint(folder)
        if last:
            logging.getLogger(__name__).info("goes on from %s", last)
        try:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            longest = max(one.length for one in taught.train)
            raise TrainingError(
                f"Out of memory with {schedule.size} examples of up to {longest} tokens a pass. "
                f"{smaller(schedule.size, longest)}"
            ) from None
    state = trainer.state
    context.progress(1.0, told.shown)
    losses = [round(entry["eval_loss"], 4) for entry in state.log_history if "eval_loss" in entry]
    return {
        "dev_losses": losses,
        "looks_every": trainer.args.eval_steps,
        "best_step": state.best_global_step,
        "steps": state.global_step,
        "train_losses": [round(entry["loss"], 4) for entry in state.log_history if "loss" in entry][-1:],
        "resumed_at": int(last.name.rpartition("-")[2]) if last else None,
    }


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in `folder` that was written to its end."""
    found = sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda one: -int(one.name.rpartition("-")[2]))
    return next((one for one in found if _whole(one)), None)


def _whole(checkpoint: Path) -> bool:
    """The Trainer writes its own state last."""
    try:
        return bool(json.loads((checkpoint / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


class _Answers(Trainer):  # type: ignore[misc]
    """The mean over a pass's examples of the mean loss of each one's answer."""

    entries: int

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels, weights = inputs["labels"], inputs["weights"]
        kept = labels.shape[1]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            position_ids=(inputs["attention_mask"].cumsum(1) - 1).clamp(min=0),
            logits_to_keep=kept + 1,
        )
        logits = outputs.logits[:, :-1, : self.entries].float()
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=NO_LOSS, reduction="none")
        means = each.sum(1) / (labels != NO_LOSS).sum(1)
        loss = (means * weights).sum() / len(weights)
        return (loss, {"loss": loss}) if return_outputs else loss

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """The trained weights alone: peft would add a card, and the whole vocabulary where tokens are new."""
        model, folder = self.accelerator.unwrap_model(self.model), Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        weights = get_peft_model_state_dict(model, save_embedding_layers=False)
        # Tied weights share memory, which safetensors refuses.
        copies = {name: one.detach().clone().contiguous() for name, one in weights.items()}
        save_file(copies, folder / SAFETENSORS_WEIGHTS_NAME)
        model.peft_config[model.active_adapter].save_pretrained(folder)

    def prediction_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs)
        return loss.detach().mean(), None, None


@dataclass
class _Told(TrainerCallback):  # type: ignore[misc]
    """Tells how far the training is, with the losses, the steps a second and the seconds left."""

    context: FitContext
    started: tuple[float, int] = (0.0, 0)
    shown: dict[str, object] = field(default_factory=dict)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.started = time.perf_counter(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        for key, name in (("loss", "loss"), ("eval_loss", "dev_loss")):
            if key in (logs or {}):
                self.shown[name] = round(float(logs[key]), 4)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        begun, first = self.started
        done, seconds = state.global_step - first, time.perf_counter() - begun
        left = (state.max_steps - state.global_step) * seconds / max(1, done)
        speed = {"step": state.global_step, "steps_per_s": round(done / max(seconds, 1e-9), 3), "s_left": round(left)}
        self.context.progress(state.global_step / max(1, state.max_steps), self.shown | speed)


def _arguments(folder: Path, schedule: Schedule, n: int) -> Any:
    steps = schedule.steps(n)
    every = max(1, steps * schedule.epochs // LOOKS)
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=schedule.size,
        per_device_eval_batch_size=schedule.size,
        gradient_accumulation_steps=schedule.passes,
        num_train_epochs=schedule.epochs,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=max(1, round(schedule.warm_up * steps * schedule.epochs)),
        weight_decay=0.0,
        bf16=schedule.half,
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
        seed=schedule.seed,
        data_seed=schedule.seed,
    )


def _stacked(some: Sequence[One], padding: int) -> dict[str, torch.Tensor]:
    """Examples of one pass, ending together: prompts start where they may, the tokens with a loss are the last columns."""
    longest, kept = max(one.length for one in some), max(len(one.answer) for one in some)
    ids = torch.full((len(some), longest), padding)
    mask, labels = torch.zeros_like(ids), torch.full((len(some), kept), NO_LOSS)
    for row, one in enumerate(some):
        ids[row, longest - one.length :] = torch.tensor([*one.prompt, *one.answer])
        mask[row, longest - one.length :] = 1
        labels[row, kept - len(one.answer) :] = torch.tensor(one.answer)
    weights = torch.tensor([one.weight for one in some])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "weights": weights}
