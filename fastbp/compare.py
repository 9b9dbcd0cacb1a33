"""`python -m fastbp.compare A B`: find the setups whose convergence rates differ in two stores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastbp.cli import process
from fastbp.cli.arguments import folder, option
from fastbp.cli.terminal import Phase, print_answer, print_note

if TYPE_CHECKING:
    from fastbp.reporting.sections.comparison_section import StoreComparison


def compare(a: Path, b: Path, output: Path | None) -> int:
    """Compare two stores and print what differs."""
    phase = Phase("reading")

    def work() -> StoreComparison:
        from fastbp.reporting.sections import comparison_section

        return comparison_section.compare(a, b, output, phase)

    compared = process.in_thread(work, phase)
    print_answer(compared.verdict, compared.lines())
    if compared.written:
        print_note(f"written: {', '.join(map(str, compared.written))}")
    return process.COMPLETE


main = process.Command(
    "compare",
    compare,
    "Compare two stores, for example of two versions, two numerics or two days: which setups' "
    "convergence rates differ, paired by seed where both stores have it. Two setups are the "
    "same if all their keys are, whatever their ids.",
    "Exit: 0 complete (whether or not something differs), 2 bad usage, 3 no store, no runs in "
    "it or a damaged file, 4 disk full or not writable, 130 or 143 interrupted.",
    [
        option("a", metavar="A", type=Path, help="a folder made by `fastbp sweep`"),
        option("b", metavar="B", type=Path, help="another one"),
        option(
            "-o",
            "--output",
            metavar="DIR",
            type=folder,
            help="also write DIR/compare.csv, DIR/compare.html and DIR/figures",
        ),
    ],
    place="output",
)

if __name__ == "__main__":
    sys.exit(main())
