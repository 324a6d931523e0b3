"""Environments with other versions than the project's, made once and kept below build/."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What only a headless run needs is left out.
_BATCH = ("ipykernel", "nbclient", "nbformat", "papermill", "tqdm", "pyyaml")


def environment_of(*packages: str) -> Path:
    """The Python of an environment with these packages and what the project needs beside them."""
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = tuple(text.partition("==")[0] for text in packages)
    wanted = [*packages, *(text for text in project["dependencies"] if not text.startswith((*_BATCH, *named)))]
    digest = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()[:8]
    folder = ROOT / "build" / "environments" / "-".join([*(text.replace("==", "-") for text in packages), digest])
    python, done = folder / "bin" / "python", folder / "done"
    if not done.exists():
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *wanted], check=True)
        done.touch()
    return python
