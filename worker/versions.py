"""Which software produced a result."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

UNINSTALLED = "uninstalled"
"""The code version of a source tree that was never installed as a package."""


@cache
def code_version() -> str:
    """The version of the installed package."""
    try:
        return version("lynceus")
    except PackageNotFoundError:
        return UNINSTALLED
