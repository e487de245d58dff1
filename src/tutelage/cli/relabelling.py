"""tutelage label --stale: what an earlier prompt version labelled, asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from tutelage.cli.options import emit
from tutelage.cli.progress import telling
from tutelage.evaluation.candidates import Candidate, close
from tutelage.labels.teach import TeachEstimate, TeachOptions
from tutelage.project import Project
from tutelage.review.relabel import Compared, Relabelled, Stale, estimate_relabel, relabel, stale_of
from tutelage.types import Example


def again(
    project: Project,
    chosen: Candidate,
    examples: Sequence[Example],
    options: TeachOptions,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Do it, or with `dry_run` say what it would take. Raises what ended it early."""
    fingerprint = chosen.fingerprint(project)
    if dry_run:
        predictor = chosen.build(replace(project, dry=True))
        try:
            stale, estimate = estimate_relabel(project, predictor, fingerprint, examples, options)
        finally:
            asyncio.run(close(predictor))
        facts = {"source": stale.source, "stale": len(stale.unseen), "reviewed": len(stale.reviewed)}
        emit(facts | estimate._asdict(), as_json, _would(stale, estimate))
        return
    found = _relabel(project, chosen, fingerprint, examples, options)
    told = asdict(replace(found, problem=None, labels=replace(found.labels, problem=None)))
    emit(told | {"problem": found.problem and str(found.problem)}, as_json, "\n".join(_lines(found)))
    if found.problem:
        raise found.problem


def _relabel(
    project: Project, chosen: Candidate, fingerprint: str, examples: Sequence[Example], options: TeachOptions
) -> Relabelled:
    predictor = chosen.build(project)

    async def work() -> Relabelled:
        try:
            stale = stale_of(project, predictor, examples)
            with telling() as tell:
                return await relabel(
                    project, predictor, fingerprint, stale, options, tell=lambda at: tell("Asking about reviewed", at)
                )
        finally:
            await close(predictor)

    return asyncio.run(work())


def _would(stale: Stale, estimate: TeachEstimate) -> str:
    cost = "price unknown" if estimate.dollars is None else f"about ${estimate.dollars:.4f}"
    if estimate.most_dollars is not None:
        cost += f", with all repairs at most ${estimate.most_dollars:.4f}"
    return (
        f"{len(stale.unseen)} labels are of an earlier version than {stale.source.removeprefix('teacher:')} and not reviewed, "
        f"{len(stale.reviewed)} are reviewed. Would ask {estimate.calls} questions; {cost}"
    )


def _lines(found: Relabelled) -> Iterator[str]:
    report = found.labels
    cost = "price unknown" if report.dollars is None else f"${report.dollars:.4f}"
    yield (
        f"{report.source.removeprefix('teacher:')}: {report.answered + report.reused} of {found.stale} stale labels replaced, "
        f"{report.failed} failed, {cost}; {found.asked} of {found.reviewed} reviewed examples asked about"
    )
    if found.all is None:
        yield "No reviewed example tells whether the new version is better. Review some first: tutelage review --order audit"
        return
    yield from _compared("all reviewed", found.all)
    if found.audited is None:
        yield "None of them was drawn at random: where people looked for errors, any other version looks better than it is."
    elif found.audited.n < found.all.n:
        yield from _compared("drawn at random", found.audited)
        yield "Go by those drawn at random: where people looked for errors, any other version looks better than it is."


def _compared(name: str, one: Compared) -> Iterator[str]:
    shown = [f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for e in (one.before, one.after)]
    change = f"{one.difference.value:+.3f} ({one.difference.low:+.3f} to {one.difference.high:+.3f})"
    yield f"  {name}, n {one.n}: right before {shown[0]}, after {shown[1]}"
    yield f"    difference {change}; {one.improved} improved, {one.worsened} worsened"
