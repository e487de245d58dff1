"""tutelage prompts: versions of prompts, what they say, what they score, and what changes between two."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from tutelage.cli.evaluate import against_option, split_option
from tutelage.cli.options import InOrder, emit, json_option, project_options
from tutelage.cli.progress import telling
from tutelage.cli.revising import revise
from tutelage.errors import DataError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import example_set
from tutelage.evaluation.regression import Change, Regression, answer_all, check_different, common, compare
from tutelage.evaluation.shown import REPRODUCED, Shown, check_shown
from tutelage.evaluation.versions import Scored, content_of, known_versions, resolve, scored
from tutelage.project import Project
from tutelage.prompting.versions import as_text
from tutelage.types import Split, canonical_json

WIDTH = 90
"""Characters of an input, an answer or a reason that are shown of each example."""


@click.group("prompts", cls=InOrder)
def command() -> None:
    """Versions of prompts: list them with their scores, show one, diff two, test one against another.

    The version is the end of the source that labels and answers bear (teacher:MODEL@VERSION): a hash of the templates,
    the form of the answer, the shots and the sampling. Where a VERSION is asked for, its first digits do, MODEL@VERSION
    where several models have it, or a candidate's name for the prompt that it has now.

    \b
    Examples:
      tutelage prompts list --json
      tutelage prompts diff 1f0c22ab strict
      tutelage prompts test 1f0c22ab strict --fail-under=-0.01
      tutelage prompts shown strict
      tutelage prompts revise strict
    """


command.add_command(revise)


@command.command("list")
@split_option
@json_option
@project_options
def list_(project: Project, split: Split, as_json: bool) -> None:
    """List the versions with the scores of their stored answers. Asks nobody anything.

    By the main metric, against gold labels, each on the examples that it has answered; compare two by `tutelage prompts
    test`.

    \b
    Examples:
      tutelage prompts list
      tutelage prompts list --split dev --json
    """
    versions = known_versions(project)
    try:
        examples = example_set(project, split, "gold")
    except DataError:
        rows, reference = [Scored(known, 0, None, True) for known in versions], None
    else:
        rows, reference = scored(project, versions, examples), examples.reference
    facts = {"metric": project.task.metric, "split": split, "reference": reference}
    emit(facts | {"versions": [_facts(row) for row in rows]}, as_json, _listing(project, split, reference, rows))


@command.command("show")
@click.argument("version")
@json_option
@project_options
def show(project: Project, version: str, as_json: bool) -> None:
    """Show all that a version asks with: system, user, shots, schema, settings.

    \b
    Examples:
      tutelage prompts show 1f0c
      tutelage prompts show strict --json
    """
    side = resolve(project, version)
    content = content_of(side)
    emit({"source": side.source, "content": content}, as_json, f"source: {side.source}\n{as_text(content)}".rstrip())


@command.command("diff")
@click.argument("a")
@click.argument("b")
@json_option
@project_options
def diff(project: Project, a: str, b: str, as_json: bool) -> None:
    """Show what differs between two versions, also before anything was asked.

    \b
    Examples:
      tutelage prompts diff 1f0c 88a1
      tutelage prompts diff 1f0c strict     what has changed since, in candidate strict
    """
    sides = resolve(project, a), resolve(project, b)
    if sides[0].source is not None and sides[0].source == sides[1].source:
        raise UsageError(f"{a!r} and {b!r}: both are {sides[0].source}. Name two different versions.")
    before, after = (as_text(content_of(side)).splitlines() for side in sides)
    old, new = (f"{side.name} {side.source}" for side in sides)
    lines = list(difflib.unified_diff(before, after, old, new, lineterm=""))
    facts = {"a": sides[0].source, "b": sides[1].source, "diff": lines}
    emit(facts, as_json, "\n".join(map(_coloured, lines)))


@command.command("test")
@click.argument("a")
@click.argument("b")
@split_option
@against_option
@click.option("--limit", type=click.IntRange(min=1), help="Compare on at most this many examples, chosen by hash.")
@click.option("--show", "shown", type=click.IntRange(min=0), default=10, show_default=True, help="Examples to print.")
@click.option(
    "--fail-under",
    type=click.FloatRange(-1, 1),
    metavar="X",
    help="Exit with 1 where the interval of B - A reaches below X, e.g. -0.01.",
)
@json_option
@project_options
def test(
    project: Project,
    a: str,
    b: str,
    split: Split,
    against: str | None,
    limit: int | None,
    shown: int,
    fail_under: float | None,
    as_json: bool,
) -> int:
    """Test B against A on the same examples: what changed, and is it chance?

    A and B are versions or candidates; they may differ in the prompt, in the model or in both. What a candidate has not
    answered yet is asked first, and nothing is paid for twice; of a version that no candidate has now, the stored answers
    are taken. Intervals are of 95 % and paired.

    \b
    Examples:
      tutelage prompts test 1f0c strict
      tutelage prompts test small large --split dev --limit 100
      tutelage prompts test 1f0c strict --fail-under=-0.01 --json > changes.json
    """
    sides = resolve(project, a), resolve(project, b)
    check_different(project, *sides)
    examples = common(project, sides, example_set(project, split, against), limit)  # type: ignore[arg-type]
    with telling() as tell:
        asked, problems = asyncio.run(answer_all(project, sides, examples, lambda name, at: tell(f"Asking {name}", at)))
    for name, problem in problems.items():
        click.echo(f"{name} could not be asked, its stored answers are taken: {problem}", err=True)
    found = compare(project, *sides, examples)
    passed = fail_under is None or found.difference.low >= fail_under
    facts = asdict(found) | {"asked": asked, "fail_under": fail_under, "passed": passed}
    emit(facts, as_json, "\n".join(_tested(found, shown)))
    if not passed:
        low = f"{found.difference.low:+.3f}"
        click.echo(f"{b} - {a} may be as low as {low}, which is under {fail_under:+g} (--fail-under).", err=True)
    return 0 if passed else 1


@command.command("shown")
@click.argument("name", metavar="CANDIDATE")
@click.option("--limit", type=click.IntRange(min=1), help="Ask about at most this many of each kind (default: 50).")
@json_option
@project_options
def shown(project: Project, name: str, limit: int | None, as_json: bool) -> None:
    """Tell apart the two failures of few-shot prompts: shots not used, or copied.

    Asks the candidate about the very examples that it is shown, with their answers in the prompt, and about others of
    dev. One that does not give back what it is shown does not use it; one that does, and fails on others, copies.

    \b
    Examples:
      tutelage prompts shown fewshot
      tutelage prompts shown fewshot --limit 100 --json
    """
    with telling() as tell:
        found = asyncio.run(check_shown(project, candidate(project, name), limit, tell))
    emit(found, as_json, "\n".join(_checked(found)))


def _facts(row: Scored) -> dict[str, object]:
    known = row.known
    return {
        "version": known.version,
        "source": known.source,
        "model": known.model,
        "candidate": known.candidate or None,
        "current": list(known.current),
        "created": known.created or None,
        "answers": known.answers,
        "labels": known.labels,
        "kept": known.content is not None,
        "n": row.n,
        "score": row.score and asdict(row.score),
        "usual_examples": row.usual,
    }


def _listing(project: Project, split: Split, reference: str | None, rows: Sequence[Scored]) -> str:
    if not rows:
        return "No version yet: no candidate of task.toml has a prompt, and nothing was asked."
    head = ["version", "model", "candidate", "created", "answers", "labels", project.task.metric, "95 % interval", "n"]
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.append("* the candidate's prompt now")
    if reference:
        lines.append(f"{project.task.metric}: of the answers to examples of {split}, against {reference}")
    else:
        lines.append(f"{split!r} has no gold labels to score against. Add some with: tutelage add FILE --label FIELD")
    if not all(row.usual for row in rows):
        lines.append("! other examples than most versions: do not compare. Use: tutelage prompts test A B")
    return "\n".join(lines)


def _cells(row: Scored) -> list[str]:
    known, score = row.known, row.score
    names = [f"{name}*" for name in known.current] or [known.candidate or "-"]
    return [
        known.version,
        known.model,
        ", ".join(names),
        known.created[:16].replace("T", " ") or "not asked",
        str(known.answers),
        str(known.labels),
        f"{score.value:.3f}" if score else "-",
        f"{score.low:.3f} to {score.high:.3f}" if score else "-",
        str(row.n) + ("" if row.usual else " !"),
    ]


def _coloured(line: str) -> str:
    if line.startswith(("---", "+++")):
        return click.style(line, bold=True)
    colour = {"-": "red", "+": "green", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line


def _tested(found: Regression, shown: int) -> Iterator[str]:
    a, b = found.a, found.b
    yield f"{b} against {a}: {found.n} examples of {found.split}, scored against {found.reference}"
    yield f"{found.metric}: {a} {_shown(found.a_score)}, {b} {_shown(found.b_score)}"
    same = [change for change in found.changes if change.a_score == change.b_score]
    reads = f" ({len(same)} of them with another answer)" if same else ""
    yield f"improved {found.improved}, worsened {found.worsened}, same {found.same}{reads}"
    for name, field in found.fields.items():
        if field.improved or field.worsened:
            moved = f"improved {field.improved}, worsened {field.worsened}"
            yield f"  {name}: {moved}, exact match {_signed(field.difference)}"
    for change in found.changes[:shown]:
        yield from _change(found, change)
    if (left := len(found.changes) - shown) > 0:
        yield f"... and {left} more changed examples (--show {len(found.changes)}, or --json)"
    yield f"difference {_signed(found.difference)}"
    yield _verdict(found)


def _change(found: Regression, change: Change) -> Iterator[str]:
    moved = change.b_score - change.a_score
    word = "improved" if moved > 0 else "worsened" if moved < 0 else "changed"
    yield f"  {word} {change.a_score:.3f} -> {change.b_score:.3f}  {change.id[:8]}  {_short(change.input)}"
    answers = [
        (name, p.error if p.value is None else p.value) for name, p in ((found.a, change.a), (found.b, change.b))
    ]
    width = max(len(name) for name in (found.a, found.b, "gold"))
    for name, value in [("gold", change.gold), *answers]:
        yield f"    {name:<{width}}  {_short(value)}"


def _verdict(found: Regression) -> str:
    if found.verdict == "equal":
        return f"{found.b} answers all {found.n} examples as {found.a} does."
    if found.verdict == "cannot tell":
        needed = f", would need about {found.needed:,} examples" if found.needed else f" on {found.n} examples"
        return f"Cannot tell {found.b} from {found.a}: the interval includes 0{needed}."
    return f"{found.b} is {found.verdict} by {abs(found.difference.value):.3f}: the interval excludes 0."


def _checked(found: Shown) -> Iterator[str]:
    yield f"{found.candidate}: {found.shots} shots by {found.selector!r}, {found.metric}"
    yield f"  shown   {_shown(found.shown)}, n {found.n_shown}: asked with their own answers in the prompt"
    yield f"  others  {_shown(found.others)}, n {found.n_others}: of {found.split}, against {found.reference}"
    yield f"  shown - others  {_signed(found.difference)}"
    if found.copies:
        yield (
            f"  copies  {_shown(found.copies)}: {found.copied} of {found.n_copyable} answers on others are a shown "
            "answer, word for word, and wrong"
        )
    for missed in found.missed[:5]:
        said = missed.answer.error if missed.answer.value is None else missed.answer.value
        yield f"  not given back: {_short(missed.input)}\n    shown   {_short(missed.gold)}\n    answer  {_short(said)}"
    yield FINDINGS[found.finding]


FINDINGS = {
    "not used": f"Less than {REPRODUCED:g} on what it is shown: it does not use the examples. The model is too weak for "
    "them, or their form is ignored: try a larger model, fewer shots, another `structured`.",
    "copied": "It gives back what it is shown and does worse on others: it copies and does not generalise. Try other "
    "shots (`selector`), more of them, or instructions that say the rule.",
    "unclear": "It gives back what it is shown and scores less on others, which may be chance: ask about more (--limit, more "
    "examples of dev).",
    "used": "It gives back what it is shown, and does about as well on others: neither of the two failures.",
}


def _shown(value: Estimate) -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def _signed(value: Estimate) -> str:
    return f"{value.value:+.3f} ({value.low:+.3f} to {value.high:+.3f})"


def _short(value: object) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else canonical_json(value)
    text = text or json.dumps(text)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
