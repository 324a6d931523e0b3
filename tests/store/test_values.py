from __future__ import annotations

import dataclasses
import enum
import importlib.machinery
import io
import itertools
import os
import pickle
import socket
import sqlite3
import subprocess
import sys
import threading
import types
import weakref
from contextlib import closing, suppress
from datetime import date
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from pathlib import Path

import cloudpickle
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from PIL import Image

from szal_nb.errors import StoreError, ValueUnavailable
from szal_nb.model.event import StepCompleted, StepFailed, StepStarted, from_json, to_json
from szal_nb.model.value import ErrorInfo
from szal_nb.store.codecs import Encoded
from szal_nb.store.files import ValueFileDamaged
from szal_nb.store.formats import ENTRY_POINTS, CodecUnusable, all_codecs
from szal_nb.store.runs import RunStore
from szal_nb.store.values import SHORT_BYTES
from tests.store.scribe import begun, new_run
from tests.store.test_plain import CYCLE, PLAIN, nested, shape

RUN = "aaaaaaaaaaaa"
TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.fixture
def journal(store):
    journal = store.begin(new_run())
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    return journal


def complete(journal, step="load", needed=None, **values):
    refs = journal.keep(step, 1, values, set(values) if needed is None else needed)
    journal.append_sync([StepCompleted(at=3.0, step=step, attempt=1, values=refs)])
    return refs


def kept(journal, value, *, needed=True):
    ref, *_ = journal.keep("load", 1, {"x": value}, {"x"} if needed else set())
    return ref


def refs_of(event):
    return msgspec.structs.asdict(event)["values"]


def round_trip(journal, value):
    ref = kept(journal, value)
    return ref, journal.load_fresh(ref)


class TestFormats:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(PLAIN)
    def test_plain_data_comes_back_exactly(self, journal, value):
        ref, back = round_trip(journal, value)

        assert (ref.live, shape(back)) == (None, shape(value))

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(hnp.arrays(st.one_of(hnp.scalar_dtypes(), hnp.array_dtypes()), hnp.array_shapes(min_dims=0, min_side=0)))
    def test_arrays_come_back_exactly(self, journal, array):
        ref, back = round_trip(journal, array)

        assert (ref.live, back.dtype, back.shape, back.tobytes()) == (None, array.dtype, array.shape, array.tobytes())

    @pytest.mark.parametrize(
        ("value", "form"),
        [
            (np.arange(6).reshape(2, 3), "npy"),
            (np.asfortranarray(np.arange(6).reshape(2, 3)), "npy"),
            (np.arange(20)[::3], "npy"),
            (np.array(5.0), "npy"),
            (np.zeros((0, 3)), "npy"),
            (np.array(["a", "äö"]), "npy"),
            (np.array(["2026-01-01", "NaT"], dtype="datetime64[s]"), "npy"),
            (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), "npy"),
            (np.arange(3, dtype=">i4"), "npy"),
            (np.float32(1.5), "npy-scalar"),
            (np.datetime64("2026-01-01"), "npy-scalar"),
            (np.str_("a"), "npy-scalar"),
            (np.bool_(True), "npy-scalar"),
            (np.array([None, "a"]), "pickle"),
            (np.ma.array([1, 2], mask=[0, 1]), "pickle"),
            (pd.DataFrame({"a": [1, 2], "b": [0.5, float("nan")], "c": ["x", None]}), "arrow-pandas"),
            (pd.DataFrame({"t": pd.date_range("2026-01-01", periods=3, tz="Europe/Berlin")}), "arrow-pandas"),
            (pd.DataFrame({"k": pd.Categorical(["b", "a"], categories=["b", "a"], ordered=True)}), "arrow-pandas"),
            (pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")), "arrow-pandas"),
            (pd.DataFrame({"a": range(3)}, index=pd.RangeIndex(5, 11, 2, name="n")), "arrow-pandas"),
            (pd.DataFrame({"a": [-0.0, 0.0]}), "arrow-pandas"),
            (pd.Series([1, 2], name="s"), "arrow-pandas"),
            (pd.Series([1.5], index=[7]), "arrow-pandas"),
            (pd.DataFrame({"a": [1]}, index=pd.date_range("2026-01-01", periods=1, freq="D")), "pickle"),
            (pd.DataFrame({"a": [[1], {}]}), "pickle"),
            (pd.DataFrame({1: [1]}), "pickle"),
            (pd.DataFrame([[1, 2]], columns=["a", "a"]), "pickle"),
            (pd.DataFrame(), "pickle"),
            (pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([("x", 1)])), "pickle"),
            (pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1], [2, 3]]}), "arrow-polars"),
            (pl.Series("s", [1.5, None]), "arrow-polars-series"),
            (pl.DataFrame(), "pickle"),
            (pa.table({"a": [1, None], "b": [{"c": 1}, None]}), "arrow"),
            (list(range(200_000)), "pickle"),
            (nested(120), "json"),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )
    def test_a_value_takes_the_first_format_that_gives_it_back_exactly(self, journal, value, form):
        ref, back = round_trip(journal, value)

        assert (ref.live, ref.format) == (None, form)
        assert type(back) is type(value)
        if isinstance(value, pd.DataFrame | pd.Series):
            (pd.testing.assert_frame_equal if isinstance(value, pd.DataFrame) else pd.testing.assert_series_equal)(
                back, value, check_exact=True, check_freq=True, check_categorical=True
            )
            assert type(back.index) is type(value.index)
        elif isinstance(value, pl.DataFrame | pl.Series | pa.Table):
            assert back.equals(value)
        elif isinstance(value, np.ndarray):
            assert (back.dtype, back.shape, back.tolist()) == (value.dtype, value.shape, value.tolist())
            assert back.flags.f_contiguous == value.flags.f_contiguous or not value.flags.f_contiguous
        else:
            assert back == value

    def test_attributes_of_a_frame_are_not_lost(self, journal):
        frame = pd.DataFrame({"a": [1]})
        frame.attrs["source"] = "EU"

        assert round_trip(journal, frame)[1].attrs == {"source": "EU"}

    def test_a_list_that_holds_one_list_twice_still_does(self, journal):
        inner: list = [1]
        ref, back = round_trip(journal, [inner, inner])

        assert ref.format == "pickle"
        assert back[0] is back[1]

    def test_a_cycle_comes_back_as_a_cycle(self, journal):
        back = round_trip(journal, CYCLE)[1]

        assert back[0] is back

    def test_numpy_is_not_imported_for_plain_data(self, path, store):
        code = (
            "import sys\nfrom szal_nb.store.runs import RunStore\nfrom tests.store.scribe import new_run, begun\n"
            f"store = RunStore.open({str(path)!r}); journal = store.begin(new_run('cccccccccccc'))\n"
            "journal.keep('load', 1, {'a': [1], 'b': object, 'c': len}, {'a'}); store.close()\n"
            "print({'numpy', 'pandas', 'pyarrow', 'polars'} & set(sys.modules))"
        )
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

        assert printed.strip() == "set()"

    def test_a_codec_of_another_package_is_asked_first(self, path):
        class Reversed:
            format = "reversed"
            is_safe = True

            def encode(self, value, limit, /):
                return Encoded("reversed", (value[::-1].encode(),)) if isinstance(value, str) else None

            def decode(self, data, resolve_class, /):
                return data.decode()[::-1]

        with RunStore.open(path, codecs=[Reversed()]) as store:
            journal = store.begin(new_run())
            journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
            (ref,) = complete(journal, x="abc")
            assert (ref.format, journal.load(ref)) == ("reversed", "abc")
        with RunStore.open(path, codecs=[]) as store, pytest.raises(ValueUnavailable, match="no .* format 'reversed'"):
            store.loader(RUN).load(ref)

    def test_installed_packages_bring_codecs(self, path, tmp_path, monkeypatch):
        package = tmp_path / "site" / "fruit-1.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: fruit\nVersion: 1\n")
        (package / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\napple = fruit_codec:Apples\n")
        (package.parent / "fruit_codec.py").write_text(
            "from szal_nb.store.codecs import Encoded\n"
            "class Apples:\n"
            "    format, is_safe = 'apples', True\n"
            "    def encode(self, value, limit, /):\n"
            "        return Encoded('apples', (b'x' * value.real,)) if isinstance(value, complex) else None\n"
            "    def decode(self, data, resolve_class, /):\n"
            "        return complex(len(data))\n".replace("value.real", "int(value.real)")
        )
        monkeypatch.syspath_prepend(package.parent)
        with RunStore.open(path) as store:
            journal = store.begin(new_run())
            ref = kept(journal, 3 + 0j)
            assert (ref.format, ref.size, journal.load(ref)) == ("apples", 3, 3 + 0j)

        (package.parent / "fruit_codec.py").write_text("raise ImportError('no tree')")
        sys.modules.pop("fruit_codec")
        with RunStore.open(path) as store, pytest.raises(CodecUnusable, match="'apple'.*no tree.*uninstall"):
            store.begin(new_run("bbbbbbbbbbbb"))


def test_a_damaged_file_is_whole_again_once_its_value_is_stored_again(journal, store):
    ref = kept(journal, np.arange(100_000))
    file = store.files.path_of(ref.hash)
    file.write_bytes(bytes(file.stat().st_size))

    assert kept(journal, np.arange(100_000)).hash == ref.hash
    assert store.files.check(ref.hash, ref.format, "x") == file


class TestImages:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16"])
    def test_an_image_is_a_png_and_comes_back_as_it_was(self, journal, mode):
        image = Image.new(mode, (3, 2))
        image.putpixel((1, 1), {"LA": (9, 8), "RGB": (9, 8, 7), "RGBA": (9, 8, 7, 6)}.get(mode, 1))
        ref, back = round_trip(journal, image)

        assert (ref.format, type(back)) == ("png", type(image))
        assert (back.mode, back.size, back.info) == (mode, (3, 2), {})
        assert back.tobytes() == image.tobytes()

    def test_what_png_would_not_give_back_is_pickled(self, journal, tmp_path):
        told = Image.new("RGB", (1, 1))
        told.info["dpi"] = (72, 72)
        Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
        opened = Image.open(tmp_path / "a.png")

        for image in (told, opened, Image.new("CMYK", (1, 1)), Image.new("F", (1, 1))):
            ref, back = round_trip(journal, image)
            assert (ref.format, type(back), back.info) == ("pickle", type(image), image.info)

    def test_a_figure_draws_the_same_picture_when_it_comes_back(self, journal):
        figure = Figure()
        figure.subplots().plot([1, 3, 2])
        _, back = round_trip(journal, figure)

        pictures = [io.BytesIO(), io.BytesIO()]
        for each, file in zip((figure, back), pictures, strict=True):
            each.savefig(file, format="rgba")
        assert pictures[0].getvalue() == pictures[1].getvalue()


class Broken:
    def __reduce__(self):
        raise ValueError("no\nsecond line \ud800")


class Deep:
    def __init__(self):
        self.inner = self

    def __reduce__(self):
        return Deep, (), Deep()


class OneWay:
    def __reduce__(self):
        return OneWay, ("somewhere",)


@pytest.fixture
def live_values(tmp_path):
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        (tmp_path / "f").open("w+") as file,
        socket.socket() as sock,
    ):
        yield {
            "file": file,
            "buffered": file.buffer,
            "connection": connection,
            "socket": sock,
            "generator": (n for n in range(3)),
            "lock": threading.Lock(),
            "module": os,
            "iterator": iter([1]),
            "chain": itertools.chain([1]),
            "zip": zip([1], [2], strict=True),
            "memoryview": memoryview(b"abc"),
            "file in a list": [file],
            "file in an object": types.SimpleNamespace(file=file),
            "lock in a dict": {"lock": threading.Lock()},
            "deep": nested(200_000),
            "deep by reduce": Deep(),
            "broken": Broken(),
            "what could not be read again": OneWay(),
        }


class TestLive:
    def test_what_cannot_be_stored_is_live_with_the_reason(self, journal, live_values):
        refs = journal.keep("load", 1, live_values, set(live_values))

        assert {ref.name: (ref.hash, bool(ref.live)) for ref in refs} == dict.fromkeys(live_values, (None, True))
        reasons = {ref.name: ref.live for ref in refs}
        assert reasons["module"] == "modules are not values"
        assert reasons["file"] == reasons["buffered"] == "an open file cannot be stored"
        assert reasons["file in a list"] == "it holds an open file"
        assert reasons["deep"] == "it is nested too deeply"
        assert reasons["broken"] == "no"
        assert reasons["what could not be read again"] == (
            "it could not be read again: TypeError: OneWay() takes no arguments"
        )
        journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])

    def test_a_live_value_is_given_back_as_long_as_it_lives(self, journal):
        generator = (n for n in range(3))
        ref = kept(journal, generator)

        assert journal.load(ref) is generator
        ended = weakref.ref(generator)
        del generator
        assert ended() is None, "who asked for it once does not hold it"

    def test_a_live_value_of_another_process_is_unavailable_with_the_reason(self, journal, store):
        complete(journal, lock=threading.Lock())

        with pytest.raises(ValueUnavailable, match="'lock' cannot be loaded: it was not stored, because cannot pickle"):
            store.value(RUN, "load", "lock")

    def test_a_large_value_that_nobody_reads_is_not_kept(self, journal):
        large = np.zeros(3_000_000)
        text = "x" * 20_000_000

        assert kept(journal, large, needed=False).live == "no later step reads it, and it has over 16 MB"
        assert kept(journal, {"a": {1}, "b": text}, needed=False).live is not None
        assert kept(journal, large).live is None

    def test_a_value_with_a_secret_in_it_is_live(self, journal):
        journal.keeper.forbidden = lambda data: b"hunter22" in data
        array = np.array(["a", "hunter22"])
        frame = pd.DataFrame({"a": ["x", "hunter22"]})
        far = b"x" * (4 * 2**20 - 3) + b"hunter22"
        values = {"text": "pw=hunter22", "bytes": b"\xff hunter22", "array": array, "frame": frame, "far": far}

        refs = journal.keep("load", 1, values, set(values))

        assert {ref.name: (ref.live, ref.summary, ref.hash) for ref in refs} == dict.fromkeys(
            values, ("it contains a secret", "", None)
        )

    def test_a_full_disk_makes_a_large_value_live_and_leaves_no_file(self, journal, store, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("szal_nb.store.files.os.write", full)
        ref = kept(journal, np.zeros(100_000))

        assert ref.live == "it could not be stored: No space left on device"
        assert [file for file in store.files.folder.rglob("*") if file.is_file()] == []


class TestIdentity:
    def test_two_names_for_one_object_are_one_object_again(self, journal, store):
        frame = pd.DataFrame({"a": [1]})
        items = [1]
        refs = complete(journal, a=frame, b=frame, c=frame.copy(), d=items, e=items, f=[1])

        loader = store.loader(RUN)
        a, b, c, d, e, f = (loader.load(ref) for ref in refs)
        assert (a is b, a is c, d is e, d is f) == (True, False, True, False)
        assert refs[0].hash == refs[2].hash
        assert refs[3].hash == refs[5].hash

    def test_an_object_that_a_later_step_gives_again_keeps_its_identity(self, journal):
        items = [1]
        (first,) = complete(journal, a=items)
        journal.append_sync([StepStarted(at=4.0, step="clean", attempt=1)])
        (again,) = complete(journal, step="clean", b=items)

        assert first.identity == again.identity
        assert journal.load(first) is journal.load(again)

    def test_an_object_that_was_loaded_and_is_given_again_keeps_its_identity(self, journal, store):
        (first,) = complete(journal, a=[1])
        journal.close()
        resumed = store.take_over(RUN)
        loaded = resumed.load(first)

        assert kept(resumed, loaded).identity == first.identity
        assert kept(resumed, [1]).identity not in {None, first.identity}

    def test_a_changed_object_under_one_identity_has_two_contents(self, journal):
        items = [1]
        before = kept(journal, items)
        items.append(2)
        after = kept(journal, items)

        assert before.identity == after.identity
        assert (journal.load(before), journal.load(after)) == ([1], [1, 2])

    def test_a_fresh_load_shares_nothing(self, journal):
        (ref,) = complete(journal, a=[1])

        assert journal.load_fresh(ref) is not journal.load(ref)

    def test_an_id_that_is_used_again_is_another_identity(self, journal):
        tokens = {kept(journal, np.zeros(3)).identity for _ in range(50)}

        assert len(tokens) == 50

    def test_parts_of_what_has_no_identity_are_no_one_object_by_being_equal(self, journal, store):
        refs, loader = complete(journal, a=([1],), b=([1],)), store.loader(RUN)
        one, other = (loader.load(ref)[0] for ref in refs)

        assert (one, one is other) == ([1], False)

    def test_equal_immutable_values_need_no_identity(self, journal):
        assert [kept(journal, value).identity for value in ("a", 1, None, (1, 2), b"")] == [None] * 5


class TestContent:
    def test_equal_content_is_stored_once(self, journal, store):
        long = list(range(SHORT_BYTES))
        complete(journal, a=long, b=[*long], c=np.zeros(100_000), d=np.zeros(100_000))

        with closing(sqlite3.connect(store.path)) as connection:
            rows = connection.execute("SELECT format, in_file FROM blobs ORDER BY 1").fetchall()
        assert rows == [("json", 0), ("npy", 1)]
        assert len([file for file in store.files.folder.rglob("*") if file.is_file()]) == 1

    def test_short_text_stands_in_its_event_and_row_and_nowhere_else(self, journal, store):
        at_most = "x" * (SHORT_BYTES - 2)
        (short,) = complete(journal, short=at_most)

        with closing(sqlite3.connect(store.path)) as connection:
            assert connection.execute("SELECT count(*) FROM blobs").fetchone() == (0,)
            assert connection.execute('SELECT name, content FROM "values"').fetchall() == [("short", f'"{at_most}"')]
        assert short.content == f'"{at_most}"'
        assert store.value(RUN, "load", "short") == at_most

    @given(st.recursive(st.none() | st.integers() | st.floats() | st.text() | st.binary(), st.lists, max_leaves=5))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def test_what_is_short_comes_back_out_of_the_json_of_its_event(self, journal, store, value):
        (ref,) = journal.keep("load", 1, {"value": value}, {"value"})
        (back,) = refs_of(from_json(to_json(StepCompleted(at=3.0, step="load", attempt=1, values=(ref,)))))

        assert repr(journal.load_fresh(back)) == repr(value)

    def test_a_content_in_an_event_that_is_not_what_its_hash_says_is_found(self, journal):
        (ref,) = journal.keep("load", 1, {"orders": [1, 2]}, {"orders"})

        with pytest.raises(ValueFileDamaged, match="the content of the record of its run does not match"):
            journal.load(msgspec.structs.replace(ref, content="[1,3]"))

    @pytest.mark.parametrize("data", [b"\xff", "é".encode()], ids=["no-text", "other-text"])
    def test_what_calls_itself_json_and_is_other_text_is_a_blob(self, path, data):
        class Odd:
            format = "json"
            is_safe = True

            def encode(self, value, limit, /):
                return Encoded("json", (data,))

            def decode(self, found, resolve_class, /):
                return found

        with RunStore.open(path, codecs=[Odd()]) as store:
            journal = store.begin(new_run())
            assert (kept(journal, "abc").content, kept(journal, "abc").live) == (None, None)

    def test_large_values_are_files_and_small_ones_are_not(self, journal, store):
        small, large = complete(journal, small=b"x" * 1000, large=b"x" * 300_000)

        assert not store.files.path_of(small.hash).exists()
        file = store.files.path_of(large.hash)
        assert file.stat().st_size == large.size
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700

    def test_a_large_array_is_mapped_and_can_be_changed_without_changing_the_store(self, journal, store):
        (ref,) = complete(journal, a=np.zeros(100_000))

        array = store.loader(RUN).load(ref)
        array[0] = 1

        assert type(array) is np.ndarray
        assert store.loader(RUN).load(ref)[0] == 0

    def test_a_value_is_there_before_its_event_is_committed(self, journal):
        assert journal.load(kept(journal, [1])) == [1]
        assert journal.load(kept(journal, np.ones(100_000)))[5] == 1

    def test_a_file_that_was_changed_is_found_and_named(self, journal, store):
        (ref,) = complete(journal, orders=np.zeros(100_000))
        file = store.files.path_of(ref.hash)
        with file.open("r+b") as handle:
            handle.seek(5000)
            handle.write(b"\x01")

        with pytest.raises(ValueFileDamaged, match=r"'orders' is damaged: the content of .*values.* does not match"):
            store.value(RUN, "load", "orders")

    def test_a_file_that_is_gone_is_named(self, journal, store):
        (ref,) = complete(journal, orders=np.zeros(100_000))
        store.files.path_of(ref.hash).unlink()

        with pytest.raises(StoreError, match=r"The value 'orders' is lost: .* cannot be read"):
            store.value(RUN, "load", "orders")

    def test_bytes_in_the_database_that_were_changed_are_found(self, journal, store):
        complete(journal, orders="x" * SHORT_BYTES)
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE blobs SET data = replace(data, 'x', 'y')")

        with pytest.raises(ValueFileDamaged, match="the content of the database does not match"):
            store.value(RUN, "load", "orders")

    def test_what_was_kept_for_an_attempt_that_failed_is_let_go(self, journal):
        journal.keep("load", 1, {"a": [1]}, {"a"})
        journal.append_sync([StepFailed(at=3.0, step="load", attempt=1, error=ErrorInfo(type="E"))])

        assert journal.keeper._parked == {}

    def test_an_array_that_changes_while_it_is_written_still_matches_its_hash(self, journal, store):
        array = np.zeros(2_000_000)
        go_on = True

        def change():
            while go_on:
                array[:] += 1

        thread = threading.Thread(target=change)
        thread.start()
        try:
            refs = [kept(journal, array) for _ in range(5)]
        finally:
            go_on = False
            thread.join()

        for ref in refs:
            assert journal.load_fresh(ref).shape == (2_000_000,)


NOTEBOOK = """
import dataclasses, enum
class Color(enum.Enum):
    RED = 1
@dataclasses.dataclass
class Point:
    x: int
    color: Color = Color.RED
class Holder:
    def __init__(self, point): self.point = point
    class Inner: pass
def add(x): return x + offset
offset = 2
"""


def notebook():
    names: dict = {"__name__": "__main__"}
    exec(NOTEBOOK, names)
    return names


class TestNotebookClasses:
    def test_instances_are_loaded_onto_the_class_of_the_reader(self, journal):
        first, second = notebook(), notebook()
        value = [first["Holder"](first["Point"](3)), first["Color"].RED, first["Holder"].Inner()]
        ref = kept(journal, value)
        journal.loader.resolve_class = {**second, "Holder.Inner": second["Holder"].Inner}.get

        holder, color, inner = journal.load(ref)

        assert type(holder) is second["Holder"]
        assert holder.point == second["Point"](3)
        assert color is second["Color"].RED
        assert type(inner) is second["Holder"].Inner

    def test_a_class_that_nobody_defines_is_named(self, journal):
        ref = kept(journal, notebook()["Point"](3))

        with pytest.raises(ValueUnavailable, match="its class Point is not defined by this notebook"):
            journal.load(ref)

    def test_the_content_of_an_instance_does_not_depend_on_the_process(self, journal):
        assert kept(journal, notebook()["Point"](3)).hash == kept(journal, notebook()["Point"](3)).hash

    def test_a_class_itself_is_stored_whole(self, journal):
        point = journal.load_fresh(kept(journal, notebook()["Point"]))

        assert point.__name__ == "Point"
        assert point(3).x == 3

    def test_an_instance_finds_its_class_among_the_values_of_the_run(self, journal, store):
        names = notebook()
        refs = complete(
            journal,
            Color=names["Color"],
            Point=names["Point"],
            Holder=names["Holder"],
            p=names["Point"](3),
            i=names["Holder"].Inner(),
        )

        loader = store.loader(RUN)
        loaded = {ref.name: loader.load(ref) for ref in refs}

        assert type(loaded["p"]) is loaded["Point"]
        assert type(loaded["i"]) is loaded["Holder"].Inner

    def test_that_class_is_the_newest_of_this_run(self, store):
        """Not what another run gave under the name, nor what is no class."""

        def holder(kind):
            made = notebook()["Holder"]
            made.kind = kind
            return made

        def steps(journal, *given):
            journal.append_sync(begun())
            for step, values in zip(("load", "clean", "plot"), given, strict=False):
                journal.append_sync([StepStarted(at=2.0, step=step, attempt=1)])
                yield complete(journal, step, **values)

        newest = holder("newest")
        mine = ({"Holder": holder("old")}, {"Holder": newest, "p": newest(3)}, {"Holder": 5})
        _, (_, p), _ = steps(store.begin(new_run()), *mine)
        list(steps(store.begin(new_run("bbbbbbbbbbbb")), {"Holder": holder("another run's")}))

        assert store.loader(RUN).load(p).kind == "newest"

    def test_a_function_is_stored_with_what_it_reads(self, journal):
        assert journal.load_fresh(kept(journal, notebook()["add"]))(3) == 5


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


class TestTrust:
    def test_a_record_of_somebody_else_is_read_but_never_unpickled(self, journal, store):
        complete(journal, plain=[1], array=np.zeros(3), frame=pd.DataFrame({"a": [1]}), pickled=Broken)
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE runs SET is_imported = 1")

        assert store.value(RUN, "load", "plain") == [1]
        assert store.value(RUN, "load", "array").shape == (3,)
        assert store.value(RUN, "load", "frame").shape == (1, 1)
        with pytest.raises(ValueUnavailable, match=r"runs code, and this record is not ours\. Use --trust"):
            store.value(RUN, "load", "pickled")
        assert store.value(RUN, "load", "pickled", trust=True) is Broken

    def test_a_file_of_another_user_is_not_trusted(self, journal, store, monkeypatch):
        complete(journal, pickled=Broken)
        monkeypatch.setattr("szal_nb.store.reading.file_owner_is_us", lambda _: False)

        with pytest.raises(ValueUnavailable, match="--trust"):
            store.value(RUN, "load", "pickled")

    @pytest.mark.parametrize(
        "codec", [codec for codec in all_codecs() if codec.is_safe], ids=lambda codec: codec.format
    )
    def test_a_format_that_runs_no_code_does_not_whatever_is_in_it(self, codec, tmp_path):
        """A foreign record says itself of which format a content is."""
        path, sprung = tmp_path / "content", tmp_path / "sprung"
        objects = io.BytesIO()
        np.save(objects, np.array([Trap(sprung)], dtype=object))
        for content in (pickle.dumps(Trap(sprung)), objects.getvalue()):
            path.write_bytes(content)
            for data in (content, path):
                with suppress(Exception):
                    codec.decode(data, lambda _: None)
        assert not sprung.exists()
        pickle.loads(pickle.dumps(Trap(sprung)))
        assert sprung.exists()


@pytest.mark.parametrize(
    ("value", "type_", "shape_", "summary"),
    [
        (pd.DataFrame({"a": range(2345), "b": 1}), "pandas.DataFrame", (2345, 2), f"2,345 {TIMES} 2"),
        (pd.Series(range(3)), "pandas.Series", (3,), "3 int64"),
        (np.zeros((2, 3)), "numpy.ndarray", (2, 3), f"2 {TIMES} 3 float64"),
        ("EU", "str", None, "'EU'"),
        ("x" * 100, "str", None, "'" + "x" * 60 + "…'"),
        ([1, 2, 3], "list", (3,), "3 items"),
        ({"a": 1}, "dict", (1,), "1 item"),
        (3, "int", None, "3"),
        (10**100, "int", None, "333 bits"),
        (None, "NoneType", None, "None"),
        (b"abc", "bytes", None, "3 bytes"),
        (io.StringIO("a"), "_io.StringIO", None, ""),
        (np.float64(2.5), "numpy.float64", None, "2.5"),
        (np.float32(0.1), "numpy.float32", None, "0.1"),
        (np.longdouble(1.5), "numpy.longdouble", None, "1.5"),
        (np.str_("EU"), "numpy.str_", None, "'EU'"),
        (np.datetime64("2026-01-01"), "numpy.datetime64", None, "2026-01-01"),
        (pd.Timestamp("2026-01-01"), "pandas.Timestamp", None, "2026-01-01 00:00:00"),
        (date(2026, 1, 1), "datetime.date", None, "2026-01-01"),
        (Decimal("1.50"), "decimal.Decimal", None, "1.50"),
        (Fraction(10**5000, 3), "fractions.Fraction", None, ""),
        (Path("a/b.csv"), f"pathlib.{type(Path()).__name__}", None, "a/b.csv"),
        (HTTPStatus.OK, "http.HTTPStatus", None, "HTTPStatus.OK"),
        ("\ud800", "str", None, "'\\ud800'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_reference_says_what_a_person_wants_to_see(journal, value, type_, shape_, summary):
    ref = kept(journal, value)

    assert (ref.type, ref.shape, ref.summary) == (type_, shape_, summary)


def test_values_of_standard_classes_that_cloudpickle_knows_come_back(journal):
    for value in (
        dataclasses.field,
        enum.Enum,
        cloudpickle.dumps,
        types.SimpleNamespace(a=1),
        slice(1, 2),
        io.BytesIO(b"a"),
    ):
        assert kept(journal, value).live is None


def frame_of_columns():
    times, kinds = pd.to_datetime(["2020", "2021"]), pd.Categorical(["x", "y"])
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "c": kinds, "when": times})
    frame["late"] = 1.0
    return frame


@pytest.mark.parametrize("column", ["a", "late", "c", "when"])
def test_a_frame_that_was_read_can_be_written_to_as_the_one_that_was_stored(journal, column):
    frame = round_trip(journal, frame_of_columns())[1]
    wanted = frame_of_columns()
    for each in (frame, wanted):
        each.loc[0, column] = each[column].iloc[1]

    pd.testing.assert_frame_equal(frame, wanted)


@pytest.mark.parametrize("names", [["a", "late"], ["a", "b", "late"]])
def test_the_values_of_columns_that_were_made_one_by_one_can_be_written_to(journal, names):
    for frame in (frame_of_columns(), round_trip(journal, frame_of_columns())[1]):
        values = frame[names].values  # noqa: PD011  as people write it
        values[:, 0] = 7

        assert frame["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "name",
    ["PIL.Image", "matplotlib.figure", "matplotlib.axes", "matplotlib.transforms", "pyarrow", "polars", "pandas"],
)
def test_a_library_that_another_thread_is_still_importing_is_asked_for_nothing(journal, monkeypatch, name):
    # Its module is there by then, and empty: what a step gave meanwhile could not be stored.
    unfinished = types.ModuleType(name)
    unfinished.__spec__ = importlib.machinery.ModuleSpec(name, None)
    unfinished.__spec__._initializing = True
    monkeypatch.setitem(sys.modules, name, unfinished)

    assert kept(journal, [np.zeros(3), types.SimpleNamespace(y=1)]).live is None
