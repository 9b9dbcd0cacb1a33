"""Check the problems of a store, and find those on which its runs were trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastbp.engine.stored_run import setup_of
from fastbp.problems import targets
from fastbp.schema.errors import DamagedFileError, FileError, StoreError
from fastbp.store import safe_files
from fastbp.store.store import Store

MAX_SPENT, TRY = 1 << 32, 200_000
"""The most bytes of problems that are read for files that do not say which is theirs, some ten
seconds, and as how many bytes each file counts for each problem."""

MAX_WAITING = 1 << 26
"""The most bytes of the keys of setups that wait for their problems."""

MISNAMED = "its problem is not that of its setup"


class Said(NamedTuple):
    """What files say of their setup: its id, a sha256 of its keys, numerics version and problem."""

    setup: str
    keys: bytes
    version: str
    problem: str


class StoredProblems:
    """The problems of a store, and which setup was trained on which.

    Attributes
    ----------
    damaged : list of Path
        Those whose data do not match their names.
    lacking : dict
        What the store lacks to make a setup again, or that another problem is named, for what files
        say of it; empty if it can be made. It is complete after `look_up`.
    """

    def __init__(self, store: Store, tick: Callable[[str], None]) -> None:
        self._store = store
        self._sizes, self.damaged = _problems(store, tick)
        self._named = {path.stem: path for path in self._sizes}
        self._waiting: list[tuple[Said, str]] = []
        self._files: dict[Said, str] = {}
        self._bytes = self._spent = 0
        self.lacking: dict[Said, str] = {}

    def add(self, said: Said, keys: str, file: Path) -> None:
        """Add what a file says, with the keys of its setup as JSON.

        Raises DamagedFileError if they are those of another setup.
        """
        if str(json.loads(keys)["problem"]).startswith("file:"):
            self._waiting.append((said, keys))
            self._files[said] = file.name
            self._bytes += len(keys)
            if self._bytes > MAX_WAITING:
                self.look_up()
        elif not self._makes(said, keys):
            raise DamagedFileError(file, "its keys belong to another setup")
        else:
            self.lacking[said] = ""

    def look_up(self) -> None:
        """Look for the problems of what was added.

        One problem after the other: each may have a quarter of a gigabyte.
        """
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        left = dict[Said, str]()
        for said, keys in sorted(waiting, key=lambda each: each[0].problem):
            path = self._named.get(said.problem)
            if path and self._makes(said, keys, path):
                self.lacking[said] = ""
            else:
                left[said] = keys
        right = {said[:3] for said, lacking in self.lacking.items() if said.problem and not lacking}
        self.lacking |= {said: said.problem and MISNAMED for said in left if said[:3] in right}
        self._search({said: keys for said, keys in left.items() if said[:3] not in right})

    def _search(self, left: dict[Said, str]) -> None:
        """Try all problems for files that do not say which is theirs, of which keys are given.

        And for those that say a wrong one, so that they are known to be damaged.
        """
        is_over = False
        for path, size in self._sizes.items():
            self._spent += bool(left) * size + sum(TRY + 2 * len(keys) for keys in left.values())
            if is_over := self._spent > MAX_SPENT:
                break
            for said, keys in left.items():
                if self._makes(said._replace(problem=""), keys, path):
                    self.lacking[said] = said.problem and MISNAMED
            left = {said: keys for said, keys in left.items() if said not in self.lacking}
        for said, keys in left.items():
            name = self._files[said]
            self.lacking[said] = _lacks(said, keys)
            if said.problem in self._named:
                self.lacking[said] = MISNAMED
            elif is_over and not said.problem:
                self.lacking[said] = f"they are very many, and {name} does not say which is its own"

    def _makes(self, said: Said, keys: str, *problem: Path) -> bool:
        """Whether keys, with a problem if it is a file, make the setup of this id."""
        row, version = json.loads(keys), int(said.version)
        try:
            setup_of(self._store, said.setup, row, version, said.problem, problem)
        except StoreError:
            return False
        return True


def _lacks(said: Said, keys: str) -> str:
    """Say what a store lacks to make the setup of a file again."""
    return (
        f"it lacks {json.loads(keys)['problem']}, on which setup {said.setup} was trained: the "
        "same sweep writes it again, if its file has not changed"
    )


def _problems(store: Store, tick: Callable[[str], None]) -> tuple[dict[Path, int], list[Path]]:
    """Check all problems. Returns the bytes of those that are sound, and those that are damaged."""
    sound, damaged = dict[Path, int](), list[Path]()
    names = safe_files.listed(store.path, "problems")
    for done, name in enumerate(names):
        tick(f"reading {store.path}: {done:,} of {len(names):,} problems")
        path = store.path / "problems" / name
        try:
            sound[path] = targets.stored(path).nbytes
        except (ValueError, TypeError, AttributeError) as error:
            if isinstance(error, FileError) and not isinstance(error, DamagedFileError):
                raise
            damaged.append(path)
    return sound, damaged
