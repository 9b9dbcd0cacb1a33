"""From arguments to an exit code: signals, errors, and work in a thread."""

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from fastbp.cli.arguments import Option, Parser
from fastbp.cli.terminal import Phase, ProgressLine, print_errors
from fastbp.schema.errors import (
    LostError,
    OtherWorkerError,
    StoreError,
    StoreFullError,
    SweepError,
)

T = TypeVar("T")

COMPLETE, FAILED, BAD_USAGE, BAD_STORE, NOT_WRITABLE = range(5)

EXIT_CODES: list[tuple[type[Exception], int, str]] = [
    (SweepError, BAD_USAGE, ""),
    (StoreError, BAD_STORE, ""),
    (StoreFullError, NOT_WRITABLE, ""),
    (OtherWorkerError, BAD_STORE, "--executor: "),
    (LostError, FAILED, "--executor: "),
    (ArithmeticError, FAILED, ""),
]
"""Errors that users can cause, each with its exit code and what stands before its lines."""


class Interruption:
    """Ends the process at once on Ctrl-C or SIGTERM.

    What is published stays, and a thread that still computes has nothing to lose. An exception
    instead might be swallowed by an import or a destructor.
    """

    kept_in = ""
    """The folder that keeps finished work: the message names it and the command that resumes."""

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        """Say what stays and how to resume, and end."""
        stays = ""
        if self.kept_in:
            stays = f"; finished work stays in {self.kept_in}. To resume: {resume_command()}"
        with suppress(OSError):
            # Not sys.stderr, which may be in the middle of a line.
            os.write(2, f"{chr(10) * os.isatty(2)}interrupted{stays}\n".encode(errors="replace"))
        if compile_ahead := sys.modules.get("fastbp.engine.compile_ahead"):
            for compiler in getattr(compile_ahead, "compilers", ()):
                compiler.kill()
        os._exit(128 + number)


interruption = Interruption()
"""The handler of this process, as signals belong to a process."""


@dataclass(frozen=True)
class Command:
    """A command: call it with arguments, by default those of the command line, for its exit code.

    Parameters
    ----------
    name, description, epilog : str
        What its help says.
    body : function
        Takes the options by their names and returns the exit code.
    options : sequence of `option(...)`
        Its arguments.
    place : str
        The option with the folder that it works on, if any.
    takes_mistakes : bool
        The body has a parameter `mistakes` and reports them together with those in its files.
    """

    name: str
    body: Callable[..., int]
    description: str
    epilog: str
    options: Sequence[Option] = ()
    place: str = ""
    takes_mistakes: bool = False

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command and return its exit code."""
        parser = Parser(
            self.options,
            prog=f"fastbp {self.name}",
            description=self.description,
            epilog=self.epilog,
        )
        with _signals():
            try:
                os.getcwd()
            except OSError:  # some packages cannot even be imported there
                if not {"-h", "--help"} & {*(sys.argv[1:] if arguments is None else arguments)}:
                    print_errors(["the current folder is no longer there: change to one that is"])
                    return BAD_USAGE
            options = parser.options(arguments)
            if self.takes_mistakes:
                options["mistakes"] = parser.mistakes
            elif parser.mistakes:
                print_errors(parser.mistakes)
                return BAD_USAGE
            return exit_code(lambda: self.body(**options), options.get(self.place) or Path())


def exit_code(work: Callable[[], int], place: Path) -> int:
    """Call `work` and return its exit code; print the lines of an error that a user can cause.

    Parameters
    ----------
    work : function without arguments
        Returns an exit code.
    place : Path
        Named where the system says what failed, and not for which file.
    """
    import logging

    # Without a home folder it logs two long lines of advice.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        return work()
    except OSError as error:
        if error.errno is None:  # raised by us: there is no such store
            print_errors([str(error)])
            return BAD_STORE
        print_errors([f"{error.filename or place}: {error.strerror or error}"])
        return NOT_WRITABLE
    except tuple(kind for kind, _, _ in EXIT_CODES) as error:
        code, before = next(row[1:] for row in EXIT_CODES if isinstance(error, row[0]))
        print_errors(f"{before}{line}" for line in getattr(error, "lines", [str(error)]))
        return code


@contextmanager
def _signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process, unless they are ignored as under nohup."""
    # The caller may have closed a standard stream: a file of ours would get its number.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    interruption.kept_in = ""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, interruption)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def resume_command() -> str:
    """The command that was typed, quoted for a shell."""
    if sys.argv[0].endswith(".py"):
        return shlex.join(sys.orig_argv)  # python -m
    program = Path(sys.argv[0]).name
    if shutil.which(program) != sys.argv[0]:
        program = sys.argv[0]
    return shlex.join([program, *sys.argv[1:]])


def resweep(store: Path) -> str:
    """The commands that train what a store lacks, quoted for a shell."""
    path = shlex.quote(str(store))
    return f"the same sweep, or fastbp sweep {path}/sweep.toml -o {path}"


def in_thread(work: Callable[[], T], phase: Phase) -> T:
    """Call `work` in a thread and show its phase: only the main thread hears signals."""
    from concurrent.futures import ThreadPoolExecutor, wait

    show = ProgressLine()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not wait([future], 0.1).done:
            show(phase)
    show.end()
    return future.result()


@contextmanager
def gc_paused() -> Iterator[None]:
    """Collect no garbage: pictures are thousands of objects that stay."""
    import gc

    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
