"""Check the problems of a store, and find those on which its runs were trained."""

import json
from collections.abc import Callable, Set
from pathlib import Path
from typing import NamedTuple

from fastbp.config.setup import Setup
from fastbp.problems import targets
from fastbp.problems.problem import ProblemData
from fastbp.schema.errors import DamagedFileError, FileError
from fastbp.store import safe_files
from fastbp.store.npz import problem_files
from fastbp.store.parquet import CHANGED, is_as_read
from fastbp.store.store import Store

MAX_SPENT, TRY = 1 << 32, 200_000
"""The most bytes of problems that are read for files that do not say which is theirs, some ten
seconds, and as how many bytes each file counts for each problem."""

MAX_WAITING = 1 << 26
"""The most bytes of the keys of setups that wait for their problems."""

MISNAMED = "its problem is not that of its setup"

OTHER_KEYS = "its keys belong to another setup"
"""For a file of a newer fastbp only a guess: that may have keys that this one does not know."""


class Said(NamedTuple):
    """What files say of their setup: its id, a sha256 of its keys, numerics version and problem.

    `is_newer`: whether a newer fastbp made them.
    """

    setup: str
    keys: bytes
    version: str
    problem: str
    is_newer: bool


class StoredProblems:
    """The problems of a store, and which setup was trained on which.

    Attributes
    ----------
    sound : dict
        Sound files, each with the bytes of its data.
    damaged : list of Path
        Damaged files: the digest of their data is not the one in their name.
    lacking : dict
        What the store lacks to make a setup again, or `MISNAMED` or `OTHER_KEYS`, for what files
        say of it; empty if it can be made. It is complete after `look_up`.
    classes : dict
        For what files say of a setup, if it can be made, the hash of its `groups`. Its id covers
        the data, but not which outputs are classes.
    """

    def __init__(self, store: Store, tick: Callable[[str], None]) -> None:
        self.sound, self.damaged = _problems(store, tick)
        self._named = {path.stem: path for path in self.sound}
        self._waiting: list[tuple[Said, str]] = []
        self._files: dict[Said, str] = {}
        self._bytes = self._spent = 0
        self.lacking: dict[Said, str] = {}
        self.classes: dict[Said, int] = {}

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
        elif self._makes(said, keys):
            self.lacking[said] = ""
        elif said.is_newer:
            self.lacking[said] = OTHER_KEYS
        else:
            raise DamagedFileError(file, OTHER_KEYS)

    def look_up(self) -> None:
        """Look for the problems of what was added.

        One problem after the other: each may have a quarter of a gigabyte.
        """
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        for said, keys in sorted(waiting, key=lambda each: each[0].problem):
            if path := self._named.get(said.problem):
                self.lacking[said] = (
                    ""
                    if self._makes(said, keys, path)
                    else (OTHER_KEYS if said.is_newer else MISNAMED)
                )
            elif said.problem:
                self.lacking[said] = _lacks(said, keys)
        others = {said.setup: said.problem for said, why in self.lacking.items() if not why}
        unnamed = sorted(
            (each for each in waiting if not each[0].problem),
            key=lambda each: others.get(each[0].setup, ""),
        )
        self.lacking |= {
            said: ""
            for said, keys in unnamed
            if (path := self._named.get(others.get(said.setup, "")))
            and self._makes(said, keys, path)
        }
        self._search({said: keys for said, keys in unnamed if said not in self.lacking})
        # the search may have been given up before the file that names the problem was read
        made = {said[:3] for said, why in self.lacking.items() if not why}
        self.lacking |= {said: "" for said in self.lacking if said[:3] in made and not said.problem}

    def _search(self, left: dict[Said, str]) -> None:
        """Try all sound problems for files that name none.

        `left`: what these files say, with their keys as JSON. No other file of their setups names a
        problem that fits.
        """
        is_over = False
        for path, size in self.sound.items():
            self._spent += bool(left) * size + sum(TRY + 2 * len(keys) for keys in left.values())
            if is_over := self._spent > MAX_SPENT:
                break
            found = [said for said, keys in left.items() if self._makes(said, keys, path)]
            self.lacking |= dict.fromkeys(found, "")
            left = {said: keys for said, keys in left.items() if said not in self.lacking}
        for said, keys in left.items():
            over = f"they are very many, and {self._files[said]} does not say which is its own"
            known = OTHER_KEYS if said.is_newer and self.sound else _lacks(said, keys)
            self.lacking[said] = over if is_over else known

    def _makes(self, said: Said, keys: str, problem: Path | None = None) -> bool:
        """Whether keys, with a problem if it is a file, make this id, and are spelt as fastbp does.

        Other spellings make the same setup, but no fastbp writes them. Raises FileError if the
        problem, which was sound, cannot be read again: nobody knows then.
        """
        data, stored = _again(problem) if problem else None, json.loads(keys)
        try:
            setup = Setup.from_columns(stored, data)
            # numbers as reals: 1 is 1.0, and 0.0 is not −0.0
            both = json.loads(json.dumps([stored, stored | setup.columns()]), parse_int=float)
            is_made = (
                repr(both[0]) == repr(both[1]) and setup.identity(int(said.version)) == said.setup
            )
            self.classes |= {said: hash(setup.groups)} if is_made else {}
            return is_made
        except (ValueError, TypeError, AttributeError):
            return False


def _again(problem: Path) -> ProblemData:
    try:
        return targets.stored(problem)
    except (ValueError, TypeError, AttributeError) as error:
        raise FileError(problem, getattr(error, "why", CHANGED)) from error


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
        if name.startswith("."):  # as a Mac makes them
            continue
        path = store.path / "problems" / name
        if (size := size_of(path)) is None:
            damaged.append(path)
        else:
            sound[path] = size
    return sound, damaged


def has_changed(store: Store, known: Set[Path]) -> bool:
    """Whether files of runs or sound problems have come to those that are known, or changed.

    Raises as `size_of`.
    """
    return (
        not {*store.files()} <= known
        or any(size_of(file) is not None for file in problem_files(store.path) if file not in known)
        or not all(is_as_read(file) for file in known if file.parent.name == "runs")
    )


def size_of(problem: Path) -> int | None:
    """The bytes of a problem; None if it is damaged. Raises FileError if it cannot be read."""
    try:
        return targets.stored(problem).nbytes
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, FileError) and not isinstance(error, DamagedFileError):
            raise
    return None
