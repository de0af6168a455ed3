"""What every measurement prints first: the hardware, the commit and the command."""

import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""


def host() -> dict[str, str]:
    """Processor, cores, memory, system, Python, commit and command of this run."""
    import psutil

    return {
        "processor": _processor(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit(),
        "command": " ".join(sys.argv),
    }


def print_host() -> None:
    """Print them, one a line."""
    for name, value in host().items():
        print(f"{name:10} {value}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of this checkout, with a mark when files differ from it."""
    asked = subprocess.run(
        ["/usr/bin/env", "git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "not a checkout"
