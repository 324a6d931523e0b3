"""What the record says of the environment of a run."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from importlib import metadata


@functools.cache
def packages() -> dict[str, str]:
    """The version of each installed package, for the record."""
    return {found.metadata["Name"]: found.version for found in metadata.distributions()}


Versions = Mapping[str, tuple[str, str]]


def changed_packages(then: Mapping[str, str], now: Mapping[str, str]) -> Versions:
    """The packages whose version is another, with both."""
    before = {name.lower(): version for name, version in then.items()}
    found = {name: (before.get(name.lower(), version), version) for name, version in now.items()}
    return {name: versions for name, versions in sorted(found.items()) if versions[0] != versions[1]}


def those_of(modules: Iterable[str], packages: Versions) -> Versions:
    """The packages that these modules come with; a module is seldom named as its own: sklearn is in scikit-learn."""
    names = {name.lower() for module in modules for name in (module, *_packages_of_modules().get(module, ()))}
    return {name: versions for name, versions in packages.items() if name.lower() in names}


@functools.cache
def _packages_of_modules() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
