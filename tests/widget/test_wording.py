from __future__ import annotations

import doctest

from szal_nb.widget import command, wording


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(wording, raise_on_error=True).attempted
    assert doctest.testmod(command, raise_on_error=True).attempted
