"""`python -m benchmarks.contenders NAME JOB CORE` serves one contender, held to a core where CORE
is a number.

It answers at once with why it is skipped, or null. Then, for each line on its standard input:
`check` answers how far its weights are from fastbp's; `prepare` gets everything ready and answers
with networks, updates, and the seconds of the first and of a later call; a number trains so many
times and answers with the seconds of CPU time, of all threads together.
"""

import os
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.children import say
from benchmarks.contenders import ENTRIES


def skipped(name: str) -> str | None:
    """Which package is missing, if one is."""
    missing = [package for package in ENTRIES[name].packages if find_spec(package) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def main(name: str, path: str, core: str) -> None:
    """Serve."""
    if core.isdigit() and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    if reason := skipped(name):
        say(reason)
        return
    from benchmarks.contenders import job

    module, work = import_module(f"benchmarks.contenders.{name}"), job.read(Path(path))
    say(module.skipped(work) if hasattr(module, "skipped") else None)
    for line in sys.stdin:
        if line.strip() == "check":
            say(module.difference(work))
        elif line.strip() == "prepare":
            contender = module.prepare(work)
            first, later = seconds(contender, 1), seconds(contender, 1)
            say(
                {
                    "networks": contender.networks,
                    "updates": contender.updates,
                    "first": first,
                    "later": later,
                }
            )
        else:
            began = time.process_time()
            contender.train(int(line))
            say(time.process_time() - began)


def seconds(contender: "job.Contender", times: int) -> float:  # noqa: F821  imported late
    """How long it trains."""
    began = time.perf_counter()
    contender.train(times)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
