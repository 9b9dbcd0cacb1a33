"""Make the pictures and the page that README and docs show: `python docs/make_gallery.py`.

The founding sweep is trained in a temporary folder; what the documents show of it is copied to
`docs/gallery/founding/`. `results/founding` is not touched.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

GALLERY = Path(__file__).parent / "gallery"
SHOWN = ("report.html", "figures/outcomes.svg", "figures/spread-loss.svg")


def main() -> int:
    """Train the founding sweep and copy what is shown."""
    target = GALLERY / "founding"
    with tempfile.TemporaryDirectory(prefix="fastbp-gallery-") as folder:
        command = [sys.executable, "-m", "fastbp.sweep", "founding"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        target.mkdir(parents=True, exist_ok=True)
        for name in SHOWN:
            shutil.copyfile(Path(folder, "results", "founding", name), target / Path(name).name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
