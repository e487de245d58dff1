"""tutelage quality: what is known of the labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import sharing
from tutelage.errors import DataError
from tutelage.evaluation.estimates import Estimate
from tutelage.project import Project
from tutelage.review.claims import shown
from tutelage.review.duplicates import NEAR, Twins
from tutelage.review.folds import FOLDS
from tutelage.review.orders import label_next
from tutelage.review.quality import Looked, Quality, facts, quality, write_quality
from tutelage.review.weights import WeighReport
from tutelage.review.weights import weigh as weigh_labels
from tutelage.store import Queued
from tutelage.types import SPLITS, Split

WIDEST = 160
"""Characters of an input on a line."""


@click.command("quality")
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True, help="Look for errors here.")
@click.option("--by", metavar="NAME", help="Ask this student (default: the first that learns the task, else built-in).")
@click.option(
    "--folds", type=click.IntRange(min=2), default=FOLDS, show_default=True, help="Parts that train is cut into."
)
@click.option(
    "--near",
    type=click.FloatRange(min=0.5, max=1),
    default=NEAR,
    show_default=True,
    help="Share of common runs of four characters from which two inputs are near-duplicates.",
)
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Show so many of each kind.")
@click.option("--errors/--no-errors", default=True, show_default=True, help="Look for probable label errors.")
@click.option("--duplicates/--no-duplicates", default=True, show_default=True, help="Compare inputs with each other.")
@click.option(
    "--weigh", is_flag=True, help="Learn from reviewed labels how probably each of the others is right; no more."
)
@click.option(
    "--next",
    "count",
    type=click.IntRange(min=1),
    metavar="K",
    help="Name the K examples to label next: for gain, on calibration for a certificate; no more.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write everything as JSON and CSV here.")
@json_option
@project_options
def command(
    project: Project,
    split: Split,
    by: str | None,
    folds: int,
    near: float,
    top: int,
    errors: bool,
    duplicates: bool,
    weigh: bool,
    count: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say what is known of the labels: who gave them, which are probably wrong, which contradict, what leaks.

    A label is probably wrong where a student that never saw it says otherwise: train is cut into parts, and each is answered by
    a student of the others. That order is what `tutelage review --order errors` shows. Near-duplicates with other labels are
    named, and near-duplicates of train and dev in another split: with these the exit code is 1, since what is measured there is
    too good. Students are not trained again until labels change.

    With --weigh a classifier learns from the labels that people reviewed what right and wrong ones are like, and how probably
    each of the others is right is stored: students can weigh or drop labels by it (quality in task.toml).

    \b
    Examples:
      tutelage quality
      tutelage quality --by minilm --top 50 --out reports/quality
      tutelage quality --no-errors --near 0.9 --json
      tutelage quality --weigh
      tutelage quality --next 50
    """
    if count is not None:
        name, queue = label_next(project, split, count)
        emit({"order": name, "split": split, "next": queue}, as_json, "\n".join(_queue(project, name, split, queue)))
        return
    if weigh:
        with sharing(f"Answering {split} unseen") as tell:
            report = weigh_labels(project, split, by, progress=tell)
        emit(report, as_json, describe_weights(report))
        return
    looked = Looked(by, folds, near, errors, duplicates)
    with sharing(f"Answering {split} unseen") as tell:
        found = quality(project, split, looked, tell)
    lines = list(describe(project, found, top))
    if out is not None:
        lines += [f"wrote {path}" for path in write_quality(project, found, out).values()]
    emit(facts(project, found, top), as_json, "\n".join(lines))
    if found.leakage is not None and found.leakage.pairs:
        spoilt = ", ".join(f"{one.leaked} of {one.n} {one.split}" for one in found.leakage.splits if one.leaked)
        raise DataError(
            f"Near-duplicates of what is learned from or chosen on: {spoilt} examples, whose scores are too good. Add the data "
            f"anew without them or with alike inputs in one --group, or say that they are not alike by --near (now {near:g})."
        )


def _queue(project: Project, name: str, split: Split, queue: Sequence[Queued]) -> Iterator[str]:
    examples = project.store.examples.pick([one.example_id for one in queue])
    for one in queue:
        yield f"{one.example_id}  {_line(project.task.input_text(examples[one.example_id].input))}"
        yield f"    {one.reason}"
    yield f"Label them with: tutelage review --order {name} --split {split}"


def describe(project: Project, found: Quality, top: int) -> Iterator[str]:
    """The facts as lines for people."""
    yield f"{project.task.name}: labels"
    for split, n in found.examples.items():
        by = [f"{count} by {source}" for source, of, count in found.counts if of == split]
        if n:
            yield f"  {split}: {n} examples; {', '.join(by) or 'no labels'}"
    yield from _reviewed(found)
    yield ""
    yield from _errors(project, found, top)
    if found.conflicts is not None and found.leakage is not None:
        yield ""
        yield f"Near-duplicates with other labels (from {found.near:g} alike): {len(found.conflicts)}"
        for one in found.conflicts[:top]:
            sides = zip(one.labels, one.sources, strict=True)
            yield f"  {one.twins.share:.2f}  {' / '.join(f'{shown(label)} ({source})' for label, source in sides)}"
            yield from _pair(project, one.twins)
        yield ""
        yield f"Near-duplicates across splits: {len(found.leakage.pairs)}"
        for leaked in found.leakage.splits:
            yield f"  {leaked.split}: {leaked.leaked} of {leaked.n} leak, {_share(leaked.share)}"
        for pair in found.leakage.pairs[:top]:
            yield f"  {pair.share:.2f}  {pair.first.split} / {pair.second.split}"
            yield from _pair(project, pair)


def _reviewed(found: Quality) -> Iterator[str]:
    review = found.review
    if review.decided:
        yield f"  reviewed in {found.split}: {review.decided} of {review.total} examples"
        if shares := [f"{name} {_share(one)}" for name, one in review.all.shares.items() if name != "skipped"]:
            yield f"    of {review.all.judged} suggestions: {', '.join(shares)}"
        if review.tags:
            yield f"    tags: {', '.join(f'{count} {tag}' for tag, count in review.tags.items())}"
    told = [one for one in found.audits if one.accuracy is not None]
    for one in told:
        assert one.accuracy is not None
        rest = f"; of the {one.unreviewed} that nobody reviewed {_share(one.rest)}" if one.rest else ""
        yield f"  right by a random audit of {one.audited}, {one.source}: {_share(one.accuracy)} of {one.labels} labels{rest}"
    if found.audits and not told:
        yield f"  right: not known. Review some at random: tutelage review --order audit --split {found.split}"
    same = found.agreement
    if same.n and same.agreement is not None:
        alpha = f"; Krippendorff's alpha {_number(same.alpha)}" if same.alpha else ""
        blind = "blind, " if same.blind else ""
        fleiss = f"; Fleiss' kappa {_number(same.fleiss)}" if same.fleiss else ""
        yield f"  annotators on {same.n} examples, {blind}say the same: {_share(same.agreement)}{alpha}{fleiss}"
        for pair in same.pairs:
            kappa = f"; Cohen's kappa {_number(pair.kappa)}" if pair.kappa else ""
            yield f"    {pair.a} and {pair.b}, n {pair.n}: {_share(pair.agreement)}{kappa}"


def _number(one: Estimate) -> str:
    return f"{one.value:.2f} (95 %: {one.low:.2f} to {one.high:.2f})"


def _share(one: Estimate, over: str = "") -> str:
    return f"{one.value:.1%} (95 %: {one.low:.1%} to {one.high:.1%}{over})"


def describe_weights(found: WeighReport) -> str:
    def interval(one: Estimate) -> str:
        return f"{one.value:.3f} (95 %: {one.low:.3f} to {one.high:.3f})"

    tells = sorted(found.features.items(), key=lambda item: -abs(item[1]))
    return "\n".join(
        [
            f"{found.split}: people reviewed {found.reviewed} labels, of which {interval(found.right)} were right",
            f"  wrong ones told from right ones: AUROC {interval(found.auroc)}, n = {found.reviewed}, cross-fitted; "
            f"by {found.student}'s probability alone {interval(found.alone)}",
            f"  mean squared error of the chances {found.brier:.3f}; of the share of right ones alone {found.brier_base:.3f}",
            f"  {found.estimated} labels that nobody reviewed: {found.mean:.3f} right on average, {found.doubtful} below 0.5",
            "  told by " + ", ".join(f"{name} {value:+.2f}" for name, value in tells if value),
        ]
    )


def _errors(project: Project, found: Quality, top: int) -> Iterator[str]:
    errors = found.errors
    if errors is None:
        yield f"Probable label errors: {found.no_errors}"
        return
    share = _share(errors.share, " over examples")
    yield f"Probable label errors in {errors.split}: {errors.flagged} of {errors.n} labels, {share}"
    yield f"  by confident learning on {errors.student}, trained on {errors.trained_on}; not a measurement: an audit by people is"
    some = errors.suspects[:top]
    texts = project.store.examples.pick([one.example_id for one in some])
    for one in some:
        yield f"  {one.score:.3f}  {_line(project.task.input_text(texts[one.example_id].input))}"
        yield f"         {one.reason} [{one.source}, {one.example_id}]"


def _pair(project: Project, pair: Twins) -> Iterator[str]:
    for one in (pair.first, pair.second):
        yield f"        {_line(project.task.input_text(one.input))}"


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
