"""A store of truth tables as an atlas: every function with its class, and whether shares are equal where symmetry says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.statistics import cochran, effective_trials, holm, wilson
from fastbp.analysis.symmetry import FUNCTIONS, NPN, PN, SYMMETRIES, bits_of, classes, holds
from fastbp.analysis.tables import LEVEL, common_flags, key_columns, pooled_median, whole_numbers
from fastbp.analysis.tallies import Runs, Tally, natural, tally, varying
from fastbp.analysis.wording import ALPHA, Row, aligned, extreme, keys_of, named, p_value, percent, plain, plural, setting

LEAST_FUNCTIONS = 16
"""Functions that make an atlas: all of two bits."""


def is_atlas(summary: pd.DataFrame) -> bool:
    """Whether a summary is of truth tables alone, all of as many inputs, and of enough of them."""
    if "problem" not in keys_of(summary):
        return False
    tables = {bits_of(problem) for problem in summary["problem"]}
    return len(tables) >= LEAST_FUNCTIONS and "" not in tables and len({len(bits) for bits in tables}) == 1


def functions(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary of truth tables with the classes that they are in.

    Parameters: what `tables.summary` returned, an atlas as `is_atlas` says. Returns its rows by class, with the columns: `bits`
    instead of `problem`; `pn_class` and `npn_class`, each the first truth table of the class; `function`, what the larger class
    computes, where `symmetry.FUNCTIONS` has a name for it; and all others of the summary.
    """
    tables = [bits_of(problem) for problem in summary["problem"]]
    small, large = classes(tables, PN), classes(tables, NPN)
    columns: dict[str, Any] = {"bits": tables, "pn_class": small, "npn_class": large}
    columns["function"] = [FUNCTIONS.get(each) for each in large]
    table = pd.concat([pd.DataFrame(columns, dtype=object, index=summary.index), summary.drop(columns="problem")], axis=1)
    return table.sort_values(["npn_class", "pn_class", "bits"], kind="stable", ignore_index=True)


def equality(runs: Runs) -> pd.DataFrame:
    """Whether the functions of each class converge equally often.

    The members of a class are trained on the same seeds: the same initial weights and the same sequence of rows. Such runs are
    not the same run, as the network meets other targets, but neither are they independent: so shares are compared by Cochran's
    Q, which stands correlation within a seed, and the interval of their mean is Wilson's with as many trials as they are worth.

    Parameters: as `tables.summary` takes them, of an atlas. Returns a row for each setting of the other keys, symmetry and class,
    with the columns: the other keys that vary; `symmetry`, `pn` or `npn`; `class`, its first truth table; `function` as in
    `functions`; `members`, functions that have runs; `runs`; `converged`; `converged_share` with 95% bounds `converged_low` and
    `converged_high`; `least_share` and `most_share` of a member; `trials`, independent ones that the runs are worth;
    `updates_median` over the runs of all members (null where fewer than half converge); `holds`, whether some symmetry says that
    shares are equal; `p`, Cochran's, over the seeds that all members ran (null of one member, and where there are too few
    successes or failures to tell); `p_holm`, adjusted over the table. Raises as `tally` does.
    """
    tallies = tally(runs)
    others = [key for key in varying(tallies) if key != "problem"]
    settings: dict[tuple[Any, ...], list[Tally]] = {}
    for t in tallies:
        settings.setdefault(tuple(t.keys[key] for key in others), []).append(t)
    first, rows = [], []
    for key in sorted(settings, key=lambda values: [natural(value) for value in values]):
        own = settings[key]
        tables = [bits_of(t.keys["problem"]) for t in own]
        for symmetry in SYMMETRIES:
            members: dict[str, list[Tally]] = {}
            for name, t in sorted(zip(classes(tables, symmetry), own, strict=True), key=lambda each: each[0]):
                members.setdefault(name, []).append(t)
            for name, these in members.items():
                first.append(these[0])
                rows.append({"symmetry": symmetry, "class": name, **_class(these)})
    table = pd.DataFrame(rows)
    large = classes(list(table["class"]), NPN)
    table.insert(2, "function", pd.Series([FUNCTIONS.get(each) for each in large], dtype=object))
    table["updates_median"] = whole_numbers(table["updates_median"])
    table["p_holm"] = np.nan
    tested = table["p"].notna()
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"])
    return pd.concat([pd.DataFrame(key_columns(first, others)), table], axis=1)


def _class(members: Sequence[Tally]) -> dict[str, Any]:
    """The columns of a row that follow from its members."""
    tables, keys = [bits_of(t.keys["problem"]) for t in members], members[0].keys
    must = any(holds(each, keys, len(tables[0])) and len(set(classes(tables, each))) == 1 for each in SYMMETRIES)
    counts, totals = np.array([t.ended_converged for t in members]), np.array([t.runs for t in members])
    flags = common_flags(members)
    both, seeds, runs = _together(flags), flags.shape[1], int(totals.sum())
    worth = effective_trials(both, seeds) / (len(members) * seeds) if seeds else 1.0
    share = counts.sum() / runs
    low, high = wilson(share * worth * runs, worth * runs, LEVEL)
    shares = counts / totals
    return {
        "members": len(members), "runs": runs, "converged": int(counts.sum()), "converged_share": share,
        "converged_low": float(low), "converged_high": float(high), "least_share": shares.min(), "most_share": shares.max(),
        "trials": worth * runs, "updates_median": pooled_median(members), "holds": must,
        "p": cochran(both, seeds) if seeds else np.nan,
    }  # fmt: skip


def _together(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """On how many seeds each two of the members converged, [member, member]."""
    packed = np.packbits(flags, axis=1)
    return np.array([np.bitwise_count(packed & row).sum(axis=1, dtype=np.int64) for row in packed])


def sentences(table: pd.DataFrame, equal: pd.DataFrame) -> list[str]:
    """What an atlas says, the answer first.

    Parameters: what `functions` and `equality` returned for the same runs. Returns paragraphs.
    """
    return [_learnt(table), _collapsed(table), " ".join([_equal(equal), *_unequal(equal)])]


def console(equal: pd.DataFrame) -> str:
    """The classes under permuted and negated inputs and a negated output for a terminal, one line for each setting and class.

    Parameters: what `equality` returned.
    """
    keys = keys_of(equal.rename(columns={"symmetry": "setup"}))
    rows = [[*keys, "class", "function", "members", "runs", "converged", "[95%]", "least", "most", "p (Holm)", "must be equal"]]
    for row in equal[equal["symmetry"] == NPN].to_dict("records"):
        interval = f"[{percent(row['converged_low'])}–{percent(row['converged_high'])}]".replace("%", "")
        shares = [percent(row[f"{name}_share"]) for name in ("converged", "least", "most")]
        cells = [
            *(named(row[key]) for key in keys),
            row["class"],
            plain(row["function"]),
            plain(row["members"]),
            plain(row["runs"]),
        ]
        rows.append([*cells, shares[0], interval, *shares[1:], p_value(row["p_holm"]), "yes" if row["holds"] else "no"])
    words = [i for i, key in enumerate(keys) if isinstance(equal[key].iloc[0], str)]
    return "\n".join(aligned(rows, left=[*words, len(keys), len(keys) + 1, len(rows[0]) - 1]))


def others_of(table: pd.DataFrame) -> list[str]:
    """The keys that vary besides the problem, of what `functions` returned."""
    keys = keys_of(table)
    return keys[keys.index("function") + 1 :]


def _called(row: Row) -> str:
    """A function and what its class computes: `01101001 (x ⊕ y ⊕ z)`."""
    if not isinstance(row["function"], str):
        return str(row["bits"])
    return f"{row['bits']} ({row['function']}{', up to symmetry' * (row['bits'] != row['npn_class'])})"


def _with(row: Row, keys: Sequence[str]) -> str:
    return f" with {setting(row, keys)}" if keys else ""


def _learnt(table: pd.DataFrame) -> str:
    """How many functions are learnt, the hardest, and how fast."""
    keys = others_of(table)
    best = table.sort_values("converged_share", ascending=False, kind="stable").drop_duplicates("bits")
    learnt, every = int((best["converged"] > 0).sum()), int((best["converged"] == best["runs"]).sum())
    inputs = len(table["bits"].iloc[0]).bit_length() - 1
    some = f" in one of {plural(len(table[keys].drop_duplicates()), 'setting')} or several" if keys else ""
    every_one = f"{plural(len(best), 'function')} of {plural(inputs, 'input')}"
    who = f"All {every_one}" if learnt == len(best) else f"{plain(learnt)} of {every_one}"
    text = f"{who} are learnt from some seed{some}, {plain(every)} of them from every seed."
    hardest = extreme(best, "converged", least=True)
    if hardest["converged"] < hardest["runs"]:
        share = f"{'at most ' * bool(keys)}{percent(hardest['converged_share'])} of {plain(hardest['runs'])} runs converge"
        text += f" The hardest is {_called(hardest)}: {share}{_with(hardest, keys)}."
    groups = [rows for _, rows in table.groupby(keys, sort=False, dropna=False)] if keys else [table]
    most = max(groups, key=lambda rows: int(rows["converged"].sum()))
    known = most[most["updates_median"].notna()]
    medians = known["updates_median"].astype(int)
    if medians.nunique() > 1:
        fast, slow = (known.iloc[int(at)].to_dict() for at in (medians.argmin(), medians.argmax()))
        where = f"With {setting(fast, keys)}, where most converge, half" if keys else "Half"
        after, slower = plural(int(fast["updates_median"]), "update"), plain(slow["updates_median"])
        ends = f"after {after} for {_called(fast)}, after {slower} for {_called(slow)}"
        text += f" {where} of the runs had converged {ends}."
    return text


def _collapsed(table: pd.DataFrame) -> str:
    """Where networks answer the same to everything most often."""
    keys, most, constant = others_of(table), extreme(table, "collapsed"), extreme(table, "constant")
    if not constant["constant"]:
        return "No run gives the same answer to every input."
    text = f"Runs give the same answer to every input most often for {_called(constant)}: {percent(constant['constant_share'])}"
    text += _with(constant, keys)
    if not most["collapsed"]:
        return text + "."
    share = percent(most["collapsed_share"])
    if most["setup"] == constant["setup"]:
        if most["collapsed"] == constant["constant"]:
            return f"{text}, and each of these runs has collapsed to a constant."
        return f"{text}, and {share} of its runs have collapsed to a constant."
    return f"{text}; they collapse to a constant most often for {_called(most)}: {share}{_with(most, keys)}."


def _equal(equal: pd.DataFrame) -> str:
    """Whether shares are equal where they must be."""
    tested = equal[equal["holds"] & equal["p"].notna()]
    if tested.empty:
        return "Where symmetry says that shares are equal, too few runs succeed or fail to tell whether they are."
    wrong = int((tested["p_holm"] < ALPHA).sum())
    least, adjusted = (p_value(tested[p].min()) for p in ("p", "p_holm"))
    told = f"the least of {len(tested):,} p values is {least}, {adjusted} by Holm's adjustment"
    found = "and no class is shown to differ" if not wrong else f"but {plain(wrong)} classes are shown to differ"
    return f"Symmetry says that functions of a class converge equally often, {found}: {told}."


def _unequal(equal: pd.DataFrame) -> list[str]:
    """Where negated inputs make a difference, as they may."""
    free = equal[~equal["holds"] & (equal["symmetry"] == NPN)]
    shown = free[free["p_holm"] < ALPHA]
    if free.empty:
        return []
    if shown.empty:
        return ["Functions that only negated inputs make of each other need not be equal, but are not shown to differ."]
    most = shown.iloc[int((shown["most_share"] - shown["least_share"]).argmax())].to_dict()
    keys = keys_of(equal.rename(columns={"symmetry": "setup"}))
    name = f"{most['class']} ({most['function']})" if isinstance(most["function"], str) else most["class"]
    ends = f"{percent(most['least_share'])} to {percent(most['most_share'])}"
    some, every = shown["class"].nunique(), free["class"].nunique()
    where = f"{plain(some)} of {plain(every)} classes" if every > 1 else "their one class"
    return [
        f"Functions that only negated inputs make of each other need not be equal, and in {where} they are not: those of {name} "
        f"differ most, from {ends}{_with(most, keys)}."
    ]
