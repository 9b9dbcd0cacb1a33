"""`docs/sweep-file.md` says what the model says."""

import re
from pathlib import Path
from runpy import run_path

from fastbp.choices.families import FAMILIES
from fastbp.config.choice_syntax import SWEEP_KEYS
from fastbp.config.sweep import Sweep
from fastbp.schema.keys import KEYS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "sweep-file.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_model_makes() -> None:
    assert run_path(str(DOCS / "make_sweep_file.py"))["page"]() == PAGE, (
        "run: python docs/make_sweep_file.py"
    )


def test_the_page_has_every_key_and_choice() -> None:
    for key in (*SWEEP_KEYS, *KEYS):
        assert f"\n| `{key}` | " in PAGE, key
    for family in FAMILIES.values():
        for choice in family.choices.values():
            assert f"\n| `{choice.usage}` | " in PAGE, choice.name


def test_the_examples_on_the_page_are_right(tmp_path: Path) -> None:
    (tmp_path / "iris.csv").write_text(
        "length,species\n" + "".join(f"{i},{'abc'[i % 3]}\n" for i in range(150))
    )
    examples = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert [len(Sweep.from_text(text, folder=tmp_path).setups) for text in examples] == [8, 1, 2, 1]
