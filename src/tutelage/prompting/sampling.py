"""The families `self-consistency` and `best-of-n`: a prompted candidate asked several times, with one answer in the end.

[candidates.voted]
family = "self-consistency"
of = "llm"          # a candidate of family "prompted"
draws = 5
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import Field

from tutelage.errors import TaskFileError
from tutelage.models.prices import BYTES_PER_TOKEN
from tutelage.project import Project
from tutelage.prompting.family import nobody, ready, unasked
from tutelage.prompting.prompted import Estimate, Prompted
from tutelage.prompting.scorers import SCORERS, Scorer
from tutelage.prompting.settings import PromptedSettings
from tutelage.prompting.several import FREE, Several, added, fingerprint_of, settings_of
from tutelage.prompting.verifying import Verifier, build_verifier
from tutelage.prompting.versions import Version, register, version_of
from tutelage.prompting.voting import vote
from tutelage.registry import Family
from tutelage.tasks.file import Price
from tutelage.types import Input, Prediction, Usage, canonical_json

Asking: TypeAlias = Callable[[str, PromptedSettings, Project], Prompted]


@dataclass(frozen=True)
class SelfConsistencySettings:
    """`of` is the candidate that is asked, `draws` times at `temperature`, with the seeds `seed`, `seed` + 1, ..."""

    of: str
    draws: Annotated[int, Field(ge=1)] = 5
    temperature: Annotated[float, Field(gt=0)] = 0.7
    seed: int = 0


@dataclass(frozen=True)
class BestOfNSettings:
    """As `SelfConsistencySettings`; `by` says which draw is the best.

    "logprob": the one with the highest mean probability of its tokens; "scorer": the one that the function `scorer`
    likes best; "verifier": the one that `verifier`, a candidate of family `prompted`, most probably calls right.
    """

    of: str
    draws: Annotated[int, Field(ge=1)] = 5
    temperature: Annotated[float, Field(gt=0)] = 0.7
    seed: int = 0
    by: Literal["logprob", "scorer", "verifier"] = "logprob"
    scorer: str | None = None
    verifier: str | None = None


class SelfConsistency(Several):
    """The answer that the draws agree on (see `voting`), as sure as they agree."""

    def __init__(self, asked: Prompted, draws: int = 5, seed: int = 0, *, name: str) -> None:
        super().__init__(asked, draws, seed, name=name, facts="self-consistency")

    def at_most(self, concurrency: int) -> Self:
        return type(self)(self.asked.at_most(concurrency), self.draws, self.seed, name=self.name)

    async def settle(self, input: Input, drawn: Sequence[Prediction]) -> Prediction:
        voted = vote(self.asked.task, drawn)
        assert voted is not None  # not every draw failed
        signals = {"agreement": voted.agreement}
        if not isinstance(voted.value, str):
            signals["exact_agreement"] = voted.exact
        return Prediction(voted.value, voted.agreement, FREE, signals=signals, parts=voted.parts)


class BestOfN(Several):
    """The draw with the highest score, by the probability of its tokens unless a scorer or a verifier is given.

    Of draws with equal scores the first is taken. Confidence is the score, of a verifier its probability of "yes"; a draw
    that the verifier gave no verdict on comes after all others.
    """

    def __init__(
        self,
        asked: Prompted,
        draws: int = 5,
        seed: int = 0,
        *,
        name: str,
        scorer: str | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        facts = ["best-of-n", scorer, verifier and verifier.asked.source]
        super().__init__(asked, draws, seed, name=name, facts=facts)
        self.scorer, self.verifier = scorer, verifier
        self._score: Scorer | None = SCORERS.load(scorer) if scorer else None

    @property
    def content(self) -> dict[str, Any]:
        return super().content | ({"verifier": self.verifier.asked.content} if self.verifier else {})

    @property
    def price(self) -> Price | None:
        return None if self.verifier and self.verifier.asked.price is None else self.asked.price

    def at_most(self, concurrency: int) -> Self:
        verifier = self.verifier and Verifier(self.verifier.asked.at_most(concurrency), self.verifier.task)
        asked = self.asked.at_most(concurrency)
        return type(self)(asked, self.draws, self.seed, name=self.name, scorer=self.scorer, verifier=verifier)

    def estimate(self, input: Input) -> Estimate:
        drawn = super().estimate(input)
        if self.verifier is None or not drawn.input_tokens:
            return drawn
        once = self.verifier.asked.estimate(self._longest_question(self.verifier, input))
        return Estimate(
            drawn.input_tokens + self.draws * once.input_tokens, drawn.output_tokens + self.draws * once.output_tokens
        )

    def dollars(self, input: Input, *, repairs: bool = True) -> float | None:
        drawn = super().dollars(input, repairs=repairs)
        if self.verifier is None or drawn is None or self.unsendable(input):
            return drawn
        once = self.verifier.asked.dollars(self._longest_question(self.verifier, input), repairs=repairs)
        return None if once is None else drawn + self.draws * once

    async def close(self) -> None:
        await super().close()
        if self.verifier and self.verifier.asked.model is not self.asked.model:
            await self.verifier.asked.close()

    async def settle(self, input: Input, drawn: Sequence[Prediction]) -> Prediction:
        answered = [draw for draw in drawn if draw.value is not None]
        scores, usage, problem = await self._scores(input, answered)
        score, chosen = max(zip(scores, answered, strict=True), key=lambda pair: -1.0 if pair[0] is None else pair[0])
        form = canonical_json(chosen.value)
        signals = dict(chosen.signals)
        signals["agreement"] = sum(canonical_json(draw.value) == form for draw in answered) / len(drawn)
        if score is not None and self._by != "logprob":
            signals[self._by] = score
        note = "; ".join(part for part in (chosen.note, problem) if part) or None
        return Prediction(chosen.value, score, usage, note=note, signals=signals, parts=chosen.parts)

    @property
    def _by(self) -> str:
        return "verifier" if self.verifier else "scorer" if self.scorer else "logprob"

    async def _scores(self, input: Input, answered: Sequence[Prediction]) -> _Scores:
        if self.verifier:
            return await self._verified(self.verifier, input, answered)
        if self._score:
            score, task = self._score, self.asked.task
            return _Scores([score(task, input, draw.value) for draw in answered if draw.value is not None], FREE)
        scores = [draw.signals.get("mean_probability") for draw in answered]
        known = any(score is not None for score in scores)
        return _Scores(scores, FREE, None if known else "the model gave no probabilities, so the first draw was taken")

    async def _verified(self, verifier: Verifier, input: Input, answered: Sequence[Prediction]) -> _Scores:
        """The verdicts; draws that are the same answer are verified once."""
        forms = [canonical_json(draw.value) for draw in answered]
        distinct = {form: draw.value for form, draw in zip(forms, answered, strict=True) if draw.value is not None}
        found = await asyncio.gather(*(verifier.verify(input, value) for value in distinct.values()))
        verdicts = dict(zip(distinct, found, strict=True))
        failed = [verdict.error for verdict in found if verdict.probability is None]
        problem = f"{len(failed)} of {len(found)} verdicts failed: {failed[0]}" if failed else None
        return _Scores(
            [verdicts[form].probability for form in forms], added(verdict.usage for verdict in found), problem
        )

    def _longest_question(self, verifier: Verifier, input: Input) -> Input:
        """The question about an answer of as many tokens as are allowed."""
        return verifier.question(input, "x" * (BYTES_PER_TOKEN * self.asked.settings.max_tokens))


class _Scores(NamedTuple):
    """A score in [0, 1] for each draw (None: there is none), what scoring took, and what to tell the reader."""

    scores: Sequence[float | None]
    usage: Usage
    problem: str | None = None


def build_self_consistency(name: str, settings: SelfConsistencySettings, project: Project) -> SelfConsistency:
    """The candidate, ready to ask; its version is kept. Raises TaskFileError for an `of` that cannot be drawn from, and as
    `prompted`."""
    voted = _self_consistency(name, settings, project, ready)
    register(project, name, voted)
    return voted


def build_best_of_n(name: str, settings: BestOfNSettings, project: Project) -> BestOfN:
    """As `build_self_consistency`; raises TaskFileError where `by` lacks what it needs, UnknownName for a scorer."""
    best = _best_of_n(name, settings, project, ready)
    register(project, name, best)
    return best


def describe_self_consistency(name: str, settings: SelfConsistencySettings, project: Project) -> Version:
    return version_of(_self_consistency(name, settings, project, unasked))


def describe_best_of_n(name: str, settings: BestOfNSettings, project: Project) -> Version:
    return version_of(_best_of_n(name, settings, project, unasked))


def _self_consistency(name: str, settings: SelfConsistencySettings, project: Project, ask: Asking) -> SelfConsistency:
    asked = ask(name, _drawn(name, settings, project), project)
    return SelfConsistency(asked, settings.draws, settings.seed, name=name)


def _best_of_n(name: str, settings: BestOfNSettings, project: Project, ask: Asking) -> BestOfN:
    scorer, judge = _scorer(name, settings), _judge(name, settings, project)
    if settings.by == "logprob" and not settings_of(name, "of", settings.of, project).logprobs:
        raise TaskFileError(
            f'[candidates.{name}]: by = "logprob" needs probabilities, and {settings.of!r} has logprobs = false. '
            'Set logprobs = true there, or by = "scorer" or "verifier".'
        )
    asked, verifier = ask(name, _drawn(name, settings, project), project), None
    if judge is not None:
        shared = asked.model if settings.verifier == settings.of else None
        verifier = build_verifier(name, judge, project, nobody(judge) if ask is unasked else shared)
    return BestOfN(asked, settings.draws, settings.seed, name=name, scorer=scorer, verifier=verifier)


def _drawn(name: str, settings: SelfConsistencySettings | BestOfNSettings, project: Project) -> PromptedSettings:
    return replace(settings_of(name, "of", settings.of, project), temperature=settings.temperature)


def _scorer(name: str, settings: BestOfNSettings) -> str | None:
    if settings.by != "scorer":
        return None
    if settings.scorer is None:
        known = ", ".join(sorted(SCORERS.rows()))
        raise TaskFileError(f'[candidates.{name}]: by = "scorer" needs a scorer. Set: scorer = one of {known}.')
    return settings.scorer


def _judge(name: str, settings: BestOfNSettings, project: Project) -> PromptedSettings | None:
    if settings.by != "verifier":
        return None
    if settings.verifier is None:
        raise TaskFileError(
            f"[candidates.{name}]: by = \"verifier\" needs a verifier. Set: verifier = a candidate of family 'prompted'."
        )
    return settings_of(name, "verifier", settings.verifier, project)


def _fingerprint(name: str, settings: SelfConsistencySettings | BestOfNSettings, project: Project) -> object:
    facts = [fingerprint_of(settings.of, _drawn(name, settings, project), project)]
    if isinstance(settings, BestOfNSettings) and settings.verifier is not None:
        judge = settings_of(name, "verifier", settings.verifier, project)
        facts.append(fingerprint_of(settings.verifier, judge, project))
    return facts


def _hosted(name: str, settings: SelfConsistencySettings | BestOfNSettings, project: Project) -> bool:
    return settings_of(name, "of", settings.of, project).hosted


SELF_CONSISTENCY = Family(
    "llm",
    SelfConsistencySettings,
    build_self_consistency,
    _fingerprint,
    hosted=_hosted,
    version=describe_self_consistency,
)
BEST_OF_N = Family("llm", BestOfNSettings, build_best_of_n, _fingerprint, hosted=_hosted, version=describe_best_of_n)
