"""Asking a judge: every judgement is stored as it arrives and never paid for twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tutelage.evaluation.asking import Progress, ask
from tutelage.evaluation.costs import Cost, cost_of
from tutelage.evaluation.judge.judges import Judge
from tutelage.project import Project
from tutelage.types import Example, Input, Prediction, digest

Tell = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Judgements:
    """What a judge said about each question; `asked` questions were new, the others were stored before."""

    found: Mapping[str, Prediction]
    asked: int
    cost: Cost

    def of(self, question: Input) -> str | None:
        """The verdict or mark; None where the judge failed."""
        value = self.found[digest(question)].value
        return None if value is None else str(value)

    def confidence(self, question: Input) -> float | None:
        return self.found[digest(question)].confidence

    @property
    def errors(self) -> tuple[tuple[str, int], ...]:
        """The most frequent failures, each with its count."""
        return tuple(
            Counter(one.error or "no answer" for one in self.found.values() if one.value is None).most_common(3)
        )

    @property
    def dollars(self) -> float | None:
        """What all these judgements cost, earlier runs included; None where no price is known."""
        each = self.cost.dollars_per_1000
        return each * len(self.found) / 1000 if each is not None else None if self.found else 0.0


async def judgements(project: Project, judge: Judge, questions: Iterable[Input], tell: Tell = silent) -> Judgements:
    """Ask the judge what it has not been asked yet; questions it failed on are asked again.

    A judgement's id is the hash of its question, so equal questions meet, whoever asks them. Raises ModelError when no
    call can succeed; what has arrived is kept.
    """
    key = judge.fingerprint(project)
    wanted = {digest(question): question for question in questions}
    stored = project.store.predictions.read(key, list(wanted))
    missing = [id for id in wanted if id not in stored or stored[id].error]
    if missing:
        predictor = judge.build(project)
        tell(Progress(0, len(missing), 0.0))
        try:
            await ask(project, predictor, key, [Example(id, wanted[id], "test") for id in missing], tell)
        finally:
            await predictor.close()
        stored = project.store.predictions.read(key, list(wanted))
    usages = [prediction.usage for prediction in stored.values()]
    seconds = sum(usage.seconds for usage in usages) / max(len(usages), 1)
    price = project.price(judge.settings.provider, judge.settings.base_url, judge.settings.model)
    cost = cost_of("llm", usages, seconds, project.file.hardware, hosted=judge.settings.hosted, price=price)
    return Judgements(stored, len(missing), cost)
