"""Prompts from templates: what they may use, where shots stand, and what is wrong with them in one line."""

from __future__ import annotations

import pytest

from tutelage.errors import DataError, TaskFileError
from tutelage.models.chat import Message
from tutelage.prompting.form import Form
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.template import Template
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Labelled

TASK = LabelTask("tone", ("title", "body"), "Happy or sad?", labels=("happy", "sad"))
INPUT = {"title": "T", "body": "B"}
SHOTS = FixedShots(
    [
        Labelled(Example("1", {"title": "Sun", "body": "Shines"}, "train"), "happy", "import"),
        Labelled(Example("2", {"title": "Rain", "body": "Falls"}, "train"), "sad", "import"),
    ]
)


def prompt(
    system: str | None = None, user: str | None = None, shots: FixedShots | None = None
) -> list[tuple[str, str]]:
    template = Template(Form(TASK), shots or FixedShots(()), system, user)
    return [(message.role, message.content) for message in template.messages(INPUT)]


def test_without_templates_the_prompt_is_the_task_the_form_and_the_input() -> None:
    assert prompt() == [("system", f"Happy or sad?\n\n{Form(TASK).text}"), ("user", "title: T\n\nbody: B")]


def test_a_task_without_instructions_still_says_how_to_answer() -> None:
    task = LabelTask("tone", ("text",), "", labels=("a", "b"))
    system, _ = Template(Form(task), FixedShots(())).messages({"text": "x"})
    assert system.content.startswith("Answer only with JSON")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ title }}/{{ input.body }}", "T/B"),
        ("{title}/{body}", "T/B"),
        ('Like {"a": {title}}, {}, { body } or {"label": 1}', 'Like {"a": T}, {}, { body } or {"label": 1}'),
        ("{% if title %}{title}{% endif %}", "{title}"),
        ("{{ labels }} {labels}", "happy, sad {labels}"),
        ("{labels}", "happy, sad"),
        ("{% for label in labels %}[{{ label }}]{% endfor %}", "[happy][sad]"),
        ("{{ instructions }} {{ (schema | length) > 9 }}", "Happy or sad? True"),
        ("{answer_format}", Form(TASK).text),
        ("<b>{{ title }}</b> & {{ '<' }}", "<b>T</b> & <"),
    ],
)
def test_templates_are_jinja_or_plain_braces(template: str, text: str) -> None:
    assert prompt("", template) == [("user", text)]


def test_shots_are_earlier_turns_written_like_the_input() -> None:
    turns = prompt("S", "{title}: {body}", SHOTS)
    assert turns[1:] == [
        *[("user", "Sun: Shines"), ("assistant", '{"label": "happy"}')],
        *[("user", "Rain: Falls"), ("assistant", '{"label": "sad"}'), ("user", "T: B")],
    ]


@pytest.mark.parametrize("key", ["system", "user"])
def test_a_template_that_mentions_shots_has_them_and_no_earlier_turns(key: str) -> None:
    block = "{% for shot in shots %}{{ shot.title }} -> {{ shot.answer }}\n{% endfor %}"
    turns = prompt(shots=SHOTS, **{key: block})
    assert len(turns) == 2
    assert dict(turns)[key] == 'Sun -> {"label": "happy"}\nRain -> {"label": "sad"}\n'


def test_a_field_wins_over_a_variable_of_its_name() -> None:
    task = LabelTask("tone", ("labels",), "", labels=("a", "b"))
    template = Template(Form(task), FixedShots(()), "", "{labels}")
    assert template.messages({"labels": "mine"}) == [Message("user", "mine")]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ titel }}", "The template 'user' uses 'titel', which does not exist. Known: title, body, input,"),
        ("{titel}", "The template 'user' uses 'titel', which does not exist."),
        ("ok\n{{ title", "The template 'user', line 2: unexpected end of template"),
        ("{% for x in labels %}", "The template 'user', line 1: Unexpected end of template"),
        ("{% for s in shots %}{{ s.txt }}{% endfor %}", "cannot be rendered: 'dict object' has no attribute 'txt'."),
        ("{{ title.__class__.__mro__ }}", "cannot be rendered: access to attribute '__class__'"),
        ("{% include 'other' %}", "cannot be rendered: no loader"),
        ("{{ 1 / 0 }}", "cannot be rendered: division by zero"),
        ("{{ title | nofilter }}", "No filter named 'nofilter'"),
    ],
)
def test_what_is_wrong_with_a_template_is_one_line(template: str, problem: str) -> None:
    with pytest.raises(TaskFileError) as raised:
        prompt(None, template)
    assert problem in str(raised.value) and "\n" not in str(raised.value)


def test_an_input_that_a_template_cannot_take_is_an_error_of_that_input() -> None:
    template = Template(Form(TASK), FixedShots(()), None, "{{ 1 // (title | length) }}")
    with pytest.raises(DataError, match="cannot be rendered"):
        template.messages({"title": "", "body": ""})


def test_the_facts_follow_templates_and_shots() -> None:
    def facts(system: str | None = None, shots: FixedShots | None = None) -> str:
        return str(Template(Form(TASK), shots or FixedShots(()), system).facts())

    assert len({facts(), facts("{title}"), facts("{body}"), facts(shots=SHOTS)}) == 4
