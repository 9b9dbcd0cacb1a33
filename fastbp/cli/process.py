"""Run a command: parse its arguments, handle signals and errors, and return an exit code."""

import atexit
import os
import select
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

from fastbp import _ignore_signals, _set_environment
from fastbp.cli.arguments import Option, Parser
from fastbp.cli.terminal import Phase, ProgressLine, open_nothing, print_errors
from fastbp.schema.errors import (
    NO_MEMORY,
    LostError,
    OtherWorkerError,
    StoreError,
    StoreFullError,
    SweepError,
    need_memory,
    raise_memory_error,
    remedy,
)
from fastbp.schema.text import escaped, typed
from fastbp.store import safe_files

T = TypeVar("T")

MAX_HELD = 100
"""The most folders that a command holds: each takes one of the files that it may open. Of more, all
but the first are only read, and every file of runs has a seal."""

COMPLETE, FAILED, BAD_USAGE, BAD_STORE, NOT_WRITABLE = range(5)
"""Exit codes of all commands."""

EXIT_CODES: list[tuple[type[Exception], int, str]] = [
    (SweepError, BAD_USAGE, ""),
    (StoreError, BAD_STORE, ""),
    (StoreFullError, NOT_WRITABLE, ""),
    (OtherWorkerError, BAD_STORE, "--executor: "),
    (LostError, FAILED, "--executor: "),
    (ArithmeticError, FAILED, ""),
    (MemoryError, FAILED, ""),
    (ImportError, BAD_USAGE, ""),
]
"""Errors that users can cause: the class, the exit code, and a text to print before each line."""


class Interruption:
    """A signal handler that ends the process at once on Ctrl-C or SIGTERM.

    Finished files stay, and a thread that is still training has nothing to lose. An exception, the
    usual way to interrupt Python, might get lost in an import or a destructor.
    """

    without_memory = False
    """Whether there was no memory: then libraries in C may crash where Python ends slowly."""

    kept_in = ""
    """The folder with finished work, if any. The message names it and the command that resumes."""

    @property
    def stays(self) -> str:
        """What stays, and how to resume; empty if nothing does."""
        if not self.kept_in:
            return ""
        return f"; finished work stays in {self.kept_in}. To resume: {resume_command()}"

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        """Print what stays and how to resume, then end the process."""
        said = ("\n" * os.isatty(2) + escaped(f"interrupted{self.stays}") + "\n").encode()
        with suppress(OSError):
            # a full pipe is not waited for: perhaps nobody reads it
            while said and select.select([], [2], [], 0)[1]:
                # not sys.stderr, which may be in the middle of a line
                said = said[os.write(2, said[: select.PIPE_BUF]) :]
        self.end(128 + number)

    def end(self, code: int) -> NoReturn:
        """End the process at once."""
        if compile_ahead := sys.modules.get("fastbp.engine.compile_ahead"):
            for compiler in getattr(compile_ahead, "compilers", {}).values():
                compiler.kill()
        os._exit(code)


interruption = Interruption()
"""The signal handler of this process."""


@dataclass(frozen=True)
class Command:
    """A command of fastbp. Calling it runs it and returns its exit code.

    Parameters
    ----------
    name, description, epilog : str
        The name of the command, and the texts before and after the options in its help.
    body : function
        Takes the options by their names and returns the exit code; None is `COMPLETE`.
    options : sequence of `option(...)`
        The options of the command.
    place : str
        The name of the option with the folder that the command works on, if any: error messages
        name that folder.
    takes_mistakes : bool
        Whether the body has a parameter `mistakes`, a line for each wrong option, which it reports
        together with mistakes in files. Otherwise such lines are printed, and the body is not
        called.
    """

    name: str
    body: Callable[..., int | None]
    description: str
    epilog: str
    options: Sequence[Option] = ()
    place: str = ""
    takes_mistakes: bool = False

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command (by default as in the command line) and return its exit code."""
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
                    print_errors(["the current folder no longer exists: change to another one"])
                    return BAD_USAGE
            if os.path.lexists(".numba_config.yaml"):  # Numba reads it, also in each worker
                print_errors([".numba_config.yaml would change Numba: change to another folder"])
                return BAD_USAGE
            options = dict[str, Any]()

            def parse() -> int:
                # it prints help if that is asked for, maybe where it cannot be written
                options.update(parser.options(arguments))
                return COMPLETE

            if code := exit_code(parse, Path()):
                return code
            if self.takes_mistakes:
                options["mistakes"] = parser.mistakes
            elif parser.mistakes:
                print_errors(parser.mistakes)
                return BAD_USAGE
            place = options.get(self.place) or Path()
            values = (v if isinstance(v, list) else [v] for v in options.values())
            paths = [path for path in chain(*values) if isinstance(path, Path)]

            def work() -> int:
                with ExitStack() as stack:
                    for path in (place, *paths)[:MAX_HELD]:
                        stack.enter_context(safe_files.held(path))
                    return self.body(**options) or COMPLETE

            return exit_code(work, place, paths)

    def run_if_main(self, name: str) -> None:
        """Run the command and end the process, if a module of this name is the main program."""
        if name == "__main__":
            _set_environment()
            atexit.register(_ignore_signals)
            hear_signals()
            leave(self())


def exit_code(work: Callable[[], int], place: Path, used: Iterable[Path] = ()) -> int:
    """Call `work` and return its exit code; print the lines of errors that a user can cause.

    Parameters
    ----------
    work : function without arguments
        Does the work of a command and returns an exit code.
    place : Path
        The folder that a message names if the system's error names no file.
    used : iterable of Path
        What the command works on. Any other error is also that of a user, if one of these is a
        store that is not sound, or has runs of a newer fastbp.
    """
    import logging

    # Without a home folder it logs two long lines of advice.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        try:
            return work()
        except Exception as error:
            raise_memory_error(error)
            raise
    except OSError as error:
        if error.errno is None and isinstance(error, FileNotFoundError):  # ours: no such store
            print_errors([str(error)])
            return BAD_STORE
        print_errors([f"{error.filename or place}: {error.strerror or error}"])
        return NOT_WRITABLE
    except Exception as error:
        known = next((row[1:] for row in EXIT_CODES if isinstance(error, row[0])), None)
        if not (known and not isinstance(error, ArithmeticError)) and (why := _why_not_read(used)):
            print_errors([why])
            return BAD_STORE
        if not known:
            raise
        code, before = known
        interruption.without_memory = isinstance(error, MemoryError)
        print_errors(
            f"{before}{line}{interruption.stays if isinstance(error, LostError) else ''}"
            for line in getattr(error, "lines", [str(error) or NO_MEMORY])
        )
        return code


def _why_not_read(used: Iterable[Path]) -> str:
    """Say which store this fastbp cannot read; empty if it can read all.

    A stranger can write runs that no fastbp makes, and seal them. Only checking all of them shows
    it. A newer fastbp may know keys and values that this one does not.
    """
    from fastbp.engine import integrity
    from fastbp.store.store import Store

    for path in [*used, *map(Path, filter(None, [interruption.kept_in]))]:
        with suppress(OSError, StoreError, MemoryError):
            report = integrity.check(Store(path))
            if report.findings:
                return f"{path} is not sound: {remedy(path)}"
            if report.is_newer:
                return f"{path} has runs of a newer fastbp, which this one cannot read: install it"
    return ""


def leave(code: int) -> NoReturn:
    """End the process with an exit code."""
    if interruption.without_memory:
        with suppress(OSError, ValueError, AttributeError):  # it may be closed, or not be there
            sys.stdout.flush()
        interruption.end(code)
    sys.exit(code)


def hear_signals() -> dict[signal.Signals, Any]:
    """Let Ctrl-C and SIGTERM end the process, unless they are ignored, as under nohup.

    Returns the handlers that this replaces.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in heard:
        signal.signal(number, interruption)
    return heard


@contextmanager
def _signals() -> Iterator[None]:
    """Hear signals, and set the handlers that were there again in the end."""
    # The caller may have closed a standard stream: a file of ours would get its number.
    while (number := open_nothing()) <= 2:
        pass
    os.close(number)
    interruption.kept_in = ""
    before = hear_signals()
    try:
        yield
    finally:
        interruption.kept_in = ""
        for number, handler in before.items():
            signal.signal(number, handler)


def resume_command() -> str:
    """The command line of this process, quoted for a shell."""
    program, *arguments = sys.argv
    if program.endswith(".py"):
        return shlex.join(sys.orig_argv)  # python -m
    name = Path(program).name
    return shlex.join([name if shutil.which(name) == program else program, *arguments])


def resweep(store: Path) -> str:
    """The commands that train the missing runs of a store, quoted for a shell."""
    path = typed(store)
    return f"the same sweep, or fastbp sweep {path}/sweep.toml -o {path}"


def in_thread(work: Callable[[Phase], T], first: str = "reading") -> T:
    """Call `work` in a thread and return its result, showing its phase meanwhile.

    So the main thread is free for signals. `work` gets the phase, which it may change, and which
    is `first` at its beginning.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    need_memory(1 << 28)  # where a thread finds none for its own values, glibc ends Python
    show, phase = ProgressLine(), Phase(first)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, phase)
        while not wait([future], 0.1).done:
            show(phase)
    show.end()
    return future.result()
