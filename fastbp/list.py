"""`python -m fastbp.list`: the sweeps that ship with fastbp."""

import textwrap

import fastbp
from fastbp.cli import process
from fastbp.cli.arguments import shipped_sweeps
from fastbp.cli.terminal import WIDTH, print_data


def list_sweeps() -> None:
    """Print the name, size and question of each sweep that ships with fastbp."""
    for name, file in sorted(shipped_sweeps().items()):
        sweep = fastbp.Sweep.from_toml(file)
        size = f"{len(sweep.setups):,} × {sweep.seeds.count:,} runs"
        print_data(f"{name:<{WIDTH - 1 - len(size)}} {size}")
        print_data(textwrap.indent(textwrap.fill(sweep.title, WIDTH - 4), "    "))


main = process.Command(
    "list",
    list_sweeps,
    "List the sweeps that ship with fastbp: the name that `fastbp sweep` takes, how many "
    "setups and seeds it has, and the question it answers.",
    "Exit: 0 complete, 2 bad usage.",
)
main.run_if_main(__name__)
