"""The table of keys, and that everything made from it agrees with it."""

import re
from contextlib import suppress
from dataclasses import fields
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest

from fastbp.choices.families import FAMILIES
from fastbp.config.setup import Setup
from fastbp.diagnose import main
from fastbp.schema.columns import SETUP_COLUMNS
from fastbp.schema.keys import COLUMN_DEFAULTS, KEYS

COLUMNS = (
    "problem",
    "targets",
    "target_kind",
    "test",
    "test_split",
    "scale_inputs",
    "scale_targets",
    "target_margin",
    "hidden",
    "init",
    "init_scale",
    "bias",
    "bias_init",
    "activation",
    "output",
    "loss_function",
    "class_weight",
    "prime_offset",
    "order",
    "batch",
    "reduction",
    "lr",
    "schedule",
    "optimizer",
    "momentum",
    "nesterov",
    "weight_decay",
    "epochs",
    "updates",
    "tolerance",
    "success",
    "success_on",
    "collapse",
    "eval_every",
    "stop",
    "dtype",
)

IDS: dict[str, tuple[Any, str]] = {
    "problem": ("table:11101011", "98a31d5ea974"),
    "scale_inputs": ("minmax", "d4db3a684001"),
    "target_margin": (0.1, "be5785004174"),
    "hidden": ([8, 2], "416bdefc7131"),
    "init": ("glorot-normal", "23a9b4fec1a0"),
    "init_scale": (2.5, "364e9ee83b77"),
    "bias": (False, "27ef94c9df66"),
    "bias_init": ("zeros", "2e20a2c11011"),
    "activation": (["tanh"], "f20db37b8e6d"),
    "output": ("tanh", "9fc724bf1a7f"),
    "optimizer": ("adam", "133b6fe1c312"),
    "loss": ("cross-entropy", "1cc7a808bbb3"),
    "prime_offset": (0.1, "3cbdec2c5c2a"),
    "order": ("blocked:3", "f385fa224597"),
    "batch": ("full", "edebd7371e04"),
    "reduction": ("mean", "8282547bf61d"),
    "lr": (0.2, "825242a348bf"),
    "schedule": ("step:every=10,factor=0.5", "db3f903cda2a"),
    "momentum": (0.9, "ff493515ffca"),
    "weight_decay": (0.0001, "1c44e1688ee9"),
    "epochs": (25, "95df060b6b6a"),
    "updates": (999, "5fc13928d08d"),
    "tolerance": (0.3, "f62dc9cd943a"),
    "success": ("accuracy:0.9", "43706acd895a"),
    "collapse": (0.3, "e30e809b0a90"),  # that of all defaults
    "eval_every": (7, "5f4b3d46c9a0"),
    "stop": ("converged", "564f3df6d861"),
    "dtype": ("float32", "c7345defbc18"),
}
"""The id of xor with 100 updates and another value of one key, under numerics version 1."""


def plain_type(annotation: Any) -> Any:
    """An annotation without its limits."""
    parts = tuple(plain_type(part) for part in get_args(annotation))
    if get_origin(annotation) is Annotated:
        return parts[0]
    if get_origin(annotation) is tuple:
        return tuple[parts]
    if parts and get_origin(annotation) is not Literal:
        return reduce(or_, parts)
    return annotation


def test_a_setup_has_the_keys_and_their_types() -> None:
    hints = get_type_hints(Setup)
    assert [field.name for field in fields(Setup)] == [*KEYS, "file"]
    for name, key in KEYS.items():
        kind = plain_type(key.annotation)
        assert hints[name] in (kind, kind | None if key.nullable else kind), name


def test_defaults_are_values_of_their_keys() -> None:
    setup = Setup(problem="xor", updates=1)
    for name, key in KEYS.items():
        if name not in ("problem", "updates"):
            assert getattr(setup, name) == key.default, name
    rows = setup.columns()
    for name, default in COLUMN_DEFAULTS.items():
        if default is not None:
            assert rows[name] == default, name


def test_columns_are_in_the_order_that_digests_depend_on() -> None:
    assert tuple(column.name for column in SETUP_COLUMNS) == COLUMNS
    assert tuple(COLUMN_DEFAULTS) == COLUMNS


def test_families_are_keys_without_limits() -> None:
    assert FAMILIES.keys() == {
        name for name, key in KEYS.items() if key.annotation in (str, str | None)
    }


def test_docs_describe_every_key() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|.*\|.*\| (.*) \|$",
        (Path(__file__).parents[2] / "docs" / "sweep-file.md").read_text(encoding="utf-8"),
        re.M,
    )
    described = dict(rows)
    for name, key in KEYS.items():
        assert key.description.partition("`")[0] in described[name], name


def test_diagnose_has_an_option_for_every_key_that_changes_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with suppress(SystemExit):
        main(["--help"])
    options = capsys.readouterr().out
    for name, key in KEYS.items():
        if key.in_id and name != "problem":
            assert f"--{name.replace('_', '-')}" in options, name


def test_ids_have_a_known_answer_for_every_key() -> None:
    others = {"targets", "target_kind", "scale_targets", "class_weight", "success_on"}
    others |= {"test", "test_split", "nesterov"}
    assert IDS.keys() == KEYS.keys() - others, "others: tests/problems"


@pytest.mark.parametrize("key", IDS)
def test_ids_do_not_change(key: str) -> None:
    value, identity = IDS[key]
    budget = {} if key == "epochs" else {"updates": 100}
    assert Setup(**{"problem": "xor", **budget, key: value}).identity(1) == identity


def test_what_changes_no_run_is_in_no_id_and_no_grid() -> None:
    assert [name for name, key in KEYS.items() if not key.in_id] == ["collapse"]
    assert Setup(problem="xor", updates=100).identity(1) == IDS["collapse"][1]
