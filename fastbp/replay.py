"""`python -m fastbp.replay STORE SETUP SEED`: train a stored run again and show it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fastbp.cli import process
from fastbp.cli.arguments import STORE, file_ending, option
from fastbp.cli.terminal import Phase, print_data, print_note
from fastbp.schema.errors import StoreFullError, SweepError
from fastbp.schema.text import plural

if TYPE_CHECKING:
    from fastbp.engine.retrain import Trajectory


def replay(
    store: Path, setup: str, seed: str, check: bool, export: Path | None, figure: Path | None
) -> int:
    """Train a run again; show it, or compare it with its stored row."""
    from fastbp.engine import compile_ahead, stored_run, tasks
    from fastbp.engine.retrain import retrain
    from fastbp.schema.columns import COLUMNS
    from fastbp.store.store import Store

    run = stored_run.find(Store(store), setup, seed, held=check)

    def work(phase: Phase) -> tuple[Trajectory | None, list[str]]:
        compile_ahead.warm_up(tasks.kernel_key(run.setup))
        phase("training this run again")
        differences = stored_run.differences(run) if check else []
        if check and not (export or figure):
            return None, differences
        if too_large := stored_run.too_large(run, rows=bool(export)):
            raise SweepError(too_large)
        return retrain(
            run.setup,
            run.seed,
            rows=bool(export),
            most=run.row["updates_done"] if run.row else None,
        ), differences

    trajectory, differences = process.in_thread(work, "compiling")
    if check:
        compared = [column for column in COLUMNS if column.name in (run.row or ())]
        print_data("\n".join(differences) or f"the same, bit for bit: {len(compared)} columns")
    if trajectory:
        _show(trajectory, store / "replays", check, export, figure)
    return process.BAD_STORE if differences else process.COMPLETE


def _show(
    trajectory: Trajectory, folder: Path, check: bool, export: Path | None, figure: Path | None
) -> None:
    """Print a trajectory, and write its evaluations, pictures and weights."""
    from fastbp.engine import stored_run
    from fastbp.reporting import phrases, plots

    evaluations, identity = trajectory.evaluations, trajectory.setup.identity()
    last = evaluations.iloc[-1]
    trace = folder / f"{identity}-{trajectory.seed}.parquet"
    title = (
        f"setup {identity}, seed {trajectory.seed}: {last['outcome']} after "
        f"{plural(int(last['updates']), 'update')}"
    )
    keys = ", ".join(
        f"{key} {phrases.plain(value)}" for key, value in stored_run.keys(trajectory.setup).items()
    )
    own = trajectory.setup.for_seed(trajectory.seed)
    X, T = own.training()
    T = own.in_table_units(T)
    files: dict[Path, bytes] = {}
    if not check:
        parts = [
            f"{title}\n{keys}",
            phrases.trajectory(evaluations, trajectory.converged_at),
            phrases.answers(X, T, last["outputs"]),
        ]
        print_data("\n\n".join(filter(None, parts)))
        files[trace] = stored_run.trace_file(trajectory)
    pictures = [figure] if figure else [trace.with_suffix(".svg"), trace.with_suffix(".png")]
    if figure or not check:
        picture = plots.trajectory(evaluations, T, title, keys, trajectory.converged_at)
        files |= {path: plots.encoded(picture, path.suffix.lower()[1:]) for path in pictures}
    if export:
        files[export] = stored_run.weights_file(trajectory)
    _write(files, folder.parent, trace if figure else None)


def _write(files: dict[Path, bytes], store: Path, optional: Path | None) -> None:
    """Write files and list them. If the optional one cannot be written, print a note."""
    from fastbp.store.store import write

    written = []
    for path, content in files.items():
        try:
            inside = _below(path, store)
            write(inside or path, content, store if inside else None)
            written.append(str(path))
        except StoreFullError as error:
            if path != optional:
                raise
            print_note(f"note: {error}")
    print_note("written: " + ", ".join(written))


def _below(path: Path, store: Path) -> Path | None:
    """The path from the store on, however it is spelt; None if it leads elsewhere.

    What is written from there never gets into a folder that has taken the place of the store.
    """
    for above in path.parents:
        rest, is_same = path.relative_to(above), above.absolute() == store.absolute()
        with suppress(OSError):
            if ".." not in rest.parts and (is_same or above.samefile(store)):
                return store / rest
    return None


main = process.Command(
    "replay",
    replay,
    "Train one run of a store again, bit for bit, and show its trajectory: loss, outputs, "
    "spread, gradient and saturation at every evaluation. The evaluations go into "
    "STORE/replays/SETUP-SEED.parquet, one row each, and the picture into the same folder "
    "as .svg and .png.",
    "Exit: 0 done, 1 it could not be trained, 2 bad usage, 3 store damaged or of another "
    "version, or --check finds a bit that differs, 4 disk full or not writable, 130 or 143 "
    "interrupted.",
    [
        STORE,
        option(
            "setup",
            metavar="SETUP",
            help="the setup's 12 hex digits (column `setup`), or its first digits if no other "
            "setup has them",
        ),
        option(
            "seed",
            metavar="SEED",
            help="0 to 2^63 - 1; it need not be in the store if the store has other seeds of the "
            "setup",
        ),
        option(
            "--check",
            action="store_true",
            help="instead of showing the run, compare every column of its stored row with the row "
            "trained again, bit for bit; writes only what --export and --figure name",
        ),
        option(
            "--export",
            metavar="FILE.npz",
            type=file_ending(".npz"),
            help="write what it takes to repeat the run elsewhere: W0, b0, W1, b1 and so on (final "
            "weights [out, in], biases if any), initial_W0 and so on (before the first update), "
            "rows (which row each presentation showed), X and T as trained, lr of each epoch, and "
            "keys (the setup as JSON)",
        ),
        option(
            "--figure",
            metavar="FILE",
            type=file_ending(".svg", ".png", ".pdf"),
            help="write the picture there instead: .svg, .png or .pdf",
        ),
    ],
    place="store",
)
main.run_if_main(__name__)
