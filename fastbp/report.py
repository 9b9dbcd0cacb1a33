"""`python -m fastbp.report STORE`: the tables, pictures and page of a store, made of its Parquet
files alone.
"""

import argparse
import sys
from collections.abc import Sequence

from fastbp.cli import telling


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fastbp report",
        description="Make the tables, pictures and page of a store anew: STORE/summary.csv, contrasts.csv, attribution.csv, "
        "figures/ and report.html, one file without scripts that says what decides between converging and collapsing.",
        epilog="Exit: 0 complete, 2 bad usage, 3 no store, no runs in it or a damaged file, 4 disk full or not writable, 130 or "
        "143 interrupted.",
    )
    parser.add_argument(
        "store", metavar="STORE", help="a folder that `fastbp sweep` made, such as results/founding"
    )
    parser.add_argument(
        "--collapse",
        metavar="C",
        help="decide outcomes anew: a run is collapsed when its outputs span less than this share of the target range (nothing "
        "is trained; the next sweep or report without it has the outcomes as they were)",
    )
    parser.add_argument(
        "--all-runs",
        action="store_true",
        help="all setups in the store, not only those of its latest sweep",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return telling.report(parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
