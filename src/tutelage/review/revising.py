"""Better instructions from what people found wrong: a model is shown the instructions, its mistakes on train and their tags."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.errors import DataError, ModelError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.versions import version_now
from tutelage.project import Project
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.prompting.family import model_of, with_templates
from tutelage.prompting.form import Form, form_of
from tutelage.prompting.proposing import LONGEST_SHOWN, MAX_CHARACTERS, build_proposer
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.template import Template
from tutelage.review.tags import Mistake, counts, mistakes
from tutelage.tasks.text import TextTask
from tutelage.types import Input, Usage, Value

SHOWN = 12
"""Mistakes in the question."""

TASK = TextTask(
    "instructions",
    ("instructions_now", "answer_format", "mistakes", "frequent"),
    "You improve the instructions of an assistant that does one narrow task over and over. You are shown the instructions it "
    "has now, the form of its answers, answers that people corrected, and which kinds of mistake were frequent. Write the "
    "whole instructions anew, so that such mistakes are not made again and what is right stays right. Say rules, not cases: do "
    "not quote the texts, do not repeat the form of the answer. Change no more than the mistakes call for.",
    "rougeL",
    max_characters=MAX_CHARACTERS,
)


@dataclass(frozen=True)
class Revision:
    """New instructions for a candidate, written by `by`, which was shown `shown` of `found` mistakes of `source`."""

    candidate: str
    source: str
    by: str
    found: int
    shown: tuple[str, ...]
    before: str
    after: str
    usage: Usage

    @property
    def diff(self) -> list[str]:
        old, new = self.before.splitlines(), self.after.splitlines()
        return list(difflib.unified_diff(old, new, "instructions now", "instructions revised", lineterm=""))


def found_mistakes(project: Project, name: str) -> tuple[str, list[Mistake]]:
    """The candidate's present prompt version, and its mistakes on train. Raises UsageError for a candidate whose prompt does not
    hold the instructions, DataError where nobody has found a mistake."""
    settings = _settings(project, name)
    given = with_templates(settings, project)
    template = Template(form_of(project.task, given), FixedShots(()), given.system, given.user)
    if not template.instructed:
        raise UsageError(
            f"The template of {name!r} does not say {{{{ instructions }}}}, so other instructions change nothing. Put it in, or "
            "change the template by hand."
        )
    version = version_now(project, candidate(project, name))
    assert version is not None  # the family has prompts
    found = mistakes(project, "train", version.source)
    if not found:
        others = sorted({one.source for one in mistakes(project, "train")})
        known = f" Mistakes are known of {', '.join(others)}." if others else ""
        raise DataError(
            f"Nobody has found a mistake of {version.source} on train.{known} Review some of its labels: tutelage review"
        )
    return version.source, found


async def revise(project: Project, name: str, by: str | None, found: tuple[str, list[Mistake]]) -> Revision:
    """Ask for new instructions, once. Raises ModelError where none came."""
    source, wrong = found
    form = form_of(project.task, _settings(project, name))
    shown = chosen(wrong)
    asking = _settings(project, by or name)
    writer = _writer(asking, project, by or name)
    try:
        answer = (await writer.predict([question(form, shown, wrong)]))[0]
    finally:
        await writer.close()
    if not isinstance(answer.value, str):
        raise ModelError(f"{by or name!r} wrote no instructions: {answer.error}. Try --by with another candidate.")
    ids = tuple(one.example.id for one in shown)
    before = project.task.instructions
    return Revision(name, source, by or name, len(wrong), ids, before, answer.value.strip(), answer.usage)


def _writer(settings: PromptedSettings, project: Project, name: str) -> Prompted:
    return build_proposer(settings, project, model_of(settings, project), name, TASK)


def _settings(project: Project, name: str) -> PromptedSettings:
    settings = candidate(project, name).settings
    if not isinstance(settings, PromptedSettings):
        asked = [one for one, given in project.file.candidates.items() if given.get("family") == "prompted"]
        raise UsageError(
            f"{name!r} is of no family with instructions. Candidates that are: {', '.join(asked) or '(none)'}."
        )
    return settings


def chosen(wrong: Sequence[Mistake]) -> list[Mistake]:
    """At most SHOWN, of every tag in turn, those with a correction first; the newest first, each example once."""
    ranked = sorted(reversed(wrong), key=lambda one: (one.correction is None, not one.tags))
    by_tag: dict[str, list[Mistake]] = {}
    for one in {one.example.id: one for one in reversed(ranked)}.values():
        by_tag.setdefault(one.tags[0] if one.tags else "", []).append(one)
    found: list[Mistake] = []
    while len(found) < SHOWN and any(by_tag.values()):
        for left in by_tag.values():
            if left and len(found) < SHOWN:
                found.append(left.pop())
    return found


def question(form: Form, shown: Sequence[Mistake], wrong: Sequence[Mistake]) -> Input:
    """What the writer is asked."""
    total = next(iter(counts(wrong).values()))
    return {
        "instructions_now": form.task.instructions or "(none)",
        "answer_format": form.text,
        "mistakes": "\n\n".join(_told(form, one) for one in shown),
        "frequent": ", ".join(f"{tag}: {count}" for tag, count in total.items()),
    }


def _told(form: Form, one: Mistake) -> str:
    text = one.text if len(one.text) <= LONGEST_SHOWN else one.text[:LONGEST_SHOWN] + " ..."
    lines = [f"Text: {text}", f"Answer: {_answer(form, one.suggestion)}"]
    lines.append("Wrong" if one.correction is None else f"Right answer: {_answer(form, one.correction)}")
    if one.tags:
        lines.append(f"Kind of mistake: {', '.join(one.tags)}")
    if one.note:
        lines.append(f"Remark: {one.note}")
    return "\n".join(lines)


def _answer(form: Form, value: Value | None) -> str:
    return "(none)" if value is None else form.render(value)
