"""Compiled kernels kept on disk, so that only the first start of a machine compiles them."""

import hashlib
import logging
import os
import tempfile
from pathlib import Path

_log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "compiled"
"""What was compiled when the program was installed, as its image is built."""

_DIGEST_BYTES = 32


class CubinCache:
    """Files of a directory by the fingerprint of what they were compiled from.

    A file is the machine code and, behind it, its SHA-256: one that was cut off or changed counts as absent.
    Processes may share a directory. Where it cannot be written, nothing is kept, and that is said once. What
    lies in `shipped` is read first, and that directory is never written.
    """

    def __init__(self, directory: Path, shipped: Path | None = None) -> None:
        self._directory = directory
        self._readable = (directory,) if shipped is None else (shipped, directory)
        self._writable = True

    def read(self, fingerprint: str) -> bytes | None:
        """The machine code, or None where it is not here whole."""
        found = (_whole(directory / _file(fingerprint)) for directory in self._readable)
        return next((cubin for cubin in found if cubin is not None), None)

    def write(self, fingerprint: str, cubin: bytes) -> None:
        """Keep the machine code; another process sees the whole file or none."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._replace(self._directory / _file(fingerprint), cubin + hashlib.sha256(cubin).digest())
        except OSError as error:
            if self._writable:
                _log.warning("compiled kernels are not kept, each start compiles them again: %s", error)
            self._writable = False

    def _replace(self, path: Path, content: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._directory, prefix=path.name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _file(fingerprint: str) -> str:
    return f"{fingerprint}.cubin"


def _whole(path: Path) -> bytes | None:
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    cubin, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
    if hashlib.sha256(cubin).digest() != digest:
        _log.warning("%s is damaged and is not used", path)
        return None
    return cubin
