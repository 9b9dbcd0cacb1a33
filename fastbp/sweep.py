"""`python -m fastbp.sweep [FILE or NAME]`: train what is missing of a sweep, publish it, and say
what it shows; or of many.
"""

import argparse
import sys
from collections.abc import Sequence

from fastbp.cli import console, gathering


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fastbp sweep",
        description="Train every setup of a sweep from many seeds, and say how often each converges or collapses to a constant.",
        epilog="Exit: 0 complete, 1 some blocks failed or no room for all seeds that a width takes, 2 bad usage or file or too "
        "little memory, 3 store locked, damaged or of another version, 4 disk full or not writable, 130 or 143 interrupted (the "
        "same command resumes).",
    )
    parser.add_argument(
        "sweep",
        nargs="?",
        metavar="FILE or NAME",
        help="a sweep file, or the name of one that ships with fastbp (default: founding)",
    )
    parser.add_argument(
        "--all",
        metavar="FOLDER",
        help="every sweep file below a folder, each into results/NAME by its path there, and then results/README.md, a gallery "
        "of what they show; goes with -o (instead of results), --seeds, -j, --executor, --dry-run, --quiet, --json",
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="the store (default: results/NAME)")
    parser.add_argument(
        "--seeds",
        metavar="N",
        help="how many seeds instead of the file's number; more seeds extend a store",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="another value for a key of [setup], read as TOML; a list makes a grid: lr=[0.1,0.2]",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        metavar="N",
        help="blocks that run at once (default: all cores that this process may use)",
    )
    parser.add_argument(
        "--executor",
        metavar="E",
        default="threads",
        help="who trains: threads (default), processes, dask (on this machine) or dask:ADDRESS, mpi, slurm, flux",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="only the I-th of N parts of the seeds, for machines that share nothing (see fastbp merge)",
    )
    parser.add_argument(
        "--until-width",
        metavar="W",
        help="train more and more seeds, the sweep's own number first, until the 95%% interval of each share is at most so wide",
    )
    parser.add_argument(
        "--bisect",
        metavar="KEY",
        help="find the value of a numeric key, such as lr, at which half of the seeds converge: between its values in the grid, "
        "or from the baseline's outwards",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what the sweep would take (time, disk, memory), and write and train nothing",
    )
    parser.add_argument(
        "--no-report",
        action="store_true",
        help="tables only: draw no pictures and write no report.html",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object at the end instead of tables"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    asked = parser().parse_args(arguments)
    return console.sweep(asked) if asked.all is None else gathering.sweep_all(asked)


if __name__ == "__main__":
    sys.exit(main())
