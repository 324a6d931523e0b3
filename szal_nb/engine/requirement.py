"""What a step needs of the machine it runs on (`--requires`), and whether it is there.

`gpu:1` (that many devices for itself), `gpu:0.5` (a part of one, shared with others that ask for parts), `network` or
`network:HOST:PORT`, `command:git`, `env:TOKEN`, `package:torch>=2`.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from itertools import takewhile

from szal_nb.errors import InvalidStep, MissingRequirement
from szal_nb.model.graph import FlowGraph
from szal_nb.model.step import Step

# Where the network is looked for when no host is named: a name server that answers everywhere.
_NETWORK = ("1.1.1.1", 53)
_NETWORK_TIMEOUT_S = 3.0
# A device in the parts that a step may ask for: as fine as anybody needs, and whole numbers add up.
WHOLE = 10_000
_PART = re.compile(r"0?\.\d{1,4}", re.ASCII)
_PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?P<version>(?:[<>=!~]=?|===).*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One need: its kind and what of it."""

    kind: str
    what: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.what}" if self.what else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The machine as the requirements see it; tests have their own."""

    environ: Mapping[str, str]
    devices: Callable[[], tuple[str, ...]]
    has_command: Callable[[str], bool]
    version_of: Callable[[str], str | None]
    can_reach: Callable[[str, int], bool]


def here() -> Surroundings:
    """This machine."""
    return Surroundings(
        environ=os.environ,
        devices=gpus,
        has_command=lambda name: shutil.which(name) is not None,
        version_of=_version_of,
        can_reach=_can_reach,
    )


def parse_requirement(step: str, text: str) -> Requirement:
    """The requirement that `text` writes; InvalidStep for one that cannot be understood."""
    kind, _, what = text.partition(":")
    match kind:
        case "gpu" if not what or (what.isdecimal() and int(what)) or (_PART.fullmatch(what) and float(what)):
            return Requirement(kind="gpu", what=what or "1")
        case "network" if not what or re.fullmatch(r"[^:]+:\d+", what):
            return Requirement(kind="network", what=what)
        case "command" | "env" if what:
            return Requirement(kind=kind, what=what)
        case "package" if _PACKAGE.fullmatch(what):
            return Requirement(kind="package", what=what)
    raise InvalidStep(
        step,
        f"--requires {text} is not understood.",
        "Write gpu:1, gpu:0.5, network, network:HOST:PORT, command:NAME, env:NAME or package:NAME>=VERSION.",
    )


def share_of(step: str, requires: Iterable[str]) -> int:
    """What these requirements ask for of devices, in parts of which `WHOLE` make one.

    Raises InvalidStep for a part of a device beside anything else: a step works on whole devices, or on one of them.
    """
    found = [parse_requirement(step, text) for text in requires]
    shares = [round(float(requirement.what) * WHOLE) for requirement in found if requirement.kind == "gpu"]
    if len(shares) > 1 and any(share % WHOLE for share in shares):
        raise InvalidStep(
            step, "it requires a part of a device and another device.", "Write one of them: gpu:0.5, or gpu:2."
        )
    return sum(shares)


def check_requirements(graph: FlowGraph, skipped: Iterable[str] = (), surroundings: Surroundings | None = None) -> None:
    """Raises MissingRequirement, naming all that is missing and for which step, before anything runs."""
    around = surroundings or here()
    left_out, missing, known = set(skipped), [], {}
    for _, step in graph.derived(demanding_steps):
        if step.name in left_out:
            continue
        for text in step.requires:
            requirement = parse_requirement(step.name, text)
            if requirement not in known:
                known[requirement] = _problem(requirement, around)
            if known[requirement] is not None:
                missing.append((step.name, str(requirement), str(known[requirement])))
    if missing:
        raise MissingRequirement(tuple(missing))


def demanding_steps(graph: FlowGraph) -> list[tuple[int, Step]]:
    """The steps that require something, with their indices."""
    return [(i, node.step) for i, node in enumerate(graph.nodes) if node.step.requires]


def _problem(requirement: Requirement, around: Surroundings) -> str | None:
    what = requirement.what
    match requirement.kind:
        case "gpu":
            count = len(around.devices())
            return (
                None if count >= float(what) else f"{count or 'no'} {'device is' if count == 1 else 'devices are'} here"
            )
        case "command":
            return None if around.has_command(what) else "no such command on the PATH"
        case "env":
            return None if around.environ.get(what) else "the environment variable is not set"
        case "network":
            host, _, port = what.partition(":")
            name, number = (host, int(port)) if host else _NETWORK
            return None if around.can_reach(name, number) else f"{name}:{number} cannot be reached"
        case _:
            return _package_problem(what, around)


def _package_problem(text: str, around: Surroundings) -> str | None:
    match = _PACKAGE.fullmatch(text)
    if match is None:
        return "not understood"
    found = around.version_of(match["name"])
    if found is None:
        return "the package is not installed"
    if match["version"] is None:
        return None
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # late: few flows ask for versions

    try:
        fits = SpecifierSet(match["version"]).contains(found, prereleases=True)
    except InvalidSpecifier:
        return f"{match['version']!r} is not a version to ask for"
    return None if fits else f"version {found} is installed"


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _can_reach(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_NETWORK_TIMEOUT_S):
            return True
    except OSError:
        return False


@cache
def gpus() -> tuple[str, ...]:
    """The devices that this process may use, as CUDA_VISIBLE_DEVICES names them: its own list, else the driver's."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA reads the list up to the first name that is none.
        return tuple(takewhile(lambda name: name not in ("", "-1"), map(str.strip, visible.split(","))))
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listed = subprocess.run(
            [program, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in listed.stdout.splitlines() if line.strip())
