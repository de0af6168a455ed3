"""A GPU worker as a process of its own, with the engine whose answers are painted into the frames."""

import sys
from typing import cast

from engine import Engine
from services.infra.process.settings import WorkerSettings, load_settings
from tests.worker.fake_engine import FakeEngine
from worker.gpu_process import serve_with

if __name__ == "__main__":
    engine = FakeEngine()
    try:
        code = serve_with(cast(Engine, engine), load_settings(WorkerSettings), f"worker-{sys.argv[1]}")
    finally:
        engine.close(drain=False)
    sys.exit(code)
