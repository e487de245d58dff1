#!/usr/bin/env python3
"""Write docs/cli.md from the verbs' own help: python scripts/docs.py (with --check: fail when it is out of date)."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tutelage.cli.entry import VERBS, cli

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"


def text() -> str:
    """The page: one section a verb, as `tutelage VERB --help` prints it."""
    parts = ["# The verbs\n\nWritten by `python scripts/docs.py` from the program's own help; do not edit.\n"]
    root = click.Context(cli, info_name="tutelage", max_content_width=100, terminal_width=100)
    parts.append(f"```\n{cli.get_help(root)}\n```\n")
    for verb in VERBS:
        command = cli.get_command(root, verb)
        assert command is not None
        parts += sections(command, verb, root)
    return "\n".join(parts)


def sections(command: click.Command, name: str, parent: click.Context) -> list[str]:
    """The verb's section and, of a group, those of its verbs."""
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    found = [f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for verb, below in command.commands.items():
            found += sections(below, verb, context)
    return found


def main() -> int:
    if "--check" in sys.argv[1:]:
        if TARGET.read_text(encoding="utf-8") != text():
            print(f"{TARGET} is out of date. Run: python scripts/docs.py", file=sys.stderr)
            return 1
        return 0
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
