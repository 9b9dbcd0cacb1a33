"""The page of a diagnosis in a real browser: quiet, whole and open to everybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pytest

from fastbp.config.sweep import Sweep
from fastbp.diagnosis import diagnose, printout, trials
from fastbp.diagnosis.own_weights import Placement, sentences
from fastbp.diagnosis.symptoms import InspectedRuns
from fastbp.diagnosis.trials import MeasuredRuns, Trial
from fastbp.kernels import measures as m
from fastbp.schema.outcomes import OUTCOMES, Outcome

FOUNDING = {"problem": "table:11101011", "lr": 0.2, "order": "random", "updates": 999}
SETUPS: dict[str, tuple[dict[str, Any], float]] = {
    "founding": (FOUNDING, 0.001),
    "sound": (FOUNDING | {"lr": 1.0}, 1e9),
    "nothing fixes": (FOUNDING | {"lr": 0.5}, 0.0),
    "nothing to learn": ({"problem": "table:11", "updates": 20}, 0.0),
}
"""Setups, and what share of seeds converges for each update times the rate."""


def trained(share: float) -> Callable[..., dict[Trial, MeasuredRuns]]:
    """Training that takes no time: runs that converge the more often, the more updates and the
    higher the rate."""

    def train(
        trials: list[Trial], start: int, count: int, *more: object
    ) -> dict[Trial, MeasuredRuns]:
        found = {}
        for trial in trials:
            setup, end = trial.setup, np.zeros((m.MEASURES, count))
            end[[m.LOSS, m.SATURATION, m.GRAD_NORM, m.FINITE]] = np.array(
                [[0.1], [0.95], [1e-9], [1.0]]
            )
            # A share that no single change brings up to what is enough, unless all are sound.
            most = min(share * (setup.budget * setup.lr - 150), 0.9 + share)
            good = np.random.default_rng(start + trial.orders).uniform(size=count) < most
            codes = np.where(
                good, OUTCOMES.index(Outcome.CONVERGED), OUTCOMES.index(Outcome.COLLAPSED)
            ).astype(np.int8)
            found[trial] = MeasuredRuns(
                codes, end, np.where(good, 10, -1), np.tile(good, (4, 1)).astype(float)
            )
        return found

    return train


@pytest.fixture(scope="module", params=SETUPS)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    keys, share = SETUPS[request.param]
    sweep = Sweep(seeds=1, setup=keys)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trials, "train", trained(share))
        patched.setattr(diagnose, "warm_up", lambda kind: None)
        patched.setattr(
            diagnose,
            "inspect",
            lambda setup, seeds, *more: (
                InspectedRuns(np.ones(9, bool), np.ones(9, int), 4) if seeds.size else None
            ),
        )
        pages.without_png(patched)
        found = diagnose.diagnose(sweep.setups[0], 500)
        printout.write_files(
            found, sentences(Placement(found.base, found.base, 50.0, 50.0)), sweep, folder
        )
    assert (found.recommended is not None) == (request.param == "founding")
    assert (not found.pairs.empty) == (request.param == "founding")
    return folder / "diagnosis.html"


def test_it_is_quiet_and_open_to_everybody(
    browser: Any, file: Path, assert_open_to_everybody: Any
) -> None:
    said: list[str] = []
    asked: list[str] = []
    with browser.new_page() as page:
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert page.locator("h1").count() == 1
        assert page.locator(".verdict p").count() >= 1
        for width in (360, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (said, asked) == ([], [file.as_uri()])  # nothing but itself
    assert_open_to_everybody(file)
