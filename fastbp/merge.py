"""`python -m fastbp.merge INTO FROM…`: merge stores, for example the shards of a sweep.

Without FROM it rewrites a store in few files.
"""

from pathlib import Path

from fastbp.cli import process
from fastbp.cli.arguments import option
from fastbp.cli.terminal import print_data, print_note
from fastbp.schema.text import plural, printable


def merge(into: Path, sources: list[Path]) -> None:
    """Copy runs into a store, or join its own files, and print how many there are."""
    from fastbp.engine import merge as merge_module
    from fastbp.store.store import Store

    target, stores, place = Store(into), [Store(source) for source in sources], printable(str(into))
    for store in stores or [target]:
        store.check_usable(any_version=True, with_runs=True)  # before anything is made
    with target.locked(any_version=True):
        if not stores:
            before, after = process.in_thread(lambda phase: merge_module.compact(target, phase))
            print_data(
                f"{place}: {plural(sum(file.count for file in after), 'run')} in "
                f"{plural(len(after), 'file')}, before {len(before):,}"
            )
            return
        try:
            merged = process.in_thread(lambda phase: merge_module.merge(target, stores, phase))
        finally:
            target.remove_if_empty()
    print_data(
        f"{place}: {merged.runs:,} runs written in {plural(merged.files, 'file')}, "
        f"{merged.there:,} were there already"
    )
    print_note(f"to make its tables and train what is missing: {process.resweep(into)}")


main = process.Command(
    "merge",
    merge,
    "Copy the runs of some stores into one. Every file is read and checked before anything is "
    "written. If two stores have the same seed of a setup, their rows must be the same, bit "
    "for bit, and one is kept. After an interruption the same command continues; if all runs "
    "are there with all their columns, it writes nothing. Without FROM it rewrites INTO in few "
    "files, as after many small extensions; the sha256 of all its rows stays the same.",
    "Exit: 0 done, 2 bad usage, 3 a store is damaged, locked or of another version, or rows "
    "differ, 4 disk full or not writable, 130 or 143 interrupted.",
    [
        option(
            "into", metavar="INTO", type=Path, help="the store that gets the runs; it may be new"
        ),
        option(
            "sources",
            metavar="FROM",
            nargs="*",
            type=Path,
            default=[],
            help="stores to read; they stay unchanged",
        ),
    ],
    place="into",
)
main.run_if_main(__name__)
