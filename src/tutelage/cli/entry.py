"""The command line: one file a verb, imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from tutelage.errors import TutelageError
from tutelage.registry import load
from tutelage.settings import wait_passively

VERBS = {
    "init": "Make a project: a folder with task.toml.",
    "add": "Add examples (and labels) from a file.",
    "label": "Ask the teacher for labels.",
    "review": "Make labels good on a page: accept, edit, reject, by keyboard.",
    "quality": "Which labels are probably wrong, which contradict, what leaks between splits.",
    "synthesize": "Let a model write new inputs for train, and measure what they bring.",
    "train": "Train students on the labels.",
    "evaluate": "Make candidates answer the test set and measure them.",
    "learning-curve": "What a student scores by the number of examples, and what more would buy.",
    "ceiling": "Ask the teacher again: what it agrees with itself, and what students can reach.",
    "report": "Compare all candidates: table, JSON, HTML page, charts.",
    "breakeven": "After how many requests a student has paid for itself.",
    "prompts": "Versions of prompts: list, show, diff, test one against another.",
    "judge": "Let a language model compare or rate answers where there is no reference.",
    "prefer": "Let people compare answers of candidates on a page, blind.",
    "leaderboard": "Rate models by matches: people's votes, a judge's verdicts, or scores.",
    "order": "Find the cascade that loses least under a budget, or costs least under a loss.",
    "calibrate": "Prove from which confidence on a student may answer instead of the teacher.",
    "verify": "Check a certificate: the same models, examples and proof.",
    "predict": "Answer inputs from a file with one candidate.",
    "serve": "Serve candidates behind an OpenAI-compatible API on loopback.",
    "operation": "How cascades are served: mode, certificate, audit, and what to label next.",
    "promote": "Let a task's cascade answer again.",
    "demote": "Let a task's last stage answer instead of its cascade.",
    "keys": "Virtual keys of the gateway: make, list, rotate, revoke them, and see what they spent.",
    "traces": "What was asked of the gateway and who answered: list, show, follow, say what was right.",
    "harvest": "Make examples and labels of the gateway's traces and what people said about them.",
    "dataset": "Write examples and labels for other programs, annotation tools and fine-tuning.",
    "export": "Write a student as a wheel or other files that run without tutelage.",
    "run": "Everything in order: add, label, train, evaluate, report.",
    "list": "List candidates, examples, labels and runs.",
    "compare": "What differs between two runs: data, settings, versions, scores.",
    "path": "Print where things are.",
}


class Verbs(click.Group):
    """The verbs in the order of the work; `--help` needs none of their modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = load(f"tutelage.cli.{name.replace('-', '_')}:command", name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tutelage")
def cli() -> None:
    """Take a narrow text task from an expensive large model to the cheapest system that is provably as good.

    \b
    Examples:
      tutelage init names --output strings --grounded    a project in the folder names/
      cd names && tutelage add stories.csv               its examples
      tutelage run                                       label, train, evaluate, report
      tutelage serve                                     answer over HTTP
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors of tutelage become one line on stderr and their exit code."""
    wait_passively()
    try:
        code: Any = cli.main(list(arguments) if arguments is not None else None, standalone_mode=False)
    except TutelageError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("Interrupted. Finished work is kept; run the same command again to go on.", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left, as `| head` does
        sys.exit(0)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror or error}{where}. Finished work is kept.", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(code)
