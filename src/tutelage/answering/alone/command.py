"""The command of an exported student: predict, serve, card."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tutelage.answering.alone.serving import make_server, serve_until_stopped
from tutelage.answering.alone.student import CARD, Alone, read_json
from tutelage.answering.lines import answer, chunks, opened
from tutelage.errors import TutelageError
from tutelage.tasks.identity import example_id
from tutelage.types import Prediction

README = "README.md"


@dataclass(frozen=True)
class Program:
    """What the command is called, what it says of itself, where its files are, and how the student is loaded."""

    command: str
    version: str
    about: str
    folder: Path
    load: Callable[[int | None], Alone]


def main(program: Program, arguments: Sequence[str] | None = None) -> None:
    """Run the command. Exit codes: 0, 1 (one line says why, or some inputs got no answer), 2 (usage)."""
    given = _parser(program).parse_args(arguments)
    try:
        code = given.run(program, given)
    except TutelageError as error:
        code = _told(f"Error: {' '.join(str(error).split())}", error.exit_code)
    except KeyboardInterrupt:
        code = _told("Interrupted.", 130)
    except BrokenPipeError:  # the reader of our output has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _parser(program: Program) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(program.command, description=program.about)
    parser.add_argument("--version", action="version", version=f"{program.command} {program.version}")
    verbs = parser.add_subparsers(required=True, metavar="predict | serve | card")
    predict = verbs.add_parser("predict", help="answer inputs: JSON lines in, JSON lines out")
    predict.add_argument("file", nargs="?", default="-", metavar="FILE|-", help="default: standard input")
    predict.add_argument("--json", action="store_true", help="the output is JSON lines in any case")
    predict.set_defaults(run=_predict)
    serve = verbs.add_parser("serve", help="answer over HTTP, as OpenAI's API does")
    serve.add_argument("--host", default="127.0.0.1", help="default: %(default)s, this machine alone")
    serve.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0 takes a free port")
    serve.add_argument("--json", action="store_true", help="say where in JSON")
    serve.set_defaults(run=_serve)
    for one in (predict, serve):
        one.add_argument("--threads", type=int, help="default: as trained, else all cores")
    card = verbs.add_parser("card", help="what the student was trained on, how good it is, its limits")
    card.add_argument("--json", action="store_true", help="the artefact's own card")
    card.set_defaults(run=_card)
    return parser


def _predict(program: Program, given: argparse.Namespace) -> int:
    student, failed = program.load(given.threads), 0
    with ExitStack() as stack:
        lines = sys.stdin if given.file == "-" else stack.enter_context(opened(Path(given.file)))
        for chunk in chunks(lines, student.task.fields):
            predictions = iter(student.predict([one for one, _ in chunk if one is not None]))
            for one, problem in chunk:
                found = next(predictions) if one is not None else Prediction(None, source=student.source, error=problem)
                failed += found.value is None
                line = answer(example_id(one) if one is not None else None, found)
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
            sys.stdout.flush()
    return _told(f"{failed} inputs got no answer; their lines carry an error.", 1) if failed else 0


def _serve(program: Program, given: argparse.Namespace) -> int:
    server = make_server(program.load(given.threads), given.host, given.port)
    host = f"[{given.host}]" if ":" in given.host else given.host
    url = f"http://{host}:{server.server_address[1]}/v1"
    text = f"Serving {server.student.source} at {url} (Ctrl-C stops)"
    sys.stdout.write((json.dumps({"url": url, "models": [server.student.source]}) if given.json else text) + "\n")
    sys.stdout.flush()
    serve_until_stopped(server)
    return 0


def _card(program: Program, given: argparse.Namespace) -> int:
    if given.json:
        sys.stdout.write(json.dumps(read_json(program.folder / CARD), ensure_ascii=False) + "\n")
    else:
        sys.stdout.write((program.folder / README).read_text(encoding="utf-8"))
    return 0


def _told(message: str, code: int) -> int:
    sys.stderr.write(message + "\n")
    return code
