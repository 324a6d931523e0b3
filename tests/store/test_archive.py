from __future__ import annotations

import errno
import os
import random
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from szal_nb.errors import StoreError, ValueUnavailable
from szal_nb.model.event import RunCompleted, RunFailed, RunResumed, RunStarted, StepCompleted, StepStarted
from szal_nb.model.state import RunState
from szal_nb.store.archive import NotARunFile, export_run, import_run
from szal_nb.store.bundle import RunExists, references
from szal_nb.store.doctor import Level, examine, repair
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job
from tests.store.scribe import begun, created, new_run

RUN = "aaaaaaaaaaaa"


class Thing:
    def __eq__(self, other):
        return isinstance(other, Thing)

    __hash__ = None


@pytest.fixture
def exported(store, tmp_path):
    journal = store.begin(new_run(notebook='{"cells": []}', notebook_path="sales.ipynb", params={"region": "EU"}))
    inputs = journal.keep("", 0, {"regions": ["EU", "US"]}, {"regions"})
    journal.append_sync([created(inputs=inputs), RunStarted(at=1.2), RunFailed(at=1.5)])
    journal = store.take_over(RUN)
    journal.append_sync([RunResumed(at=2.0, epoch=2, reset=("load",)), StepStarted(at=2.0, step="load", attempt=1)])
    array = np.arange(100_000)
    values = {"plain": [1, (2,)], "array": array, "same": array, "thing": Thing(), "live": (n for n in "a")}
    refs = journal.keep("load", 1, values, set(values))
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs), RunCompleted(at=4.0)])
    target = tmp_path / "out" / "run.szal"
    export_run(store, "aaa", target)
    return target


@pytest.fixture
def other(tmp_path):
    with RunStore.open(tmp_path / "other" / "runs.db") as opened:
        yield opened


def blobs(store):
    return store.reader.fetch("SELECT hash, format, size, in_file, data FROM blobs ORDER BY hash")


def test_an_exported_file_is_synced_before_it_has_its_name(exported, store, tmp_path, monkeypatch):
    # A power cut would leave an empty file under the name, in the place of one that was whole.
    synced, named = [], []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    monkeypatch.setattr(Path, "replace", lambda self, _: named.append((self.stat().st_size, list(synced))))
    export_run(store, RUN, tmp_path / "again.szal")

    assert named == [(exported.stat().st_size, [exported.stat().st_size])]


def test_imported_runs_are_older_than_all_own_ones_and_among_themselves_as_their_clocks_said(other, store, tmp_path):
    others = {"dddddddddddd": 20.0, "eeeeeeeeeeee": 40.0, "ffffffffffff": 30.0, "111111111111": 30.0}
    for run_id, at in others.items():
        store.begin(new_run(run_id)).append_sync(begun(at))
        export_run(store, run_id, tmp_path / run_id)
    other.begin(new_run("aaaaaaaaaaaa")).append_sync(begun(10.0))
    for run_id in others:
        import_run(other, tmp_path / run_id)
    other.begin(new_run("bbbbbbbbbbbb")).append_sync(begun(5.0))
    repair(other.path, tmp_path / "saved" / "runs.db")

    expected = ["b", "a", "e", "1", "f", "d"]
    with RunStore.open(tmp_path / "saved" / "runs.db") as saved:
        for each in (other, saved):
            assert [run.id[0] for run in each.runs()] == expected
            assert [run.id[0] for run in each.runs(flow="sales", limit=3)] == expected[:3]


def test_an_imported_run_is_the_run_that_was_exported(exported, store, other):
    imported = import_run(other, exported)

    mine = store.run(RUN)
    assert imported == msgspec.structs.replace(mine, imported=True)
    assert imported.state is RunState.COMPLETED
    assert other.events(RUN) == store.events(RUN)
    assert other.graph(RUN) == store.graph(RUN)
    assert other.notebook(RUN) == '{"cells": []}'
    assert blobs(other) == blobs(store)
    assert [file.name for file in other.files.folder.glob("??/*")] == [
        hash_ for hash_, _, _, _, data in blobs(store) if not data
    ]
    assert other.value(RUN, "load", "plain") == [1, (2,)]
    assert other.value(RUN, "load", "array").tolist() == list(range(100_000))
    assert other.loader(RUN).load(other.inputs(RUN)["regions"]) == ["EU", "US"]


def test_contents_are_carried_once_and_what_stands_in_an_event_is_no_content(exported, store):
    assert [ref.name for ref in references(store.events(RUN))] == ["array", "thing"]


def test_a_file_of_the_first_format_is_imported(other):
    """In which short values were contents like all others."""
    imported = import_run(other, Path(__file__).parent / "schemas" / "export1.szal")

    assert imported.shown_state == "completed"
    assert [other.value(RUN, "load", name) for name in ("short", "long")] == [[1, (2,)], "x" * 1000]


def test_an_imported_run_is_never_unpickled_without_trust(exported, other):
    import_run(other, exported)

    with pytest.raises(ValueUnavailable, match="--trust"):
        other.value(RUN, "load", "thing")
    assert other.value(RUN, "load", "thing", trust=True) == Thing()


def test_an_imported_run_that_is_taken_over_is_not_trusted_either(store, tmp_path, other):
    journal = store.begin(new_run())
    refs = journal.keep("load", 1, {"thing": Thing()}, {"thing"})
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])
    journal.close()
    export_run(store, RUN, tmp_path / "run.szal")
    assert import_run(other, tmp_path / "run.szal").shown_state == "crashed"

    with pytest.raises(ValueUnavailable, match="--trust"):
        other.take_over(RUN).load(refs[0])


def test_a_run_that_is_there_already_is_not_imported_again(exported, store, other):
    import_run(other, exported)

    for target in (other, store):
        before = target.events(RUN)
        with pytest.raises(RunExists, match="is in .* already"):
            import_run(target, exported)
        assert target.events(RUN) == before
        assert len(target.runs()) == 1


def test_a_value_whose_file_is_gone_is_left_out_and_said_so(exported, store, other, tmp_path):
    ref = next(ref for ref in store.snapshot(RUN).steps["load"].values if ref.name == "array")
    store.files.path_of(ref.hash).unlink()

    manifest = export_run(store, RUN, tmp_path / "partial.szal")
    import_run(other, tmp_path / "partial.szal")
    # As older stores say it.
    other.write(
        Job(lambda connection: connection.execute("INSERT INTO blobs VALUES (?, 'npy', -1, 0, NULL)", (ref.hash,)))
    )

    assert manifest.missing == (ref.hash,)
    assert Level.PROBLEM not in {finding.level for finding in examine(other.path)}, "what was lost before is no damage"
    with pytest.raises(ValueUnavailable, match="its content is not in the store any more"):
        other.value(RUN, "load", "array")
    journal = other.begin(new_run("bbbbbbbbbbbb"))
    again = journal.keep("load", 1, {"a": np.arange(100_000)}, {"a"})
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=again)])
    assert other.value(RUN, "load", "array")[5] == 5


def rewritten(source, target, **changes):
    """A copy of the file with members changed by functions of their bytes."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            key = name.split(".")[0].split("/")[0]
            data = old.read(name)
            new.writestr(name, changes[key](data) if key in changes else data)
    return target


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"values": lambda data: b"\x00" + data[1:]}, "does not match its hash"),
        ({"values": lambda data: data[:-1]}, "bytes, not"),
        ({"events": lambda data: data[:-20]}, "does not hold together"),
        ({"events": lambda data: b"\n".join(data.splitlines()[1:])}, "does not hold together"),
        ({"events": lambda data: data.replace(b'"hash":"', b'"hash":"../')}, "which is no hash"),
        ({"events": lambda data: data.replace(b'"content":"[1,', b'"content":"[2,')}, "does not match its hash"),
        ({"flow": lambda _: b"{}"}, "does not hold together"),
        ({"run": lambda data: data.replace(b'"szal_run": 2', b'"szal_run": 7')}, "it has format 7"),
        ({"run": lambda _: b"[]"}, "does not hold together"),
        ({"run": lambda data: data.replace(RUN.encode(), b"../../notes")}, "'../../notes' is no run's id"),
        ({"run": lambda data: data.replace(RUN.encode(), b"")}, "'' is no run's id"),
    ],
)
def test_a_file_that_was_changed_is_refused_and_nothing_is_written(exported, other, tmp_path, changes, problem):
    changed = rewritten(exported, tmp_path / "changed.szal", **changes)

    with pytest.raises(StoreError, match=problem):
        import_run(other, changed)
    assert other.runs() == []
    assert list(other.files.folder.glob("*/*")) == []


def test_a_file_that_cannot_be_read_to_its_end_is_named(exported, other, monkeypatch):
    def read(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)

    with pytest.raises(NotARunFile, match=r"run\.szal cannot be imported: it cannot be read \(Input/output error\)"):
        import_run(other, exported)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(50)])
def test_a_file_that_is_no_run_is_refused(other, tmp_path, content):
    path = tmp_path / "x.szal"
    path.write_bytes(content)

    with pytest.raises(NotARunFile, match="not an exported run"):
        import_run(other, path)


def test_a_file_that_is_encrypted_or_packed_in_another_way_is_refused(exported, other, tmp_path):
    path = tmp_path / "x.szal"
    content = exported.read_bytes()
    listed = content.index(b"PK\x01\x02")
    path.write_bytes(content[: listed + 8] + b"\x01" + content[listed + 9 :])
    with pytest.raises(NotARunFile, match="encrypted"):
        import_run(other, path)

    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("run.json", bytes(100))
    content = bytearray(path.read_bytes())
    # Behind the header: the version of LZMA, how long its properties are, and these.
    content[30 + len("run.json") + 4] = 255
    path.write_bytes(content)
    with pytest.raises(NotARunFile, match="not an exported run"):
        import_run(other, path)


def test_a_file_that_is_not_there_is_named(other, tmp_path):
    with pytest.raises(
        NotARunFile, match=r"no\.szal cannot be imported: it cannot be read \(No such file or directory\)"
    ):
        import_run(other, tmp_path / "no.szal")


def test_a_file_with_damaged_bytes_is_refused_or_whole(exported, store, tmp_path):
    chance = random.Random(1)
    content = exported.read_bytes()
    events = store.events(RUN)
    refused = 0
    for n in range(60):
        damaged = bytearray(content)
        # Most of the file is one array; what matters more is at its ends.
        place = chance.choice(
            (chance.randrange(3000), chance.randrange(len(content)), len(content) - chance.randrange(1, 900))
        )
        damaged[place] ^= 1 << chance.randrange(8)
        path = tmp_path / "damaged.szal"
        path.write_bytes(damaged)
        with RunStore.open(tmp_path / f"{n}.db", durability="fast") as target:
            try:
                import_run(target, path)
            except StoreError:
                refused += 1
                assert target.runs() == []
            else:
                assert target.events(RUN) == events
                assert target.value(RUN, "load", "plain") == [1, (2,)]

    assert refused > 30


def test_an_export_that_fails_leaves_no_file(store, tmp_path):
    folder = tmp_path / "target.szal"
    folder.mkdir()
    store.begin(new_run()).append_sync(begun())

    with pytest.raises(StoreError):
        export_run(store, RUN, folder)
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".tmp")] == []
