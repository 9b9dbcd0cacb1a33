"""A committed digest of a small sweep that uses every choice, made again on every processor that this one can stand in for."""

import json
import os
import platform
import subprocess
import sys

import every_choice
import llvmlite.binding as llvm
import pytest
from lanes import LANES

from fastbp.choices.families import FAMILIES
from fastbp.kernels import NUMERICS_VERSION

# By numerics version. Where a test here fails, a bit of some result has changed, and published rows cannot be made again. It
# fails until the change is undone, or NUMERICS_VERSION in fastbp/kernels is raised and the new digest stands here as well.
DIGESTS = {
    1: "f48904ccfc864e4a3ed49cb23fd386a4c9e079f52dfba067c2ab498787d864a4",
    2: "db5100b3bea33b04585915f0fc8675a26d58b8c57a634c5f37d8ba1bdbe398ce",
}


def test_the_sweep_uses_every_choice():
    """But files: those are tables of numbers by the time that anything trains."""
    for key, family in FAMILIES.items():
        used = {str(getattr(setup, key)).partition(":")[0] for setup in every_choice.SETUPS}
        assert used == family.choices.keys() - {"file"}, key


def test_digest():
    digests = [every_choice.digest(setup, LANES) for setup in every_choice.SETUPS]
    assert every_choice.whole(digests) == DIGESTS[NUMERICS_VERSION], digests


HOST = {name for name, has in llvm.get_host_cpu_features().items() if has}
HASWELL = {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt", "sse4.2"}

PROCESSORS = {
    # The features are written out, since a name alone leaves those of the host in force.
    "this one": ({}, {"zmm": "avx512f" in HOST, "vfmadd": "fma" in HOST, "calls fma": "fma" not in HOST}),
    "without fma": ({"NUMBA_CPU_NAME": "generic"}, {"zmm": False, "vfmadd": False, "calls fma": True}),
    "without AVX-512": (
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ",".join(f"+{name}" for name in sorted(HASWELL))},
        {"zmm": False, "vfmadd": True, "calls fma": False},
    ),
}


@pytest.fixture(scope="module")
def made():
    """What the script prints for each processor; they run side by side."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_CPU")}
    clean["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    running = {}
    for name, (environment, _) in PROCESSORS.items():
        if name != "without AVX-512" or HASWELL <= HOST:
            command = [sys.executable, "-W", "ignore", every_choice.__file__, str(LANES)]
            running[name] = subprocess.Popen(command, env=clean | environment, stdout=subprocess.PIPE, text=True)
    results = {name: process.communicate()[0] for name, process in running.items()}
    assert not any(process.returncode for process in running.values())
    return {name: json.loads(text) for name, text in results.items()}


@pytest.mark.jit
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="these are names of x86 processors")
@pytest.mark.parametrize("name", PROCESSORS)
def test_digest_on_other_processors(made, name):
    if name not in made:
        pytest.skip("this processor is older than that")
    assert made[name]["uses"] == PROCESSORS[name][1]  # it was made for the processor that is meant
    assert every_choice.whole(made[name]["digests"]) == DIGESTS[NUMERICS_VERSION], made[name]["digests"]
