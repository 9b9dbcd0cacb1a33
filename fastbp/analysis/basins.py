"""Maps of initial weights: where in a plane of two of them networks start, and how each ends (`init
= "grid:…"`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.counts import SetupCounts, ends, ends_of_frame
from fastbp.analysis.statistics.proportions import Real
from fastbp.schema.outcomes import OUTCOMES, Outcome
from fastbp.store import filename, parquet

Ends = tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.float64]]
"""Seeds, positions in `OUTCOMES`, and `converged_at` or NaN."""

_GRID = re.compile(r"grid:side=(\d{1,5}),x=(\d{1,6}),y=(\d{1,6})(?:,|$)")


class Plane(NamedTuple):
    """Two initial weights on a grid: the numbers of the parameters, across and up, and their
    largest absolute value.
    """

    side: int
    x: int
    y: int
    reach: float


def plane_of(keys: Mapping[str, Any]) -> Plane | None:
    """The plane in which a setup's runs start, by its columns `init` and `init_scale`; None where
    its weights are drawn.
    """
    found = _GRID.match(str(keys.get("init", "")))
    if not found:
        return None
    side, x, y = map(int, found.groups())
    return Plane(side, x, y, float(keys["init_scale"]))


def parameter(sizes: Sequence[int], number: int) -> str:
    """The name of a parameter of a network with these layer sizes: `W0[unit, input]` or `b0[unit]`,
    layers from 0.
    """
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if number < fan_in * fan_out:
            return f"W{layer}[{number // fan_in}, {number % fan_in}]"
        if (number := number - fan_in * fan_out) < fan_out:
            return f"b{layer}[{number}]"
        number -= fan_out
    raise ValueError(f"no parameter has that number in {'-'.join(map(str, sizes))}")


class Basin(NamedTuple):
    """How the runs of a plane ended, [row, column], rows upwards.

    `codes`, int8: positions in `OUTCOMES`, −1 where there is no run; `times`, float32:
    `converged_at`, NaN where there is none. Of several seeds in one cell, which differ in their
    order of samples, the first counts.
    """

    plane: Plane
    codes: NDArray[np.int8]
    times: NDArray[np.float32]

    @classmethod
    def of(cls, runs: pd.DataFrame) -> Self:
        """Of tidy runs of one setup. Raises ValueError where that is not what they are."""
        one = runs[
            [name for name in ("setup", "init", "init_scale") if name in runs]
        ].drop_duplicates()
        plane = (
            plane_of({str(key): value for key, value in one.iloc[0].items()})
            if len(one) == 1
            else None
        )
        if plane is None:
            raise ValueError("these are not the runs of one setup whose init is a grid")
        return cls._filled(plane, [ends_of_frame(runs)])

    @classmethod
    def read(cls, store: Path, one: SetupCounts) -> Self:
        """Of the runs of a setup in a store. Raises ValueError where its init is no grid,
        DamagedFileError as `count_runs` does.
        """
        plane = plane_of(one.keys)
        if plane is None:
            raise ValueError(f"the init of setup {one.setup} is no grid")
        return cls._filled(plane, _parts(store, one.setup))

    @classmethod
    def _filled(cls, plane: Plane, parts: Iterable[Ends]) -> Self:
        cells = plane.side**2
        codes, times = np.full(cells, -1, np.int8), np.full(cells, np.nan, np.float32)
        for seeds, outcomes, when in parts:
            place, first = np.unique(seeds % cells, return_index=True)
            free = codes[place] < 0
            codes[place[free]], times[place[free]] = outcomes[first[free]], when[first[free]]
        return cls(plane, codes.reshape(plane.side, -1), times.reshape(plane.side, -1))

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Which runs ended converged, [row, column]."""
        found: NDArray[np.bool_] = self.codes == OUTCOMES.index(Outcome.CONVERGED)
        return found

    @property
    def limits(self) -> tuple[float, float] | None:
        """Updates of the first convergence and of the last, where there is one."""
        times = self.times[self.converged]
        return (float(times.min()), float(times.max())) if len(times) else None

    @property
    def there(self) -> NDArray[np.bool_]:
        """Where there are runs, [row, column]."""
        found: NDArray[np.bool_] = self.codes >= 0
        return found

    @property
    def shares(self) -> dict[Outcome, float]:
        """The share of the runs that ended so, of each outcome that occurs, in the order of
        `OUTCOMES`.
        """
        counts = np.bincount(self.codes[self.there], minlength=len(OUTCOMES))
        return {
            outcome: int(count) / int(counts.sum())
            for outcome, count in zip(OUTCOMES, counts, strict=True)
            if count
        }


def _parts(store: Path, setup: str) -> Iterator[Ends]:
    for file in filename.run_files(filename.runs_folder(store)):
        if file.setup == setup:
            rows, _ = parquet.read(file.path, ["seed", "outcome", "converged_at"])
            for batch in rows.to_batches():
                yield ends(batch)


def unlike_neighbours(flags: ArrayLike, there: ArrayLike, distances: ArrayLike) -> Real:
    """How many of the pairs of points on a grid, so many cells apart across or up, have unlike
    flags.

    Parameters: `flags`, bool [row, column]; `there`, whether a point has a flag at all;
    `distances`, in cells, from 1. Returns shares 0…1 [distance], NaN where there is no pair.
    """
    flag, known = np.asarray(flags, bool), np.asarray(there, bool)
    shares = []
    for distance in np.asarray(distances, int).ravel():
        unlike = pairs = 0
        for one, two in (
            (np.s_[distance:, :], np.s_[:-distance, :]),
            (np.s_[:, distance:], np.s_[:, :-distance]),
        ):
            both = known[one] & known[two]
            pairs += int(np.count_nonzero(both))
            unlike += int(np.count_nonzero(both & (flag[one] ^ flag[two])))
        shares.append(unlike / pairs if pairs else np.nan)
    return np.array(shares)


def boundary_dimension(distances: ArrayLike, shares: ArrayLike) -> float:
    """The dimension of the boundary between the two kinds of points of a plane: 1 of a smooth line,
    2 where it is everywhere.

    The share of points that a step of ε takes to the other kind grows as ε^α; the dimension is 2 −
    α, with α the slope of a line of least squares through the logarithms.

    Source: S. W. McDonald, C. Grebogi, E. Ott & J. A. Yorke (1985), Fractal basin boundaries,
    Physica D 17:125-153, doi:10.1016/0167-2789(85)90001-6.

    Parameters: what `unlike_neighbours` was given and what it returned. NaN where there are less
    than two shares, or one is 0.
    """
    step, share = np.asarray(distances, float), np.asarray(shares, float)
    if len(step) < 2 or not np.all(share > 0):
        return float("nan")
    return 2.0 - float(np.polyfit(np.log(step), np.log(share), 1)[0])
