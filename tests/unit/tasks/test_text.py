"""Texts: read from JSON or bare, kept when they break a limit, and the model is told which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import AnswerError, MissingPackage, TaskFileError
from tutelage.tasks.file import TaskFile, read_task_file, validated
from tutelage.tasks.text import EMPTY, TextTask

TASK = TextTask("title", ("text",), "")
FOX = "The Fox and the Grapes"


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_a_canonical_text_comes_back_from_its_rendering(text: str) -> None:
    try:
        value = TASK.canonical(text)
    except AnswerError as error:  # nothing but control characters
        assert str(error) == EMPTY
        return
    assert TASK.parse(TASK.render(value)) == value
    assert TASK.canonical(value) == value


@pytest.mark.parametrize(
    "answer",
    [
        FOX,
        f" {FOX}\n",
        f'"{FOX}"',
        f"“{FOX}”",
        f"**{FOX}**",
        f"```\n{FOX}\n```",
        f"```text\n“{FOX}”\n```",
        json.dumps({"title": FOX}),
        json.dumps({"headline": FOX}),
        json.dumps({"title": FOX, "why": "It names both."}),
        f'```json\n{{"title": "{FOX}"}}\n```',
        f'Here is a title:\n```json\n{{"title": "{FOX}"}}\n```\nIt names both.',
        f'Sure! {{"title": "{FOX}"}}',
    ],
)
def test_a_text_is_read_from_json_or_bare(answer: str) -> None:
    assert TASK.parse(answer) == FOX


@pytest.mark.parametrize(
    "bare",
    [
        '"Fox" and "Grapes"',
        "'Tis the Fox's",
        "[Update] The Fox",
        "{x} is a set",
        "2024",
        "No: never",
        "A {brace} inside",
        "First line\nsecond line",
        'Say "hello"',
    ],
)
def test_what_only_looks_like_quotes_or_json_is_left_alone(bare: str) -> None:
    assert TASK.parse(bare) == bare


def test_quotes_in_json_belong_to_the_text() -> None:
    assert TASK.parse('{"title": "\\"Fox\\""}') == '"Fox"'


@pytest.mark.parametrize(
    "answer", ["", " \n", '{"title": ""}', '{"title": " "}', '{"title": null}', "null", "```\n\n```"]
)
def test_an_empty_answer_is_no_answer(answer: str) -> None:
    with pytest.raises(AnswerError) as raised:
        TASK.parse(answer)
    assert str(raised.value) == EMPTY


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"title": 3}', "is not a text. Expected:"),
        ('{"a": "x", "b": "y"}', "is not a text. Expected:"),
        ('["a title"]', "is not a text. Expected:"),
        ('{"title": "The F', "cut off"),
        ("{'title': 'The Fox'}", "is not valid JSON. Expected:"),
    ],
)
def test_an_answer_that_is_no_text_is_refused(answer: str, words: str) -> None:
    with pytest.raises(AnswerError, match=words):
        TASK.parse(answer)


def test_what_databases_cannot_hold_is_left_out() -> None:
    assert TASK.parse('{"title": "a\\u0000b\\ud800\\r\\nc\\td"}') == "ab\nc\td"


def test_the_schema_bounds_the_length_and_says_the_limits() -> None:
    task = TextTask("short-title", ("text",), "", max_characters=30, language="de", forbidden_openings=("Titel",))
    text = task.schema()["properties"]["short_title"]
    assert text["maxLength"] == 30
    assert text["description"] == 'At most 30 characters. In German (de). Does not start with "Titel".'
    assert TASK.schema()["properties"]["title"] == {"type": "string", "minLength": 1}


def test_a_broken_limit_is_told_to_the_model_and_noted_and_the_answer_is_kept() -> None:
    task = TextTask("title", ("text",), "", max_characters=20, forbidden_openings=("Here is",))
    settled = task.settle("Here is: a fox who wanted grapes", {"text": ""})
    assert settled.value == "Here is: a fox who wanted grapes"
    assert settled.note == 'has 32 characters of at most 20; starts with "Here is"'
    assert settled.problem == (
        'The answer has 32 characters of at most 20 and starts with "Here is". '
        'At most 20 characters. Does not start with "Here is".'
    )
    assert task.settle("A fox", {"text": ""}) == ("A fox", None, None)


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("Here is the fox", True),
        ("HERE  IS: the fox", True),
        ("Here Islands rise", False),
        ("Well, here is", False),
        ("«Here is» it", False),
    ],
)
def test_openings_are_compared_as_whole_words_in_normal_form(text: str, starts: bool) -> None:
    task = TextTask("title", ("text",), "", forbidden_openings=("Here is", "Hier:"))
    assert ("forbidden_openings" in task.violations(text)) is starts


@pytest.mark.parametrize(
    ("text", "wanted", "found"),
    [
        ("Der Fuchs und die Trauben im Garten", "en", "German (de)"),
        ("The Fox and the Grapes in the Garden", "de", "English (en)"),
        ("Le renard et les raisins du jardin", "en", "French (fr)"),
        ("狐狸和葡萄的故事", "en", "Chinese (zh)"),
        ("The Fox and the Grapes", "en", None),
        ("Der Fuchs und die Trauben", "de", None),
        ("BERT", "de", None),
        ("2024", "fr", None),
        ("!!!", "fr", None),
    ],
)
def test_a_text_is_foreign_only_when_that_is_sure(text: str, wanted: str, found: str | None) -> None:
    broken = TextTask("title", ("text",), "", language=wanted).violations(text)
    assert broken.get("language", "").partition(", not")[0] == (f"is in {found}" if found else "")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"max_characters": 0}, "max_characters = 0 leaves room for no answer"),
        ({"language": "english"}, "language = 'english' is not a language"),
        ({"language": "xx"}, "Use a two-letter code, one of: af, am"),
        ({"forbidden_openings": [" "]}, "forbidden_openings has an empty text"),
        ({"encoder_layers": 6}, "encoder_layers goes with encoder"),
        ({"metric": "bertscore_f1"}, "does not go with output = 'text'"),
        ({"grounded": True}, "'grounded' does not go with output = 'text'"),
    ],
)
def test_keys_that_cannot_be_are_one_line(keys: dict[str, object], words: str) -> None:
    with pytest.raises(TaskFileError, match=words):
        validated(TaskFile, {"name": "title", "output": "text"} | keys, "task.toml").task()


def test_keys_of_texts_go_with_texts_only() -> None:
    file = {"name": "t", "output": "label", "labels": ["a", "b"], "max_characters": 5}
    with pytest.raises(TaskFileError, match="'max_characters' does not go with output = 'label'"):
        validated(TaskFile, file, "task.toml").task()


def test_the_encoder_is_a_folder_of_the_project_or_a_name(tmp_path: Path) -> None:
    (tmp_path / "models" / "small").mkdir(parents=True)
    lines = 'name = "title"\noutput = "text"\nencoder = "models/small"\nencoder_layers = 2\n'
    (tmp_path / "task.toml").write_text(lines, encoding="utf-8")
    task = read_task_file(tmp_path / "task.toml").task()
    assert isinstance(task, TextTask)
    assert task.at(tmp_path).encoder == str((tmp_path / "models" / "small").resolve())
    assert task.at(tmp_path / "models").encoder == "models/small"
    assert task.metrics[-3:] == ("bertscore_f1", "bertscore_precision", "bertscore_recall")
    assert not any(name.startswith("bert") for name in TASK.metrics)


def test_a_language_without_its_package_is_said_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"'language' needs .* pip install 'tutelage\[text\]'"):
        TextTask("title", ("text",), "", language="en")
