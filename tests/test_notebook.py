"""The notebook under docs/ runs, and says what is printed in it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import succeeded

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parent.parent / "docs" / "from-question-to-picture.ipynb"


def outputs(notebook):
    """What each cell printed: texts as they stand, and of pictures that they are there."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            words = re.sub(
                r"\d+(\.\d+)?x\d+", "", "".join(data.get("text/plain", ""))
            ).split()  # sizes and widths are not said
            yield output["output_type"], output.get("text"), words, "image/png" in data


@pytest.mark.jit
def test_it_says_again_what_it_says(tmp_path):
    shutil.copy(NOTEBOOK, tmp_path)
    # nbclient's own command, which has its event loop and its warnings in a process of its own.
    succeeded(
        subprocess.run(
            [
                sys.executable,
                "-c",
                "from nbclient.cli import main; main()",
                "--inplace",
                NOTEBOOK.name,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    )
    published = nbformat.read(NOTEBOOK, 4)
    assert list(outputs(nbformat.read(tmp_path / NOTEBOOK.name, 4))) == list(outputs(published))
    assert sum(picture for *_, picture in outputs(published)) == 4
    assert {kind for kind, *_ in outputs(published)} == {"execute_result", "display_data"}, (
        "no errors, no warnings"
    )


@pytest.mark.parametrize("place", ["/home/", "/tmp/", "/root/", str(Path.home())])
def test_it_names_no_place(place):
    assert place not in NOTEBOOK.read_text()
