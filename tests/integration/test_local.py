"""Local models by transformers: a tiny random Llama, which answers right only where it is bound to."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import re
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import TURNS, make_causal
from tutelage.errors import DataError, ModelError
from tutelage.models import ModelSettings, Reply
from tutelage.models.build import build_model
from tutelage.models.chat import ChatModel, Message, Params
from tutelage.models.weights import Weights, find
from tutelage.settings import weights_folder

ASKED = [Message("system", "Read."), Message("user", "In the end the wind fell. Naïve 🌧")]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "kinds": {"type": "array", "items": {"enum": ["rain", "snow"]}, "maxItems": 2},
        "warm": {"type": ["boolean", "null"]},
    },
    "required": ["name", "kinds", "warm"],
    "additionalProperties": False,
}
GGUF = weights_folder() / "smollm2-135m" / "smollm2-135m-instruct.q4_1.gguf"
FREE = Params(structured="none", temperature=1.0, max_tokens=24, seed=1, logprobs=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_causal(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="module")
def model(folder: Path) -> ChatModel:
    return build_model("transformers", ModelSettings(model=str(folder)))


def ask(model: ChatModel, params: Params, messages: Sequence[Message] = ASKED) -> Reply:
    return asyncio.run(model.complete(messages, params))


@pytest.mark.parametrize("structured", ["schema", "tool"])
@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_seed_an_answer_is_valid_by_its_schema(structured: Any, seed: int, model: ChatModel) -> None:
    params = Params(structured=structured, schema=SCHEMA, temperature=1.5, seed=seed, max_tokens=300, logprobs=True)
    reply = ask(model, params)
    jsonschema.validate(json.loads(reply.text), SCHEMA)
    assert reply.finish_reason == "stop"
    assert reply.tokens
    assert "".join(token.text for token in reply.tokens) == reply.text


def test_choices_and_patterns_bind(model: ChatModel) -> None:
    choices = ("very warm", 'cold "and" wet', "naïve")
    seen = {ask(model, Params(structured="choice", choices=choices, temperature=3.0, seed=n)).text for n in range(12)}
    assert len(seen) > 1
    assert seen <= set(choices)
    pattern = r"[A-Z]{2}-\d{3,5}(/[ab]+)?"
    for n in range(6):
        params = Params(structured="regex", pattern=pattern, temperature=1.0, seed=n, max_tokens=60)
        reply = ask(model, params)
        assert re.fullmatch(pattern, reply.text) or reply.finish_reason == "length"


def test_json_of_any_form_is_an_object_or_said_to_be_cut(model: ChatModel) -> None:
    reply = ask(model, Params(structured="json", schema=SCHEMA, temperature=1.0, seed=2, max_tokens=200))
    assert reply.finish_reason == "length" or isinstance(json.loads(reply.text), dict)


def test_log_probabilities_are_the_models_own(folder: Path, model: ChatModel) -> None:
    reply = ask(model, Params(structured="choice", choices=("abcde",), logprobs=True, temperature=0.5))
    tokenizer, reference = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    turns = [{"role": message.role, "content": message.content} for message in ASKED]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    answer = tokenizer("abcde", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logprobs = reference(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    expected = [float(logprobs[len(prompt) - 1 + at, token]) for at, token in enumerate(answer)]
    assert reply.tokens
    assert [token.text for token in reply.tokens] == list("abcde")
    assert [token.logprob for token in reply.tokens] == pytest.approx(expected, abs=1e-4)


def test_a_seed_decides_the_answer_and_nothing_else_does(model: ChatModel) -> None:
    first = ask(model, FREE)
    torch.rand(7)
    assert ask(model, FREE).text == first.text
    others = {ask(model, Params(structured="none", temperature=1.0, max_tokens=24, seed=n)).text for n in range(2, 6)}
    assert len(others) > 1
    greedy = Params(structured="none", max_tokens=24)
    assert ask(model, greedy).text == ask(model, greedy).text


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}])
def test_sampling_from_one_token_is_greedy(narrow: dict[str, Any], model: ChatModel) -> None:
    greedy = ask(model, Params(structured="none", max_tokens=16))
    assert ask(model, Params(structured="none", max_tokens=16, temperature=1.0, seed=9, **narrow)).text == greedy.text


def test_draws_follow_the_models_probabilities(model: ChatModel) -> None:
    choices, draws = ("a", "b"), 100
    params = Params(structured="choice", choices=choices, logprobs=True, temperature=1.0)
    drawn = [ask(model, Params(**{**vars(params), "seed": seed})) for seed in range(draws)]
    weight = {reply.text: math.exp(reply.tokens[0].logprob) for reply in drawn if reply.tokens}
    assert set(weight) == set(choices)
    expected = weight["a"] / sum(weight.values())
    spread = math.sqrt(expected * (1 - expected) / draws)
    assert abs(sum(reply.text == "a" for reply in drawn) / draws - expected) < 4 * spread


def test_a_stop_text_ends_the_answer_and_is_not_in_it(model: ChatModel) -> None:
    whole = ask(model, FREE)
    stop = whole.text[5]
    cut = ask(model, Params(**{**vars(FREE), "stop": (stop,)}))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert "".join(token.text for token in cut.tokens or ()) == cut.text


def test_what_prompts_share_is_computed_once_and_changes_nothing(folder: Path, model: ChatModel) -> None:
    first, second = [Message("user", "the same " * 20 + end) for end in ("one", "two")]
    fresh = build_model("transformers", ModelSettings(model=str(folder)))
    alone = ask(fresh, FREE, [second])
    assert alone.usage.cached_input_tokens == 0
    ask(model, FREE, [first])
    after = ask(model, FREE, [second])
    assert after.usage.cached_input_tokens > 150
    assert after.text == alone.text
    assert [t.logprob for t in after.tokens or ()] == pytest.approx([t.logprob for t in alone.tokens or ()], abs=1e-4)


def test_candidates_over_one_model_share_it_until_the_last_lets_go(folder: Path) -> None:
    place = find(str(folder), Path())
    first, second = Weights.shared(place, 1), Weights.shared(place, 1)
    assert first is second
    gone = weakref.ref(first)
    del first, second
    gc.collect()
    assert gone() is None


def test_tokens_are_counted_exactly(folder: Path, model: ChatModel) -> None:
    assert asyncio.run(model.count_tokens(ASKED)) == ask(model, FREE).usage.input_tokens


def test_a_prompt_longer_than_the_window_is_one_line(model: ChatModel) -> None:
    assert model.limits.context == 512
    with pytest.raises(ModelError, match=r"The prompt has 6\d\d tokens; the window of .* is 512. Shorten"):
        ask(model, FREE, [Message("user", "x" * 600)])


def test_a_template_without_system_messages_gets_one_user_message(tmp_path: Path) -> None:
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TURNS
    model = build_model("transformers", ModelSettings(model=str(make_causal(tmp_path, template=template))))
    assert ask(model, FREE).usage.input_tokens > 10


def test_a_base_model_without_a_template_reads_paragraphs(tmp_path: Path) -> None:
    model = build_model("transformers", ModelSettings(model=str(make_causal(tmp_path, template=None))))
    assert ask(model, Params(structured="choice", choices=("yes", "no"))).text in ("yes", "no")


def test_a_call_that_takes_too_long_is_one_line(folder: Path) -> None:
    hurried = build_model("transformers", ModelSettings(model=str(folder), timeout=0.05))
    with pytest.raises(ModelError, match=r"did not answer within 0.05 s"):
        ask(hurried, Params(structured="regex", pattern="a{400}", temperature=1.0, max_tokens=450))


@pytest.mark.parametrize("name", ["./nowhere", "model.gguf", "empty"])
def test_a_path_that_holds_no_model_is_said_before_anything_is_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"Check model = \.\.\."):
        build_model("transformers", ModelSettings(model=name, folder=tmp_path))


def test_weights_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    model = build_model("transformers", ModelSettings(model=str(tmp_path)))
    with pytest.raises(ModelError, match="cannot be loaded") as raised:
        ask(model, FREE)
    assert raised.value.fatal


@pytest.mark.weights
@pytest.mark.skipif(not GGUF.is_file(), reason=f"no weights at {GGUF}")
def test_a_gguf_file_is_unpacked_and_answers() -> None:
    model = build_model("transformers", ModelSettings(model=str(GGUF)))
    assert ask(model, Params(structured="choice", choices=("Paris", "Rome"), logprobs=True)).text in ("Paris", "Rome")
    reply = ask(model, Params(structured="none", max_tokens=8), [Message("user", "What is the capital of France?")])
    assert "Paris" in reply.text
