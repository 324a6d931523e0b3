"""Each example in a docstring gives what stands there."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import papermill  # noqa: F401 - looks for its engines when it is loaded: before what it would load of ours
import pytest

ROOT = Path(__file__).parent.parent
WITH_EXAMPLES = [path for path in sorted(ROOT.glob("szal_nb/**/*.py")) if ">>> " in path.read_text()]


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("name", [name_of(path) for path in WITH_EXAMPLES])
def test_the_examples_of_a_module_are_true(name):
    tried = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)

    assert (tried.failed, tried.attempted > 0) == (0, True)
