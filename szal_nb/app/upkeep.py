"""`szal report`, `export`, `import`, `gc` and `doctor`: runs as files, and the care of a store."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from szal_nb.api.shown import with_pictures
from szal_nb.app.describing import run_json
from szal_nb.app.exit import ExitCode
from szal_nb.app.printing import as_table, print_json
from szal_nb.app.record import open_store
from szal_nb.errors import RunError
from szal_nb.model.duration import parse_duration
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import beyond_size, cache_holders, collect, removable
from szal_nb.store.doctor import Level, examine, repair
from szal_nb.store.locate import find_store
from szal_nb.store.moved import file_stem
from szal_nb.store.runs import RunStore
from szal_nb.widget.report import render_report


def add_commands(commands: Any, options: Mapping[str, argparse.ArgumentParser]) -> None:
    """Adds the commands to the program's parser."""
    both = [options["store"], options["json"]]
    run = {"metavar": "RUN", "help": "the run's id, or as much of its beginning as is unique"}

    report = commands.add_parser("report", parents=both, help="a run as one HTML file")
    report.add_argument("run", **run)
    report.add_argument("-o", "--output", type=Path, metavar="OUT", help="the file (default: RUN.html)")
    report.set_defaults(command=write_report)

    export = commands.add_parser("export", parents=both, help="a run with its values as one file to carry")
    export.add_argument("run", **run)
    export.add_argument("file", type=Path, metavar="FILE", help="the file to write, such as run.szal")
    export.set_defaults(command=export_command)

    taken = commands.add_parser("import", parents=both, help="take an exported run into the store")
    taken.add_argument("file", type=Path, metavar="FILE", help="what `szal export` wrote")
    taken.set_defaults(command=import_command)

    gc = commands.add_parser("gc", parents=both, help="delete values that no run names, and old runs if asked")
    gc.add_argument("--older-than", type=_seconds, metavar="TIME", help="also runs that ended longer ago, such as 30d")
    size = "also the oldest runs that ended, until the values of all others take no more than this, such as 2GB"
    gc.add_argument("--max-size", type=_bytes, metavar="SIZE", help=size)
    gc.add_argument("--keep", nargs="+", default=[], metavar="RUN", help="runs that stay, however old")
    gc.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    gc.set_defaults(command=collect_garbage)

    doctor = commands.add_parser("doctor", parents=both, help="explain the store, and what is wrong with it")
    doctor.add_argument("--repair", type=Path, metavar="NEW", help="copy the runs that are intact into a new store")
    doctor.set_defaults(command=examine_store)


def _seconds(text: str) -> float:
    # Who writes 5 and means days would lose all that is older than five seconds.
    if text.strip()[-1:].isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} has no unit; write it as {text.strip()}d, or {text.strip()}h")
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(text: str) -> int:
    """How many bytes a person means.

    >>> _bytes("1.5GB")
    1500000000
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B)", text.strip().upper())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 500MB or 2GB")
    return int(float(found[1]) * _UNITS[found[2]])


def write_report(arguments: argparse.Namespace) -> ExitCode:
    """Writes the report on a run."""
    with open_store(arguments) as store:
        run = store.run(arguments.run)
        events = store.events(run.id)
        page = render_report(
            store.graph(run.id),
            events,
            run_id=run.id,
            is_crashed=run.is_crashed,
            shown=with_pictures(events, store.loader(run.id).load),
        )
    path = arguments.output or Path(f"{file_stem(run.id)}.html")
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RunError(f"The report cannot be written to {path}: {error.strerror or error}.") from None
    return _tell(arguments, {"id": run.id, "report": str(path)}, f"Report on run {run.id}: {path}")


def export_command(arguments: argparse.Namespace) -> ExitCode:
    """Writes a run as one file."""
    with open_store(arguments) as store:
        manifest = export_run(store, arguments.run, arguments.file)
    missing = f"; without {', '.join(manifest.missing)}" if manifest.missing else ""
    document = {"id": manifest.run.id, "file": str(arguments.file), "missing": list(manifest.missing)}
    return _tell(arguments, document, f"Run {manifest.run.id} is in {arguments.file}{missing}.")


def import_command(arguments: argparse.Namespace) -> ExitCode:
    """Takes the run of a file into the store."""
    path = Path(arguments.store) if arguments.store else find_store()
    with RunStore.open(path) as store:
        run = import_run(store, arguments.file)
    return _tell(
        arguments, run_json(run), f"Run {run.id} of {run.flow} is now in {path}. `szal show {run.id}` shows it."
    )


def collect_garbage(arguments: argparse.Namespace) -> ExitCode:
    """Deletes what nobody needs."""
    with open_store(arguments, read_only=False) as store:
        old: list[str] = []
        keep = {store.run(name).id for name in arguments.keep}
        if arguments.older_than is not None or arguments.max_size is not None:
            keep |= cache_holders(store)
        if arguments.older_than is not None:
            old += removable(store.runs(), older_than_s=arguments.older_than, now=time.time(), keep=keep)
        if arguments.max_size is not None:
            old += beyond_size(store, arguments.max_size, keep=keep)
        found = collect(store, old, is_dry=arguments.dry_run)
    did = "Would delete" if arguments.dry_run else "Deleted"
    text = f"{did} {len(found.runs)} runs, {found.values} values and {found.files} files: {found.size / 1e6:.1f} MB."
    if found.kept:
        text += f" {len(found.kept)} runs stay for now: a run of their flow is going on, and may take values of them."
    count, size = found.young
    if count:
        text += (
            f" {count} files that no run names ({size / 1e6:.1f} MB) are younger than an hour, and may be of a step at "
            "work: they stay for the next time."
        )
    return _tell(arguments, msgspec.to_builtins(found), text)


def examine_store(arguments: argparse.Namespace) -> ExitCode:
    """Says how the store is; with `--repair` saves what can be saved. Exit 1 if there is a problem."""
    path = Path(arguments.store) if arguments.store else find_store()
    if arguments.repair is not None:
        saved = repair(path, arguments.repair)
        lines = [f"{len(saved.whole)} runs are whole in {arguments.repair}, {len(saved.partial)} in part."]
        lines += [f"  lost {run}: {reason}" for run, reason in saved.lost]
        _tell(arguments, msgspec.to_builtins(saved), "\n".join(lines))
        return ExitCode.FAILED if saved.lost else ExitCode.COMPLETED
    findings = examine(path)
    rows = [(found.level.value, found.about, f"{found.text} {found.advice}".strip()) for found in findings]
    document = {"store": str(path), "findings": msgspec.to_builtins(findings)}
    _tell(arguments, document, f"{path}\n" + as_table(("", "ABOUT", ""), rows))
    return ExitCode.FAILED if any(found.level is Level.PROBLEM for found in findings) else ExitCode.COMPLETED


def _tell(arguments: argparse.Namespace, document: Any, text: str) -> ExitCode:
    if arguments.json:
        print_json(document)
    else:
        print(text)
    return ExitCode.COMPLETED
