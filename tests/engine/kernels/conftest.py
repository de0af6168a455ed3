"""The CUDA sources on the CPU, compiled once for all tests and kept for the next run."""

import pytest

from tests.engine.kernels.cuda_shim.harness import Shim
from tests.engine.kernels.cuda_shim.launcher import OnShim


@pytest.fixture(scope="session")
def shim(pytestconfig: pytest.Config) -> Shim:
    """Compiles and runs kernels; what it compiled lies in pytest's cache, by the digest of its sources."""
    assert pytestconfig.cache is not None
    return Shim(pytestconfig.cache.mkdir("cuda_shim"))


@pytest.fixture(scope="session")
def launcher(shim: Shim) -> OnShim:
    """Launches the sources on the CPU, in the place of a GPU."""
    return OnShim(shim)
