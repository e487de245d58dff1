"""Family `prompt-search`: another candidate's prompt, improved on dev by a search of bounded cost; nothing is trained.

[candidates.searched]
family = "prompt-search"
of = "llm"          # a candidate of family "prompted": its prompt is the hand-written one, its model answers
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from tutelage.errors import TaskFileError, TrainingError, UsageError
from tutelage.evaluation.search.found import Found, read_prompt
from tutelage.evaluation.search.halving import plan
from tutelage.evaluation.search.searching import Bounds, Search
from tutelage.evaluation.search.variants import Variant, Written, grid, shot_choices
from tutelage.models.chat import ChatModel
from tutelage.project import Project, newest_artefact
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.prompting.family import model_of, nobody, prompt_facts, prompted_for, selector, with_templates
from tutelage.prompting.form import form_of
from tutelage.prompting.proposing import build_proposer
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.several import fingerprint_of, settings_of
from tutelage.prompting.template import Template
from tutelage.prompting.versions import Version, register, version_of
from tutelage.registry import Family
from tutelage.store import Origin
from tutelage.students.base import FitContext, Trainable
from tutelage.tasks import OUTPUTS
from tutelage.types import Labelled


@dataclass(frozen=True)
class PromptSearchSettings:
    """`of` is the candidate whose prompt is improved. Tried are its own instructions, `instructions`, and as many as
    `proposals` written by `proposer` (another prompted candidate; None: `of` itself), each with its own shots and with
    every number of `shots` chosen by every one of `selectors` (none given: its own and "bm25").

    `calls` is the most calls of the search in all, `budget` the most dollars of all searches of this candidate; `labels`
    says whose labels of dev are right.
    """

    of: str
    instructions: tuple[str, ...] = ()
    proposals: Annotated[int, Field(ge=0, le=100)] = 4
    proposer: str | None = None
    shots: tuple[Annotated[int, Field(ge=0)], ...] = (0, 4, 8)
    selectors: tuple[str, ...] = ()
    calls: Annotated[int, Field(ge=1)] = 400
    budget: Annotated[float | None, Field(ge=0)] = None
    labels: Origin = "any"
    seed: int = 0

    def facts(self) -> dict[str, Any]:
        """For fingerprints: once a prompt is found, how it was searched for does not decide the answers."""
        return {"of": self.of}


class PromptSearch(Trainable):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = tuple(OUTPUTS.rows())

    found: Found | None = None

    @classmethod
    def depends(cls, name: str, settings: PromptSearchSettings, project: Project) -> object:
        """The candidates that are asked, and the metric. Raises TaskFileError for those that cannot be."""
        asked = {"of": settings.of} | ({"proposer": settings.proposer} if settings.proposer else {})
        found = [fingerprint_of(of, settings_of(name, key, of, project), project) for key, of in asked.items()]
        return [project.task.metric, project.task.instructions, *project.task.reading(), *found]

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Search on `dev`; `train` is what the proposer is shown and shots are chosen from."""
        assert context.project is not None, "training knows its project"
        if not dev:
            raise TrainingError(
                f"{context.candidate!r}: no example in dev has a label of the wanted origin; prompts are compared on dev. "
                "Label some: tutelage add FILE --split dev --label COLUMN"
            )
        self.found = asyncio.run(_search(context.project, self.settings, (train, dev), context))
        context.progress(1.0, {})
        return self.found.facts()

    def save(self, folder: Path) -> None:
        assert self.found is not None, "fit comes first"
        self.found.save(folder)


async def _search(
    project: Project,
    settings: PromptSearchSettings,
    data: tuple[Sequence[Labelled], Sequence[Labelled]],
    context: FitContext,
) -> Found:
    name, (train, dev) = context.candidate, data
    # One call an answer: what does not fit is wrong, here as for a prompt that needs no second try.
    of = replace(settings_of(name, "of", settings.of, project), repairs=0, tries=1)
    choices = shot_choices(of, settings.shots, settings.selectors)
    own = [Written(text, f"own {number}") for number, text in enumerate(settings.instructions, 1)]
    _check(name, settings, project, of)
    most = len(grid(project.task, own, choices)) + settings.proposals * len(choices)
    if most < 2:
        raise TaskFileError(f"[candidates.{name}]: there is nothing to compare. Set instructions, proposals or shots.")
    plan(most, len(dev), settings.calls - settings.proposals)  # raises before anything is paid
    model = model_of(of, project)
    proposer = None
    try:
        bounds = Bounds(settings.calls, settings.budget, settings.seed)
        search = Search(project, name, of, model, bounds, choices, context.progress)
        if settings.proposals:
            proposer = _proposer(name, settings, project, model)
            own += await search.propose(proposer, train, settings.proposals)
        return await search.run(own, dev)
    finally:
        await model.close()
        if proposer and proposer.model is not model:
            await proposer.close()


def _proposer(name: str, settings: PromptSearchSettings, project: Project, model: ChatModel) -> Prompted:
    given = settings_of(name, "proposer", settings.proposer or settings.of, project)
    same = settings.proposer in (None, settings.of)
    return build_proposer(given, project, model if same else model_of(given, project), name)


def _check(name: str, settings: PromptSearchSettings, project: Project, of: PromptedSettings) -> None:
    """Raises TaskFileError or UsageError for what cannot be searched, before anything is asked."""
    given = with_templates(of, project)
    template = Template(form_of(project.task, given), FixedShots(()), given.system, given.user)
    if not template.instructed and (settings.instructions or settings.proposals):
        raise TaskFileError(
            f"[candidates.{name}]: the template of {settings.of!r} does not say {{{{ instructions }}}}, so other "
            "instructions change nothing. Put it in, or set proposals = 0 and no instructions."
        )
    asked = [of]
    if settings.proposals and settings.proposer:
        asked.append(settings_of(name, "proposer", settings.proposer, project))
    for model in sorted({one.model for one in asked if project.price(one.provider, one.base_url, one.model) is None}):
        if settings.budget is not None:
            raise UsageError(
                f"[candidates.{name}]: the price of {model!r} is not known, so a budget cannot be kept. "
                f"Set [prices.{model!r}] in task.toml, or bound the search by calls alone."
            )


def build_prompt_search(name: str, settings: PromptSearchSettings, project: Project) -> Prompted:
    """The candidate `of` with the prompt of the newest artefact. Raises TrainingError where there is none."""
    found = _built(name, settings, project, None)
    if found is None:
        raise TrainingError(f"{name!r} has not been searched for yet. Run: tutelage train {name}")
    register(project, name, found)
    return found


def _describe(name: str, settings: PromptSearchSettings, project: Project) -> Version | None:
    """The prompt that was found, None where none was yet."""
    found = _built(name, settings, project, nobody(settings_of(name, "of", settings.of, project)))
    return None if found is None else version_of(found)


def _built(name: str, settings: PromptSearchSettings, project: Project, model: ChatModel | None) -> Prompted | None:
    prompt, of = _chosen(name, project), settings_of(name, "of", settings.of, project)
    if prompt is None:
        return None
    given = prompt.shots.settings(of)
    return prompted_for(prompt.task(project.task), name, given, project, selector(given, project), model)


def _chosen(name: str, project: Project) -> Variant | None:
    folder = newest_artefact(project, name)
    return None if folder is None else read_prompt(folder)


def _fingerprint(name: str, settings: PromptSearchSettings, project: Project) -> object:
    prompt, of = _chosen(name, project), settings_of(name, "of", settings.of, project)
    if prompt is None:
        return None
    given = prompt.shots.settings(of)
    return [given.facts(), prompt_facts(prompt.task(project.task), given, project)]


def _hosted(name: str, settings: PromptSearchSettings, project: Project) -> bool:
    return settings_of(name, "of", settings.of, project).hosted


FAMILY = Family("llm", PromptSearchSettings, build_prompt_search, _fingerprint, PromptSearch, _hosted, _describe)
