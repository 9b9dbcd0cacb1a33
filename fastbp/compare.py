"""`python -m fastbp.compare A B`: find the setups whose convergence rates differ in two stores."""

from pathlib import Path

from fastbp.cli import process
from fastbp.cli.arguments import folder, lazily, option
from fastbp.cli.terminal import print_answer, print_note


def compare(a: Path, b: Path, folder: Path | None) -> None:
    """Compare two stores and print what differs."""
    compared = process.in_thread(
        lambda phase: lazily("reporting.sections.comparison_section:compare", a, b, folder, phase)
    )
    print_answer(compared.verdict, compared.lines())
    if compared.written:
        print_note(f"written: {', '.join(map(str, compared.written))}")


main = process.Command(
    "compare",
    compare,
    "Compare two stores, for example of two versions, two numerics or two days, and find the "
    "setups whose convergence rates differ, paired by the seeds that both stores have. Setups "
    "with equal keys count as the same, even if their ids differ.",
    "Exit: 0 complete (whether or not something differs), 2 bad usage, 3 no store, no runs in "
    "it or a damaged file, 4 disk full or not writable, 130 or 143 interrupted.",
    [
        option("a", metavar="A", type=Path, help="a folder made by `fastbp sweep`"),
        option("b", metavar="B", type=Path, help="another one"),
        option(
            "-o",
            "--folder",
            metavar="DIR",
            type=folder,
            help="also write DIR/compare.csv, DIR/compare.html and DIR/figures",
        ),
    ],
    place="folder",
)
main.run_if_main(__name__)
