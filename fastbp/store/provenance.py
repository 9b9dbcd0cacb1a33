"""made.json: how the runs of a store were made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastbp.store.store import Store

if TYPE_CHECKING:
    pass


def add_made(store: Store, entry: dict[str, Any]) -> None:
    """Append to `made.json`, the list of commands that made this store."""
    file = store.path / "made.json"
    try:
        entries = json.loads(file.read_text())
    except (OSError, ValueError):
        entries = []
    store.write(
        file,
        json.dumps([*(entries if isinstance(entries, list) else []), entry], indent=1).encode(),
    )
