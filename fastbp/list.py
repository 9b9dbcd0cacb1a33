"""`python -m fastbp.list`: the sweeps that ship with fastbp."""

import fastbp
from fastbp.cli import process
from fastbp.cli.arguments import shipped_sweeps, sweep_order
from fastbp.cli.terminal import print_data, screen
from fastbp.schema.text import WIDTH, wrap


def list_sweeps() -> None:
    """Print the name, size and question of each sweep that ships with fastbp, by folder."""
    width, folder = min(WIDTH, screen().width), ""
    sweeps = shipped_sweeps()
    for name in sorted(sweeps, key=sweep_order):
        sweep = fastbp.Sweep.from_toml(sweeps[name])
        size = f"{len(sweep.setups):,} × {sweep.seeds.count:,} runs"
        before, folder = folder, name.rpartition("/")[0]
        print_data("\n" * (folder != before) + f"{name:<{width - 1 - len(size)}} {size}")
        print_data("\n".join(wrap(sweep.title, width, " " * 4, " " * 4)))


main = process.Command(
    "list",
    list_sweeps,
    "List the sweeps that ship with fastbp: the name that `fastbp sweep` takes, how many "
    "setups and seeds it has, and the question it answers.",
    "Exit: 0 complete, 2 bad usage.",
)
main.run_if_main(__name__)
