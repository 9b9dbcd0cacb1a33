"""What a terminal shows of a sweep, and tables to paste: in any width, with any signs."""

import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import sample_frames as frames

import fastbp
from fastbp.analysis.contrasts import contrasts
from fastbp.analysis.counts import SetupCounts, count_runs
from fastbp.analysis.summary import keys_of, summary
from fastbp.reporting import build
from fastbp.reporting.phrases import plain
from fastbp.reporting.sections.changes_section import effect_lines
from fastbp.reporting.sections.outcomes_section import result_table
from fastbp.reporting.terminal_map import map_lines
from fastbp.schema.text import Screen, percent

C, P = "converged", "partial"


def many(*keys: str) -> pd.DataFrame:
    """The summary of 64 setups in which these keys have four long values each, and two rates."""
    values = [[f"table:{key[:4]}{'0' * 24}{i}" for i in range(4)] for key in keys]
    each = [dict(zip(keys, row, strict=True)) for row in product(*values)]
    return summary(
        frames.frame(
            *(
                frames.table(row | {"lr": lr}, ["converged"] * i + ["partial"] * (20 - i))
                for i, (row, lr) in enumerate(list(product(each, (0.1, 0.2)))[:20])
            )
        )
    )


@pytest.mark.parametrize("width", [40, 60, 80, 120, 400])
@pytest.mark.parametrize("keys", [("problem",), ("problem", "init", "order", "scale_inputs")])
def test_a_table_is_as_wide_as_the_screen_and_keeps_the_share(
    width: int, keys: tuple[str, ...]
) -> None:
    table = many(*keys)
    lines = result_table(table, None, table.iloc[:5], width)
    assert max(map(len, lines)) <= width
    assert "converged" in lines[0]
    assert lines[-1] == f"… and {len(table) - 5} more in summary.csv"
    shares = [percent(share) for share in table["converged_share"].head()]
    assert all(f" {share}" in line for share, line in zip(shares, lines[1:], strict=False))
    if width == 400:
        whole = result_table(table, width=10**6)[: len(lines) - 1]
        assert [line.split() for line in lines[:-1]] == [line.split() for line in whole]
    else:
        lost = {"95%", "constant"} - {*lines[0].split()}
        assert bool(lost) == any(line.startswith("… not shown: ") for line in lines)


def test_setups_of_many_keys_are_named_by_what_differs_from_the_baseline() -> None:
    base: dict[str, object] = {"order": "shuffled", "batch": 3, "momentum": 0.5, "init_scale": 2.0}
    base |= {"tolerance": 0.3, "prime_offset": 0.1, "weight_decay": 0.01, "schedule": "cosine"}
    other = {key: value for key, value in frames.DEFAULTS.items() if key in base}
    tables = [frames.table(base, ["partial"])]
    tables += [frames.table(base | {key: other[key]}, ["converged"]) for key in base]
    lines = result_table(summary(frames.frame(*tables)), frames.identity(base))
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("differs in ")
    names = {line.split("  ")[0] for line in lines[1:]}
    assert names == {"baseline", *(f"{key} {plain(value)}" for key, value in other.items())}


def test_a_key_that_another_one_determines_gives_way() -> None:
    """As the targets belong to a table."""
    tables = [
        frames.table(
            {"problem": f"file:{'x' * 30}{i}", "targets": "y" * 20 + f"{i}", "lr": lr}, ends
        )
        for i in range(3)
        for lr, ends in ((0.1, ["partial"]), (0.2, ["converged"]), (0.3, ["converged"]))
    ]
    assert result_table(summary(frames.frame(*tables)))[0].split()[:4] == [
        "problem",
        "lr",
        "converged",
        "95%",
    ]


def test_the_strongest_changes_stand_where_not_all_do() -> None:
    runs = frames.frame(
        *(
            frames.table({"lr": lr}, [C] * n + [P] * (40 - n))
            for lr, n in zip((0.1, 0.2, 0.3, 0.4, 0.5), (9, 9, 30, 12, 8), strict=True)
        )
    )
    base = frames.identity({"lr": 0.1})
    lines = effect_lines(contrasts(runs, base), summary(runs), base, most=2)
    assert [line.split()[3] for line in lines[3:5]] == ["0.3", "0.4"]
    assert lines[5] == "… and 2 more in contrasts.csv"


# Tables to paste


def test_a_markdown_table_has_the_rows_of_the_summary_in_its_order() -> None:
    table = fastbp.summary(frames.frame(*frames.founding(200)))[::-1]
    head, sides, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in fastbp.table(table, "markdown").splitlines()
    ]
    assert head == [
        *("order", "lr", "updates", "runs", "converged", "95% CI", "constant", "median updates")
    ]
    assert (sides, len(rows)) == (["---", *["---:"] * 7], len(table))
    for cells, row in zip(rows, table.to_dict("records"), strict=True):
        assert cells[:4] == [plain(row[key]) for key in ("order", "lr", "updates", "runs")]
        assert cells[4] == percent(row["converged_share"])
        assert cells[6:] == [percent(row["constant_share"]), plain(row["updates_median"])]


SPECIAL = r"a|b_c*d~e^f&g%h$i#j{k}\l<m>[n]"


def unescaped(text: str, format: str) -> str:
    """What a reader sees of a text in a document."""
    if format == "markdown":
        return re.sub(r"\\(.)", r"\1", text)
    names = {"backslash": "\\", "asciitilde": "~", "asciicircum": "^"}
    names |= {"less": "<", "greater": ">", "bar": "|"}
    return re.sub(
        r"\\text(\w+)\{\}|\\(.)|\{([\[*])\}",
        lambda found: names[found[1]] if found[1] else found[2] or found[3],
        text,
    )


@pytest.mark.parametrize("format", ["markdown", "latex"])
def test_names_are_escaped_in_a_table_to_paste(format: Literal["markdown", "latex"]) -> None:
    names = [f"file:{SPECIAL}", "file:plain"]
    runs = frames.frame(*(frames.table({"problem": name}, [P]) for name in names))
    text = fastbp.table(fastbp.summary(runs), format)
    start = {"markdown": r"\| file", "latex": r"(?m)^file"}[format]
    cells = re.findall(rf"{start}(.*?) (?:&|\|) +1 (?:&|\|)", text)
    assert {f"file{unescaped(cell, format)}" for cell in cells} == {*names}
    if format == "latex":
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {5}


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format: given 'html', allowed: 'markdown' or 'latex'"):
        fastbp.table(summary(frames.frame(frames.table({}, [P]))), "html")  # type: ignore[arg-type]


# Widths and depths


def test_networks_have_a_width_and_a_depth_where_hidden_varies(tmp_path: Path) -> None:
    for hidden in ["8", "2-2", "3-8-5", "10"]:
        frames.write(tmp_path, frames.table({"hidden": hidden}, [P] * 9))
    table = fastbp.summary(tmp_path)
    assert table.columns[:4].tolist() == ["hidden", "width", "depth", "setup"]
    sizes = {row["hidden"]: (row["width"], row["depth"]) for row in table.to_dict("records")}
    assert sizes == {"8": (8, 1), "2-2": (2, 2), "3-8-5": (8, 3), "10": (10, 1)}
    assert table[["width", "depth"]].dtypes.eq(np.int64).all()
    assert keys_of(table) == ["hidden"], "a network is named by its layers"
    report = build.make(tmp_path)
    stored = pd.read_csv(tmp_path / "summary.csv", dtype={"hidden": str, "setup": str})
    assert stored.columns.tolist() == table.columns.drop(["width", "depth"]).tolist()
    assert report.table(Screen())[0].split()[:2] == ["hidden", "converged"]
    assert "width" not in fastbp.summary(frames.frame(*frames.founding(9)))


def test_a_curve_over_the_width_has_a_line_for_each_depth() -> None:
    runs = [frames.table({"hidden": h}, [C]) for h in ("2", "4", "6", "2-2", "4-4", "6-6")]
    ax = fastbp.plots.response_curves(fastbp.summary(frames.frame(*runs)), "width")
    curves = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert [sorted(line.get_xdata()) for line in curves] == [[2, 4, 6]] * 2


# Maps

RATES, SCALES = np.geomspace(0.01, 100, 25).tolist(), np.geomspace(0.05, 50, 21).tolist()
SEEDS = 40


def share(lr: float, scale: float) -> float:
    """Runs converge in a disc."""
    return float(np.log10(lr / 2) ** 2 + np.log10(scale / 1) ** 2 < 1)


@cache
def drawn(gap: float | None = None) -> pd.DataFrame:
    """A map of 25 × 21 setups; those with this rate and the smallest scale are not there."""
    return summary(
        frames.frame(
            *(
                frames.table(
                    {"lr": lr, "init_scale": scale}, [C if share(lr, scale) else P] * SEEDS
                )
                for lr, scale in product(RATES, SCALES)
                if (lr, scale) != (gap, SCALES[0])
            )
        )
    )


def picture(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines of the table of a map, and those of its picture with its axes."""
    end = lines.index("")
    return lines[:end], lines[end + 1 :]


def painted(line: str) -> list[tuple[str, str, str]]:
    """Each character of a line with its colours: the character, the fore- and the background."""
    cells, front, back = [], "", ""
    for code, character in re.findall("\x1b\\[([\\d;]*)m|(.)", line):
        if character:
            cells.append((character, front, back))
        elif code == "0":
            front = back = ""
        else:
            front, _, back = code.removeprefix("38;").partition(";48;")
            if code.startswith("48;"):
                front, back = "", code.removeprefix("48;")
    return cells


@pytest.mark.parametrize("ink", ["shades", "digits"])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_map_without_colours_has_a_sign_for_each_cell(
    ink: Literal["shades", "digits"], width: int
) -> None:
    lines = map_lines(drawn(RATES[0]), "lr", "init_scale", Screen(width, ink))
    assert max(map(len, lines)) <= width
    table, shown = picture(lines)
    legend, (above, *rows, below) = " ".join(shown[:-10]), shown[-10:]
    assert ((above, len(rows)), below.split()) == (("init_scale", 8), ["0.01", "lr", "100"])
    assert legend.startswith("Share converged: ")
    signs = "░█" if ink == "shades" else "09"
    scales = [SCALES[round(i * 20 / 7)] for i in range(8)][::-1]
    wide = 1 if width == 40 else 2 if width == 80 else 3
    start = below.index("0.01")
    for row, scale in zip(rows, scales, strict=True):
        expected = "".join(signs[int(share(lr, scale))] * wide for lr in RATES)
        if scale == SCALES[0]:
            expected = " " * wide + expected[wide:]
        assert row[start:] == expected
    assert [rows[0][:start].strip(), rows[-1][:start].strip()] == ["50", "0.05"]
    assert len(lines) <= (25 if width == 40 else 22)
    assert width == 40 or table[1].split() == ["init_scale", "from", "up", "to", "most", "at", "lr"]


@pytest.mark.parametrize("ink", ["24-bit", "256"])
def test_a_map_in_colours_shows_two_rows_in_a_line(ink: Literal["24-bit", "256"]) -> None:
    lines = map_lines(drawn(RATES[0]), "lr", "init_scale", Screen(80, ink))
    _, (legend, above, *rows, below) = picture(lines)
    none, half, every = [cell[1] for cell in painted(legend) if cell[1]]
    assert len({none, half, every}) == 3
    assert {colour[:2] for colour in (none, half, every)} == {"2;" if ink == "24-bit" else "5;"}
    scales = [SCALES[round(i * 20 / 15)] for i in range(16)][::-1]
    start = below.index("0.01")
    for row, upper, lower in zip(rows, scales[::2], scales[1::2], strict=True):
        cells = painted(row)[start::2]
        assert len(cells) == 25
        for lr, (sign, front, back) in zip(RATES, cells, strict=True):
            ends = [every if share(lr, scale) else none for scale in (upper, lower)]
            gone = lr == RATES[0] and lower == SCALES[0]
            assert (sign, front, back) == ("▀", ends[0], "" if gone else ends[1])
    assert max(len(painted(line)) for line in lines) <= 80
    assert all(line.endswith("\x1b[0m") for line in (legend.removesuffix(" 100%"), *rows))
    assert above == "init_scale"


def test_the_critical_line_stands_between_the_values_it_parts() -> None:
    table, _ = picture(map_lines(drawn(), "lr", "init_scale", Screen()))
    assert table[0] == "Half of the runs converge at this lr (8 of 21 values of init_scale):"
    for line in table[2:]:
        scale, *cells = re.split(r"\s{2,}", line.strip())
        value = min(SCALES, key=lambda each: abs(each - float(scale)))
        inside = [lr for lr in RATES if share(lr, value)]
        if not inside:
            assert cells[:3] == ["–", "–", "0%"]
            continue
        (low, high), cells = (
            [tuple(map(float, re.findall(r"[\d.]+", cell))) for cell in cells[:2]],
            cells[2:],
        )
        assert low[1] <= low[0] <= low[2] == pytest.approx(inside[0], rel=0.01)
        assert inside[-1] == pytest.approx(high[1], rel=0.01)
        assert high[1] <= high[0] <= high[2]
        assert cells[0] == "100%"


def test_where_half_converge_nowhere_the_table_says_so() -> None:
    runs = [
        frames.table({"lr": lr, "init_scale": scale}, [P] * 9)
        for lr, scale in product(RATES[:6], SCALES[:6])
    ]
    lines = map_lines(summary(frames.frame(*runs)), "lr", "init_scale", Screen())
    assert lines[0] == "At no lr it is shown that half of the runs converge:"
    assert lines[1].split() == ["init_scale", "most", "at", "lr"]


# A screenful


def grid(count: int, seeds: int = 20) -> list[dict[str, object]]:
    """So many setups in a grid of three keys."""
    sides = [{"lr": 0.01 * (i + 1)} for i in range(40)]
    others = [
        {"order": order, "momentum": m} for order in ("random", "shuffled") for m in (0.0, 0.9)
    ]
    return [one | other for one, other in list(product(sides, others))[:count]]


@pytest.mark.parametrize("setups", [1, 8, 24, 25, 60])
def test_a_sweep_prints_at_most_a_screenful(tmp_path: Path, setups: int) -> None:
    for i, keys in enumerate(grid(setups)):
        frames.write(tmp_path, frames.table(keys, [C] * (i % 20) + [P] * (20 - i % 20)))
    parts = build.Report(tmp_path, fastbp_counts(tmp_path), None).parts(Screen(), 5)
    lines = [line for part in parts for line in part]
    assert 5 + len(lines) + len(parts) <= 41
    assert max(map(len, lines)) <= 80
    assert len([line for line in parts[0] if not line.startswith("…")]) - 1 == (
        setups if setups <= 24 else 12
    )
    if setups > 24:
        assert parts[0][-1] == f"… and {setups - 12} more in summary.csv"


def test_a_map_prints_its_picture_and_no_table_of_changes(tmp_path: Path) -> None:
    for lr, scale in product(RATES[::3], SCALES[::3]):
        frames.write(
            tmp_path,
            frames.table({"lr": lr, "init_scale": scale}, [C if share(lr, scale) else P] * SEEDS),
        )
    parts = build.Report(tmp_path, fastbp_counts(tmp_path), None).parts(Screen(), 5)
    assert sum(map(len, parts)) <= 22
    assert not any("change" in line for part in parts for line in part)


def fastbp_counts(store: Path) -> list[SetupCounts]:
    return count_runs(store, pictures=True)
