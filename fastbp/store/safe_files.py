"""Read, write and list files of a store that anybody may have made, without following a link in it.

The store itself may be reached through a link, unless that lies in another store. Every folder is
opened from the one above, and every file from its folder, so that nothing can take their place
meanwhile.
"""

import errno
import os
import random
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO, RawIOBase
from itertools import chain
from pathlib import Path
from typing import IO, Any
from weakref import WeakValueDictionary, finalize

from fastbp.schema.errors import StoreError, UnsafeFileError
from fastbp.store import places
from fastbp.store.places import is_there

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A link is not followed, and a pipe that nobody writes to is not waited for."""

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""Errors of a folder that is not there."""

NO_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
"""Errors with which file systems say that they cannot flush a folder."""

MAX_SWEEP = 4_000_000
"""The most bytes of a sweep file, also of that in a store. One of 100,000 values has about 1 MB."""


class _Prompt(FileIO):
    """A file that never waits: Python's returns None or a part then, and this raises OSError."""

    def readinto(self, buffer: Any) -> int:
        if (count := super().readinto(buffer)) is None:
            raise OSError(0, "it would have to be waited for")
        return count

    read, readall = RawIOBase.read, RawIOBase.readall  # type: ignore[assignment]


class _Held:
    """A folder that is held: its status, and those of folders in it, once they have been opened.

    They then stay open until no thread holds it: file systems that number folders anew keep the
    numbers of those that are open.
    """

    def __init__(self) -> None:
        self.statuses: dict[Path, os.stat_result] = {}
        self.with_folders = False


_held: WeakValueDictionary[Path, _Held] = WeakValueDictionary()
"""The folders that are held. A forked process holds none."""

os.register_at_fork(after_in_child=_held.clear)


def kind(mode: int) -> str:
    """What a file of this mode is, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "a device")


@contextmanager
def held(root: Path, with_folders: bool = False) -> Iterator[None]:
    """Let functions of this module raise StoreError if another folder takes the place of `root`.

    A folder that is not there yet is held from when it is first opened. `with_folders`: also hold
    the folders of a store's own files in it. Raises as `folder`, but no OSError.
    """
    mine = _held.setdefault(root, _Held())
    try:
        mine.with_folders |= with_folders
        with suppress(OSError):
            if root.is_dir():
                hold(root)
        yield
    finally:
        del mine  # an error that is kept has this frame
        if not _held:
            places.SEEN.clear()


def hold(root: Path) -> None:
    """Open a folder for which `held` was called, and so hold it from now on. Raises as `folder`."""
    with folder(root):
        pass


def _open_root(root: Path) -> int:
    """Open a folder. Raises StoreError if it is held, and is gone."""
    try:
        return os.open(root, places.OPEN) if _is_held(root, root) else places.open_folder(root)
    except OSError as error:
        if error.errno not in _GONE or not _is_held(root, root):
            raise
        raise _another(root) from None  # it must not seem empty


def _is_held(path: Path, root: Path) -> bool:
    """Whether a folder below `root`, or `root` itself, is held, and has been opened."""
    return path in getattr(_held.get(root), "statuses", {})


def _another(path: Path) -> StoreError:
    return StoreError(f"{path} is no longer the folder with which this command began")


@contextmanager
def folder(root: Path, *names: str, make: bool = False) -> Iterator[int]:
    """Open the folder `names` below `root`, a folder or a link to one; yield its descriptor.

    `make`: make those of `names` that are missing.

    Raises
    ------
    UnsafeFileError
        If one of `names` is a link, or anything else but a folder; or if a link on the way to
        `root` lies in a store.
    StoreError
        If `root` or a folder of files in it is held, and is gone, or is another one by now.
    OSError
        If a folder cannot be opened or made.
    """
    path, descriptor = root, _open_root(root)
    try:
        _check_same(root, root, descriptor)
        for name in names:
            path /= name
            if make and not _is_held(path, root):
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=descriptor)
            descriptor, above = _open(path, descriptor, os.O_RDONLY | os.O_DIRECTORY), descriptor
            os.close(above)  # in the end another one is closed, also if an error comes in between
            _check_same(path, root, descriptor)
        yield descriptor
    except OSError as error:
        if error.errno in _GONE and error.filename == str(path) and _is_held(path, root):
            raise _another(path) from None  # it must not seem empty
        if "/" not in str(error.filename or "/"):  # a name in here, or the number of a descriptor
            inside = error.filename if isinstance(error.filename, str) else ""
            raise OSError(error.errno, error.strerror, str(path / inside)) from error
        raise
    finally:
        os.close(descriptor)


def _check_same(path: Path, root: Path, folder: int) -> None:
    """Raise StoreError if `path` is held with `root`, and was another folder when first opened."""
    mine = _held.get(root)
    if not mine or not (path == root or (mine.with_folders and path.name in places.OWN_FOLDERS)):
        return
    if path not in mine.statuses:
        # errors of this are ignored
        finalize(mine, os.closerange, kept := os.dup(folder), kept + 1).atexit = False
        mine.statuses[path] = os.fstat(folder)
    first = mine.statuses[path]
    del mine  # an error that is kept has this frame
    if not os.path.samestat(first, os.fstat(folder)):
        raise _another(path)


def _open(path: Path, parent: int, flags: int) -> int:
    """Open a file of the folder `parent`, or a folder with O_DIRECTORY. `path`: for messages."""
    expected = "a folder" if flags & os.O_DIRECTORY else "a file"
    try:
        descriptor = os.open(path.name, flags | _FLAGS, 0o666, dir_fd=parent)
    except OSError as error:
        with suppress(OSError):
            _check(path, os.lstat(path.name, dir_fd=parent).st_mode, expected)
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        _check(path, os.fstat(descriptor).st_mode, expected)
    except UnsafeFileError:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: Path, mode: int, expected: str) -> None:
    if kind(mode) != expected:
        raise UnsafeFileError(path, f"it is {kind(mode)}, not {expected}")


def check(entry: os.DirEntry[str], path: Path, expected: str) -> None:
    """Raise UnsafeFileError if an entry of a folder is not `expected`, "a file" or "a folder"."""
    _check(path, entry.stat(follow_symlinks=False).st_mode, expected)


@contextmanager
def opened(path: Path, root: Path | None = None, mode: str = "rb") -> Iterator[IO[bytes]]:
    """Open a file below `root`: to read it ("rb"), or to read, make and write it ("r+b").

    `root`: the store; by default the folder of the file.

    Raises
    ------
    UnsafeFileError
        If it, or a folder between it and `root`, is a link or anything else but what it should be.
    OSError
        If it cannot be opened.
    """
    with folder(root or path.parent, *path.parent.relative_to(root or path.parent).parts) as parent:
        descriptor = _open(path, parent, os.O_RDONLY if mode == "rb" else os.O_RDWR | os.O_CREAT)
    # A buffer has a lock, which a thread that a forked process lacks may have taken.
    raw = _Prompt(descriptor, mode)
    with BufferedReader(raw) if mode == "rb" else raw as file:
        yield file


def read(path: Path, root: Path | None = None, most: int = 1 << 28) -> bytes:
    """Read a file below `root`, of at most `most` bytes. Raises as `opened` does."""
    with opened(path, root) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise UnsafeFileError(path, f"it has {size:,} bytes, more than {most:,}")
        return whole(file, size)


def whole(file: IO[bytes], size: int) -> bytes:
    """Read all of a file. Raises OSError if it has more bytes than `size`, its stated size."""
    if len(content := file.read(size + 1)) > size:
        raise OSError(0, f"its file system says that it has {size:,} bytes, but it has more")
    return content


def named_file(path: str | os.PathLike[str], most: int) -> bytes:
    """Read at most `most` bytes of a file that the user names: links are followed.

    Raises OSError; also if it is a pipe or a device, which is not waited for.
    """
    with named(path) as file:
        return file.read(most)


@contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file as `named_file` does."""
    raw = _Prompt(
        path, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    )
    with BufferedReader(raw) as file:
        if (what := kind(os.fstat(file.fileno()).st_mode)) != "a file":
            raise OSError(0, f"it is {what}")  # of a pipe only the start may be there yet
        yield file


def text_of(path: Path, root: Path | None = None, most: int = 1 << 25) -> str:
    """Read a file as `read` does, as UTF-8, which may take four times its bytes.

    Raises UnicodeDecodeError if it is none.
    """
    return read(path, root, most).decode()


def listed(root: Path, *names: str) -> dict[str, bool]:
    """The names in a folder below `root`, sorted; whether each is a file, and not a link.

    If the folder does not exist, there are none. Raises UnsafeFileError and OSError as `folder`;
    OSError also if names vanish whenever it is listed.
    """
    with suppress(FileNotFoundError), folder(root, *names) as descriptor:
        for _ in range(30):
            before = {*os.listdir(descriptor)} - {""}  # of a stranger's file system: the folder
            with os.scandir(descriptor) as entries:
                kinds = {
                    entry.name: entry.is_file(follow_symlinks=False)
                    or places.is_file(entry.name, descriptor)
                    for entry in entries
                    if entry.name
                }
            # a file that joins others is there before they go: else it and they may be missed
            if before <= kinds.keys():
                return dict(sorted(kinds.items()))
        raise OSError(0, "names vanish whenever it is listed", str(root.joinpath(*names)))
    return {}


def set_aside(path: Path, root: Path) -> Path:
    """Move a file of the store `root`, as it is, into its folder `quarantine`.

    Returns its new path. Raises as `folder`.
    """
    parts = path.parent.relative_to(root).parts
    with folder(root, "quarantine", make=True) as aside, folder(root, *parts) as there:
        # that very many are there already takes no time
        ends = chain(("",), range(1, 100), iter(lambda: random.getrandbits(60), None))
        names = (_with_end(path.name, f".{end}" if end else "") for end in ends)
        name = next(name for name in names if not is_there(name, aside))
        os.rename(path.name, name, src_dir_fd=there, dst_dir_fd=aside)
    return root / "quarantine" / name


def _with_end(name: str, end: str) -> str:
    """A name with another end, cut to the 255 bytes that a name may have."""
    return os.fsdecode(os.fsencode(name)[: 255 - len(end)]) + end


def remove(path: Path, root: Path) -> None:
    """Remove a file below `root`, if it is there. Raises as `opened` does."""
    with folder(root, *path.parent.relative_to(root).parts) as parent, suppress(FileNotFoundError):
        _check(path, os.lstat(path.name, dir_fd=parent).st_mode, "a file")
        os.unlink(path.name, dir_fd=parent)


def write(
    target: Path, content: bytes, root: Path | None = None, drafts: Path | None = None
) -> Path:
    """Write a file atomically: write a draft, then rename it.

    Parameters
    ----------
    target : Path
        The file. Folders between it and `root` are made if they are missing.
    content : bytes
        All its bytes.
    root : Path, optional
        The store, which must exist; by default the folder of the file, which is made if it is
        missing.
    drafts : Path, optional
        The folder of the draft, in `root`; by default the folder of the file.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    UnsafeFileError
        As `opened`.
    OSError
        If the file cannot be written. The error names the file, not its draft.
    """
    if root is None:
        root = target.parent
        make(root)
    try:
        with (
            folder(root, *target.parent.relative_to(root).parts, make=True) as there,
            folder(root, *(drafts or target.parent).relative_to(root).parts) as aside,
        ):
            _publish(target.name, content, aside, there)
    except OSError as error:  # a user knows the file, not its draft
        raise OSError(error.errno, error.strerror, str(target)) from error
    return target


def make(root: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises UnsafeFileError, OSError."""
    os.close(places.open_folder(root, make=True))


def write_all(files: Mapping[Path, bytes], root: Path) -> None:
    """Write files below a folder, which is made, and held meanwhile. Raises as `write`."""
    with held(root):
        make(root)
        for path, content in files.items():
            write(path, content, root)


def _publish(name: str, content: bytes, aside: int, there: int) -> None:
    """Write a draft in the folder `aside`, and rename it to `name` in the folder `there`."""
    # not the number of this process: one before it, which was killed, may have had it too
    draft = _with_end(name, f".{secrets.randbits(40)}.draft")
    try:
        with open(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666, dir_fd=aside), "wb"
        ) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, name, src_dir_fd=aside, dst_dir_fd=there)
    finally:
        with suppress(OSError):
            os.unlink(draft, dir_fd=aside)
    try:  # fsync the folder too: a rename alone may be lost in a power cut
        os.fsync(there)
    except OSError as error:
        if error.errno not in NO_FSYNC:
            raise
