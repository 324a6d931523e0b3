from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from szal_nb.errors import StoreError
from szal_nb.model.event import StepCompleted, StepStarted
from szal_nb.store.locate import durability_of, find_store
from szal_nb.store.runs import RunStore, open_store
from tests.store.scribe import begun, new_run


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("SZAL_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(path):
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_store_is_made_beside_the_notebook(home):
    make(home / ".szal" / "runs.db")

    assert find_store(home / "deep" / "a.ipynb") == home / "deep" / ".szal" / "runs.db"


def test_without_a_notebook_the_nearest_store_upwards_is_meant(home):
    upper = make(home / ".szal" / "runs.db")
    (home / "a" / "b").mkdir(parents=True)

    assert find_store(home / "a" / "b") == upper
    lower = make(home / "a" / ".szal" / "runs.db")
    assert find_store(home / "a" / "b") == lower
    assert find_store() == upper


def test_where_there_is_none_it_is_made_here(home):
    assert find_store() == home / ".szal" / "runs.db"


def test_the_environment_comes_first(home, monkeypatch):
    monkeypatch.setenv("SZAL_STORE", "/data/all.db")
    (home / "pyproject.toml").write_text('[tool.szal]\nstore = "project.db"\n')

    assert str(find_store(home / "a.ipynb")) == "/data/all.db"


def test_the_nearest_project_comes_second(home):
    (home / "pyproject.toml").write_text('[tool.szal]\nstore = "stores/project.db"\n')
    (home / "a").mkdir()

    assert find_store(home / "a" / "x.ipynb") == home / "stores" / "project.db"


def test_a_project_that_says_nothing_changes_nothing(home):
    (home / "pyproject.toml").write_text("[project]\nname = 'x'\n")

    assert find_store(home / "x.ipynb") == home / ".szal" / "runs.db"


@pytest.mark.parametrize("text", ["[tool", "[tool.szal]\nstore = 3\n"])
def test_a_project_file_that_cannot_be_read_is_named(home, text):
    (home / "pyproject.toml").write_text(text)

    with pytest.raises(StoreError, match=r"pyproject\.toml"):
        find_store(home / "x.ipynb")


@pytest.mark.parametrize("part", [".szal", ".szal/runs.db", "pyproject.toml"])
def test_what_belongs_to_a_stranger_is_not_picked_by_searching_upwards(home, monkeypatch, part):
    make(home / ".szal" / "runs.db")
    if part == "pyproject.toml":
        (home / part).write_text('[tool.szal]\nstore = "theirs.db"\n')
    place = home / "a" / "b"
    place.mkdir(parents=True)
    assert find_store(place) == home / ("theirs.db" if part == "pyproject.toml" else ".szal/runs.db")

    belongs_to_a_stranger(monkeypatch, home / part)

    nearest = place / ".szal" / "runs.db" if part != "pyproject.toml" else home / ".szal" / "runs.db"
    assert find_store(place) == nearest
    monkeypatch.setenv("SZAL_STORE", str(home / ".szal" / "runs.db"))
    assert find_store(place) == home / ".szal" / "runs.db"


def test_who_works_in_anothers_folder_finds_the_store_of_that_folders_owner(home, monkeypatch):
    # As in a container, which works as root in a folder that was mounted.
    upper = make(home / ".szal" / "runs.db")
    place = home / "a"
    place.mkdir()
    for path in (upper.parent, upper, place):
        belongs_to_a_stranger(monkeypatch, path)

    assert find_store(place) == upper


_STRANGER = 4242


def belongs_to_a_stranger(monkeypatch, path):
    """Makes it so for everybody who asks whom the file belongs to: to really give it away takes more rights."""
    asked = Path.lstat

    def answered(self, **options):
        found = asked(self, **options)
        if self != path:
            return found
        fields = list(found)
        fields[4] = _STRANGER
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "lstat", answered)


def test_durability_is_said_by_the_caller_the_environment_or_the_project(home, monkeypatch):
    def level(**options):
        with open_store(home / "deep" / ".szal" / "runs.db", **options) as store:
            return store._writer._durability.value

    assert level() == "full"
    (home / "pyproject.toml").write_text('[tool.szal]\ndurability = "fast"\n')
    assert level() == "fast"
    monkeypatch.setenv("SZAL_DURABILITY", "full")
    assert level() == "full"
    assert level(durability="fast") == "fast"
    monkeypatch.setenv("SZAL_DURABILITY", "quick")
    with pytest.raises(StoreError, match="its durability 'quick' is neither full nor fast"):
        level()


def test_a_project_file_that_cannot_be_read_leaves_a_named_store_its_full_durability(home):
    (home / "pyproject.toml").write_text("[tool")

    assert durability_of(home / "runs.db") == "full"


def test_a_link_to_a_store_is_that_store_with_its_lock_and_its_values(tmp_path):
    real, link = tmp_path / "data" / "runs.db", tmp_path / "project" / ".szal" / "runs.db"
    real.parent.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    for path in (link, real):
        with RunStore.open(path) as store:
            journal = store.begin(new_run(path.parent.name[-1] * 12))
            journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
            refs = journal.keep("load", 1, {"load": path.parent.name.encode() * 100_000}, {"load"})
            journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])

    for path in (link, real):
        with RunStore.open(path, read_only=True) as store:
            assert len([store.value(run.id, "load", "load") for run in store.runs()]) == 2
    assert [file.name for file in link.parent.iterdir() if file != link] == [".gitignore"]
    assert {"runs.db", "runs.db.lock", "runs.db.values"} <= {file.name for file in real.parent.iterdir()}


ODD = {
    "marks of a URI": "a b#c?d%20e&f=g",
    "a newline": "a\nb",
    "quotes": "'\"$HOME`\\{x}",
    "composed": "Za\u017c\u00f3\u0142\u0107",
    "decomposed": "Zaz\u0307o\u0301\u0142c\u0301",
    "long": "x" * 200,
}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take some of these names for one, or for none")
def test_a_store_is_made_and_read_in_folders_of_any_name_each_of_its_own(tmp_path):
    for name in ODD.values():
        with RunStore.open(tmp_path / name / ".szal" / "runs.db") as store:
            journal = store.begin(new_run())
            journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
            refs = journal.keep("load", 1, {"load": name.encode() * 100_000}, {"load"})
            journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])

    for name in ODD.values():
        assert find_store(tmp_path / name / "nb.ipynb") == tmp_path / name / ".szal" / "runs.db"
        with RunStore.open(tmp_path / name / ".szal" / "runs.db", read_only=True) as store:
            assert [store.value(run.id, "load", "load") for run in store.runs()] == [name.encode() * 100_000]
    assert {folder.name for folder in tmp_path.iterdir()} == set(ODD.values())
