from __future__ import annotations

from tutelage.prompting.form import Form, answer_format
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.template import Template
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask


def test_the_format_of_labels_names_them() -> None:
    text = answer_format(LabelTask("tone", ("text",), "", labels=("happy", "very sad")))
    assert '{"label": "..."}' in text and '["happy", "very sad"]' in text


def test_the_format_of_strings_asks_for_copies_only_where_they_are_grounded() -> None:
    free = answer_format(StringsTask("characters", ("text",), ""))
    grounded = answer_format(StringsTask("characters", ("text",), "", grounded=True))
    assert '{"characters": ["..."]}' in free and "Copy every string" not in free
    assert grounded.startswith(free) and "Copy every string" in grounded


def test_a_task_without_instructions_still_says_how_to_answer() -> None:
    task = LabelTask("tone", ("title", "body"), "", labels=("a", "b"))
    system, user = Template(Form(task), FixedShots(())).messages({"title": "T", "body": "B"})
    assert system.content.startswith("Answer only with JSON")
    assert user.content == "title: T\n\nbody: B"
