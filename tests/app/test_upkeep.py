"""Runs as files, and the care of a store, as the program offers them."""

from __future__ import annotations

import json

import pytest

import szal_nb as szal
from szal_nb.app.cli import main


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with one completed run."""
    monkeypatch.chdir(tmp_path)
    flow = szal.Flow("sums")
    flow.step(lambda_free_double)
    szal.run(flow, {"x": 4}, store=tmp_path / ".szal" / "runs.db")
    return tmp_path / ".szal" / "runs.db"


def lambda_free_double(x):
    return x * 2


def document(capsys, *arguments):
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def the_run(capsys):
    return document(capsys, "runs")[1]["runs"][0]


def test_a_report_is_one_file(store, tmp_path, capsys):
    run = the_run(capsys)

    assert document(capsys, "report", run["id"], "-o", "run.html") == (0, {"id": run["id"], "report": "run.html"})
    assert "lambda_free_double" in (tmp_path / "run.html").read_text()
    assert main(["report", run["id"], "-o", "none/run.html"]) == 2
    assert "cannot be written to none/run.html: No such file" in capsys.readouterr().err


def test_a_run_is_carried_to_another_store(store, capsys):
    run = the_run(capsys)

    assert document(capsys, "export", run["id"], "run.szal") == (
        0,
        {"id": run["id"], "file": "run.szal", "missing": []},
    )
    code, taken = document(capsys, "import", "run.szal", "--store", "other.db")
    assert (code, taken["id"], taken["state"]) == (0, run["id"], "completed")
    steps = [document(capsys, "show", run["id"], "--store", place)[1]["steps"] for place in ("other.db", str(store))]
    assert steps[0] == steps[1]
    assert main(["import", "run.szal", "--store", "other.db"]) == 2
    assert run["id"] in capsys.readouterr().err


def test_old_runs_are_deleted_only_if_asked(store, capsys):
    run = the_run(capsys)

    assert document(capsys, "gc")[1]["runs"] == []
    assert document(capsys, "gc", "--older-than", "1d")[1]["runs"] == []
    assert document(capsys, "gc", "--older-than", "0s", "--keep", run["id"])[1]["runs"] == []
    assert document(capsys, "gc", "--older-than", "0s", "--dry-run")[1]["runs"] == [run["id"]]
    assert the_run(capsys)["id"] == run["id"]
    assert document(capsys, "gc", "--older-than", "0s")[1]["runs"] == [run["id"]]
    assert document(capsys, "runs")[1]["runs"] == []


def test_an_age_without_a_unit_is_refused_and_deletes_nothing(store, capsys):
    """Who writes 5 means days, and seconds would be all there is."""
    with pytest.raises(SystemExit, match="2"):
        main(["gc", "--older-than", "5"])

    assert "'5' has no unit; write it as 5d, or 5h" in capsys.readouterr().err
    assert the_run(capsys)


def test_runs_go_by_the_size_of_what_they_keep(store, capsys):
    run = the_run(capsys)

    assert document(capsys, "gc", "--max-size", "1GB")[1]["runs"] == []
    assert document(capsys, "gc", "--max-size", "0B", "--keep", run["id"])[1]["runs"] == []
    assert document(capsys, "gc", "--max-size", "0B")[1]["runs"] == [run["id"]]
    with pytest.raises(SystemExit, match="2"):
        main(["gc", "--max-size", "much"])
    assert "write it as 500MB or 2GB" in capsys.readouterr().err


def test_doctor_tells_a_whole_store_from_a_damaged_one(store, tmp_path, capsys):
    code, found = document(capsys, "doctor")
    assert (code, [each for each in found["findings"] if each["level"] == "problem"]) == (0, [])

    run = the_run(capsys)
    content = bytearray(store.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    (tmp_path / "damaged.db").write_bytes(content)
    code, found = document(capsys, "doctor", "--store", "damaged.db")
    assert code == 1
    assert [each for each in found["findings"] if each["level"] == "problem"]

    code, saved = document(capsys, "doctor", "--repair", "new.db")
    assert (code, saved["whole"]) == (0, [run["id"]])
    assert document(capsys, "runs", "--store", "new.db")[1]["runs"][0]["id"] == run["id"]
