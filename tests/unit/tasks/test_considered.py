"""The labels a model considered, by the alternatives to the tokens it wrote."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.models.chat import Token
from tutelage.tasks.confidence import confidence
from tutelage.tasks.label import LabelTask
from tutelage.tasks.text import TextTask

LABELS = ("card", "card_arrival", "card_linking", "top_up", 'say "no"')
TASK = LabelTask("intents", ("text",), "", labels=LABELS)


def token(text: str, p: float, **others: float) -> Token:
    return Token(text, math.log(p), {other: math.log(q) for other, q in others.items()})


def parts(*tokens: Token, task: LabelTask | TextTask = TASK) -> dict[str, float]:
    text = "".join(one.text for one in tokens)
    return {
        label: round(p, 4) for label, p in confidence(task, task.parse(text), text, tokens, {"label"}).parts.items()
    }


def test_each_label_is_as_probable_as_the_token_at_which_it_was_left() -> None:
    found = parts(
        token('{"label": "', 1.0), token("card", 0.8, top=0.2), token("_arr", 0.75, _link=0.25), token('ival"}', 1.0)
    )
    assert found == {"card_arrival": 0.6, "top_up": 0.2, "card_linking": 0.2}
    assert next(iter(found)) == "card_arrival"


def test_labels_that_go_on_alike_share_alike() -> None:
    assert parts(token("top_up", 0.4, card=0.6)) == {
        "top_up": 0.4,
        "card": 0.2,
        "card_arrival": 0.2,
        "card_linking": 0.2,
    }


def test_tokens_that_spell_no_label_do_not_count() -> None:
    assert parts(token("top_up", 0.3, nonsense=0.4, card_a=0.1)) == {"top_up": 0.75, "card_arrival": 0.25}


def test_the_closing_quote_tells_a_label_from_a_longer_one() -> None:
    quoted = [
        token('{"label": "', 1.0),
        token("card", 1.0, x=0.0001),
        Token('"}', math.log(0.9), {"_a": math.log(0.1)}),
    ]
    assert parts(*quoted) == {"card": 0.9, "card_arrival": 0.1}
    assert parts(token("card", 1.0, x=0.0001)) == {"card": 1.0}


def test_quotes_in_a_label_are_as_json_writes_them() -> None:
    written = [
        Token('{"label":', 0.0),
        Token(' "say', math.log(0.7), {' "top': math.log(0.3)}),
        Token(' \\"no\\""}', 0.0),
    ]
    assert parts(*written) == {'say "no"': 0.7, "top_up": 0.3}


@pytest.mark.parametrize("tokens", [[token("card", 0.9)], [token("CARD", 0.9, top=0.1)]])
def test_nothing_is_said_without_alternatives_or_of_other_spellings(tokens: list[Token]) -> None:
    assert parts(*tokens) == {}


def test_a_free_text_has_no_labels() -> None:
    assert parts(token("card", 0.9, top=0.1), task=TextTask("title", ("text",), "")) == {}


@given(st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4), st.sampled_from(LABELS[:4]))
def test_character_by_character_they_are_the_model_s_own(weights: list[float], chosen: str) -> None:
    labels = LABELS[:4]
    share = {label: weight / sum(weights) for label, weight in zip(labels, weights, strict=True)}
    tokens, left = [], dict(share)
    for at in range(len(chosen) + 1):
        mass: dict[str, float] = {}
        for label, p in left.items():
            mass[(label + '"')[at]] = mass.get((label + '"')[at], 0.0) + p / sum(left.values())
        own = (chosen + '"')[at]
        others = {text: math.log(p) for text, p in mass.items() if text != own}
        tokens.append(Token(own, math.log(mass[own]), others or {"~": -9.0}))
        left = {label: p for label, p in left.items() if (label + '"')[at] == own}
    text = '{"label": "' + chosen + '"}'
    given_ = [Token('{"label": "', 0.0), *tokens, Token("}", 0.0)]
    found = confidence(TASK, chosen, text, given_, {"label"}).parts
    # Labels behind another branch are told from one another by nothing that was written.
    assert math.isclose(sum(found.values()), 1.0, abs_tol=0.01)
    assert math.isclose(found.get(chosen, 0.0), share[chosen], abs_tol=0.002)
