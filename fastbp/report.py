"""`python -m fastbp.report STORE`: make the tables, pictures and page of a store again."""

from pathlib import Path

from fastbp.cli import process
from fastbp.cli.arguments import STORE, lazily, number, option
from fastbp.cli.terminal import print_answer, print_note, print_notes, screen


def report(store: Path, collapse: float | None, all_runs: bool) -> None:
    """Write the report of a store and print what it says."""
    made = process.in_thread(
        lambda phase: lazily(
            "reporting.build:make", store, collapse=collapse, all_runs=all_runs, tick=phase
        )
    )
    print_notes(made.notes)
    shown = screen()
    print_answer(made.verdict, made.table(shown), made.published_lines(shown.width))
    print_note(f"written: {store / 'report.html'}")
    print_note(f"and {len(made.written) - 1} more files in the same folder")


main = process.Command(
    "report",
    report,
    "Make the tables, pictures and page of a store again: STORE/summary.csv, contrasts.csv, "
    "attribution.csv, figures/ and report.html, one file without scripts that says what "
    "decides between converging and collapsing. It reads only the store's Parquet files.",
    "Exit: 0 complete, 2 bad usage, 3 no store, no runs in it or a damaged file, 4 disk full "
    "or not writable, 130 or 143 interrupted.",
    [
        STORE,
        option(
            "--collapse",
            metavar="C",
            type=number("a number above 0 and below 1, such as 0.1", lambda share: 0 < share < 1),
            help="classify the outcomes again: a run is collapsed if its outputs span less than "
            "this share of the target range (this trains nothing, and the next sweep or report "
            "without --collapse has the former outcomes again)",
        ),
        option(
            "--all-runs",
            action="store_true",
            help="report all setups in the store, not only those of its latest sweep",
        ),
    ],
    place="store",
)
main.run_if_main(__name__)
