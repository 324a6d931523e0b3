"""One run as one file: a zip of JSON, the notebook, and the contents of its values, each named by its hash.

Nothing in the file is run or unpickled when it is imported; an imported run is marked, and formats that carry code
are loaded from it only by somebody who says that he trusts it.
"""

from __future__ import annotations

import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from szal_nb.errors import IllegalTransition, StoreError
from szal_nb.model.event import from_json
from szal_nb.store import projection
from szal_nb.store.bundle import Blob, Bundle, read_blob, read_bundle, references, write_bundle
from szal_nb.store.failure import explain
from szal_nb.store.listing import StoredRun
from szal_nb.store.moved import file_stem
from szal_nb.store.runs import RunStore
from szal_nb.store.snapshots import content_id, flow_row, graph_from

# What can be read; in the second, short values stand in the events that name them.
FORMATS = (1, 2)
FORMAT = FORMATS[-1]
# What a zip can fail with that is damaged or none of ours: encrypted, or packed in another way.
_NO_RUN_FILE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, KeyError, UnicodeDecodeError, EOFError, RuntimeError)


class Content(msgspec.Struct, frozen=True):
    """What the file says of one content."""

    form: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing in the file."""

    szal_run: int
    run: StoredRun
    values: dict[str, Content] = {}
    missing: tuple[str, ...] = ()


class NotARunFile(StoreError):
    """The file is not an exported run, or is damaged."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path} cannot be imported: {self.problem}. Nothing was changed."


def export_run(store: RunStore, run_id: str, target: Path) -> Manifest:
    """Writes the run with its values to `target`, complete or not at all; gives what is in it.

    A value whose content is gone or damaged is left out and named in `missing`.
    """
    bundle = read_bundle(store, run_id)
    blobs: dict[str, Blob] = {}
    missing = []
    for ref in references(bundle.events):
        try:
            blobs[str(ref.hash)] = read_blob(store.contents, ref)
        except StoreError:
            missing.append(str(ref.hash))
    manifest = Manifest(
        szal_run=FORMAT,
        run=bundle.run,
        values={digest: Content(blob.form, blob.size) for digest, blob in blobs.items()},
        missing=tuple(missing),
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=target.parent, prefix=".szal-", suffix=".tmp")
        try:
            with os.fdopen(fd, "wb") as file:
                with zipfile.ZipFile(file, "w") as archive:
                    _write(archive, manifest, bundle, blobs)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise explain(error, target) from error
    return manifest


def _write(archive: zipfile.ZipFile, manifest: Manifest, bundle: Bundle, blobs: dict[str, Blob]) -> None:
    texts = {
        "run.json": msgspec.json.format(msgspec.json.encode(manifest)).decode(),
        "flow.json": bundle.graph.derived(flow_row).graph,
        "events.jsonl": "".join(projection.encode_event(event)[1] + "\n" for event in bundle.events),
    }
    if bundle.notebook is not None:
        texts["notebook.ipynb"] = bundle.notebook
    for name, text in texts.items():
        archive.writestr(name, text, zipfile.ZIP_DEFLATED)
    for digest, blob in blobs.items():
        archive.writestr(f"values/{digest}", blob.read(), zipfile.ZIP_STORED)


def import_run(store: RunStore, source: Path) -> StoredRun:
    """Takes the run of an exported file into the store; gives it as it is there then.

    Raises `NotARunFile` for a file that is none or is damaged, `RunExists` if the run is there already.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive, source)
            bundle = _bundle(archive, manifest)
            write_bundle(store, bundle, _blobs(archive, manifest, source), is_imported=True)
    except _NO_RUN_FILE as error:
        raise NotARunFile(str(source), f"it is not an exported run, or was cut off ({error})") from error
    except (msgspec.MsgspecError, IllegalTransition) as error:
        raise NotARunFile(str(source), f"its record does not hold together ({error})") from error
    except OSError as error:
        raise NotARunFile(str(source), f"it cannot be read ({error.strerror or error})") from error
    return store.run(manifest.run.id)


def _manifest(archive: zipfile.ZipFile, source: Path) -> Manifest:
    text = archive.read("run.json")
    version = msgspec.json.decode(text, type=dict[str, object]).get("szal_run")
    if version not in FORMATS:
        raise NotARunFile(str(source), f"it has format {version!r}; this szal_nb reads up to format {FORMAT}")
    manifest = msgspec.json.decode(text, type=Manifest)
    if not manifest.run.id or file_stem(manifest.run.id) != manifest.run.id:
        raise NotARunFile(str(source), f"{manifest.run.id!r:.80} is no run's id")
    return manifest


def _bundle(archive: zipfile.ZipFile, manifest: Manifest) -> Bundle:
    flow = archive.read("flow.json").decode()
    events = [from_json(line) for line in archive.read("events.jsonl").splitlines()]
    has_notebook = "notebook.ipynb" in archive.namelist()
    return Bundle(
        run=manifest.run,
        events=events,
        graph=graph_from(flow, content_id(flow), Path(str(archive.filename))),
        notebook=archive.read("notebook.ipynb").decode() if has_notebook else None,
    )


def _blobs(archive: zipfile.ZipFile, manifest: Manifest, source: Path) -> Iterator[Blob]:
    for digest, content in manifest.values.items():
        member = archive.getinfo(f"values/{digest}")
        if member.file_size != content.size:
            raise NotARunFile(str(source), f"the content {digest} has {member.file_size} bytes, not {content.size}")
        yield Blob(hash=digest, form=content.form, size=content.size, read=lambda m=member: archive.read(m))  # type: ignore[misc]
