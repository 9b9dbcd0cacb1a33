"""`python -m fastbp.merge INTO FROM…`: unite stores, such as the shards of a sweep that machines
trained by themselves.
"""

import argparse
import sys
from collections.abc import Sequence

from fastbp.cli import keeping


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fastbp merge",
        description="Bring all runs of some stores into one. Every file is read and checked before anything is written; of seeds "
        "that two stores have the rows must be the same, bit for bit, and are kept once. The same command again goes on where "
        "one was killed, and writes nothing where all is there.",
        epilog="Exit: 0 done, 2 bad usage, 3 a store is not sound, locked or of another version, or rows differ, 4 disk full or "
        "not writable, 130 or 143 interrupted.",
    )
    parser.add_argument("into", metavar="INTO", help="the store that gets the runs; it may be new")
    parser.add_argument(
        "sources", metavar="FROM", nargs="+", help="stores to read; nothing in them is changed"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return keeping.merge(parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
