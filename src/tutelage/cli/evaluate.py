"""tutelage evaluate: let candidates answer the test set."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import progress
from tutelage.errors import TutelageError, UsageError
from tutelage.evaluation.asking import Progress
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.harness import ExampleSet, evaluate, every_example, example_set
from tutelage.evaluation.reporting import make_report
from tutelage.evaluation.table import terminal_table
from tutelage.project import Project
from tutelage.types import SPLITS, Split

split_option = click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True)
against_option = click.option(
    "--against",
    type=click.Choice(["gold", "teacher"]),
    help="Whose labels count as right (default: gold where the split has any).",
)


@click.command("evaluate")
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@split_option
@against_option
@click.option("--unlabelled", is_flag=True, help="Ask about all examples, labelled or not; store and do not score.")
@json_option
@project_options
def command(
    project: Project, names: tuple[str, ...], split: Split, against: str | None, unlabelled: bool, as_json: bool
) -> None:
    """Make candidates answer the examples of a split, store the answers, measure speed, and show the comparison.

    Answers that are stored already are not asked for again. Without names all candidates of task.toml are taken.
    Where nothing is labelled, --unlabelled gets the answers, which `tutelage judge` can compare.

    \b
    Examples:
      tutelage evaluate
      tutelage evaluate tagger teacher --split dev
      tutelage evaluate small large --unlabelled
    """
    chosen = [candidate(project, name) for name in names or project.selected()]
    examples = every_example(project, split) if unlabelled else example_set(project, split, against)  # type: ignore[arg-type]
    problems = evaluate_all(project, chosen, examples)
    for name, problem in problems.items():
        click.echo(f"{name} was left out: {problem}", err=True)
    if len(problems) == len(chosen):
        raise UsageError("No candidate could be evaluated.")
    if unlabelled:
        answered = [one.name for one in chosen if one.name not in problems]
        facts = {"split": split, "n": len(examples.examples), "answered": answered}
        emit(facts, as_json, f"{', '.join(answered)}: answers for all {len(examples.examples)} examples of {split}")
        return
    result, _ = make_report(project, chosen, examples)
    emit(result.json(), as_json, "" if as_json else terminal_table(result))


def evaluate_all(project: Project, chosen: Sequence[Candidate], examples: ExampleSet) -> dict[str, str]:
    """Evaluate each candidate with a progress bar; one that cannot be had is left out with its reason."""
    problems = {}
    for one in chosen:
        with progress(f"Evaluating {one.name}", len(examples.examples)) as advance:
            last = 0

            def tell(state: Progress) -> None:
                nonlocal last
                shown = {"cost": f"${state.dollars:.4f}"} if state.dollars else {}
                advance(state.done - last, **shown)
                last = state.done

            try:
                asyncio.run(evaluate(project, one, examples, tell))
            except TutelageError as error:
                problems[one.name] = str(error)
    return problems
