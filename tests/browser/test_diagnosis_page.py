"""The page of a diagnosis in a real browser: quiet, whole and open to everybody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastbp.engine.spec import Sweep
from fastbp.inquiry import diagnosis_page
from fastbp.inquiry.diagnosis import diagnose

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-playwright-python")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no chromium"), pytest.mark.jit]

SETUPS: dict[str, dict[str, Any]] = {
    "founding": {"problem": "table:11101011", "lr": 0.2, "order": "random", "updates": 999},
    "sound": {"problem": "table:0111", "lr": 4, "epochs": 200},
    "nothing mends": {"problem": "parity:4", "hidden": [1], "lr": 0.001, "updates": 20},
    "nothing to learn": {"problem": "table:11", "updates": 20},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=SETUPS)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    sweep = Sweep(seeds=1, setup=SETUPS[request.param])
    diagnosis_page.write(diagnose(sweep.setups[0], 168), None, sweep, folder)
    return folder / "diagnosis.html"


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_quiet_and_open_to_everybody(browser: Any, file: Path, dark: bool) -> None:
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
    assert said == []
    assert asked == [file.as_uri()]  # nothing but itself
    with browser.new_page(bypass_csp=True, color_scheme="dark" if dark else "light") as page:  # axe-core brings a script
        page.goto(file.as_uri())
        found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []
