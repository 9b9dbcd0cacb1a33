"""What is left of a store after a disturbance, and what it must be."""

import pyarrow as pa
import pyarrow.compute as pc

from fastbp.engine.store import Store, digest


def digests(store: Store) -> dict[str, str]:
    """Of all rows of each setup, however they lie in files. Every seed is there once, and none is missing in between."""
    rows = store.read()
    found = {}
    for setup in sorted(set(rows["setup"].cast(pa.string()).to_pylist())):
        own = rows.filter(pc.equal(rows["setup"].cast(pa.string()), setup)).sort_by("seed")
        assert own["seed"].to_pylist() == list(range(own.num_rows))
        found[setup] = digest(own)
    return found
