"""Everything that touches Numba's private API: parts of kernels, and the cache of machine code.

It is tested with the Numba versions from `MIN_NUMBA` up to, but not including, `END_NUMBA`. With
any other version none of it is used: kernels compile in Numba's plain way, which takes longer, and
every process compiles anew. The results are the same bits.
"""

import hashlib
import os
import pickle
import re
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from numba import __version__ as numba_version, config
from numba.core.registry import cpu_target

from fastbp.schema.errors import need_memory

MIN_NUMBA, END_NUMBA = (0, 61), (0, 69)
"""Numba versions whose private API this module knows; `dependencies` in pyproject.toml has the same
bounds."""

try:
    from numba import _dynfunc
    from numba.core import (
        bytecode,
        ccallback,
        codegen,
        compiler,
        compiler_machinery,
        serialize,
        typed_passes,
    )

    Library, Compiler = codegen.JITCodeLibrary, compiler.CompilerBase
    Lowering = typed_passes.NativeLowering
except (ImportError, AttributeError):  # a version out of these bounds, which uses none of it
    Library = Compiler = Lowering = object


def is_tested_numba(version: str = numba_version) -> bool:
    """Whether this module knows the private API of a Numba version."""
    return MIN_NUMBA <= tuple(map(int, version.split(".")[:2])) < END_NUMBA


@lru_cache(maxsize=1)
def cpu_features() -> list[str]:
    """Features of the processor that code is compiled for, as LLVM names them."""
    return str(cpu_target.target_context.codegen().magic_tuple()[-1]).split(",")


class _PartOfKernels(Library):  # type: ignore[misc, valid-type]
    """Code that is only linked into kernels, and optimised there.

    Numba by itself also optimises each part alone and generates machine code of it, which nobody
    calls: half of all compile time.
    """

    def add_ir_module(self, ir_module: Any) -> None:
        for function in ir_module.functions:
            if not function.is_declaration and "alwaysinline" not in function.attributes:
                function.attributes.add("noinline")
        super().add_ir_module(ir_module)

    def _optimize_final_module(self) -> None: ...

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _PartLowering(Lowering):  # type: ignore[misc, valid-type]
    """Numba's last compilation step, for parts of kernels."""

    _name = "fastbp_part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _PartOfKernels(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # Numba looks a part up by a function that Python could call.
        name, module = lowered.fndesc.qualname, lowered.fndesc.lookup_module()
        key = _dynfunc.make_function(module, name, "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=key)
        return True


NOBODY = 65_534
"""Linux shows this number for all users and groups that are not in the own user namespace."""

_UNUSED_STEPS = {
    "with_lifting",
    "inline_closure_likes",
    "make_function_op_code_to_jit_function",
    "inline_inlinables",
    "inline_overloads",
    "find_literally",
    "literal_unroll",
    "LiteralPropagation",
    "nopython_rewrites",
}
"""Steps for what no part has: closures, `with` blocks, functions that Numba inlines itself, loops
over tuples of several types, and expressions of whole arrays. They take a tenth of the time."""


class PartCompiler(Compiler):  # type: ignore[misc, valid-type]
    """Numba's compiler with `_PartLowering` as its last step."""

    def define_pipelines(self) -> list[Any]:
        """Make Numba's usual pipeline without steps that parts do not need."""
        steps = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        steps.passes = [
            (_PartLowering if step is Lowering else step, text)
            for step, text in steps.passes
            if step._name not in _UNUSED_STEPS
        ]
        steps.finalize()
        return [steps]


def _renumber_functions() -> None:
    """Give functions numbers that no other process gives, nor one that was forked from it.

    Numba numbers functions from 1 in every process, and code on disk calls its parts by names that
    contain little but that number. So two processes may give one name to two parts, such as those
    for two numbers of lanes, and a process that loads the code of both would link the wrong one.
    """
    bytecode.FunctionIdentity._unique_ids = count(uuid4().int >> 66)


if is_tested_numba():
    compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)(_PartLowering)
    _renumber_functions()
    os.register_at_fork(after_in_child=_renumber_functions)


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Folder of compiled code, named by a hash of all numeric sources; None where there is none.

    It lies in FASTBP_CACHE_DIR or else in the user's cache folder. There is none with the JIT off,
    with a Numba version that is not tested, where nothing can be written, and where another user
    could write, or put another folder in its place. Numba's own cache checks the file of the
    function only, and runs outdated code after an edit in a helper's file.
    """
    if config.DISABLE_JIT or not is_tested_numba():
        return None
    usual = "Library/Caches" if sys.platform == "darwin" else ".cache"
    custom, caches = os.environ.get("FASTBP_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    with suppress(OSError, RuntimeError):  # no home folder is a RuntimeError
        base = Path(custom or Path(caches or Path.home() / usual) / "fastbp").expanduser()
        if own := kept_folder(base, make=True):
            folder = own / hashlib.sha256((numba_version + sources()).encode()).hexdigest()[:16]
            folder.mkdir(mode=0o700, exist_ok=True)
            is_ours = stat.S_ISDIR(os.lstat(folder).st_mode) and _is_own(os.lstat(folder))
            return folder if is_ours and os.access(folder, os.W_OK | os.X_OK) else None
    return None


@lru_cache(maxsize=1)
def sources() -> str:
    """A hash (16 hex digits) of all numeric sources."""
    package, digest = Path(__file__).parent.parent, hashlib.sha256()
    for source in sorted([*package.glob("kernels/*.py"), *package.glob("choices/*.py")]):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def why_not_kept() -> str:
    """Say why compiled code is not kept for later commands; empty where it is."""
    if config.DISABLE_JIT or cache_folder():
        return ""
    if not is_tested_numba():
        first, end = (".".join(map(str, version)) for version in (MIN_NUMBA, END_NUMBA))
        return (
            f"fastbp is not tested with Numba {numba_version}, so each command compiles anew and "
            f"takes longer to do so; pip install 'numba>={first},<{end}' avoids this"
        )
    return (
        "no folder for compiled code can be written by this user alone, so each command compiles "
        "anew; set FASTBP_CACHE_DIR to a folder of your own"
    )


class CodeCache:
    """The machine code of one kernel on disk: a file for each signature, as Numba asks for it.

    Parameters
    ----------
    function : callable
        The kernel in Python.
    folder : Path
        Where its files lie. It stands for all sources.
    key : tuple of int or str
        Tells kernels apart that are made of the same source.
    """

    def __init__(self, function: Callable[..., Any], folder: Path, key: tuple[Any, ...]) -> None:
        self.folder, self.name = folder, function.__qualname__.replace(".<locals>", "")
        line, magic = function.__code__.co_firstlineno, cpu_target.target_context.codegen()
        made_of = function.__module__, line, key, magic.magic_tuple(), sys.version_info[:2]
        self.name += "-" + _digest(repr(made_of).encode()).hex()[:16]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the code for a signature; None where there is none or its file is damaged."""
        need_memory(1 << 28)  # for an OpenBLAS that Numba loads, and for LLVM if it is compiled
        target_context.refresh()
        # whatever a missing or damaged file makes pickle or LLVM raise: compile again
        with suppress(Exception):
            return compiler.CompileResult._rebuild(
                target_context, *pickle.loads(unsealed(self.file(sig)))
            )
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the code for a signature where that is possible."""
        with suppress(OSError):  # on a full or read-only disk the next process compiles again
            seal(self.file(sig), serialize.dumps(data._reduce()))

    def file(self, sig: Any) -> Path:
        """Where the code for a signature lies, if it is kept."""
        return self.folder / f"{self.name}-{_digest(str(sig).encode()).hex()[:16]}.nbc"


def is_on_disk(compiled: Any) -> bool:
    """Whether a kernel's code is on disk, so that it need not be compiled."""
    cache = getattr(compiled, "_cache", None)
    if isinstance(cache, CodeCache):
        with suppress(OSError):
            return any(cache.folder.glob(f"{cache.name}-*.nbc"))
    return False


def seal(path: Path, content: bytes) -> None:
    """Write a file with a hash of its name and its content, at once, or nothing at all.

    Numba runs any machine code that it finds: after one wrong bit, or with the file of another
    kernel under this name, the process crashes or trains wrong rows.
    """
    part = path.with_suffix(f".{uuid4().hex}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_digest(path.name.encode(), content) + content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def unsealed(path: Path) -> bytes:
    """Read a file; raise OSError where its content is not what was written under its name.

    Also where another user may have written it: what it holds is run.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or not _is_own(status):
            raise OSError(f"{path.name} may be another user's")
        raw = file.read(status.st_size)
    if raw[:32] != _digest(path.name.encode(), raw[32:]):
        raise OSError(f"{path.name} is damaged")
    return raw[32:]


def _is_own(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user, and nobody else can write to it."""
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def kept_folder(path: Path, make: bool = False) -> Path | None:
    """Return the folder to which a path leads, without links; `make`: make what is missing.

    None if another user but root could lead the path elsewhere, or exchange what lies in the folder
    or in one above it. Raises OSError if it cannot be looked up or made.
    """
    here, names = Path("/"), [*reversed(path.absolute().parts)]
    while names and _keeps(here):
        below = Path(os.path.normpath(here / names.pop()))
        if make:
            below.mkdir(exist_ok=True)
        if below.is_symlink():
            os.stat(below)  # raises if it leads to nowhere, or in a circle
            if os.lstat(below).st_uid not in (0, os.geteuid()):
                return None
            names += reversed(Path(os.readlink(below)).parts)
        else:
            here = below
    return here if _keeps(here) else None


def _keeps(folder: Path) -> bool:
    """Whether no other user but root can exchange what lies in a folder.

    In a folder with the sticky bit each user can rename only what is their own. The first group of
    a user is taken for theirs alone, since many systems give each user one; but where there is a
    list of more users and groups, its bits stand for all of them.
    """
    status, has_list = os.lstat(folder), False
    with suppress(OSError, AttributeError):  # no file system has them on a Mac
        has_list = bool(os.getxattr(folder, "system.posix_acl_access"))
    is_own = status.st_gid == os.getegid() != NOBODY and not has_list
    others = stat.S_IWOTH | (0 if is_own else stat.S_IWGRP)
    is_sticky = bool(status.st_mode & stat.S_ISVTX)
    return (
        status.st_uid in (0, os.geteuid())
        and os.geteuid() != NOBODY
        and (is_sticky or not status.st_mode & others)
        and not _is_mounted_by_another(status.st_dev)
    )


def _is_mounted_by_another(device: int) -> bool:
    """Whether a file system was mounted by a user other than this one and root: it may lie."""
    with suppress(OSError):  # only Linux has this file
        owners = re.findall(
            rb" %d:%d .*\buser_id=(\d+)" % (os.major(device), os.minor(device)),
            Path("/proc/self/mountinfo").read_bytes(),
        )
        return not {*map(int, owners)} <= {0, os.geteuid()}
    return False


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"\0".join(parts)).digest()


def kept_cfunc(function: Callable[..., Any], signature: Any, options: Any, cache: CodeCache) -> Any:
    """Compile a function for callers in C, as `numba.cfunc` does, and keep its code in a cache."""
    compiled: Any = ccallback.CFunc(function, (signature.args, signature.return_type), {}, options)
    compiled._cache = cache
    compiled.compile()
    return compiled
