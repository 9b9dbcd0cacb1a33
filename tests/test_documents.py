"""Documents show what commands print, and link to what is there."""

import re
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pandas as pd
import pytest
from stores import CHECKOUT

import fastbp

PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])

make_outputs = SimpleNamespace(**run_path(str(CHECKOUT / "docs" / "make_outputs.py")))


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Commands run in one folder, each once; the first makes the store that others read."""
    output = make_outputs.outputs_in(tmp_path_factory.mktemp("outputs"))
    output("python -m fastbp.sweep")
    return output


@pytest.mark.jit
@pytest.mark.parametrize(
    ("page", "command"),
    [
        pytest.param(
            page,
            block["command"],
            id=f"{page.relative_to(CHECKOUT)}: {block['command']}",
            # Kernels of many other units and optimisers are compiled for these.
            marks=[pytest.mark.soak] * ("docs/tables" in block["command"]),
        )
        for page in make_outputs.PAGES
        for block in make_outputs.BLOCK.finditer(page.read_text("utf-8"))
    ],
)
def test_a_block_is_what_its_command_prints(page: Path, command: str, output) -> None:
    for block in make_outputs.BLOCK.finditer(page.read_text("utf-8")):
        if block["command"] == command:
            assert make_outputs.renewed(block[0], output) == block[0]


def test_the_table_to_paste_is_what_the_function_writes() -> None:
    shown = re.search(
        r"<!-- a table to paste.*?-->\n```text\n(.*?)```",
        (CHECKOUT / "docs" / "report.md").read_text("utf-8"),
        re.DOTALL,
    )
    assert shown is not None
    assert shown[1] == fastbp.table(pd.read_csv(CHECKOUT / "results/founding/summary.csv"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_fits_two_screens() -> None:
    assert len((CHECKOUT / "README.md").read_text("utf-8").splitlines()) <= 140


def test_what_the_readme_says_of_activations_stands_on_the_page() -> None:
    readme, page = (
        " ".join((CHECKOUT / name).read_text("utf-8").split())
        for name in ("README.md", "results/collapse/report.html")
    )
    said = re.search(
        r"from ([\d.]+%) with (\w+) to ([\d.]+%) with (\w+) units give constant", readme
    )
    assert said is not None
    assert "Constant answers: from {} with {} to {} with {}".format(*said.groups()) in page
    assert "1,568,000 runs" in readme
    assert "1,568,000 runs" in page


def test_what_the_readme_says_of_shuffling_stands_in_the_tables() -> None:
    readme = " ".join((CHECKOUT / "README.md").read_text("utf-8").split())
    most = [
        100 * table.loc[table["key"] == "order", "difference"].max()
        for table in (
            pd.read_csv(CHECKOUT / "results" / name / "contrasts.csv")
            for name in ("founding", "founding-in-full")
        )
    ]
    said = "Shuffling adds at most {:.1f} points in these eight setups, and up to {:.1f} in"
    assert said.format(*most) in readme
