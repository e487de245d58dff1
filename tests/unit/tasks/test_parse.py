"""Output kinds: schema, render, parse, canonical form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import AnswerError, TaskFileError, UnknownName
from tutelage.tasks import OUTPUTS
from tutelage.tasks.base import Settled, read_json
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask

NAMES = StringsTask("main-characters", ("text",), "List the names.")
LABELS = ("Billing", "delivery time", "other", "1", "null", "Été", '"quoted"', "[x]", "A", "a")
TOPIC = LabelTask("topic", ("text",), "Which topic?", labels=LABELS)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(texts, max_size=8))
def test_strings_survive_render_and_parse(strings: list[str]) -> None:
    value = NAMES.canonical(strings)
    assert NAMES.canonical(value) == value
    assert NAMES.parse(NAMES.render(value)) == value
    assert set(json.loads(NAMES.render(value))) == set(NAMES.schema()["required"]) == {"main_characters"}


@given(st.sampled_from(LABELS))
def test_labels_survive_render_and_parse(label: str) -> None:
    assert TOPIC.parse(TOPIC.render(label)) == TOPIC.canonical(label) == label
    assert TOPIC.parse(label) == label


@given(st.lists(texts.filter(lambda text: bool(text) and text == text.strip()), min_size=2, max_size=6, unique=True))
def test_any_label_set_survives_render_and_parse(labels: list[str]) -> None:
    task = LabelTask("t", ("text",), "", labels=tuple(labels))
    assert [task.parse(task.render(label)) for label in labels] == labels


@given(texts)
def test_parse_gives_a_canonical_value_or_says_why_not(text: str) -> None:
    for task in (NAMES, TOPIC):
        try:
            value = task.parse(text)
        except AnswerError as error:
            assert "\n" not in str(error).replace(text, "")
        else:
            assert task.canonical(value) == value


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"main_characters": ["Ann", "Bo"]}', ["Ann", "Bo"]),
        ('```json\n{"main_characters": ["Ann"]}\n```', ["Ann"]),
        ('```\n["Ann", "Bo"]\n```', ["Ann", "Bo"]),
        ('{"characters": ["Ann"], "note": "one"}', ["Ann"]),
        ('["Ann", " ann ", "ANN", "", "  ", "Ann  Lee"]', ["Ann", "Ann Lee"]),
        ('{"main_characters": []}', []),
        ('["e\\u0301lan"]', ["élan"]),
    ],
)
def test_strings_are_found_in_what_models_write(answer: str, value: list[str]) -> None:
    assert NAMES.parse(answer) == value


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Ann and Bo", "not a list of strings"),
        ('{"main_characters": ["Ann", "B', "cut off"),
        ('{"main_characters": "Ann"}', "not a list of strings"),
        ('{"main_characters": [1]}', "not a list of strings"),
        ('{"a": ["x"], "b": ["y"]}', "not a list of strings"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('["' + "x" * 200 + '", 1]', r"\.\.\. is not a list"),
    ],
)
def test_what_is_not_a_list_says_why(answer: str, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason) as caught:
        NAMES.parse(answer)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "answer",
    [
        '{"a": {"b": 1}',
        '{"a": "a brace }',
        '{"a": ["a bracket ]"',
        '{"a": tru',
        '{"a": 1.',
        '{"a":',
        "[1, 2",
        '```json\n{"a": 1',
        'Here it is:\n```json\n{"a": [1,',
    ],
)
def test_json_that_is_cut_off_is_told_from_json_that_is_wrong(answer: str) -> None:
    with pytest.raises(AnswerError, match=r"The answer is cut off: it ends with .* Allow more output tokens"):
        read_json(answer)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('Sure:\n```json\n{"a": 1}\n```\nDone.', {"a": 1}),
        ('Sure: {"a": {"b": "}"}} as asked.', {"a": {"b": "}"}}),
        ('{"a": 1} I am sure.', {"a": 1}),
        ("{'a': 1}", None),
        ("[1, 2}", None),
        ('{"a" 1}', None),
        ("a {b} c", None),
        ("plain", None),
        ("12", 12),
    ],
)
def test_json_is_found_in_what_models_write(answer: str, value: object) -> None:
    assert read_json(answer) == value


@pytest.mark.parametrize("answer", ['{"a": NaN}', "[Infinity]", 'So: {"a": -Infinity}'])
def test_numbers_that_json_has_not_are_refused(answer: str) -> None:
    with pytest.raises(
        AnswerError, match=r"^-?(NaN|Infinity) is not JSON. Write a number, or null where there is none.$"
    ):
        read_json(answer)


@given(
    st.recursive(st.none() | st.integers() | texts, lambda part: st.dictionaries(texts, part, min_size=1)), st.data()
)
def test_any_object_cut_anywhere_is_cut_off(value: object, data: st.DataObject) -> None:
    text = json.dumps({"a": value})
    assert read_json(text) == {"a": value}
    with pytest.raises(AnswerError, match="cut off"):
        read_json(text[: data.draw(st.integers(1, len(text) - 1))])


def test_grounded_strings_are_told_from_invented_ones() -> None:
    grounded = StringsTask("names", ("title", "text"), "", grounded=True)
    input = {"title": "The Owl", "text": "“Hoo,” said  Mrs. O’Hara to Al."}
    settled = grounded.settle(["mrs. o'hara", "Owl", "A", "Zed"], input)
    assert settled.value == ["mrs. o'hara", "Owl"]
    assert '["A", "Zed"]' in (settled.problem or "") and '["A", "Zed"]' in (settled.note or "")
    assert NAMES.settle(["Zed"], {"text": "x"}) == Settled(["Zed"])
    assert TOPIC.settle("other", {"text": "x"}) == Settled("other")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("billing", "Billing"),
        (" DELIVERY   TIME\n", "delivery time"),
        ('{"label": "other"}', "other"),
        ('{"label": "1"}', "1"),
        ('"Été"', "Été"),
        ("E\u0301te\u0301", "Été"),
        ("```\nother\n```", "other"),
        ("```\nno label\n```", None),
        ('```json\n{"label": "other"}\n```', "other"),
        ("a", "a"),
    ],
)
def test_labels_are_found_in_what_models_write(answer: str, label: str | None) -> None:
    if label is None:
        with pytest.raises(AnswerError, match="is not a label of task 'topic'"):
            TOPIC.parse(answer)
    else:
        assert TOPIC.parse(answer) == label


def test_an_unknown_label_names_the_known_ones() -> None:
    many = LabelTask("intent", ("text",), "", labels=tuple(f"intent {n}" for n in range(150)))
    with pytest.raises(AnswerError, match=r"Labels: intent 0, .*, intent 11, \.\.\. \(150 in all\)"):
        many.canonical("x" * 500)
    for value in (None, ["other"], 3, {"label": "other"}):
        with pytest.raises(AnswerError, match="Labels: Billing"):
            TOPIC.canonical(value)


@pytest.mark.parametrize(
    ("labels", "reason"), [(("a",), "at least two"), (("a", " b"), "spaces at an end"), (("a", "b", "a"), "twice: a")]
)
def test_label_sets_that_cannot_be(labels: tuple[str, ...], reason: str) -> None:
    with pytest.raises(TaskFileError, match=reason):
        LabelTask("t", ("text",), "", labels=labels)


def test_inputs_as_one_text() -> None:
    assert NAMES.input_text({"text": "Hello"}) == "Hello"
    two = StringsTask("t", ("title", "text"), "")
    assert two.input_text({"text": "Hello", "title": "Hi"}) == "title: Hi\n\ntext: Hello"


def test_output_kinds_are_a_table() -> None:
    assert OUTPUTS.load("strings") is StringsTask
    with pytest.raises(UnknownName, match=r"'lable' is not a known output kind. Did you mean 'label'\?"):
        OUTPUTS.load("lable")
