"""`python -m fastbp.compare A B`: which setups' shares moved between two stores."""

import argparse
import sys
from collections.abc import Sequence

from fastbp.cli import telling


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fastbp compare",
        description="Compare two stores, of other versions, other numerics or other days: which setups' shares moved, paired by "
        "seed where both ran them. Setups are the same where all their keys are, whatever their ids.",
        epilog="Exit: 0 complete (whether or not something moved), 2 bad usage, 3 no store, no runs in it or a damaged file, 4 "
        "disk full or not writable, 130 or 143 interrupted.",
    )
    parser.add_argument("a", metavar="A", help="a folder that `fastbp sweep` made")
    parser.add_argument("b", metavar="B", help="another one")
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="also write DIR/compare.csv, DIR/compare.html and DIR/figures",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return telling.compare(parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
