"""The tokens that say an answer's value are the ones that count."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.models.chat import Token
from tutelage.tasks import Task
from tutelage.tasks.confidence import confidence
from tutelage.tasks.label import LabelTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask

LABEL = LabelTask("tone", ("text",), "", labels=("happy", "sad", "42"))
STRINGS = StringsTask("characters", ("text",), "")
TEXT = TextTask("summary", ("text",), "")
RECORD = RecordTask(
    "invoice",
    ("text",),
    "",
    answer_schema={
        "properties": {
            "total": {"type": "number"},
            "seller": {"type": "string"},
            "paid": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
        }
    },
)


def read(task: Task, tokens: list[tuple[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Signals and parts, as logarithms rounded to 6 digits, of the answer that the tokens spell."""
    spelled = "".join(text for text, _ in tokens)
    found = confidence(
        task, task.parse(spelled), spelled, [Token(*token) for token in tokens], frozenset(task.schema()["properties"])
    )
    return tuple({name: round(math.log(p), 6) for name, p in one.items()} for one in found)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("task", "tokens", "mean", "least"),
    [
        (LABEL, [('{"', -9), ("label", -9), ('": "', -9), ("hap", -0.1), ("py", -0.3), ('"}', -9)], -0.2, -0.3),
        (LABEL, [('{"label":', -9), (' "hap', -0.1), ('py"}', -0.3)], -0.2, -0.3),
        (LABEL, [("```json\n", -9), ('{"label": "', -9), ("sad", -0.5), ('"}', -9), ("\n```", -9)], -0.5, -0.5),
        (LABEL, [('{"why": "', -9), ("because", -8), ('", "label": "', -9), ("sad", -0.5), ('"}', -9)], -0.5, -0.5),
        (LABEL, [("It is ", -9), ('{"label": "', -9), ("sad", -0.5), ('"}', -9)], -0.5, -0.5),
        (LABEL, [(" ", -9), ("hap", -0.1), ("py", -0.2), ("\n", -9)], -0.15, -0.2),
        (LABEL, [("42", -0.1)], -0.1, -0.1),
        (STRINGS, [('{"characters": ', -9), ("[]", -0.7), ("}", -9)], -0.7, -0.7),
        (STRINGS, [('["', -9), ("Bob", -0.2), ('", "', -9), ("Ann", -0.4), ('"]', -9)], -0.3, -0.4),
        (TEXT, [('{"summary": "', -9), ("All", -0.2), (" well.", -0.4), ('"}', -9)], -0.3, -0.4),
        (TEXT, [("See {", -0.2), ("x} and [1].", -0.4)], -0.3, -0.4),
    ],
)
def test_scaffolding_does_not_count(task: Task, tokens: list[tuple[str, float]], mean: float, least: float) -> None:
    signals, _ = read(task, tokens)
    assert signals == {"mean_probability": mean, "min_probability": least}


def test_each_field_of_a_record_has_its_own_confidence() -> None:
    tokens = [
        ('{"total": ', -9),
        ("12", -0.1),
        (".50", -0.3),
        (', "seller": "', -9),
        ("Finch", -0.4),
        ('", "paid"', -9),
    ]
    tokens += [(": null", -0.5), (', "tags": ["', -9), ("a", -0.6), ('", "', -9), ("b", -0.8), ('"]}', -9)]
    signals, parts = read(RECORD, tokens)
    assert parts == {"total": -0.2, "seller": -0.4, "paid": -0.5, "tags": -0.7}
    assert signals == {"mean_probability": -0.45, "min_probability": -0.8}


def test_each_string_has_its_own_confidence_under_the_spelling_that_was_kept() -> None:
    tokens = [('["', -9), ("Mrs.", -0.2), ("  Finch", -0.4), ('", "', -9), ("Bob", -0.5), ('"]', -9)]
    assert read(STRINGS, tokens)[1] == {"Mrs. Finch": -0.3, "Bob": -0.5}


@pytest.mark.parametrize("text", ['{"label": "sad"', "happy", '{"label": "sad"}}'])
def test_where_tokens_do_not_spell_the_text_all_of_them_count(text: str) -> None:
    tokens = (Token('{"label": "\ufffd', -1.0), Token('"}', -3.0))
    found = confidence(LABEL, "sad", text, tokens, {"label"})
    assert found.signals["mean_probability"] == pytest.approx(math.exp(-2))
    assert not found.parts


def test_without_tokens_there_is_no_confidence() -> None:
    assert confidence(LABEL, "sad", "sad", (), {"label"}) == ({}, {})


LOGPROBS = st.floats(-20, 0)


@given(
    strings=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=4),
    cuts=st.sets(st.integers(1, 200)),
    data=st.data(),
    ascii=st.booleans(),
)
def test_every_way_to_cut_an_answer_counts_the_tokens_that_touch_its_strings(
    strings: list[str], cuts: set[int], data: st.DataObject, ascii: bool
) -> None:
    said = [json.dumps(string, ensure_ascii=ascii) for string in strings]
    text = '{"characters": [' + ", ".join(said) + "]}"
    inside, at = set[int](), len('{"characters": [')
    for one in said:
        inside |= set(range(at + 1, at + len(one) - 1))
        at += len(one) + 2
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    spans = list(pairwise(places))
    logprobs = data.draw(st.lists(LOGPROBS, min_size=len(spans), max_size=len(spans)))
    tokens = tuple(Token(text[a:b], p) for (a, b), p in zip(spans, logprobs, strict=True))
    least = min(p for (a, b), p in zip(spans, logprobs, strict=True) if inside & set(range(a, b)))
    value = STRINGS.parse(text)
    found = confidence(STRINGS, value, text, tokens, {"characters"})
    assert found.signals["min_probability"] == pytest.approx(math.exp(least))
    assert set(found.parts) == set(value)
    assert all(0 <= p <= 1 for p in [*found.signals.values(), *found.parts.values()])
