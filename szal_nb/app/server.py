"""The extension of the Jupyter server: REST and server-sent events for the panel.

Every request is authenticated and authorised (resource `szal`), its paths are judged by `Place`, and what blocks runs
off the server's loop. It reads; what a person decides about a run that no kernel runs it records for those who may
execute.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from szal_nb.app.deciding import answer_step, cancel_run, delete_run
from szal_nb.app.place import OutOfPlace, Place
from szal_nb.app.serving import (
    RunTail,
    details_document,
    flows_document,
    history_document,
    log_document,
    runs_document,
)
from szal_nb.errors import SzalError, UnknownRun
from szal_nb.notebook.document import parse_notebook, read_notebook
from szal_nb.store.runs import RunStore

LOOK_EVERY_S = 0.2
LOOK_AT_RUNS_EVERY_S = 1.0
# A comment now and then finds out that the other side is gone, and keeps proxies from closing a quiet stream.
_BREATH_S = 15.0

Event = tuple[str, dict[str, Any]]
Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


def for_readers(method: Method) -> Method:
    """Only for who is logged in and may read."""
    return cast("Method", authenticated(authorized(action="read", resource="szal")(method)))


def for_doers(method: Method) -> Method:
    """Only for who is logged in and may execute."""
    return cast("Method", authenticated(authorized(action="execute", resource="szal")(method)))


class Unanswerable(HTTPError):
    """A request that gets a text instead of its answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.text = text


def extension_points() -> list[dict[str, str]]:
    """Where the Jupyter server finds its extension."""
    return [{"module": "szal_nb.app.server"}]


def labextension_paths() -> list[dict[str, str]]:
    """Where `jupyter labextension develop` finds the front end."""
    return [{"src": "labextension", "dest": "szal-nb"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Called by the Jupyter server when it starts."""
    base = server.web_app.settings["base_url"]
    run = "([^/]{1,100})"
    routes: tuple[tuple[tuple[str, ...], type[_Handler]], ...] = (
        (("flow",), FlowHandler),
        (("runs",), RunsHandler),
        (("runs", "events"), RunsEventsHandler),
        (("runs", run, "events"), RunEventsHandler),
        (("runs", run), RunHandler),
        (("runs", run, "(history|details|log)"), RunHandler),
        (("runs", run, "answer"), AnswerHandler),
        (("runs", run, "cancel"), CancelHandler),
    )
    server.web_app.add_handlers(".*$", [(url_path_join(base, "szal", *parts), handler) for parts, handler in routes])


class _Handler(APIHandler):
    """What all requests have in common: `?path=` names the notebook whose flows and runs are meant."""

    auth_resource = "szal"

    def _notebook(self) -> Path:
        manager = self.contents_manager
        root = getattr(manager, "root_dir", None)
        if root is None:
            raise Unanswerable(501, "The notebooks of this server are no files, so their runs cannot be read here.")
        path = self.get_query_argument("path", strip=False)
        return Place(Path(root), shows_hidden=manager.allow_hidden).notebook(path)

    def _store_of(self, notebook: Path, *, read_only: bool = True) -> RunStore | None:
        manager = self.contents_manager
        path = Place(Path(manager.root_dir), shows_hidden=manager.allow_hidden).store(notebook)
        return None if path is None else RunStore.open(path, read_only=read_only)

    @contextmanager
    def _store(self, *, read_only: bool = True) -> Iterator[RunStore]:
        notebook = self._notebook()
        store = self._store_of(notebook, read_only=read_only)
        if store is None:
            raise OutOfPlace(notebook.name, "it has no runs yet.")
        with store:
            yield store

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors are JSON; ours say what is wrong, those of others what HTTP says."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(error, Unanswerable):
            self.finish(as_json({"message": error.text}))
        else:
            super().write_error(status_code, **kwargs)

    async def _answer(self, work: Callable[[], dict[str, Any]]) -> None:
        document = await self._work(work)
        self.set_header("Cache-Control", "no-store")
        with suppress(StreamClosedError):
            await self.finish(as_json(document))

    async def _decide(self, decide: Callable[[RunStore], str]) -> None:
        def work() -> dict[str, Any]:
            with self._store(read_only=False) as store:
                return {"message": decide(store)}

        await self._answer(work)

    async def _work(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(work)
        except (OutOfPlace, UnknownRun) as error:
            raise Unanswerable(404, str(error)) from error
        except SzalError as error:
            raise Unanswerable(422, str(error)) from error


class FlowHandler(_Handler):
    """The flows of a notebook: as it is saved, or (POST) with the cells that its front end holds."""

    @for_readers
    async def get(self) -> None:
        """The flows of the saved notebook."""
        await self._answer(lambda: flows_document(read_notebook(self._notebook())))

    @for_readers
    async def post(self) -> None:
        """The flows of the notebook in the request's body. Nothing is kept or run, so reading is what it takes."""
        text = self.request.body.decode("utf-8", "replace")
        await self._answer(lambda: flows_document(parse_notebook(text, path=self._notebook())))


class RunsHandler(_Handler):
    """The runs of a notebook's store."""

    @for_readers
    async def get(self) -> None:
        """The newest runs, at most `?limit=` of them."""
        limit = self.get_query_argument("limit", "200")
        if not limit.isascii() or not limit.isdecimal():
            raise Unanswerable(400, "limit must be a number.")
        await self._answer(lambda: self._runs(int(limit[:6])))

    def _runs(self, limit: int) -> dict[str, Any]:
        notebook = self._notebook()
        store = self._store_of(notebook)
        if store is None:
            return runs_document(None, notebook)
        with store:
            return runs_document(store, notebook, limit=limit)


class RunHandler(_Handler):
    """One run: its picture and what the store says of it; its history; or one `?step=` of it in detail, or its log."""

    @for_readers
    async def get(self, run_id: str, part: str | None = None) -> None:
        """The part of the record that is asked for."""
        step = self.get_query_argument("step", "", strip=False)
        await self._answer(lambda: self._part(part, run_id, step))

    def _part(self, part: str | None, run_id: str, step: str) -> dict[str, Any]:
        with self._store() as store:
            match part:
                case "history":
                    return history_document(store, run_id)
                case "details":
                    return details_document(store, run_id, step)
                case "log":
                    return log_document(store, run_id, step)
            return RunTail(store, run_id).picture()

    @for_doers
    async def delete(self, run_id: str, part: str | None = None) -> None:
        """Deletes the run, if it has ended."""
        if part is not None:
            raise Unanswerable(405, "Only a whole run can be deleted.")
        await self._decide(lambda store: delete_run(store, store.run(run_id).id))


class AnswerHandler(_Handler):
    """A person's answer to a step of a run that no process runs at the moment."""

    @for_doers
    async def post(self, run_id: str) -> None:
        """Body: `{"step": ..., "approved": ...}`."""
        body = self.get_json_body() or {}
        step, approved = body.get("step"), body.get("approved")
        if not isinstance(step, str) or not isinstance(approved, bool):
            raise Unanswerable(400, "An answer names a step and says whether it is approved.")
        await self._decide(lambda store: answer_step(store, run_id, step, approved=approved))


class CancelHandler(_Handler):
    """The end of a run that `szal run` started, or that crashed."""

    @for_doers
    async def post(self, run_id: str) -> None:
        """Asks for it; the run's events tell when it has ended."""
        await self._decide(lambda store: cancel_run(store, store.run(run_id)))


class _Stream(_Handler):
    """A response that goes on: server-sent events."""

    _track_activity = False

    def initialize(self) -> None:
        """Called by tornado for each request."""
        self._gone = asyncio.Event()

    def on_connection_close(self) -> None:
        """Called by tornado when the other side has gone."""
        self._gone.set()
        super().on_connection_close()

    async def _stream(self, look: Callable[[], Event | None], every_s: float, *, is_over: Callable[[], bool]) -> None:
        """Sends what `look` finds until the run is over or nobody listens."""
        first = await self._work(look)
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        found, quiet_s = first, 0.0
        with suppress(StreamClosedError):
            while True:
                if found is not None or quiet_s >= _BREATH_S:
                    self.write(_message(found))
                    await self.flush()
                    quiet_s = 0.0
                if is_over() or await self._waits(every_s):
                    return
                quiet_s += every_s
                found = await self._next(look)

    async def _next(self, look: Callable[[], Event | None]) -> Event | None:
        try:
            found: Event | None = await asyncio.to_thread(look)
        except SzalError as error:
            # The headers are out; the stream itself must say it.
            return "problem", {"message": str(error)}
        return found

    async def _waits(self, seconds: float) -> bool:
        """Waits; whether the other side has gone meanwhile."""
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return False
        return True


class RunEventsHandler(_Stream):
    """A run as it goes, read from its store: first the whole picture, then what changes. Ends with the run."""

    @for_readers
    async def get(self, run_id: str) -> None:
        """Events `picture` and `run`."""
        store = await self._work(lambda: self._store_of(self._notebook()))
        if store is None:
            raise Unanswerable(404, "The notebook has no runs yet.")
        try:
            tail = await self._work(lambda: RunTail(store, run_id))
            await self._stream(tail.look, LOOK_EVERY_S, is_over=lambda: tail.is_over)
        finally:
            await asyncio.to_thread(store.close)


class RunsEventsHandler(_Stream):
    """The runs of a notebook's store, sent whole whenever one of them changed."""

    @for_readers
    async def get(self) -> None:
        """Events `runs`."""
        notebook = await self._work(self._notebook)
        store: RunStore | None = None
        said: dict[str, Any] | None = None

        def look() -> Event | None:
            nonlocal store, said
            # A store is made by the first run, which may be while we look.
            store = store or self._store_of(notebook)
            found = runs_document(store, notebook)
            if found == said:
                return None
            said = found
            return "runs", found

        try:
            await self._stream(look, LOOK_AT_RUNS_EVERY_S, is_over=lambda: False)
        finally:
            if store is not None:
                await asyncio.to_thread(store.close)


def as_json(document: Any) -> str:
    """Strict JSON: numbers that it does not know become null."""
    try:
        return json.dumps(document, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _message(event: Event | None) -> str:
    return ": \n\n" if event is None else f"event: {event[0]}\ndata: {as_json(event[1])}\n\n"
