"""The program `szal`: one parser, one command at a time, one exit code.

What is slow to import is imported by the command that needs it, so that `szal --help` and `szal params` answer at
once.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import szal_nb
from szal_nb.app import documents, execution, migrate, past, record, upkeep
from szal_nb.app.exit import ExitCode, exit_codes_text
from szal_nb.app.printing import error_json, error_text, print_json, say
from szal_nb.errors import DefinitionError, SzalError


class _Parser(argparse.ArgumentParser):
    """A parser whose errors name the nearest word that is right; the parsers of the commands are of this kind too.

    Flags are written in full: one that is cut short would mean another once a flag is added.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"(?:invalid choice: '|unrecognized arguments: )([^' ]+)", message)
        near = difflib.get_close_matches(wrong[1], self._words(), n=1) if wrong else []
        text = message.partition(" (choose from")[0] + (f". Did you mean {near[0]}?" if near else "")
        self.exit(ExitCode.USAGE, f"{self.prog}: {text}\n`{self.prog} --help` shows what it takes.\n")

    def _words(self) -> set[str]:
        """All flags and choices; a flag that a command does not know is complained of by the program's own parser."""
        words = set(self._option_string_actions)
        for action in self._actions:
            words.update(map(str, action.choices or ()))
            if isinstance(action.choices, dict):
                words.update(*(parser._option_string_actions for parser in action.choices.values()))  # noqa: SLF001
        return words


def make_parser() -> argparse.ArgumentParser:
    """The program's parser, with all its commands."""
    parser = _Parser(
        prog="szal",
        description="Runs notebooks as workflows, and shows what became of them.",
        epilog=f"exit codes:\n{exit_codes_text()}\nA run that was rolled back ends with the code of what began that.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"szal {szal_nb.__version__}")
    json_option = argparse.ArgumentParser(add_help=False)
    json_option.add_argument("--json", action="store_true", help="print one JSON document, and nothing else, on stdout")
    store_option = argparse.ArgumentParser(add_help=False)
    nearest = "the store (default: SZAL_STORE, else [tool.szal] store, else the nearest .szal/runs.db)"
    store_option.add_argument("--store", metavar="PATH", help=nearest)
    options = {"json": json_option, "store": store_option}
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (execution, record, past, documents, upkeep, migrate):
        group.add_commands(commands, options)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; the result is its exit code."""
    arguments = make_parser().parse_args(execution.protect_values(sys.argv[1:] if argv is None else argv))
    try:
        code = arguments.command(arguments)
        sys.stdout.flush()
    except SzalError as error:
        say(f"szal: {error_text(error)}")
        if arguments.json:
            print_json(error_json(error))
        return ExitCode.INVALID if isinstance(error, DefinitionError) else ExitCode.USAGE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our answer has seen enough (`szal runs | head`); Python must not complain when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.COMPLETED
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
