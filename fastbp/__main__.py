"""`fastbp COMMAND`, the same as `python -m fastbp.COMMAND`."""

import atexit
import importlib
import signal
import sys

from fastbp import _ignore_signals, _set_environment

COMMANDS = {
    "sweep": "train every setup of a sweep from many seeds, and show the answer",
    "list": "list the sweeps that ship with fastbp",
    "diagnose": "say why networks of a setup fail, and which change fixes it",
    "report": "make the tables, pictures and page of a store again",
    "replay": "train one run again, bit for bit, and show its trajectory",
    "compare": "find the setups whose convergence rates differ in two stores",
    "merge": "merge stores, for example the shards of a sweep",
    "verify": "check every file of a store, and move damaged files aside",
}
"""The commands, with the lines about them in `fastbp --help`."""


atexit.register(_ignore_signals)  # the first, so it is called last


def main() -> int:
    """Run the command that the first argument names; return its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # which would show where the import was
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _set_environment()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        module = importlib.import_module(f"fastbp.{name}")
        module.process.hear_signals()  # also after the command, while Python ends
        module.process.leave(module.main(sys.argv[2:]))
    usage = "usage: fastbp COMMAND ...\n\n" + "".join(
        f"  {command:<10}{what}\n" for command, what in COMMANDS.items()
    )
    from fastbp.cli.terminal import print_data, print_errors

    if name in ("-h", "--help", "--version"):
        from pathlib import Path  # after the handler is set: until then Ctrl-C shows an import

        from fastbp import __version__
        from fastbp.cli.process import exit_code

        def show() -> int:
            print_data(f"fastbp {__version__}" if name == "--version" else usage.rstrip("\n"))
            return 0

        return exit_code(show, Path())
    print_errors([f"no command {name!r}, allowed: {', '.join(COMMANDS)}"])
    return 2


if __name__ == "__main__":
    sys.exit(main())
