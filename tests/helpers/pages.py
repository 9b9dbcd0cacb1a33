"""Pages of stores whose runs nobody trained: what a sweep may leave, and what somebody may have
written into its file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sample_frames as frames
from fake_runs import replaced

from fastbp.reporting import build, plots
from fastbp.reporting.sections.comparison_section import compare
from fastbp.schema.columns import MAX_OUTPUTS
from fastbp.store.npz import data_digest

BITS = np.array([[1, 1, 1, 0, 1, 0, 1, 1]], float).T
"""Targets of the founding problem, [row, output]."""

MARKUP = "</title></style><script>alert(1)</script><img src=x onerror=alert(2)>"
ENTITIES = "&amp;&lt; \"double\" 'single' `back` {{ 7 * 7 }} {% raw %}"
FORMULA = "$x^2$ and $\\frac{1}{2}$ cost $5"
LINES = "two\nlines,\ta tab\r\nand \x1b[31mred\x1b[0m"
ARABIC, HEBREW = "هل تتعلم الشبكة من الأمثلة؟", "האם הרשת לומדת \u202eמהדוגמאות"
ENDLESS = "x" * 10_000

SHARES = {
    "usual": (0, 0.3, 0.2, 0.2, 0.3),
    "constant": (0, 0.001, 0.27, 0.7, 0.029),
    "fixed": (0, 0.84, 0, 0.01, 0.15),
}
"""Of diverged, converged, collapsed, one-class and partial runs."""


def answers(outcomes: Sequence[str], T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Outputs as networks of these outcomes give them, [run, row, output]."""
    n, how = len(outcomes), np.array(outcomes)[:, None, None]
    learnt = np.where(
        how == "converged", rng.uniform(0.65, 0.98, (n, 1, 1)), rng.uniform(0.2, 0.55, (n, 1, 1))
    )
    near = T.mean(axis=0) + learnt * (T - T.mean(axis=0)) + rng.normal(0, 0.02, (n, *T.shape))
    flat = T.mean(axis=0) + np.where(how == "one-class", 0.12, 0.015) * rng.uniform(
        -1, 1, (n, *T.shape)
    )
    return np.clip(np.where((how == "collapsed") | (how == "one-class"), flat, near), 0.001, 0.999)


def runs(keys: dict[str, object], outcomes: Sequence[str], T: np.ndarray = BITS) -> pa.Table:
    """The runs of a setup, which answer, lose and converge as their outcomes say."""
    n, rng = len(outcomes), np.random.default_rng(int(frames.identity(keys), 16))
    table = frames.table(keys, outcomes)
    given, how = answers(outcomes, T, rng), np.array(outcomes)
    budget = int(str(keys.get("updates", 999)))
    measured = {
        "loss": 0.5 * ((given - T) ** 2).sum(axis=2).mean(axis=1),
        "spread": np.ptp(given, axis=1).max(axis=1),
        "max_error": np.abs(given - T).max(axis=(1, 2)),
        "loss_start": rng.uniform(0.1, 0.3, n),
        "updates_done": np.full(n, budget),
        "spread_start": np.random.default_rng(1).lognormal(-2, 0.8, n),
    }
    gone = how == "diverged"
    for name, values in measured.items():
        table = replaced(
            table,
            name,
            pa.array(values, mask=gone if name in ("loss", "spread", "max_error") else None),
        )
    at = np.maximum(1, (budget * rng.beta(3, 2, n)).astype(int))
    table = replaced(table, "converged_at", pa.array(at, mask=how != "converged"))
    lists = [
        None if T.size > MAX_OUTPUTS or none else own.ravel()
        for own, none in zip(given, gone, strict=True)
    ]
    return replaced(table, "outputs", pa.array(lists, pa.list_(pa.float32())))


def store(
    folder: Path,
    setups: Sequence[pa.Table],
    title: str = "",
    baseline: int | None = 0,
    T: np.ndarray = BITS,
) -> Path:
    """A store of these setups; `baseline`: which of them is the one as it stands."""
    X = np.zeros((len(T), 3))
    problem = data_digest(X, T)
    (folder / "problems").mkdir(parents=True)
    np.savez(folder / "problems" / f"{problem}.npz", X=X, T=T)
    ids = [setup["setup"][0].as_py() for setup in setups]
    for setup in setups:
        frames.write(folder, setup, said={"fastbp.problem": problem})
    said = [
        f"title = {json.dumps(title, ensure_ascii=False)}",
        f"seeds = {max(setup.num_rows for setup in setups)}",
        "[resolved]",
    ]
    said += [
        f"setups = {json.dumps(ids)}",
        *([f'baseline = "{ids[baseline]}"'] if baseline is not None else []),
    ]
    (folder / "sweep.toml").write_text("\n".join(said), "utf-8")
    made = {
        "when": "2026-01-31T12:00:00Z",
        "cpu": title,
        "jobs": 2,
        "runs": 1234,
        "updates": 10**9,
        "updates_per_second": 36240421,
    }
    (folder / "made.json").write_text(
        json.dumps([made | {"versions": {"numpy": "2.4.6", title: title}, "python": title}]),
        "utf-8",
    )
    return folder


def mixed(keys: dict[str, object], n: int, share: str = "usual", T: np.ndarray = BITS) -> pa.Table:
    return runs(
        keys,
        frames.mixed(n, np.random.default_rng(int(frames.identity(keys), 16)), *SHARES[share]),
        T,
    )


def of_grid(
    title: str,
    runs: int,
    share: Callable[[dict[str, Any]], str],
    baseline: int | None = 0,
    **axes: Sequence[object],
) -> Callable[[Path], Path]:
    """A store of all combinations of some values, whose runs end as `share` says."""

    def make(folder: Path) -> Path:
        grid = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        return store(folder, [mixed(keys, runs, share(keys)) for keys in grid], title, baseline)

    return make


def one_outcome(outcome: str, title: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return store(folder, [runs({"lr": lr}, [outcome] * 40) for lr in (0.1, 0.2, 0.4)], title)

    return make


def encoder(folder: Path) -> Path:
    grid = ({"problem": "encoder:8", "hidden": "3", "lr": lr} for lr in (0.5, 2.0))
    return store(
        folder,
        [mixed(keys, 40, T=np.eye(8)) for keys in grid],
        "An encoder of 64 outputs",
        T=np.eye(8),
    )


def planes(folder: Path) -> Path:
    """Disks of runs that converge, in a dust of others."""
    side = 100
    up, across = np.mgrid[:side, :side] / (side / 2) - 1
    setups = []
    for radius in (0.4, 0.7, 0.9, 1.1, 1.3):
        dust = np.random.default_rng(1).random(up.shape) < 0.1
        ends = np.where(
            (up**2 + across**2 < radius**2) ^ dust,
            "converged",
            np.where(up > across, "partial", "collapsed"),
        )
        keys = {"init": f"grid:side={side},x=0,y=12", "init_scale": 5.0, "lr": radius}
        setups.append(runs(keys, ends.ravel().tolist()))
    return store(folder, setups, "Planes of initial weights")


def atlas(folder: Path, rows: int = 4) -> Path:
    """All functions of so many rows, with inputs as they are and standardised."""
    tables = [f"{number:0{rows}b}" for number in range(2**rows)]
    share = ("constant", "usual", "fixed")
    setups = [
        mixed(
            {"problem": f"table:{bits}", "scale_inputs": scale},
            8,
            share[(bits.count("1") + (scale != "none")) % 3],
        )
        for bits, scale in product(tables, ("none", "standard"))
    ]
    return store(folder, setups, "Every function of a few bits", baseline=None)


def many(hidden: int) -> Callable[[Path], Path]:
    """A store of twenty setups for each number of hidden units."""
    return of_grid(
        "Very many setups",
        12,
        lambda keys: ("constant", "usual", "fixed")[min(int(keys["hidden"]) // 4, 2)],
        43,
        hidden=[str(units) for units in range(1, hidden + 1)],
        lr=(0.05, 0.1, 0.2, 0.4, 0.8),
        order=("random", "shuffled", "cyclic", "blocked:4"),
    )


def published(folder: Path) -> Path:
    """With what others printed: of one setup, of several, and in words that might be more than
    words."""
    setups = [
        mixed({"lr": lr, "epochs": 333, "updates": 999, "batch": 3}, 60) for lr in (0.1, 0.2, 0.4)
    ]
    ids = [setup["setup"][0].as_py() for setup in setups]
    figures = [
        {"source": source, "figure": figure, "value": value, "runs": 50, "evaluated": looks}
        for source in (
            MARKUP,
            "Somebody 1990, Journal of Results 3:14-15, table 9, second row from below, as "
            "corrected in 4:1",
        )
        for figure, value, looks in (
            ("success", 0.3, "after"),
            ("mean", 123.45, "after"),
            ("efficiency", 3, "before"),
        )
    ]
    made = store(folder, setups, "Do published figures come out?")
    fitting = [ids] * 3 + [ids[:1]] * 3
    told = "".join(
        f"[[published]]\n{''.join(f'{k} = {json.dumps(v)}{chr(10)}' for k, v in one.items())}"
        for one in figures
    )
    whole = (made / "sweep.toml").read_text("utf-8")
    (made / "sweep.toml").write_text(f"{whole}\npublished = {json.dumps(fitting)}\n{told}", "utf-8")
    return made


def hostile(folder: Path) -> Path:
    names = (MARKUP, ENTITIES, FORMULA, LINES, ARABIC, HEBREW, ENDLESS, "ش" * 300)
    setups = [
        mixed({"problem": f"file:{name}", "targets": name, "lr": lr}, 20)
        for name in names[:2]
        for lr in (0.1, 0.2)
    ]
    setups += [
        mixed({"problem": f"file:{name}", "targets": name, "lr": 0.1}, 20) for name in names[2:]
    ]
    return store(
        folder, setups, f"{MARKUP} {ENTITIES} {FORMULA} {LINES} {ARABIC} {HEBREW} {ENDLESS}"
    )


def rates_and_weights(rates: int, scales: int) -> Callable[[Path], Path]:
    """A store whose setups make a map."""
    return of_grid(
        "At which rates and initial weights does it learn?",
        30,
        lambda keys: "fixed" if 0.3 < keys["lr"] < 10 and keys["init_scale"] < 3 else "constant",
        lr=[round(10 ** (-2 + 4 * i / (rates - 1)), 4) for i in range(rates)],
        init_scale=[round(10 ** (-2 + 3 * i / (scales - 1)), 4) for i in range(scales)],
    )


STORES: dict[str, Callable[[Path], Path]] = {
    "founding": of_grid(
        "Order, updates or rate: what fixes a constant network?",
        400,
        lambda keys: "constant" if keys["updates"] == 999 else "fixed",
        order=("random", "shuffled"),
        updates=(999, 7992),
        lr=(0.2, 0.1),
    ),
    "one run": lambda folder: store(folder, [runs({}, ["collapsed"])], "One run"),
    "all converged": one_outcome("converged", f"{HEBREW} {ARABIC}"),
    "all diverged": one_outcome("diverged", "All diverged"),
    "no baseline": of_grid(
        "", 60, lambda keys: "usual", None, problem=("parity:3", "xor"), lr=(0.1, 0.5)
    ),
    "100 setups": many(5),
    "encoder": encoder,
    "three axes": of_grid(
        "Three numeric axes",
        40,
        lambda keys: "fixed" if keys["lr"] * keys["updates"] > 10_000 else "constant",
        lr=(0.1, 0.2),
        momentum=(0.0, 0.9),
        updates=(999, 79920),
    ),
    "map": rates_and_weights(9, 8),
    "one key": of_grid(
        "Which rate?",
        60,
        lambda keys: "fixed" if 0.3 < keys["lr"] < 10 else "constant",
        lr=[round(10 ** (-1 + i / 4), 3) for i in range(12)],
        order=("shuffled", "cyclic"),
    ),
    "24 setups": of_grid(
        "Which network learns my table?",
        60,
        lambda keys: "fixed" if keys["momentum"] else "usual",
        None,
        momentum=(0.0, 0.9),
        init=("normal", "glorot-uniform", "he-normal"),
        hidden=("3", "6"),
        order=("shuffled", "cyclic"),
    ),
    "atlas": atlas,
    "published": published,
    "planes": planes,
    "hostile": hostile,
}
"""Stores of the daily round, and those of the long one."""

LARGE = {
    "300 setups": many(15),
    "large map": rates_and_weights(25, 21),
    "atlas of three bits": lambda folder: atlas(folder, 8),
}

PAGES = [*STORES, "two stores"]


def without_png(patch: pytest.MonkeyPatch) -> None:
    """PNG files are empty: no page shows one, and drawing them takes as long as the page itself."""
    drawn = plots.encoded

    def svg_alone(figure: Any, kind: str) -> bytes:
        return b"" if kind == "png" else drawn(figure, kind)

    patch.setattr(plots, "encoded", svg_alone)


def page(name: str, folder: Path) -> Path:
    """Make a page in a folder."""
    if make := (STORES | LARGE).get(name):
        build.make(make(folder))
        return folder / "report.html"
    stores = [
        store(folder / f"{n} $x^2$ & <b>", [mixed({"lr": lr}, n) for lr in (0.1, 0.2, 0.4)])
        for n in (40, 50)
    ]
    compare(*stores, folder)
    return folder / "compare.html"
