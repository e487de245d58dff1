from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Encoding, Tokenizer, models, normalizers, pre_tokenizers, processors

from tutelage.answering import spans
from tutelage.answering.spans import Span
from tutelage.students.sizing import FineTuning, hold_out, plan
from tutelage.tasks.strings import StringsTask

TASK = StringsTask("names", ("text",), "", grounded=True)
TWO = StringsTask("names", ("title", "body"), "", grounded=True)
LETTERS = "abcdefghijklmnopqrstuvwxyz.'’-é"


def encode(text: str) -> Encoding:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "the", "owl"]
    tokenizer = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=None, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer.encode(text)


def cut_out(text: str, found: list[Span]) -> list[str]:
    return [text[span.start : span.end] for span in found]


def test_longest_string_first_every_occurrence_no_overlap() -> None:
    text = "Oliver the Owl met Oliver. Olivers sang, said Oliver the  Owl."
    spans_, missing = spans.project(text, [Span(0, len(text))], ["Oliver", "Oliver the Owl", "Zoe"])
    assert cut_out(text, spans_) == ["Oliver the Owl", "Oliver", "Oliver the  Owl"]
    assert missing == ["Zoe"]


def test_a_string_hidden_by_a_longer_one_is_not_missing() -> None:
    text = "Ann Lee left."
    assert spans.project(text, [Span(0, len(text))], ["Ann", "Ann Lee"]) == ([Span(0, 7)], [])


def test_strings_come_from_the_fields_only() -> None:
    input = {"title": "body of Body", "body": "A title: Ann"}
    text, fields = TWO.input_text(input), spans.field_spans(TWO, input)
    assert cut_out(text, fields) == ["body of Body", "A title: Ann"]
    assert cut_out(text, spans.project(text, fields, ["title", "Body"]).spans) == ["Body", "title"]
    assert spans.field_spans(TASK, {"text": "abc"}) == [Span(0, 3)]


def test_words_are_the_tokenizers_words() -> None:
    text = " Mrs. d'arcy-lee zzq"
    words = spans.words_of(encode(text), text)
    assert cut_out(text, words.spans) == ["Mrs", ".", "d", "'", "arcy", "-", "lee", "zzq"]
    assert words.first == [1, 4, 5, 6, 7, 11, 12, 15]


def test_tags_and_targets() -> None:
    text = "ann lee owl bo"
    encoding = encode(text)
    words = spans.words_of(encoding, text)
    tags = spans.tag_words(words, [Span(0, 3), Span(4, 11)])
    assert tags.tolist() == [spans.B, spans.B, spans.I, spans.O]
    targets = spans.piece_targets(encoding, words, tags)
    assert targets.tolist() == [-100, 1, -100, -100, 1, -100, -100, 2, 0, -100, -100]


def test_case_marks_say_how_each_word_is_written() -> None:
    text = "Ann lee OWL I d'Arcy"
    encoding = encode(text)
    marks = spans.case_marks(encoding, spans.words_of(encoding, text), text)
    written = {1: [1, 1, 1], 4: [0, 0, 0], 7: [2], 8: [1], 9: [0], 10: [0], 11: [1, 1, 1, 1]}
    assert marks == [0, *(mark for group in written.values() for mark in group), 0]
    assert spans.case_marks(encode(""), spans.words_of(encode(""), ""), "") == [0, 0]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([0, 0, 0, 0], []),
        ([1, 2, 0, 1], ["ann lee", "bo"]),
        ([2, 2, 0, 2], ["ann lee", "bo"]),
        ([1, 1, 2, 2], ["ann", "lee owl bo"]),
        ([0, 1, 0, 2], ["lee", "bo"]),
    ],
)
def test_decoding(tags: list[int], expected: list[str]) -> None:
    text = "ann lee owl bo"
    found = spans.decode(spans.words_of(encode(text), text), np.array(tags), [Span(0, len(text))])
    assert cut_out(text, found) == expected


def test_spans_end_at_a_fields_edge_and_stay_inside() -> None:
    input = {"title": "ann", "body": "lee"}
    text, fields = TWO.input_text(input), spans.field_spans(TWO, input)
    words = spans.words_of(encode(text), text)
    found = spans.decode(words, np.array([spans.B] + [spans.I] * (len(words.spans) - 1)), fields)
    assert cut_out(text, found) == ["ann", "lee"]


@given(st.lists(st.sampled_from(["Ann", "Bo Lee", "d'Arcy", "the", "owl", ".", "Mrs. Fox"]), max_size=12), st.data())
def test_tags_decode_to_the_projected_spans(parts: list[str], data: st.DataObject) -> None:
    text = " ".join(parts)
    names = data.draw(st.lists(st.sampled_from(["Ann", "Bo Lee", "Lee", "d'Arcy", "Mrs. Fox", "Fox"]), unique=True))
    fields = [Span(0, len(text))]
    expected = spans.project(text, fields, names).spans
    words = spans.words_of(encode(text), text)
    found = spans.decode(words, spans.tag_words(words, expected), fields)
    assert found == expected


def test_contained_strings_give_way_to_longer_ones() -> None:
    strings = ["patty", "Patty the Polite Parrot", "Polite Parrot", "Parrot Patty", "Pat", "Bo", "Bo"]
    assert spans.merge_contained(strings) == ["Patty the Polite Parrot", "Parrot Patty", "Pat", "Bo", "Bo"]
    assert spans.merge_contained([]) == []


def test_short_forms_are_runs_between_capitalised_words() -> None:
    assert spans.short_forms("Patty the Polite Parrot") == [
        *("Patty", "Patty the Polite", "Polite", "Polite Parrot", "Parrot"),
    ]
    assert spans.short_forms("Mr. Fox") == ["Fox"]
    assert spans.short_forms("Ann") == []


def test_short_forms_are_found_outside_the_strings_and_spelt_exactly() -> None:
    text = "Captain Rosa Vale sang. Rosa slept; rosa is a colour. The Captain Vale, Rosas."
    taken = [Span(0, 17)]
    found = spans.project_short(text, [Span(0, len(text))], ["Captain Rosa Vale"], taken)
    assert cut_out(text, found) == ["Rosa", "Captain", "Vale"]
    assert cut_out(text, spans.project_short(text, [Span(0, 30)], ["Captain Rosa Vale"], taken)) == ["Rosa"]


def test_lists_with_one_entry_for_each_bearer_are_recognised() -> None:
    assert spans.one_entry_each([2, 1], [["Ann Lee"], ["Bo Fox", "Zed"]])
    assert not spans.one_entry_each([1, 1], [["Ann Lee"], ["Bo Fox"]])
    assert not spans.one_entry_each([2, 1], [["Ann Lee", "Ann"], ["Bo Fox"]])
    assert not spans.one_entry_each([], [])


def test_dev_is_used_where_there_is_one() -> None:
    assert hold_out([1, 2], [3], 0, bool) == ([1, 2], [3], "dev")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 5))
def test_holding_out_never_takes_the_last_of_a_kind(train: list[int], seed: int) -> None:
    kept, held, origin = hold_out(train, [], seed, lambda one: one)
    assert set(kept) == set(train)
    if len(set(train)) < len(train):
        assert sorted([*kept, *held]) == sorted(train)
        assert origin == f"{len(held)} examples held out of train, since dev is empty"
    else:
        assert held == train
        assert "train itself" in origin


def test_the_plan_is_sized_from_the_data_unless_it_is_given() -> None:
    few, many = plan(FineTuning("b"), 20, 384), plan(FineTuning("b"), 20000, 384)
    assert few.epochs > many.epochs >= 2
    assert few.batch_size < many.batch_size
    assert plan(FineTuning("b"), 20, 768).learning_rate < few.learning_rate
    assert plan(FineTuning("b", effort="low"), 500, 384).epochs < plan(FineTuning("b"), 500, 384).epochs
    given_ = plan(FineTuning("b", epochs=3, learning_rate=1e-3, batch_size=5, seed=7), 100, 384)
    assert (given_.epochs, given_.learning_rate, given_.batch_size, given_.seed) == (3, 1e-3, 5, 7)
