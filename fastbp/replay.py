"""`python -m fastbp.replay STORE SETUP SEED`: train one run of a store again, bit for bit, and see
its trajectory.
"""

import argparse
import sys
from collections.abc import Sequence

from fastbp.cli import console


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fastbp replay",
        description="Train one run of a store again, bit for bit, and show its trajectory: loss, outputs, spread, gradient and "
        "saturation at every look. The looks go into STORE/replays/SETUP-SEED.parquet, one row each, and the picture beside "
        "them as .svg and .png.",
        epilog="Exit: 0 done, 1 it could not be trained, 2 bad usage, 3 store damaged or of another version, or --check found a "
        "bit that differs, 4 disk full or not writable, 130 or 143 interrupted.",
    )
    parser.add_argument(
        "store", metavar="STORE", help="a folder that `fastbp sweep` made, such as results/founding"
    )
    parser.add_argument(
        "setup",
        metavar="SETUP",
        help="the setup's 12 hex digits (column `setup`), or as many of the first as tell it apart",
    )
    parser.add_argument(
        "seed",
        metavar="SEED",
        help="0 to 2^63 - 1, also one that the store does not hold, as long as it has others of the setup",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="instead of showing the run, hold every column of its stored row against the row trained anew, bit for bit; "
        "of files only those that are asked for are written",
    )
    parser.add_argument(
        "--export",
        metavar="FILE.npz",
        help="write what it takes to make the run again elsewhere: W0, b0, W1, b1 and so on (final weights [out, in], "
        "biases if any), initial_W0 and so on (before the first update), rows (which row each presentation showed), "
        "X and T as trained, lr of each epoch, and keys (the setup as JSON)",
    )
    parser.add_argument(
        "--figure", metavar="FILE", help="write the picture there instead: .svg, .png or .pdf"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return console.replay(parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
