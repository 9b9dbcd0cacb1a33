"""Write the output of a command: data on stdout; notes, errors and progress on stderr."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from fastbp.schema.text import WIDTH, Screen, escaped, wrap

if TYPE_CHECKING:
    from fastbp.engine.driver import Progress

ASCII = str.maketrans({"−": "-", "–": "-", "×": "x", "→": "->", "←": "<-", "…": "...", "≠": "!="})
"""Replacements of dashes, arrows and signs for terminals that cannot show them."""

MIN_WIDTH = 40
"""On a terminal with fewer characters per line, tables and paragraphs are wrapped by it."""

TERMINAL_SECONDS, PLAIN_SECONDS = 0.2, 30.0
"""Seconds between two progress lines: on a terminal, and in a file or pipe."""

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")

MAX_ERRORS = 200
"""Most errors that are printed one by one."""

INDENT = " " * 8
"""The start of the second and later lines of an error on a terminal."""


def print_data(text: str, coloured: bool = False) -> None:
    """Print the result of a command on stdout; characters that are not printable are escaped.

    `coloured`: keep the colours of a map. Names in its text are printable already.

    Raises
    ------
    OSError
        If it cannot be written, for example because the disk is full. It is no error if the reader
        has left, such as `head`.
    """
    text = "".join(
        piece if coloured and _COLOUR.fullmatch(piece) else escaped(piece, "\n")
        for piece in (_COLOUR.split(text) if coloured else [text])
    )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
        try:
            text.encode(sys.stdout.encoding)
        except UnicodeEncodeError:
            text = text.translate(ASCII)
    _write(text + "\n", sys.stdout)


def print_answer(answer: Iterable[str], *parts: Sequence[str]) -> None:
    """Print wrapped paragraphs, then other groups of lines, with empty lines between them."""
    print_data(
        "\n\n".join(filter(None, map("\n".join, [paragraphs(answer, screen()), *parts]))),
        coloured=True,
    )


def paragraphs(answer: Iterable[str], shown: Screen) -> list[str]:
    """Wrap paragraphs into lines, with an empty line between two."""
    return "\n\n".join(
        "\n".join(lines) for text in answer if (lines := wrap(text, min(WIDTH, shown.width)))
    ).splitlines()


def screen() -> Screen:
    """What stdout can show. A file or a pipe shows shades, in lines of `WIDTH` characters."""
    out, terminal = sys.stdout, os.environ.get("TERM", "")
    is_terminal = out is not None and out.isatty()
    columns = max(MIN_WIDTH, shutil.get_terminal_size().columns) if is_terminal else WIDTH
    try:
        "…▀░▒▓█".encode(getattr(out, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return Screen(columns, "digits")
    if not is_terminal or os.environ.get("NO_COLOR"):
        return Screen(columns, "shades")
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return Screen(columns, "24-bit" if terminal != "dumb" else "shades")
    return Screen(columns, "256" if "256color" in terminal else "shades")


def print_note(line: str) -> None:
    """Print one line on stderr; characters that are not printable are escaped."""
    _write(escaped(line) + "\n", sys.stderr)


def print_notes(notes: Iterable[str]) -> None:
    """Print each note on stderr, as a line that begins with `note:`."""
    for note in notes:
        print_note(f"note: {note}")


def print_errors(lines: Iterable[str]) -> None:
    """Print each error on stderr; on a terminal wrap it to the width of the screen.

    Of more than `MAX_ERRORS` only the first, and how many more there are.
    """
    found = [*lines]
    if more := len(found[MAX_ERRORS:]):
        found[MAX_ERRORS:] = [f"{more:,} more errors"]
    for line in found:
        parts = [f"fastbp: {escaped(line)}"]
        if _is_terminal():
            parts = wrap(parts[0], shutil.get_terminal_size().columns, rest=INDENT)
        for part in parts:
            print_note(part)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def open_nothing() -> int:
    """Open a file that takes what is written to it, or if there is none, one that refuses it."""
    try:
        return os.open(os.devnull, os.O_RDWR)
    except OSError:
        return os.open("/", os.O_RDONLY)


def _write(text: str, stream: TextIO | None) -> None:
    """Write a text without buffering it. Errors on stderr are ignored."""
    if stream is None:  # the caller closed it before it started this process
        return
    with suppress(OSError, ValueError):  # else Python loses what does not fit into a full pipe
        os.set_blocking(stream.fileno(), True)
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # Otherwise Python complains about the unwritten buffer when it ends.
        os.dup2(open_nothing(), stream.fileno())
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, "standard output") from error


@dataclass
class Phase:
    """The name of the current step of work that does not count its progress.

    Call it with the name of the next step.
    """

    phase: str

    def __call__(self, phase: str) -> None:
        """Go on to the step of this name."""
        self.phase = phase


class ProgressLine:
    """Shows progress on stderr: on a terminal in one line, else as a new line every 30 s.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    clock : function without arguments
        Returns seconds.
    name : str
        Printed before each line.
    """

    def __init__(
        self, quiet: bool = False, clock: Callable[[], float] = time.monotonic, name: str = ""
    ) -> None:
        self._quiet, self._clock, self._name = quiet, clock, name
        self._terminal, self._last, self._width = _is_terminal(), clock(), 0

    def __call__(self, progress: Progress | Phase) -> None:
        """Show the progress, unless the line before is too recent."""
        if self._quiet or self._clock() - self._last < (
            TERMINAL_SECONDS if self._terminal else PLAIN_SECONDS
        ):
            return
        self._last = self._clock()
        line = escaped(self._name + describe(progress))
        if self._terminal:
            _write("\r" + line.ljust(self._width), sys.stderr)
            self._width = len(line)
        else:
            print_note(line)

    def end(self) -> None:
        """Clear the line on a terminal."""
        if self._width:
            _write("\r" + " " * self._width + "\r", sys.stderr)
            self._width = 0


def describe(progress: Progress | Phase) -> str:
    """Describe progress in one line: share and number of runs, updates per second, time left."""
    if isinstance(progress, Phase) or progress.phase != "training":
        once = " (once for this machine)" if progress.phase == "compiling" else ""
        return f"{progress.phase}…{once}"
    share = progress.budget / progress.total_budget if progress.total_budget else 1.0
    line = f"{share:4.0%} · {progress.done:,} of {progress.runs:,} runs"
    if progress.updates and progress.seconds > 0:
        line += (
            f" · {speed(progress.updates / progress.seconds)} · "
            f"{duration(progress.seconds * (1 - share) / share)} left"
        )
    return line


def speed(updates: float) -> str:
    """A number of updates per second in words, such as `12 million updates/s`."""
    million = updates >= 1e7
    return f"{updates / 1e6 if million else updates:,.0f}{' million' * million} updates/s"


def duration(seconds: float) -> str:
    """A time as `5 s`, `5 min 00 s` or `33 h 20 min`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    short = f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
    return f"{hours} h {minutes_left:02d} min" if hours else short
