"""Commands in namespaces of their own (mounts, pids), and whether this system allows such."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest


def unshared(*namespaces: str) -> list[str]:
    """The beginning of a command that runs in new namespaces."""
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *root, *namespaces]


@functools.cache
def _refusal(namespaces: tuple[str, ...], probe: tuple[str, ...]) -> str:
    if shutil.which("unshare") is None:
        return "needs unshare"
    tried = subprocess.run([*unshared(*namespaces), *probe], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"not allowed here: {tried.stderr.strip()}"


def need(namespaces: tuple[str, ...], probe: tuple[str, ...] = ("true",)) -> None:
    """Skips the test, with the reason, where the namespaces cannot be had or `probe` fails in them."""
    if reason := _refusal(namespaces, probe):
        pytest.skip(reason)
