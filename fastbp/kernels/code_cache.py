"""Everything that touches Numba's private API: parts of kernels, and the cache of machine code."""

import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from numba import __version__ as numba_version
from numba import _dynfunc, config
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

_any_register_pass: Any = register_pass


# Numba numbers functions from 1 in every process, and code on disk calls its parts by names that
# have little but that number. So two processes may give one name to two parts, such as those for
# two numbers of lanes, and a process that loads the code of both would link the first for the
# second. Numbers that no other process has, nor one that was forked from it.
def _renumber() -> None:
    FunctionIdentity._unique_ids = count(uuid4().int >> 66)


_renumber()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renumber)


class _PartOfKernels(JITCodeLibrary):  # type: ignore[misc]
    """Code that is only linked into kernels, and optimised there. Numba by itself also optimises
    each part alone and generates machine code of it, which nobody calls: half of all the time that
    compiling takes.
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


@_any_register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):  # type: ignore[misc]
    """Numba's last step, for such parts."""

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


class _PartCompiler(CompilerBase):  # type: ignore[misc]
    def define_pipelines(self) -> list[Any]:
        steps = DefaultPassBuilder.define_nopython_pipeline(self.state)
        steps.passes = [
            (_PartLowering if step is NativeLowering else step, text) for step, text in steps.passes
        ]
        steps.finalize()
        return [steps]


def is_on_disk(compiled: Any, dtype: str) -> bool:
    """Whether a kernel's code for a dtype of its work block is on disk, so that calling it costs no
    compiling.
    """
    try:
        index = compiled._cache._cache_file._load_index()
    except Exception:
        return False
    mine = compiled._cache._index_key(None, compiled.targetctx.codegen())[1:]
    return any(key[1:] == mine and dtype in str(key[0]) for key in index)


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Where compiled code is kept: a folder named by a hash of all numeric sources, or None where
    nothing can be written.

    Numba's own cache looks at the file of the function alone and serves stale code after an edit in
    a helper's file. The place is FASTBP_CACHE_DIR, or else the user's cache folder.
    """
    own = os.environ.get("FASTBP_CACHE_DIR")
    if config.DISABLE_JIT:
        return None
    try:
        if own:
            base = Path(own)
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


def is_kept() -> bool:
    """Whether compiled code is kept for later processes, where there is any."""
    return bool(config.DISABLE_JIT) or cache_folder() is not None


class _Place:
    """Numba's notion of where a function's code lies (its cache locators), for one folder."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._line = function.__code__.co_firstlineno
        self._folder = folder

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.name

    def get_disambiguator(self) -> str:
        return str(self._line)

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's files of a cache, each sealed with a hash of its own name and what it holds.

    Numba runs whatever machine code it finds: one wrong bit, or the file of another kernel under
    this name, and the process crashes or trains wrong rows. What does not fit its seal is as good
    as not there, and is compiled and written anew.
    """

    def _data_name(self, number: int) -> str:
        # A name that nobody else gives: Numba's numbers are given twice where two processes save at
        # once, and one kernel would be loaded as another.
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
        """What a file holds. Raises OSError where that is not what was written under its name."""
        with open(self._data_path(name), "rb") as file:
            seal, content = file.read(32), file.read()
        if seal != _digest(name, content):
            raise OSError(f"{name} is damaged")
        return content


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's function cache, in a folder of ours, that survives whatever happens to its files."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        place = _Place(function, folder)

        class Locator:
            @classmethod
            def from_function(cls, py_func: Any, py_file: Any) -> _Place:
                return place

        class Implementation(CompileResultCacheImpl):  # type: ignore[misc]
            _locator_classes: ClassVar = [Locator]

        self._impl_class = Implementation
        super().__init__(function)
        self._cache_file = _Files(str(folder), self._impl.filename_base, folder.name)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except (
            Exception
        ):  # whatever a damaged file makes pickle or LLVM raise: compile again and write it anew
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(
            OSError
        ):  # a full or read-only disk costs the next process its time, nothing else
            super().save_overload(sig, data)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        # The folder stands for all sources, so of a kernel's closure only numbers, such as its
        # lanes, can differ.
        cells = self._py_func.__closure__ or ()
        numbers = tuple(cell.cell_contents for cell in cells if isinstance(cell.cell_contents, int))
        return sig, codegen.magic_tuple(), numbers
