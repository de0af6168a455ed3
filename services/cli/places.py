"""Where things lie when no option says otherwise."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
"""The checkout that this package runs from."""

SAMPLES = PROJECT_ROOT / "samples"
RECIPES = PROJECT_ROOT / "recipes"
CHECKPOINT = PROJECT_ROOT / "models" / "starter"
DEMO_DIRECTORY = Path("runs") / "demo"
UP_DIRECTORY = Path("var")
REPORTS_DIRECTORY = Path("runs") / "reports"
SOURCES_FILE = PROJECT_ROOT / "sources.yaml"
API_URL = "http://127.0.0.1:8000"
