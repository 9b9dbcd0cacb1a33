"""What all tests share: which of them need compiled code, and which run only when asked for.

Counting lines triples the time of kernels with the JIT off. Tests that pass the same lines again
and again, with other numbers, are marked `no_cover` for that: what they pass others pass as well.
"""

import pytest


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "jit: of compiled code; skipped where NUMBA_DISABLE_JIT is set"
    )


def pytest_collection_modifyitems(config, items):
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
