from __future__ import annotations

import pytest

from szal_nb.app.place import OutOfPlace, Place


@pytest.fixture
def root(tmp_path):
    """A folder that a server shows, beside one that it does not."""
    for name in ("shown/deep/a.ipynb", "shown/a.ipynb", "shown/.hidden/a.ipynb", "secret/a.ipynb", "secret/runs.db"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    (tmp_path / "shown" / "text.txt").write_text("")
    (tmp_path / "shown" / "out.ipynb").symlink_to(tmp_path / "secret" / "a.ipynb")
    (tmp_path / "shown" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "shown" / "in.ipynb").symlink_to(tmp_path / "shown" / "deep" / "a.ipynb")
    return tmp_path / "shown"


@pytest.mark.parametrize("path", ["a.ipynb", "/a.ipynb", "deep/a.ipynb", "in.ipynb"])
def test_a_notebook_below_the_root_is_found(root, path):
    assert Place(root).notebook(path) == root / path.lstrip("/")


@pytest.mark.parametrize(
    "path",
    [
        "", "/", ".", "..", "missing.ipynb", "deep", "text.txt",
        "../secret/a.ipynb", "deep/../../secret/a.ipynb", "..\\secret\\a.ipynb", "/etc/passwd",
        "out.ipynb", "out/a.ipynb", "a.ipynb\0", "a\0.ipynb", ".hidden/a.ipynb", "x" * 5000 + ".ipynb",
    ],
)  # fmt: skip
def test_what_is_outside_hidden_or_no_notebook_is_refused(root, path):
    with pytest.raises(OutOfPlace) as refused:
        Place(root).notebook(path)

    assert "secret" not in refused.value.problem


def test_a_hidden_notebook_is_found_where_the_server_shows_hidden_files(root):
    assert Place(root, shows_hidden=True).notebook(".hidden/a.ipynb") == root / ".hidden" / "a.ipynb"


def test_a_root_that_is_itself_a_link_is_what_it_leads_to(root, tmp_path):
    (tmp_path / "link").symlink_to(root)

    assert Place(tmp_path / "link").notebook("a.ipynb") == root / "a.ipynb"


def test_the_store_is_the_one_beside_the_notebook_once_there_is_one(root):
    place = Place(root)
    assert place.store(root / "deep" / "a.ipynb") is None

    store = root / "deep" / ".szal" / "runs.db"
    store.parent.mkdir()
    store.touch()
    assert place.store(root / "deep" / "a.ipynb") == store


def test_a_store_that_is_a_link_to_elsewhere_is_refused(root, tmp_path):
    (root / ".szal").mkdir()
    (root / ".szal" / "runs.db").symlink_to(tmp_path / "secret" / "runs.db")

    with pytest.raises(OutOfPlace, match="SZAL_STORE"):
        Place(root).store(root / "a.ipynb")


def test_a_project_file_cannot_lead_to_a_store_outside_but_the_servers_environment_can(root, tmp_path, monkeypatch):
    (root / "pyproject.toml").write_text('[tool.szal]\nstore = "../secret/runs.db"\n')
    with pytest.raises(OutOfPlace):
        Place(root).store(root / "a.ipynb")

    monkeypatch.setenv("SZAL_STORE", str(tmp_path / "secret" / "runs.db"))
    assert Place(root).store(root / "a.ipynb") == tmp_path / "secret" / "runs.db"
