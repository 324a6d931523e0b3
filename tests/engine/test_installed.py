"""What is put into the process while runs go on is there once, and is gone behind the last of them."""

from __future__ import annotations

import pytest

from szal_nb.engine.installed import Installed


@pytest.fixture
def deeds():
    return []


@pytest.fixture
def installed(deeds):
    return Installed(lambda: deeds.append("put"), lambda: deeds.append("taken"))


def test_runs_at_once_share_it_and_the_last_one_takes_it_out(installed, deeds):
    with installed.entered():
        with installed.entered():
            assert deeds == ["put"]
        assert deeds == ["put"]

    assert deeds == ["put", "taken"]


def test_it_is_gone_behind_a_run_that_breaks(installed, deeds):
    with pytest.raises(ZeroDivisionError), installed.entered():
        raise ZeroDivisionError

    assert deeds == ["put", "taken"]
    with installed.entered():
        assert deeds == ["put", "taken", "put"]
