"""Everything that touches Numba's private API: parts of kernels, and the cache of machine code.

It is tested with the Numba versions from `MIN_NUMBA` up to, but not including, `END_NUMBA`. With
any other version none of it is used: kernels compile in Numba's plain way, which takes longer, and
every process compiles anew. The results are the same bits.
"""

import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from numba import __version__ as numba_version, config
from numba.core.registry import cpu_target

MIN_NUMBA, END_NUMBA = (0, 61), (0, 69)
"""Numba versions whose private API this module knows; `dependencies` in pyproject.toml has the same
bounds."""

try:
    from numba import _dynfunc
    from numba.core.bytecode import FunctionIdentity
    from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
    from numba.core.ccallback import CFunc
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import CompilerBase, DefaultPassBuilder
    from numba.core.compiler_machinery import register_pass
    from numba.core.typed_passes import NativeLowering
except ImportError:  # a version out of these bounds: nothing that is made of them is used
    JITCodeLibrary = CompilerBase = NativeLowering = object
    CompileResultCacheImpl = FunctionCache = IndexDataCacheFile = object


def is_tested_numba(version: str = numba_version) -> bool:
    """Whether this module knows the private API of a Numba version."""
    return MIN_NUMBA <= tuple(map(int, version.split(".")[:2])) < END_NUMBA


@lru_cache(maxsize=1)
def cpu_features() -> list[str]:
    """Features of the processor that code is compiled for, as LLVM names them."""
    return str(cpu_target.target_context.codegen().magic_tuple()[-1]).split(",")


class _PartOfKernels(JITCodeLibrary):  # type: ignore[misc]
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


class _PartLowering(NativeLowering):  # type: ignore[misc]
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


class PartCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's compiler with `_PartLowering` as its last step."""

    def define_pipelines(self) -> list[Any]:
        """Make Numba's usual pipeline, with another last step."""
        steps = DefaultPassBuilder.define_nopython_pipeline(self.state)
        steps.passes = [
            (_PartLowering if step is NativeLowering else step, text) for step, text in steps.passes
        ]
        steps.finalize()
        return [steps]


def _renumber_functions() -> None:
    """Give functions numbers that no other process gives, nor one that was forked from it.

    Numba numbers functions from 1 in every process, and code on disk calls its parts by names that
    contain little but that number. So two processes may give one name to two parts, such as those
    for two numbers of lanes, and a process that loads the code of both would link the wrong one.
    """
    FunctionIdentity._unique_ids = count(uuid4().int >> 66)


if is_tested_numba():
    register_pass(mutates_CFG=True, analysis_only=False)(_PartLowering)
    _renumber_functions()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_renumber_functions)


def is_on_disk(compiled: Any, dtype: str) -> bool:
    """Whether a kernel's code for a dtype is on disk, so that it need not be compiled."""
    try:
        index = compiled._cache._cache_file._load_index()
    except Exception:
        return False
    mine = compiled._cache._index_key(None, compiled.targetctx.codegen())[1:]
    return any(key[1:] == mine and dtype in str(key[0]) for key in index)


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Folder of compiled code, named by a hash of all numeric sources; None where there is none.

    It lies in FASTBP_CACHE_DIR or else in the user's cache folder. There is none with the JIT off,
    with a Numba version that is not tested, and where nothing can be written. Numba's own cache
    checks the file of the function only, and runs outdated code after an edit in a helper's file.
    """
    custom = os.environ.get("FASTBP_CACHE_DIR")
    if config.DISABLE_JIT or not is_tested_numba():
        return None
    try:
        if custom:
            base = Path(custom)
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches" / "fastbp"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastbp"
        folder = base / hashlib.sha256((numba_version + sources()).encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return folder if os.access(folder, os.W_OK | os.X_OK) else None
    except (OSError, RuntimeError):  # no home folder is a RuntimeError
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
        "no folder for compiled code can be written, so each command compiles anew; "
        "set FASTBP_CACHE_DIR to a folder that can be written"
    )


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's files of a cache, each sealed with a hash of its name and its content.

    Numba runs any machine code that it finds: after one wrong bit, or with the file of another
    kernel under this name, the process crashes or trains wrong rows. A file that does not fit its
    seal counts as missing: its kernel is compiled and written again.
    """

    def _data_name(self, number: int) -> str:
        # A unique name: two processes that save at once give the same of Numba's numbers, and one
        # kernel would be loaded as another.
        return f"{self._index_name.removesuffix('.nbi')}.{uuid4().hex[:16]}.nbc"

    def _load_index(self) -> dict[Any, str]:
        try:
            version, stamp, overloads = pickle.loads(self._unsealed(self._index_name))
        except OSError:
            return {}
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._seal(self._index_name, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return pickle.loads(self._unsealed(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._seal(name, data)

    def _seal(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(_digest(name, content) + content)

    def _unsealed(self, name: str) -> bytes:
        """Read a file; raise OSError where its content is not what was written under its name."""
        with open(self._data_path(name), "rb") as file:
            seal, content = file.read(32), file.read()
        if seal != _digest(name, content):
            raise OSError(f"{name} is damaged")
        return content


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


class CodeCache(FunctionCache):  # type: ignore[misc]
    """Numba's function cache, in another folder, that survives damage to its files."""

    def __init__(self, function: Callable[..., Any], folder: Path, key: tuple[Any, ...]) -> None:
        self._key = key
        place = SimpleNamespace(  # where the code of this function lies, as Numba asks for it
            get_cache_path=lambda: str(folder),
            get_source_stamp=lambda: folder.name,
            get_disambiguator=lambda: str(function.__code__.co_firstlineno),
            ensure_cache_path=lambda: folder.mkdir(parents=True, exist_ok=True),
        )
        locator = SimpleNamespace(from_function=lambda py_func, py_file: place)
        bases = (CompileResultCacheImpl,)
        self._impl_class = type("Implementation", bases, {"_locator_classes": [locator]})
        super().__init__(function)
        self._cache_file = _Files(str(folder), self._impl.filename_base, folder.name)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the code for a signature; None where there is none or its file is damaged."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            # Anything that a damaged file makes pickle or LLVM raise: compile and write it again.
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the code for a signature where that is possible."""
        with suppress(OSError):  # on a full or read-only disk the next process compiles again
            super().save_overload(sig, data)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        # The folder stands for all sources, so only what a kernel is made of can differ.
        return sig, codegen.magic_tuple(), self._key


def kept_cfunc(function: Callable[..., Any], signature: Any, options: Any, cache: CodeCache) -> Any:
    """Compile a function for callers in C, as `numba.cfunc` does, and keep its code in a cache."""
    compiled: Any = CFunc(function, (signature.args, signature.return_type), {}, options)
    compiled._cache = cache
    compiled.compile()
    return compiled
