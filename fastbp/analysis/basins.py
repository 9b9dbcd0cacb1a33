"""Planes of initial weights: grids over two weights, and how the run from each point ends.

Setups with `init = "grid:…"` have such a plane: the seed of a run chooses its point of the grid.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fastbp.analysis.counts import SetupCounts, ends, read_runs
from fastbp.analysis.statistics.proportions import Real
from fastbp.schema.keys import MAX_SIDE
from fastbp.schema.outcomes import OUTCOMES, Outcome

_GRID = re.compile(r"grid:side=([0-9]{1,4}),x=([0-9]{1,6}),y=([0-9]{1,6})(?:,|$)")


class Plane(NamedTuple):
    """A square grid over the initial values of two parameters of a network.

    Attributes
    ----------
    side : int
        Number of points along each side.
    x, y : int
        Numbers of the parameters that vary across and up, as `parameter` counts them.
    reach : float
        The grid covers the values from −reach to reach of both parameters.
    """

    side: int
    x: int
    y: int
    reach: float


def plane_of(keys: Mapping[Any, Any]) -> Plane | None:
    """Read the plane of a setup from its `init` and `init_scale`; None if it has none."""
    match = _GRID.match(str(keys.get("init", "")))
    if not match:
        return None
    side, x, y = map(int, match.groups())
    if not 2 <= side <= MAX_SIDE or x == y or not keys["init_scale"] > 0:
        return None
    return Plane(side, x, y, float(keys["init_scale"]))


def parameter(sizes: Sequence[int], number: int) -> str:
    """Name a parameter of a network: `W0[unit, input]` or `b0[unit]`; layers count from 0.

    Parameters
    ----------
    sizes : sequence of int
        Layer sizes, inputs first.
    number : int
        Position of the parameter in the order W0 (row by row), b0, W1, b1, …, from 0.

    Raises
    ------
    ValueError
        If the network has no such parameter.
    """
    rest = number
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if rest < fan_in * fan_out:
            return f"W{layer}[{rest // fan_in}, {rest % fan_in}]"
        rest -= fan_in * fan_out
        if rest < fan_out:
            return f"b{layer}[{rest}]"
        rest -= fan_out
    raise ValueError(f"no parameter has that number in {'-'.join(map(str, sizes))}")


class Basin(NamedTuple):
    """How the run that starts at each point of a plane ended.

    Several seeds may start at the same point and draw different orders of samples. Then the first
    of them counts.

    Attributes
    ----------
    plane : Plane
        The grid of starting points.
    codes : int8 array, [row, column]
        Position of the outcome in `OUTCOMES`, −1 where there is no run. The first row has the
        lowest value of `plane.y`.
    times : float32 array, [row, column]
        Updates at the evaluation at which the run first converged; NaN if it never did.
    """

    plane: Plane
    codes: NDArray[np.int8]
    times: NDArray[np.float32]

    @classmethod
    def of(cls, runs: pd.DataFrame) -> Self:
        """Make the basin from a table of runs. Raises ValueError unless they are of one plane."""
        names = [name for name in ("setup", "init", "init_scale") if name in runs]
        setups = runs[names].drop_duplicates().to_dict("records")
        plane = plane_of(setups[0]) if len(setups) == 1 else None
        if plane is None:
            raise ValueError("these are not the runs of one setup whose init is a grid")
        return cls._filled(plane, [runs])

    @classmethod
    def read(cls, store: Path, one: SetupCounts) -> Self:
        """Read the basin of a setup from a store.

        Raises
        ------
        ValueError
            If the setup's init is no grid.
        FileNotFoundError, DamagedFileError
            As `count_runs` does.
        """
        plane = plane_of(one.keys)
        if plane is None:
            raise ValueError(f"the init of setup {one.setup} is no grid")
        return cls._filled(plane, read_runs(store, one.setup))

    @classmethod
    def _filled(cls, plane: Plane, parts: Iterable[pd.DataFrame]) -> Self:
        cells = plane.side**2
        codes, times = np.full(cells, -1, np.int8), np.full(cells, np.nan, np.float32)
        for seeds, outcomes, updates in map(ends, parts):
            place, first = np.unique(seeds % cells, return_index=True)
            free = codes[place] < 0
            codes[place[free]], times[place[free]] = outcomes[first[free]], updates[first[free]]
        return cls(plane, codes.reshape(plane.side, -1), times.reshape(plane.side, -1))

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether each run ended converged, [row, column]."""
        return np.equal(self.codes, OUTCOMES.index(Outcome.CONVERGED))

    @property
    def limits(self) -> tuple[float, float] | None:
        """Smallest and largest of `times` among the runs that ended converged; None without any.

        Missing times and zeros do not count: only forged runs have them.
        """
        times = self.times[self.converged & (self.times > 0)]
        return (float(times.min()), float(times.max())) if len(times) else None

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each cell has a run, [row, column]."""
        return np.greater_equal(self.codes, 0)

    @property
    def shares(self) -> dict[Outcome, float]:
        """Share of the runs with each outcome that occurs, in the order of `OUTCOMES`."""
        codes, counts = np.unique(self.codes[self.present], return_counts=True)
        return {
            OUTCOMES[code]: share
            for code, share in zip(codes, (counts / counts.sum()).tolist(), strict=True)
        }


def unlike_neighbours(flags: ArrayLike, present: ArrayLike, distances: ArrayLike) -> Real:
    """Compute in what share of the pairs of grid points at a given distance the flags differ.

    The points of a pair lie in the same row or in the same column.

    Parameters
    ----------
    flags : array_like of bool, [row, column]
        The flag of each point, such as whether its run converged.
    present : array_like of bool, [row, column]
        Whether the point has a run; pairs with a point without one are left out.
    distances : array_like of int, [distance]
        Distances between the two points of a pair, in steps of the grid, 1 or more.

    Returns
    -------
    float64 array, [distance]
        Shares from 0 to 1, NaN where there is no pair.
    """
    flag, known = np.asarray(flags, bool), np.asarray(present, bool)
    shares = []
    for distance in np.asarray(distances, int).ravel():
        both = [k[distance:] & k[:-distance] for k in (known, known.T)]
        differ = [f[distance:] ^ f[:-distance] for f in (flag, flag.T)]
        unlike = sum(map(np.count_nonzero, map(np.logical_and, both, differ)))
        pairs = sum(map(np.count_nonzero, both))
        shares.append(unlike / pairs if pairs else np.nan)
    return np.array(shares)


def boundary_dimensions(distances: ArrayLike, shares: ArrayLike) -> NDArray[np.float64]:
    """Fractal dimension of the boundary between two kinds of points, at each pair of distances.

    It is 1 for a smooth line, and 2 for a boundary that fills the plane. Unless it is the same at
    all distances, the boundary has no dimension.

    Parameters
    ----------
    distances : array_like of int, [distance]
        Distances between two points, in steps of the grid.
    shares : array_like, [distance]
        Share of the pairs at each distance that are of different kinds, from `unlike_neighbours`.

    Returns
    -------
    float64 array, [distance − 1]
        Between each distance and the next; empty if a share is 0.

    Notes
    -----
    The share of pairs of different kinds grows with their distance ε as ε^α; the dimension is
    2 − α, with α the slope of the logarithms. S. W. McDonald, C. Grebogi, E. Ott & J. A. Yorke
    (1985), Fractal basin boundaries, Physica D 17:125-153, doi:10.1016/0167-2789(85)90001-6.
    """
    step, share = np.asarray(distances, float), np.asarray(shares, float)
    if not np.all(share > 0):
        return np.zeros(0)
    return np.asarray(2.0 - np.diff(np.log(share)) / np.diff(np.log(step)))
