"""`python -m fastbp.diagnose [DATA]`: why do networks of a setup fail, and which single change
fixes it.
"""

import argparse
import sys
from collections.abc import Sequence

from fastbp.cli import asking
from fastbp.schema.columns import SETUP_COLUMNS

KEYS = ["loss" if column.name == "loss_function" else column.name for column in SETUP_COLUMNS]


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fastbp diagnose",
        description="Say how often networks of a setup fail, what failing ones do instead of learning, and which single change "
        "fixes it, tried on the same seeds and checked on fresh ones.",
        epilog="Exit: 0 complete, 2 bad usage or data, 4 disk full or not writable, 130 or 143 interrupted.",
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="a table (.csv, .parquet, .npz), or a problem such as xor or parity:4 (default: the founding case)",
    )
    parser.add_argument("--targets", nargs="+", metavar="COL", help="target columns of DATA")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="a key of the setup, read as TOML",
    )
    for key in KEYS:
        if key not in ("problem", "targets", "collapse"):
            option = f"--{key.replace('_', '-')}"
            said = f"the same as --set {key}=VALUE"
            if key == "hidden":
                parser.add_argument(
                    option,
                    dest="key_hidden",
                    metavar="N",
                    nargs="+",
                    help="sizes of the hidden layers",
                )
            else:
                parser.add_argument(option, dest=f"key_{key}", metavar="VALUE", help=said)
    parser.add_argument(
        "--weights",
        metavar="FILE.npz",
        help="your own initial weights (W0, b0, W1, b1, … W[out, in]): are they unlucky?",
    )
    parser.add_argument(
        "--seeds", metavar="N", default="2000", help="seeds of each change (default: 2000)"
    )
    parser.add_argument(
        "--seconds",
        metavar="S",
        default="60",
        help="take no longer (default: 60), but where compiling, once for a machine, does",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="also write DIR/diagnosis.html, a table, a picture and a sweep file",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of words"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return asking.diagnose(parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
