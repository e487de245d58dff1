"""From texts and answers to a fine-tuned decoder in a folder that `answering.causal` serves."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tutelage.answering.llama import GGUF, Llama, Prompt
from tutelage.embeddings.runtime import TOKENIZER, Array
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext
from tutelage.students.decoder import Lesson, Pair
from tutelage.students.finetune.adapting import changes, with_lora, with_tokens
from tutelage.students.finetune.decoders import Decoder, load_decoder
from tutelage.students.finetune.loop import bf16_pays, reproducible
from tutelage.students.finetune.memory import Batching, Need, batching, free_memory
from tutelage.students.finetune.teaching import One, Schedule, Taught, teach
from tutelage.students.sizing import PACE

ANSWER_SHARE = 2
"""An answer gets at most one part in this many of `max_length`."""
ANSWER, EXPLAIN = "answer: ", "explain: "
"""What stands before a text where a reasoning is learnt beside the answer."""
MIN_ROOM = 16
"""Tokens of a text."""
COMPARED = 4
DIFFERENCE = 0.15
"""Of a token's probability, between what was trained and what is served; q8_0 alone makes up to about 0.02."""


class Form(NamedTuple):
    """The prompt around a text for the answer, and for the reasoning where that is learnt too."""

    answer: tuple[list[int], list[int]]
    explain: tuple[list[int], list[int]] | None


def fit_decoder(lesson: Lesson, settings: Any, context: FitContext, folder: Path) -> tuple[dict[str, Any], Llama]:
    """Fine-tune, write the model to `folder`, and return facts for the card and the model as it is served."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with reproducible(settings.seed, settings.threads):
        decoder = load_decoder(settings.base, context.path, getattr(settings, "bits", 16), device)
        blueprint = decoder.blueprint()  # before anything is trained that could not be served
        entries, parameters = decoder.entries, _count(decoder.model, trained=False)
        virtual = list(range(entries, entries + lesson.virtual))
        form = _form(decoder, lesson, virtual)
        model = _adapted(decoder, lesson, settings)
        taught, room = _tokens(decoder, form, lesson, settings.max_length)
        chosen = _schedule(settings, decoder, taught, device, soft=bool(virtual))
        logging.getLogger(__name__).info("fine-tuning %s: %s", settings.base, chosen)
        history = teach(model, taught, chosen, context, entries)
        longest = max(len(one.answer) for one in taught.train if not one.explains)
        prompt = Prompt(*form.answer, room, most_tokens(longest), lesson.grammar, virtual)
        probes = _probes(model, taught)
        folder.mkdir(parents=True, exist_ok=True)
        if virtual:
            names = [f"<|prompt-{at}|>" for at in range(len(virtual))]
            blueprint = blueprint.with_tokens(names)
            decoder.name_tokens(entries, names)
        blueprint.write(folder / GGUF, changes(model, blueprint), settings.precision, all=decoder.file is None)
        decoder.tokenizer.save(str(folder / TOKENIZER))
    llama = Llama(folder, prompt, settings.threads)
    facts = {
        "base": {"name": settings.base, "licence": decoder.licence, "parameters": parameters},
        "trained_parameters": _count(model, trained=True),
        "plan": {**asdict(chosen), "device": str(device)},
        **history,
        "texts_cut": taught.cut,
        "prompt_tokens": len(prompt.before) + len(prompt.after),
        "served_in": settings.precision,
        "served_difference": _compared(llama, probes, settings.base),
    }
    return facts, llama


def most_tokens(longest: int) -> int:
    """How long an answer may become where the longest one learnt from has `longest` tokens."""
    return 2 * longest + 32


def _form(decoder: Decoder, lesson: Lesson, virtual: Sequence[int]) -> Form:
    """The prompts; learnt tokens stand before everything else."""
    explained = any(pair.explains for pair in lesson.train)
    before, after = decoder.around(lesson.system, ANSWER if explained else "")
    first, last = decoder.around(lesson.system, EXPLAIN)
    return Form(([*virtual, *before], after), ([*virtual, *first], last) if explained else None)


def _adapted(decoder: Decoder, lesson: Lesson, settings: Any) -> Any:
    """The model with the weights that are trained beside its own."""
    if lesson.virtual:
        return with_tokens(decoder, lesson.virtual, decoder.text(lesson.hint) or [decoder.end])
    return with_lora(decoder, settings.rank, settings.dropout)


def _tokens(decoder: Decoder, form: Form, lesson: Lesson, max_length: int) -> tuple[Taught, int]:
    """The pairs as tokens, and how many of a text's are read. Raises TrainingError for answers that are too long."""
    answers = {id(pair): [*decoder.text(pair.answer), decoder.end] for pair in (*lesson.train, *lesson.dev)}
    longest = max(map(len, answers.values()))
    most = most_tokens(max(len(answers[id(pair)]) for pair in lesson.train if not pair.explains))
    if longest > max_length // ANSWER_SHARE:
        raise TrainingError(
            f"The longest answer has {longest:,} tokens, more than half of max_length = {max_length}. "
            f"Set: max_length = {2 * longest}"
        )
    around = max(len(before) + len(after) for before, after in (form.answer, form.explain or form.answer))
    room, cut = min(max_length - longest, decoder.window - max(most, longest)) - around, 0
    if room < MIN_ROOM:
        raise TrainingError(
            f"max_length = {max_length} leaves {max(0, room)} tokens for a text beside the prompt's {around} and the answer's "
            f"{longest} (the base sees {decoder.window:,}). Raise max_length, or choose another base."
        )

    def encoded(pair: Pair) -> One:
        nonlocal cut
        before, after = form.explain if pair.explains and form.explain else form.answer
        text = decoder.text(pair.text)
        cut += len(text) > room
        return One([*before, *text[:room], *after], answers[id(pair)], pair.weight, pair.explains)

    train, dev = [encoded(pair) for pair in lesson.train], [encoded(pair) for pair in lesson.dev]
    return Taught(train, dev, decoder.end, cut), room


def _schedule(settings: Any, decoder: Decoder, taught: Taught, device: torch.device, *, soft: bool) -> Schedule:
    """How long and how fast: few texts take more epochs; new embeddings, which start far off, larger steps."""
    n, config = len(taught.train), decoder.model.config.get_text_config()
    epochs = settings.epochs or max(
        2, round(PACE[settings.effort] * min(12, 2 + math.ceil(400 / n)) * (2 if soft else 1))
    )
    rate = settings.learning_rate or (1e-2 if soft else 5e-4 if config.hidden_size < 1024 else 2e-4)
    half = bf16_pays(device)
    total = _count(decoder.model, trained=False)
    need = Need(
        total,
        _count(decoder.model, trained=True),
        config.num_hidden_layers,
        config.hidden_size,
        config.vocab_size,
        max(len(one.prompt) + len(one.answer) for one in (*taught.train, *taught.dev)),
        max(len(one.answer) for one in (*taught.train, *taught.dev)),
        {4: 0.55, 8: 1.0}.get(decoder.bits, 2.0 if half and device.type == "cuda" else 4.0),
        2.0 if half else 4.0,
    )
    size = settings.batch_size or (8 if n < 1000 else 16)
    fits: Batching = batching(need, size, free_memory(device))
    return Schedule(epochs, rate, *fits, half, patience=3, seed=settings.seed)


class Probe(NamedTuple):
    """A prompt with the beginning of its answer, and what the trained model makes of the next token."""

    prompt: list[int]
    probabilities: Array


def _probes(model: Any, taught: Taught) -> list[Probe]:
    model.eval()
    found = []
    for one in taught.dev[:COMPARED]:
        prompt = [*one.prompt, *one.answer[: len(one.answer) // 2]]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt], device=model.device), logits_to_keep=1).logits[0, -1]
        found.append(Probe(prompt, torch.softmax(logits.float(), -1).cpu().numpy()))
    return found


def _compared(llama: Llama, probes: Sequence[Probe], base: str) -> float:
    """The largest difference of a token's probability as trained and as served. Raises TrainingError where that is much:
    the file then does not say what was trained."""
    differences = []
    for probe in probes:
        written = llama.write(probe.prompt, most=1)
        if written.ids:
            trained = float(probe.probabilities[written.ids[0]])
            differences.append(abs(trained - math.exp(written.tokens[0].logprob)))
    largest = round(max(differences, default=0.0), 4)
    if largest > DIFFERENCE:
        raise TrainingError(
            f"The GGUF file of base {base!r} answers otherwise than what was trained: probabilities differ by "
            f"{largest}. Choose another base."
        )
    return largest


def _count(model: Any, *, trained: bool) -> int:
    return sum(one.numel() for one in model.parameters() if one.requires_grad or not trained)
