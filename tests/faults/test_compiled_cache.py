"""The folder of compiled code, whatever has become of its files: the right rows, or a line; never a
crash or a traceback.

Machine code is run as it is found, so a file of which one bit is wrong must be known before it is
loaded.
"""

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import MODULE, environment, raising
from stores import contents_of, rows_of, stamps

from fastbp.kernels import code_cache
from fastbp.kernels.code_cache import seal, unsealed

SWEEP = """
seeds = 20
[setup]
problem = "xor"
updates = 60
[grid]
lr = [0.5, 2]
"""

OPTIONS = ["--quiet", "--no-report"]

SMALL, LARGE = "make_initialise", "make_advance"
"""Kernels that compile in one second and in ten."""


def start(
    folder: Path, cache: Path, store: str = "store", program: Sequence[str] = ()
) -> subprocess.Popen[str]:
    (folder / "mine.toml").write_text(SWEEP)
    return subprocess.Popen(
        [*program, *MODULE, "mine.toml", "-o", store, *OPTIONS],
        cwd=folder,
        env=environment(FASTBP_CACHE_DIR=str(cache)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], *said: str) -> None:
    """It is complete and says nothing but these lines, and that."""
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    *lines, last = (line for line in err.splitlines() if not line.startswith("Table: "))
    assert lines == list(said)
    assert last.startswith("40 runs trained")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[int, str]]]:
    """A folder of code to copy, and the rows of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    own = code_cache.cache_folder()
    assert own
    ended(start(folder, own.parent))
    return shutil.copytree(own, folder / "cache" / own.name), rows_of(folder / "store")


@pytest.fixture
def cache(whole, tmp_path: Path) -> Path:
    """A copy, which may be damaged."""
    return shutil.copytree(whole[0], tmp_path / "cache" / whole[0].name)


def files(cache: Path, name: str) -> list[Path]:
    return sorted(cache.glob(name))


def damaged(draw: random.Random, raw: bytes) -> bytes:
    """A file with one bit wrong, cut short, empty, with more behind it, or something else
    altogether."""
    at = draw.randrange(len(raw))
    flipped = raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :]
    return draw.choice(
        (flipped, flipped, raw[:at], b"", raw + b"\0", draw.randbytes(100), bytes(len(raw)))
    )


# The files by themselves


def is_whole(file: Path) -> bool:
    try:
        return bool(unsealed(file))
    except OSError:
        return False


def test_whatever_is_damaged_is_as_good_as_not_there(cache):
    draw = random.Random(7)
    for file in draw.choices(files(cache, "*.nbc"), k=300):
        raw = file.read_bytes()
        assert is_whole(file)
        file.write_bytes(damaged(draw, raw))
        assert not is_whole(file), file.name
        file.write_bytes(raw)


def test_a_file_under_the_name_of_another_is_as_good_as_not_there(cache):
    names = files(cache, "*.nbc")
    for one, other in zip(names, [*names[1:], names[0]], strict=True):
        raw = one.read_bytes()
        shutil.copyfile(other, one)
        assert not is_whole(one)
        one.write_bytes(raw)


def a_file_of_code(folder: Path) -> Path:
    """Sealed as it should be."""
    file = folder / "kernel.nbc"
    seal(file, b"code")
    assert (unsealed(file), file.stat().st_mode & 0o777) == (b"code", 0o600)
    return file


STRANGE: dict[str, Callable[[Path], object]] = {
    "others may write": lambda path: path.chmod(0o602),
    "a group may write": lambda path: path.chmod(0o620),
    "a link": lambda path: path.rename(path.with_name("x")) and path.symlink_to("x"),
    "a pipe": lambda path: path.unlink() or os.mkfifo(path),
    "another user's": lambda path: os.chown(path, 12_345, -1),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_code_that_another_may_have_written_is_not_read(tmp_path, strange):
    """It is run as it is found; its seal anybody can make."""
    if strange == "another user's" and os.geteuid():
        pytest.skip("only root gives files away")
    file = a_file_of_code(tmp_path)
    STRANGE[strange](file)
    with pytest.raises(OSError, match=r"kernel.nbc|Too many levels"):
        unsealed(file)


@pytest.mark.parametrize("strange", STRANGE)
def test_nor_is_a_folder_of_code(tmp_path, monkeypatch, strange):
    if strange == "another user's" and os.geteuid():
        pytest.skip("only root gives files away")
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "shared"))
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    find = code_cache.cache_folder.__wrapped__
    folder = find()
    assert folder.stat().st_mode & 0o777 == 0o700
    if strange == "a pipe":
        folder.rmdir()
        folder.touch()
    STRANGE[strange](folder)
    assert find() is None


ABOVE: dict[str, tuple[int, int, bool]] = {
    "others may write": (0o707, -1, False),
    "others may write, but only the owner renames": (0o1707, -1, True),
    "a group may write": (0o770, 12_345, False),
    "the group of the user may write": (0o770, -1, True),
}
"""Permissions and group of a folder, and whether the code below it is read."""


@pytest.mark.parametrize("case", ABOVE)
@pytest.mark.parametrize("place", ["shared", "shared/mine"])
def test_nor_is_a_folder_that_others_can_exchange(tmp_path, monkeypatch, case, place):
    """Between a look at it and the reading of its files another may lie in its place."""
    mode, group, kept = ABOVE[case]
    if group >= 0 and os.geteuid():
        pytest.skip("only root gives files to any group")
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "shared" / "mine"))
    find = code_cache.cache_folder.__wrapped__
    find().rmdir()
    os.chown(tmp_path / place, -1, group)
    (tmp_path / place).chmod(mode)
    assert (bool(find()), any((tmp_path / "shared" / "mine").iterdir())) == (kept, kept)


@pytest.mark.parametrize(("mode", "owner"), [(0o777, -1), (0o1777, 12_345)])
def test_nor_is_a_folder_to_which_a_link_of_others_leads(tmp_path, monkeypatch, mode, owner):
    """They can lead it elsewhere, as to a folder that they made and this user received."""
    if owner >= 0 and os.geteuid():
        pytest.skip("only root gives links away")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    (tmp_path / "received").mkdir()
    (tmp_path / "shared" / "link").symlink_to("../received")
    os.lchown(tmp_path / "shared" / "link", owner, -1)
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "shared" / "link" / "mine"))
    assert code_cache.cache_folder.__wrapped__() is None
    assert [*(tmp_path / "received").iterdir()] == []  # nothing is made there


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no lists of users here")
def test_nor_is_a_folder_that_a_list_of_users_lets_others_exchange(tmp_path, monkeypatch):
    """In its mode the bits of the group stand for all on the list."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "shared" / "mine"))
    find = code_cache.cache_folder.__wrapped__
    assert find()
    nobody, more = 2**32 - 1, ((1, 7), (2, 7, 12_345), (4, 5), (16, 7), (32, 5))
    entries = [struct.pack("<HHI", *(*entry, nobody)[:3]) for entry in more]
    try:
        acl = b"".join([struct.pack("<I", 2), *entries])
        os.setxattr(tmp_path / "shared", "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("no lists of users on this file system")
    assert find() is None


@pytest.mark.parametrize(("owner", "kept"), [(os.geteuid(), True), (0, True), (12_345, False)])
def test_nor_is_a_folder_on_a_file_system_of_another(tmp_path, monkeypatch, owner, kept):
    """That user decides which owner its files show."""
    device = os.stat(tmp_path).st_dev
    mount = f"9 1 {os.major(device)}:{os.minor(device)} / /tmp rw - fuse x rw,user_id={owner}"
    monkeypatch.setattr(Path, "read_bytes", lambda path: mount.encode())
    assert bool(code_cache.kept_folder(tmp_path)) == kept


def test_nor_is_any_folder_of_nobody(tmp_path, monkeypatch):
    """Other users are shown under that number, too."""
    monkeypatch.setattr(os, "geteuid", lambda: code_cache.NOBODY)
    assert code_cache.kept_folder(tmp_path) is None


def test_nor_is_a_folder_that_cannot_be_listed():
    cache = object.__new__(code_cache.CodeCache)
    cache.folder, cache.name = SimpleNamespace(glob=raising(OSError)), "kernel"
    assert not code_cache.is_on_disk(SimpleNamespace(_cache=cache))


# The command


def holds(whole, cache: Path, folder: Path) -> None:
    """With this cache the command makes the right rows, and has put it right for the next."""
    ended(start(folder, cache.parent))
    assert rows_of(folder / "store") == whole[1]
    now = stamps(cache)
    ended(start(folder, cache.parent, "again"))
    assert stamps(cache) == now, "nothing is compiled again"
    assert rows_of(folder / "again") == whole[1]


def flipped(raw: bytes) -> bytes:
    at = len(raw) // 3
    return raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]


HARMS: dict[str, Callable[[bytes], bytes | None]] = {
    "flip": flipped,
    "garble": lambda raw: b"\x80\x05garbage",
    "lose": lambda raw: None,
}
"""What becomes of a file of code: other bytes, or none."""


def harm(cache: Path, kernel: str, change: Callable[[bytes], bytes | None]) -> None:
    """Damage all code of a kernel."""
    of_kernel = files(cache, f"*{kernel}*.nbc")
    assert of_kernel
    for file in of_kernel:
        other = change(file.read_bytes())
        file.unlink()
        if other is not None:
            file.write_bytes(other)


def test_damaged_kernels_are_compiled_again(whole, cache, tmp_path):
    """One of each damage, and a file of another kernel in the place of its own."""
    measure = files(cache, "*make_measure*.nbc")[0].read_bytes()
    harms = HARMS | {"swap": lambda raw: measure}
    for kernel, change in zip(
        (SMALL, "make_draw", "make_losses", "make_output_deltas"), harms.values(), strict=True
    ):
        harm(cache, kernel, change)
    holds(whole, cache, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("kernel", [LARGE, "make_measure"])
@pytest.mark.parametrize("kind", HARMS)
def test_any_damaged_kernel_is_compiled_again(whole, cache, tmp_path, kind, kernel):
    harm(cache, kernel, HARMS[kind])
    holds(whole, cache, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(5))
def test_a_folder_of_which_nothing_is_whole(whole, cache, tmp_path, number):
    harm(cache, "", partial(damaged, random.Random(number)))
    holds(whole, cache, tmp_path)


def at_once(whole, cache: Path, folder: Path) -> None:
    for process in [start(folder, cache.parent, store) for store in "abc"]:
        ended(process)
    for store in "abc":
        assert rows_of(folder / store) == whole[1]


def test_three_that_fill_a_folder_at_once(whole, cache, tmp_path):
    for file in files(cache, f"*{SMALL}*"):
        file.unlink()
    at_once(whole, cache, tmp_path)
    assert files(cache, f"*{SMALL}*")
    assert all(map(is_whole, cache.iterdir()))


@pytest.mark.soak
def test_three_that_find_a_folder_empty(whole, tmp_path):
    at_once(whole, tmp_path / "cache", tmp_path)


NOTE = (
    "note: no folder for compiled code can be written by this user alone, so each command compiles "
    "anew; set FASTBP_CACHE_DIR to a folder of your own"
)


@pytest.mark.parametrize(
    "place",
    ["/dev/null/x", "file", "file/x", "link", "x" * 300, "\udcff/" + "y" * 300],
    ids=lambda place: ascii(place[:9]),
)
def test_where_there_can_be_no_folder_that_is_told(whole, tmp_path, monkeypatch, here, place):
    """Kernels of this process are there already: only the folder is looked for again."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere/at/all")
    (tmp_path / "mine.toml").write_text(SWEEP)
    assert here("mine.toml", "-o", "before", *OPTIONS).returncode == 0
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / place))
    code_cache.cache_folder.cache_clear()
    try:
        done = here("mine.toml", "-o", "store", *OPTIONS)
    finally:
        monkeypatch.undo()
        code_cache.cache_folder.cache_clear()
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, NOTE)
    assert rows_of(tmp_path / "store") == whole[1]


@pytest.mark.soak
def test_without_a_folder_all_is_compiled(whole, tmp_path):
    ended(start(tmp_path, Path("/dev/null/x")), NOTE)
    assert rows_of(tmp_path / "store") == whole[1]


@pytest.mark.soak
@pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
    reason="no file systems of our own here",
)
def test_a_folder_that_can_only_be_read(whole, cache, tmp_path):
    """The files stay what they were, whether they are used or not."""
    before = contents_of(cache)
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    ended(
        start(
            tmp_path, cache.parent, program=["unshare", "-m", "sh", "-c", mount, str(cache.parent)]
        ),
        NOTE,
    )
    assert (rows_of(tmp_path / "store"), contents_of(cache)) == (whole[1], before)
