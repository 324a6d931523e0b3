"""What a headless run tells the kernel that it starts, by environment: the one list of these variables.

The kernel's session reads it; `batch` writes it. Nothing here is a secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from szal_nb.api.selection import Selection
from szal_nb.store.locate import find_store
from szal_nb.store.owner import Owner

_OF_ONE_RUN = frozenset({
    "SZAL_RUN_STORE", "SZAL_NOTEBOOK", "SZAL_SNAPSHOT", "SZAL_OUTPUT", "SZAL_RUN_ID", "SZAL_RESUME", "SZAL_LAUNCHER",
    "SZAL_WISH", "SZAL_PARAMS", "SZAL_ROUTING",
})  # fmt: skip


def inherited(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for another kernel: without what this process was told of a run, if it is a headless kernel's."""
    return {name: text for name, text in environment.items() if name not in _OF_ONE_RUN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headless:
    """How the kernel's runs are to be made and recorded.

    `run_id` is for the first run that the notebook starts; `resume` names the run that this kernel goes on with
    instead; `wish` says which of its steps run, and what it takes from earlier runs. `notebook` is the file as its
    author knows it, `snapshot` holds exactly the cells that are executed.
    """

    store: Path | None = None
    run_id: str | None = None
    resume: str | None = None
    launcher: Owner | None = None
    notebook: Path | None = None
    snapshot: Path | None = None
    output: Path | None = None
    params: Mapping[str, object] | None = None
    wish: Selection | None = None

    def environment(self) -> dict[str, str]:
        """The variables that say this; the kernel then waits for runs, and keeps output in the step's own cell."""
        texts = {
            "SZAL_RUN_STORE": self.store,
            "SZAL_NOTEBOOK": self.notebook,
            "SZAL_SNAPSHOT": self.snapshot,
            "SZAL_OUTPUT": self.output,
            "SZAL_RUN_ID": self.run_id,
            "SZAL_RESUME": self.resume,
        }
        found = {name: str(text) for name, text in texts.items() if text is not None}
        if self.launcher is not None:
            found["SZAL_LAUNCHER"] = msgspec.json.encode(self.launcher).decode()
        if self.wish is not None:
            found["SZAL_WISH"] = msgspec.json.encode(self.wish).decode()
        if self.params is not None:
            found["SZAL_PARAMS"] = json.dumps(self.params, default=str)
        if self.store is not None and self.store != find_store(self.notebook):
            # Flows that the notebook makes in Python go there, too. Where nobody named a store, each program that the
            # notebook starts finds its own.
            found["SZAL_STORE"] = str(self.store)
        return {"SZAL_WAIT": "1", "SZAL_ROUTING": "1", **found}


def read_headless(environment: Mapping[str, str] = os.environ) -> Headless:
    """What the process that started this kernel has said; all absent in a kernel that a person started."""
    launcher, params = environment.get("SZAL_LAUNCHER"), environment.get("SZAL_PARAMS")
    wish = environment.get("SZAL_WISH")
    return Headless(
        store=_path(environment.get("SZAL_RUN_STORE")),
        run_id=environment.get("SZAL_RUN_ID"),
        resume=environment.get("SZAL_RESUME"),
        launcher=msgspec.json.decode(launcher, type=Owner) if launcher else None,
        notebook=_path(environment.get("SZAL_NOTEBOOK")),
        snapshot=_path(environment.get("SZAL_SNAPSHOT")),
        output=_path(environment.get("SZAL_OUTPUT")),
        params=json.loads(params) if params else None,
        wish=msgspec.json.decode(wish, type=Selection) if wish else None,
    )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
