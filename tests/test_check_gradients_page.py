"""docs/check-gradients.md: its functions print what it says."""

import contextlib
import io
import re
from pathlib import Path

import pytest


@pytest.mark.jit
def test_the_page_prints_what_it_says() -> None:
    blocks = re.findall(
        r"```python\n(.*?)```\n\n```text\n(.*?)```",
        (Path(__file__).parents[1] / "docs" / "check-gradients.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert len(blocks) == 3
    scope: dict[str, object] = {}
    for code, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, scope)
        assert printed.getvalue() == shown
