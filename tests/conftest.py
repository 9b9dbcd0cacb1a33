"""What all tests share: which of them need compiled code, which are slow, and which run only when
asked for.

Counting lines triples the time of kernels with the JIT off. Tests that pass the same lines again
and again, with other numbers, are marked `no_cover` for that: others pass these lines as well.
"""

import gc
from pathlib import Path

import pytest
from commands import any_command, in_process
from hypothesis import settings

from fastbp.sweep import main

HERE = Path(__file__).parent

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

SLOW = (
    "adaptive",
    "analysis/test_attribution.py",
    "analysis/test_statistics.py",
    "browser",
    "determinism",
    "diagnosis",
    "engine/test_block.py",
    "engine/test_driver.py",
    "engine/test_forecast.py",
    "engine/test_integrity.py",
    "engine/test_merge.py",
    "engine/test_stored_run.py",
    "faults",
    "gradcheck",
    "kernels/test_invariance.py",
    "kernels/test_training.py",
    "analysis/test_atlas.py",
    "analysis/test_basins.py",
    "analysis/test_kaplan_meier.py",
    "analysis/test_symmetry.py",
    "reporting/test_gallery.py",
    "reporting/test_plots.py",
    "reporting/test_published_section.py",
    "reporting/test_verdict.py",
    "choices",
)
"""Folders and files that the daily round, `pytest -m "not slow"`, leaves out, besides the tests of
commands and documents at the top of tests/: they start processes, train, compile or simulate."""

COMPILED = (
    "determinism/test_matrix.py",
    "faults/test_compiled_cache.py",
    "faults/test_disks.py",
    "faults/test_kills.py",
    "faults/test_workers.py",
)
"""Files that need compiled code in every test; single tests are marked `jit`."""


here, command = in_process(main), in_process(any_command)
"""The sweep command, and all commands; tests of another command have `here` for that one."""


def pytest_configure(config):
    # Numba makes millions of objects that stay alive, and searching them takes a tenth of the time.
    gc.set_threshold(100_000)
    config.addinivalue_line(
        "markers", "jit: of compiled code; skipped where NUMBA_DISABLE_JIT is set"
    )


@pytest.fixture
def file(request, tmp_path):
    """`mine.toml` with the `SWEEP` of the module."""
    (tmp_path / "mine.toml").write_text(request.module.SWEEP)
    return tmp_path / "mine.toml"


@pytest.fixture(scope="module")
def without_cures():
    """Diagnoses try no other activations and optimisers, which have twenty kernels of their own:
    no daily test compiles them. The setups for which they would have been tried."""
    from fastbp.diagnosis import diagnose

    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnose, "cures", lambda setup, tried: asked.append(setup) or [])
        yield asked


@pytest.fixture
def no_png(monkeypatch):
    """Pages have empty PNG files."""
    from pages import without_png

    without_png(monkeypatch)


def is_slow(path: Path) -> bool:
    """Whether a file of tests is left out of the daily round."""
    place = path.relative_to(HERE)
    if len(place.parts) == 1:
        return place.name not in (
            "test_house.py",
            "test_list_command.py",
            "test_sweep_file_page.py",
        )
    return any(place.is_relative_to(slow) for slow in SLOW)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)
        if item.path.is_relative_to(HERE) and str(item.path.relative_to(HERE)) in COMPILED:
            item.add_marker(pytest.mark.jit)
    if "soak" not in (config.option.markexpr or ""):
        soak = [item for item in items if item.get_closest_marker("soak")]
        if soak:
            config.hook.pytest_deselected(items=soak)
            items[:] = [item for item in items if item not in soak]
    compiled = [item for item in items if item.get_closest_marker("jit")]
    if compiled:
        import numba

        if numba.config.DISABLE_JIT:
            for item in compiled:
                item.add_marker(pytest.mark.skip(reason="the JIT is off: nothing is compiled"))
