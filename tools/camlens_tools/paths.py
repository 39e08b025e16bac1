"""Where things are in this repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
REQUIREMENTS = TOOLS / "requirements"

BINARY = ROOT / "target" / "release" / "camlens"
DOWNLOADS = ROOT / "downloads"
MODELS = ROOT / "models"
PICTURES = DOWNLOADS / "images"
RUNTIME = ROOT / "runtime"
RUNTIME_LIBRARY = RUNTIME / "libonnxruntime.so"
REAL_MODELS = ROOT / "target" / "real-models"
ZOO = ROOT / "target" / "zoo"

DOCS = ROOT / "docs"
GOLDEN = ROOT / "tests" / "golden"
BENCH_DOCS = DOCS / "bench"
BENCH_OUT = ROOT / "bench" / "out"
