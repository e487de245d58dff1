"""The search itself: proposals first, then rounds of answers on dev, each stored as it arrives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from tutelage.errors import BudgetExceeded, TrainingError
from tutelage.evaluation.asking import ask
from tutelage.evaluation.metrics import METRICS, Metric
from tutelage.evaluation.search.found import Found, Measured, measured
from tutelage.evaluation.search.halving import plan
from tutelage.evaluation.search.variants import Shots, Variant, Written, grid
from tutelage.labels.splitting import example_id
from tutelage.models.chat import ChatModel
from tutelage.project import Project
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.prompting.family import file_size, selector, with_templates
from tutelage.prompting.form import form_of
from tutelage.prompting.proposing import questions
from tutelage.prompting.purse import Paying, Purse
from tutelage.prompting.versions import register
from tutelage.types import Labelled, Prediction, digest

T = TypeVar("T")


@dataclass(frozen=True)
class Bounds:
    """What a search may take: `calls` in all, proposals included, and dollars. `seed` decides which examples come first."""

    calls: int
    budget: float | None
    seed: int


class Prompt(NamedTuple):
    """A variant, ready to ask, and the key of its answers in the store."""

    variant: Variant
    asked: Prompted
    key: str


class Search:
    """One search for a better prompt of candidate `of`, whose model is `model`. Used in one event loop.

    Every answer is one call: one that does not fit the task is wrong and not asked for again. Stored answers count as
    calls too, so that a search that was broken off goes the same way again.
    """

    def __init__(
        self,
        project: Project,
        name: str,
        of: PromptedSettings,
        model: ChatModel,
        bounds: Bounds,
        choices: Sequence[Shots],
        progress: Callable[[float, Mapping[str, object]], None],
    ) -> None:
        self.project, self.name, self.model, self.bounds, self._progress = project, name, model, bounds, progress
        self.of = of = with_templates(of, project)
        # By the shots: prompts with the same ones share an index. Raises for selectors that cannot be used.
        self._selectors = {one: selector(one.settings(of), project) for one in choices}
        self._metric: Metric = METRICS.load(project.task.metric)
        self._purse = Purse(project.store, f"prompt-search:{name}", bounds.budget)
        self._proposed: list[Prediction] = []
        self._answers: dict[str, list[Prediction]] = {}
        self._calls = self._new = 0

    async def propose(self, proposer: Prompted, train: Sequence[Labelled], count: int) -> list[Written]:
        """The instructions that the proposer writes; answers that fail are fewer of them. Raises TrainingError when the
        budget does not allow to ask, ModelError when no call can succeed."""
        seed = self.bounds.seed
        register(self.project, self.name, proposer)
        inputs = questions(form_of(self.project.task, self.of), train, count, seed)
        key = digest(["proposals", proposer.source, seed])
        stored = self.project.store.predictions.read(key, [example_id(input) for input in inputs])
        slots = asyncio.Semaphore(proposer.concurrency)

        async def one(number: int) -> Prediction:
            input = inputs[number]
            known = stored.get(example_id(input))
            if known is None or not _answered(known):
                async with slots:
                    known = await self._purse.pay(proposer.dollars(input), lambda: proposer.draw(input, seed + number))
                self.project.store.predictions.add(key, [(example_id(input), known)])
                self._new += 1
            self._count(1)
            return known

        try:
            self._proposed = await _together([one(number) for number in range(len(inputs))])
        except BudgetExceeded as error:
            raise TrainingError(f"The budget does not pay for the proposals: {error}") from None
        texts = [str(found.value) for found in self._proposed if found.value is not None]
        return [Written(text, f"proposal {number}") for number, text in enumerate(texts, 1)]

    async def run(self, written: Sequence[Written], dev: Sequence[Labelled]) -> Found:
        """The best of `written`, with all choices of shots, beside the hand-written prompt.

        Raises TrainingError as `plan`, and where the first round cannot be paid or is all failures; ModelError when no
        call can succeed.
        """
        variants = grid(self.project.task, written, list(self._selectors))
        if len(variants) < 2:
            problem = next((str(answer.error) for answer in self._proposed if answer.error), "they say the same")
            raise TrainingError(f"There is nothing to compare: no proposal can be used ({problem}). Raise proposals.")
        examples = random.Random(self.bounds.seed).sample(list(dev), len(dev))
        rounds = plan(len(variants), len(examples), self.bounds.calls - self._calls)
        slots = asyncio.Semaphore(self.of.concurrency or self.model.limits.concurrency)
        contenders = self._prompts(variants)
        told: list[dict[str, Any]] = []
        scores: list[Measured] = []
        stopped: str | None = None
        for stage in rounds:
            contenders = contenders[: stage.prompts]
            try:
                scores = await self._round(contenders, examples[: stage.examples], slots)
            except BudgetExceeded as error:
                if not scores:
                    raise TrainingError(f"The budget does not pay for one round: {error}") from None
                stopped = str(error)
                break
            order = sorted(range(1, len(scores)), key=lambda at: (-scores[at].score, scores[at].input_tokens, at))
            contenders = [contenders[0], *(contenders[at] for at in order)]
            scores = [scores[0], *(scores[at] for at in order)]
            told.append({**stage._asdict(), "best": round(scores[1].score, 4)})
        return Found(self.project.task.metric, scores[0], scores[1], self._facts(len(variants), told, stopped))

    def _prompts(self, variants: Sequence[Variant]) -> list[Prompt]:
        of, project = self.of, self.project
        price, size = project.price(of.provider, of.base_url, of.model), file_size(of, project)
        found = []
        for one in variants:
            settings, task = one.shots.settings(of), one.task(project.task)
            shots = self._selectors[one.shots]
            asked = Prompted(self.model, task, settings, name=self.name, selector=shots, price=price)
            key = digest(["prompt-search", settings.facts(), asked.template.facts(), size, *task.reading()])
            register(project, self.name, asked)
            found.append(Prompt(one, asked, key))
        return found

    async def _round(
        self, contenders: Sequence[Prompt], examples: Sequence[Labelled], slots: asyncio.Semaphore
    ) -> list[Measured]:
        answers = await _together([self._answer(one, examples, slots) for one in contenders])
        failed = [answer.error for found in answers for answer in found if answer.value is None]
        if len(failed) == len(contenders) * len(examples):
            raise TrainingError(f"All {len(failed)} answers failed, the first one: {failed[0]}")
        task, metric = self.project.task, self._metric
        return [
            measured(task, metric, one.variant, examples, found) for one, found in zip(contenders, answers, strict=True)
        ]

    async def _answer(self, prompt: Prompt, examples: Sequence[Labelled], slots: asyncio.Semaphore) -> list[Prediction]:
        """The answers to `examples` in their order, which begin with those of the round before."""
        known = self._answers.get(prompt.key, [])
        new = [one.example for one in examples[len(known) :]]
        stored = self.project.store.predictions.read(prompt.key, [one.id for one in new])
        missing = [one for one in new if one.id not in stored or not _answered(stored[one.id])]
        self._count(len(new) - len(missing))

        def tell(_progress: object) -> None:
            self._new += 1
            self._count(1)

        await ask(self.project, Paying(prompt.asked, self._purse, slots), prompt.key, missing, tell)
        stored = self.project.store.predictions.read(prompt.key, [one.id for one in new])
        self._answers[prompt.key] = [*known, *(stored[one.id] for one in new)]
        return self._answers[prompt.key]

    def _count(self, calls: int) -> None:
        self._calls += calls
        shown = {"cost": f"${self._purse.spent:.4f}"} if self._purse.spent else {}
        self._progress(min(1.0, self._calls / self.bounds.calls), {"calls": self._calls, **shown})

    def _facts(self, prompts: int, rounds: Sequence[Mapping[str, Any]], stopped: str | None) -> dict[str, Any]:
        paid = [*self._proposed, *(answer for found in self._answers.values() for answer in found)]
        dollars = [answer.usage.dollars for answer in paid]
        failed = [answer.error for answer in self._proposed if answer.value is None]
        return {
            "prompts": prompts,
            "rounds": list(rounds),
            "calls": self._calls,
            "asked_now": self._new,
            "dollars": None if None in dollars else round(sum(one or 0.0 for one in dollars), 6),
            "proposals": {
                "asked": len(self._proposed),
                "failed": len(failed),
                "problem": failed[0] if failed else None,
            },
            "stopped": stopped,
        }


def _answered(known: Prediction) -> bool:
    """Whether the model answered, be it wrongly; a call that was lost on the way is made again."""
    return known.value is not None or known.usage.input_tokens > 0


async def _together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results. Raises the first error as it is, after the rest was cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
