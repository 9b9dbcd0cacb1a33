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


def main() -> int:
    """Train the founding sweep and copy its page, tables and pictures."""
    target = GALLERY / "founding"
    with tempfile.TemporaryDirectory(prefix="fastbp-gallery-") as folder:
        command = [sys.executable, "-m", "fastbp.sweep", "founding"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        store = Path(folder, "results", "founding")
        shutil.rmtree(target, ignore_errors=True)
        (target / "figures").mkdir(parents=True)
        for file in [store / "report.html", *store.glob("*.csv"), *store.glob("figures/*.svg")]:
            shutil.copyfile(file, target / file.relative_to(store))
    return 0


if __name__ == "__main__":
    sys.exit(main())
