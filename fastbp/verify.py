"""`python -m fastbp.verify STORE`: read everything in a store again, and say what is not as it was
written.
"""

import argparse
import sys
from collections.abc import Sequence

from fastbp.cli import keeping


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fastbp verify",
        description="Read everything in a store again: the seal over all bytes of a file, checksums of pages, the sha256 of "
        "its rows, schema, seeds (each exactly once), ids of setups, and the problems. Prints what is not sound, or the "
        "sha256 of all rows, which is the same however they lie in files.",
        epilog="Exit: 0 sound, or repaired, 2 bad usage, 3 something is not sound, or the store is locked, 4 disk full or not "
        "writable, 130 or 143 interrupted.",
    )
    parser.add_argument(
        "store", metavar="STORE", help="a folder that `fastbp sweep` made, such as results/founding"
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="move what is not sound into STORE/quarantine (nothing is deleted): the same sweep makes just that anew",
    )
    parser.add_argument(
        "--replay",
        metavar="N",
        default="0",
        help="also train N runs, drawn at random, again and compare every bit (default: 0)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return keeping.verify(parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
