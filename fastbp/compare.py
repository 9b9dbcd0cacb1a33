"""`python -m fastbp.compare A B`: find the setups whose convergence rates differ in two stores."""

from pathlib import Path

from fastbp.cli import process
from fastbp.cli.arguments import lazily, option, output_folder
from fastbp.cli.terminal import print_answer, print_note, screen
from fastbp.schema.errors import SweepError


def compare(a: Path, b: Path, folder: Path | None, vary: str | None) -> None:
    """Compare two stores and print what differs."""
    try:
        compared = process.in_thread(
            lambda phase: lazily(
                "reporting.sections.comparison_section:compare", a, b, folder, phase, vary
            )
        )
    except SweepError as error:
        raise SweepError("--" * line.startswith("vary") + line for line in error.lines) from None
    print_answer(compared.verdict, compared.lines(screen().width))
    for path in compared.written:
        print_note(f"written: {path}")


main = process.Command(
    "compare",
    compare,
    "Compare two stores, for example of two versions, two numerics or two days, and find the "
    "setups whose convergence rates differ, paired by the seeds that both stores have. Setups "
    "with equal keys count as the same, even if their ids differ. --vary compares two stores over "
    "a key in which they differ on purpose.",
    "Exit: 0 complete (whether or not something differs), 2 bad usage, 3 no store, no runs in "
    "it or a damaged file, 4 disk full or not writable, 130 or 143 interrupted.",
    [
        option("a", metavar="A", type=Path, help="a folder made by `fastbp sweep`"),
        option("b", metavar="B", type=Path, help="another one"),
        option(
            "-o",
            "--folder",
            metavar="DIR",
            type=output_folder,
            help="also write DIR/compare.csv, DIR/compare.html and DIR/figures",
        ),
        option(
            "--vary",
            metavar="KEY",
            help="compare setups that are equal apart from this key of [setup], such as momentum",
        ),
    ],
    place="folder",
)
main.run_if_main(__name__)
