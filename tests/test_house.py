"""The rules of the house: short functions, small modules, names that occur once."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import CHECKOUT

import fastbp
from tests.__main__ import UNCOMPILED

PACKAGE = Path(fastbp.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef

MAX_LINES, MAX_PARAMETERS, MAX_COMPILED_PARAMETERS, MAX_MODULE_LINES = 50, 8, 16, 400

COMMANDS = {"sweep", "report", "compare", "replay", "diagnose", "verify", "merge", "list"}
"""A command and what it runs may share a name."""


def functions(module: Path) -> Iterator[Function]:
    """Every function of a module, methods and nested ones included."""
    return (node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, Function))


def own_lines(function: Function) -> int:
    """Lines of a function, nested functions and classes apart."""
    nested: list[ast.AST] = list(ast.iter_child_nodes(function))
    count = function.end_lineno - function.lineno + 1
    while nested:
        node = nested.pop()
        if isinstance(node, Function | ast.ClassDef):
            count -= node.end_lineno - node.lineno + 1
        else:
            nested += ast.iter_child_nodes(node)
    return count


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_and_modules_are_short(module: Path) -> None:
    long = [f.name for f in functions(module) if own_lines(f) > MAX_LINES]
    assert not long, f"more than {MAX_LINES} lines: {', '.join(long)}"
    most = (
        MAX_COMPILED_PARAMETERS if module.parent.name in ("kernels", "choices") else MAX_PARAMETERS
    )
    wide = []
    for function in functions(module):
        given = function.args
        names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        if len(set(names) - {"self", "cls"}) > most:
            wide.append(function.name)
    assert not wide, f"more than {most} parameters: {', '.join(wide)}"
    assert len(module.read_text().splitlines()) <= MAX_MODULE_LINES


def test_no_two_modules_share_a_name() -> None:
    names = Counter(path.stem for path in MODULES if not path.stem.startswith("__"))
    twice = {name for name, count in names.items() if count > 1}
    assert twice <= COMMANDS, twice - COMMANDS
    assert all(names[name] == 2 for name in twice)
    # pytest cannot collect two test files of one name together.
    tests = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, count in tests.items() if count > 1] == []


def test_no_two_classes_share_a_name() -> None:
    classes = Counter(
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in classes.items() if count > 1] == []


def test_what_needs_compiled_code_is_in_a_mode_that_compiles() -> None:
    """A mark in any other file would keep its test out of every mode."""
    without = [
        path for name in UNCOMPILED for path in (CHECKOUT / name, *CHECKOUT.glob(f"{name}/**/*.py"))
    ]
    assert [path for path in without if path.is_file() and "mark.jit\n" in path.read_text()] == []


MAX_STATEMENTS = {"fastbp": 16_751, "tests": 18_432}
"""Docstrings apart."""


@pytest.mark.parametrize("folder", MAX_STATEMENTS)
def test_the_house_does_not_grow(folder: str) -> None:
    def is_text(node: ast.AST) -> bool:
        value = getattr(node, "value", None)
        return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)

    nodes = (
        node
        for path in (Path(__file__).parents[1] / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    )
    assert (
        sum(isinstance(node, ast.stmt) and not is_text(node) for node in nodes)
        <= MAX_STATEMENTS[folder]
    )
