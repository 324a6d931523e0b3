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

from szal_nb.store.owner import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Headless:
    """How the kernel's runs are to be made and recorded.

    `run_id` is for the first run that the notebook starts; `resume` names the run that this kernel goes on with
    instead; `only`, `from_step` and `until` choose the steps of the first one. `notebook` is the file as its author
    knows it, `snapshot` holds exactly the cells that are executed.
    """

    store: Path | None = None
    run_id: str | None = None
    resume: str | None = None
    launcher: Owner | None = None
    notebook: Path | None = None
    snapshot: Path | None = None
    output: Path | None = None
    params: Mapping[str, object] | None = None
    only: tuple[str, ...] = ()
    from_step: str | None = None
    until: str | None = None

    def environment(self) -> dict[str, str]:
        """The variables that say this; the kernel then waits for runs, and keeps output in the step's own cell."""
        texts = {
            "SZAL_STORE": self.store,
            "SZAL_NOTEBOOK": self.notebook,
            "SZAL_SNAPSHOT": self.snapshot,
            "SZAL_OUTPUT": self.output,
            "SZAL_RUN_ID": self.run_id,
            "SZAL_RESUME": self.resume,
            "SZAL_ONLY": " ".join(self.only) or None,
            "SZAL_FROM": self.from_step,
            "SZAL_UNTIL": self.until,
        }
        found = {name: str(text) for name, text in texts.items() if text is not None}
        if self.launcher is not None:
            found["SZAL_LAUNCHER"] = msgspec.json.encode(self.launcher).decode()
        if self.params is not None:
            found["SZAL_PARAMS"] = json.dumps(self.params, default=str)
        return {"SZAL_WAIT": "1", "SZAL_ROUTING": "1", **found}


def read_headless(environment: Mapping[str, str] = os.environ) -> Headless:
    """What the process that started this kernel has said; all absent in a kernel that a person started."""
    launcher, params = environment.get("SZAL_LAUNCHER"), environment.get("SZAL_PARAMS")
    return Headless(
        store=_path(environment.get("SZAL_STORE")),
        run_id=environment.get("SZAL_RUN_ID"),
        resume=environment.get("SZAL_RESUME"),
        launcher=msgspec.json.decode(launcher, type=Owner) if launcher else None,
        notebook=_path(environment.get("SZAL_NOTEBOOK")),
        snapshot=_path(environment.get("SZAL_SNAPSHOT")),
        output=_path(environment.get("SZAL_OUTPUT")),
        params=json.loads(params) if params else None,
        only=tuple(environment.get("SZAL_ONLY", "").split()),
        from_step=environment.get("SZAL_FROM"),
        until=environment.get("SZAL_UNTIL"),
    )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
