"""A process that publishes, forked for each request from one that has imported everything, and
watched by strace if asked to.

Each line of stdin is a request in JSON: the store, a folder for notes, and the options of strace
(none: nobody watches). What strace sees begins after all preparations, so that the calls it counts
are those of the store, in the same order every time.
"""

import ctypes
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

from fake_runs import ONE, OTHER, rows

from fastbp.cli import process
from fastbp.store.store import Store

PLAN = [(ONE, 0, 60), (OTHER, 0, 40), (ONE, 60, 50)]
"""The files of a complete store: setup, first seed, number of rows."""

TABLES = {(setup, start): rows(setup, start, count) for setup, start, count in PLAN}

PR_SET_PTRACER, ANYBODY = 0x59616D61, ctypes.c_ulong(-1)


def publish(store: Store, tell: int = 1) -> int:
    """Publish what is missing, as a sweep does, and tell the name of each file once it is
    published."""
    with store.locked():
        present = store.present()
        for setup, start, count in PLAN:
            if (start, count) not in present.get(setup, []):
                os.write(
                    tell, f"{store.publish(setup, start, TABLES[setup, start]).name}\n".encode()
                )
    return process.COMPLETE


def rehearse() -> None:
    """Import whatever is imported only where it is used, so that no child has to."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        for _ in range(2):
            process.exit_code(lambda: publish(Store(folder), nowhere.fileno()), Path(folder))


def child(store: Path, notes: Path, ready: int, go: int) -> int:
    """What the forked process does. Returns its exit code."""
    for name, stream in (("out", 1), ("err", 2)):
        os.dup2(os.open(notes / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), stream)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)  # strace will be a sister
    os.write(ready, b".")
    select.select(
        [go], [], []
    )  # a call that no store makes: strace may come before or after it has begun
    try:
        return process.exit_code(lambda: publish(Store(store)), store)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1


def serve(store: Path, notes: Path, strace: list[str] | None) -> dict[str, object]:
    """Fork and publish there. Returns how it ended (an exit code, or a signal as a negative number)
    or why nobody may watch."""
    (go, start), (readied, ready) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os._exit(child(store, notes, ready, go))
    os.read(readied, 1)
    watch, refused = None, ""
    if strace is not None:
        command = ["strace", "-y", "-o", notes / "calls", *strace, "-p", str(pid)]
        watch = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert watch.stderr
        said = watch.stderr.readline()
        refused = "" if "attached" in said else said
    os.write(start, b".")
    _, status = os.waitpid(pid, 0)
    if watch:
        watch.communicate()
    for end in (go, start, readied, ready):
        os.close(end)
    return {"code": os.waitstatus_to_exitcode(status), "refused": refused}


if __name__ == "__main__":
    rehearse()
    for line in sys.stdin:
        store, notes, strace = json.loads(line)
        print(json.dumps(serve(Path(store), Path(notes), strace)), flush=True)
