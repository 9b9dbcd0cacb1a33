"""Write the outputs of commands that README and docs show: `python docs/make_outputs.py`.

A block of text after `<!-- output of COMMAND -->` is what the command prints on stdout; after
`<!-- the first N lines of the output of COMMAND -->` it is its beginning. Commands run one after
the other in a temporary folder, so that a later one finds what an earlier one made. The folder has
a copy of `docs/tables`.
`--check` writes nothing, and ends with 1 where a block is not what its command prints.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

BLOCK = re.compile(
    r"(<!-- (?:the first (?P<lines>\d+) lines of the )?output of (?P<command>python [^>]*?) -->\n"
    r"```text\n)(?P<text>.*?)(```)",
    re.DOTALL,
)


def outputs_in(folder: Path) -> Callable[[str], str]:
    """A function that runs a command in a folder, once, and returns what it prints.

    Parameters
    ----------
    folder : Path
        The current folder of all commands. `docs/tables` is copied into it.

    Returns
    -------
    callable
        Takes a command that begins with `python`; raises CalledProcessError where it fails.
    """

    shutil.copytree(ROOT / "docs" / "tables", folder / "docs" / "tables")

    @cache
    def output(command: str) -> str:
        _, *arguments = shlex.split(command)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.rstrip("\n") + "\n"

    return output


def renewed(text: str, output: Callable[[str], str]) -> str:
    """A page whose blocks are what their commands print."""

    def block(found: re.Match[str]) -> str:
        lines = output(found["command"]).splitlines(keepends=True)
        return found[1] + "".join(lines[: int(found["lines"] or len(lines))]) + found[5]

    return BLOCK.sub(block, text)


def main() -> int:
    """Renew the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and say what differs")
    check = parser.parse_args().check
    different = []
    with tempfile.TemporaryDirectory(prefix="fastbp-outputs-") as folder:
        output = outputs_in(Path(folder))
        for page in PAGES:
            text = page.read_text("utf-8")
            new = renewed(text, output)
            if new != text:
                different.append(str(page.relative_to(ROOT)))
                if not check:
                    page.write_text(new, "utf-8")
    if different:
        print(f"{'not as printed' if check else 'renewed'}: {', '.join(different)}")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
