"""Tokens are made to fit the text of the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionTokenLogprob

from tutelage.models.chat import Token
from tutelage.models.tokens import aligned


def listed(*pieces: bytes) -> list[ChatCompletionTokenLogprob]:
    return [
        ChatCompletionTokenLogprob(
            token=piece.decode("utf-8", "ignore"), bytes=list(piece), logprob=-float(at), top_logprobs=[]
        )
        for at, piece in enumerate(pieces)
    ]


def texts(pieces: list[bytes], text: str) -> list[str] | None:
    found = aligned(listed(*pieces), text)
    return None if found is None else [token.text for token in found]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.data())
def test_tokens_join_to_the_text_wherever_its_bytes_are_split(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole)))))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if a < b]
    found = aligned(listed(*pieces), text)
    assert found is not None and "".join(token.text for token in found) == text
    assert [token.logprob for token in found] == [-float(at) for at in range(len(pieces))]


@pytest.mark.parametrize(
    ("pieces", "text", "expected"),
    [
        ([b" ", b"{", b"}", b"\n"], "{}", ["{", "}"]),  # stripped white space
        ([b'{"answer": "', b"an", b's"}'], "ans", ["an", "s"]),  # JSON around a bare text that occurs in it twice
        ([b"think ans", b"\n", b"ans", b""], "ans", ["ans"]),  # reasoning before it, the end after it
        ([b"a ", b"b"], "a b st", ["a ", "b st"]),  # the last token was cut by a stop text
        ([b"a", b"b"], "xyz", None),
        ([b"a"], "", None),
        ([], "a", None),
    ],
)
def test_what_stands_around_the_text_is_left_out(pieces: list[bytes], text: str, expected: list[str] | None) -> None:
    assert texts(pieces, text) == expected


def test_tokens_without_bytes_are_taken_as_they_are() -> None:
    found = [ChatCompletionTokenLogprob(token="é", bytes=None, logprob=-1.0, top_logprobs=[])]
    assert aligned(found, "é") == (Token("é", -1.0, {}),)


def test_alternatives_come_without_the_token_itself_and_without_what_is_cut_off_before_it() -> None:
    listed = ChatCompletionTokenLogprob.model_validate(
        {
            "token": ' "happy',
            "logprob": -0.1,
            "bytes": list(b' "happy'),
            "top_logprobs": [
                {"token": ' "happy', "logprob": -0.1, "bytes": list(b' "happy')},
                {"token": ' "sad', "logprob": -2.5, "bytes": list(b' "sad')},
                {"token": "sad", "logprob": -4.0, "bytes": None},
                {"token": "\ufffd", "logprob": -5.0, "bytes": [0xC3]},
            ],
        }
    )
    assert aligned([listed], ' "happy') == (Token(' "happy', -0.1, {' "sad': -2.5, "sad": -4.0}),)
    assert aligned([listed], "happy") == (Token("happy", -0.1, {"sad": -2.5}),)
