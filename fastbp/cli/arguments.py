"""Options of commands: a parser that reports all mistakes at once, and `type=` functions."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

from fastbp.cli.terminal import print_data, print_errors, print_note
from fastbp.schema.errors import SweepError
from fastbp.schema.text import SHOWN, named, nearest, refusal
from fastbp.store.places import OWN_FOLDERS, is_in_store, leads_into

FOUNDING = "founding"
"""Name of the sweep that runs if the user names none. With `--all` it runs first."""

Option = tuple[tuple[str, ...], dict[str, Any]]
"""The names and the keyword arguments for `ArgumentParser.add_argument`."""


def option(*names: str, **settings: Any) -> Option:
    """Make an option of a command, from the arguments of `ArgumentParser.add_argument`."""
    return names, settings


STORE = option(
    "store",
    metavar="STORE",
    type=Path,
    help="a folder made by `fastbp sweep`, such as results/founding",
)
"""The argument STORE of commands that work on one store."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that collects wrong values in `mistakes`, a line for each."""

    def __init__(self, options: Sequence[Option], **settings: Any) -> None:
        super().__init__(**settings)
        self.mistakes: list[str] = []
        # `--shard -1/3` has a wrong value, it is not an option.
        self._negative_number_matcher = re.compile("-[0-9]")
        for names, each in options:
            action = self.add_argument(*names, **each)
            if action.type:
                name = names[0] if action.option_strings else each["metavar"]
                action.type = partial(self._convert, name, each["type"])
        self._names = [name for names, _ in options for name in names]

    def _convert(self, option: str, convert: Callable[[str], Any], text: str) -> Any:
        try:
            return convert(text)
        except argparse.ArgumentTypeError as error:
            self.mistakes.append(f"{option}: {error}")
        except SweepError as error:
            self.mistakes += error.lines
        return None

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings and arg_strings == ["--"]:  # argparse would forget it
            self.error(f"argument {action.option_strings[0]}: given '--', allowed: a value")
        return super()._get_values(action, arg_strings)

    def options(self, arguments: Sequence[str] | None) -> dict[str, Any]:
        """Parse arguments, by default those of the command line, into values by option name.

        An unknown option ends the process with exit code 2.
        """
        namespace, unknown = self.parse_known_args(arguments)
        if unknown:
            text = unknown[0].partition("=")[0]
            if text.startswith("-"):
                self.error(f"{text[:SHOWN]}: unknown option{nearest(text, self._names)}")
            self.error(f"one argument too many: {text[:SHOWN]!r}")
        return vars(namespace)

    def print_help(self, file: Any = None) -> None:
        """Print the help, also on terminals that lack some of its characters."""
        print_data(self.format_help().rstrip("\n"))

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and exit with code 2."""
        for each in self.format_usage().splitlines():
            print_note(each)
        print_errors(
            [f"{re.sub('^argument ([^:]*/)?', '', message)}; for all options: {self.prog} -h"]
        )
        self.exit(2)


def value(allowed: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make the `type=` function of an option.

    Parameters
    ----------
    allowed : str
        The allowed values in words, for the message about others.
    convert : function of str
        Returns the value. None or a ValueError means that the text is not allowed.
    """

    def checked(text: str) -> Any:
        result = None
        with suppress(ValueError):
            result = convert(text)
        if result is None:
            raise argparse.ArgumentTypeError(refusal(text, allowed))
        return result

    return checked


folder = value("a folder", lambda text: Path(text) if text else None)
"""The `type=` function of an option that names a folder."""

output_folder = value(
    "a folder that is in no folder of a store",
    lambda text: Path(text) if text and not is_in_store(Path(text)) else None,
)
"""The `type=` function of an option that names a folder for files that are not of a store."""


def integer(low: int, high: int) -> Callable[[str], Any]:
    """Make the `type=` function of an integer in ASCII digits, from `low` to `high`."""
    return value(
        f"a number from {low} to {high:,}",
        lambda text: (
            int(text) if re.fullmatch("[0-9]{1,20}", text) and low <= int(text) <= high else None
        ),
    )


def number(allowed: str, is_allowed: Callable[[float], bool]) -> Callable[[str], Any]:
    """Make the `type=` function of a number; `allowed` says in words what `is_allowed` checks."""
    return value(allowed, lambda text: float(text) if is_allowed(float(text)) else None)


def file_ending(*suffixes: str) -> Callable[[str], Any]:
    """Make the `type=` function for files with one of these suffixes, not among a store's own."""
    return value(
        f"a file that ends in {' or '.join(suffixes)}, not in {', '.join(OWN_FOLDERS)} of a store",
        lambda text: (
            path
            if (path := Path(text)).suffix.lower() in suffixes and not leads_into(path, OWN_FOLDERS)
            else None
        ),
    )


def lazily(place: str, *arguments: Any, **keywords: Any) -> Any:
    """Import `MODULE:FUNCTION` of fastbp, the `place`, and call it with the other arguments."""
    return resolve_name(f"fastbp.{place}")(*arguments, **keywords)


def shipped_sweeps() -> dict[str, Path]:
    """The sweep files that ship with fastbp, by their paths below the folder `sweeps`."""
    package = Path(__file__).parent.parent
    for sweeps in (package / "sweeps", package.parent / "sweeps"):  # installed, or a checkout
        files = {
            file.relative_to(sweeps).with_suffix("").as_posix(): file
            for file in sorted(sweeps.rglob("*.toml"))
        }
        if files:
            return files
    return {}


def sweep_order(name: str) -> tuple[object, ...]:
    """The key by which sweeps are sorted by name: the founding one first, deep folders last."""
    return name != FOUNDING, name.count("/"), name


def sweep_file(name: str) -> Path:
    """Find a sweep file by its path, or by the name of a sweep that ships with fastbp.

    Raises
    ------
    SweepError
        If there is no such file.
    """
    # Not a folder: `-o founding` makes one of that name.
    if Path(name).suffix or (os.path.exists(name) and not os.path.isdir(name)):
        return Path(name)
    files = shipped_sweeps()
    for known, file in files.items():
        if name in (known, file.stem):
            return file
    similar = nearest(name, [*files, *(file.stem for file in files.values())])
    raise SweepError(
        [
            f"{named(name)}: no such file, and no sweep of this name ships with fastbp: "
            f"`fastbp list` names them{similar}"
        ]
    )
