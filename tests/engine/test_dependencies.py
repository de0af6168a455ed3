"""What a program needs that only loads and runs networks: torch, numpy, safetensors, tokenizers, pillow."""

import subprocess
import sys

IMPORT = """
import sys
from importlib.abc import MetaPathFinder

SERVICE_ONLY = {
    "celery", "cv2", "fastapi", "httpx", "jinja2", "kombu", "llguidance", "prometheus_client", "psutil",
    "psycopg", "pydantic", "pydantic_settings", "redis", "rich", "sqlalchemy", "structlog", "typer", "yaml",
}

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in SERVICE_ONLY:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
import engine
import engine.model
print(engine.Engine.__name__)
"""


def test_the_engine_is_imported_without_what_only_the_service_needs() -> None:
    """The libraries of templates and grammars are imported where a prompt or a schema first needs them."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Engine\n"
