"""A project that was moved or copied with its store: what a run says of its files is as it was when it began."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from szal_nb.store.moved import notebook_of, output_of, usual_output


@dataclass(frozen=True)
class Files:
    notebook_path: str | None
    output_path: str | None = None
    id: str = "r1"


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def then(tmp_path):
    return tmp_path / "then"


@pytest.fixture
def now(tmp_path):
    return tmp_path / "now"


def headless(folder: Path, notebook: str, store: str = ".szal") -> Files:
    return Files(str(folder / notebook), str(usual_output(folder / store / "runs.db", "r1")))


@pytest.mark.parametrize(
    ("notebook", "store"), [("nb.ipynb", ".szal"), ("deep/down/nb.ipynb", ".szal"), ("deep/nb.ipynb", "data/runs")]
)
def test_a_notebook_is_as_far_from_its_store_as_it_was(then, now, notebook, store):
    made(now / notebook)
    run, path = headless(then, notebook, store), now / store / "runs.db"

    assert notebook_of(run, path) == now / notebook
    assert output_of(run, path) == now / store / "runs" / "r1.ipynb"


def test_a_copy_does_not_reach_for_what_it_was_copied_from(then, now):
    made(then / "nb.ipynb")
    made(now / "nb.ipynb")
    run = headless(then, "nb.ipynb")

    assert notebook_of(run, now / ".szal" / "runs.db") == now / "nb.ipynb"
    assert notebook_of(run, then / ".szal" / "runs.db") == then / "nb.ipynb"
    assert output_of(run, now / ".szal" / "runs.db").is_relative_to(now)


def test_a_store_that_was_copied_alone_still_has_its_notebook_where_that_is(then, now):
    made(then / "nb.ipynb")

    assert notebook_of(headless(then, "nb.ipynb"), now / ".szal" / "runs.db") == then / "nb.ipynb"


def test_of_a_run_in_a_kernel_the_notebook_is_looked_for_by_the_end_of_its_path(then, now):
    """Nothing was saved, so that nothing tells where its store was."""
    made(now / "nb.ipynb")
    made(now / "deep" / "nb.ipynb")

    assert notebook_of(Files(str(then / "deep" / "nb.ipynb")), now / ".szal" / "runs.db") == now / "deep" / "nb.ipynb"
    made(then / "deep" / "nb.ipynb")
    assert notebook_of(Files(str(then / "deep" / "nb.ipynb")), now / ".szal" / "runs.db") == then / "deep" / "nb.ipynb"


def test_a_file_that_is_nowhere_is_told_as_it_was(then, now):
    path = now / ".szal" / "runs.db"

    assert notebook_of(Files(str(then / "nb.ipynb")), path) == then / "nb.ipynb"
    assert notebook_of(headless(then, "nb.ipynb"), path) == then / "nb.ipynb"
    assert notebook_of(Files(None), path) is None


def test_a_place_that_somebody_named_is_used_again_while_it_is_there(then, now, tmp_path):
    named = Files(str(then / "nb.ipynb"), str(tmp_path / "out" / "nb.ipynb"))
    path = now / ".szal" / "runs.db"

    assert output_of(named, path) == now / ".szal" / "runs" / "r1.ipynb"
    (tmp_path / "out").mkdir()
    assert output_of(named, path) == tmp_path / "out" / "nb.ipynb"
