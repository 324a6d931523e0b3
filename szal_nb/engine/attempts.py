"""Clean beginnings: what a step that changes values in place began with, to begin with it again."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any

from szal_nb.engine.digest import Digest, digest
from szal_nb.engine.sharing import last_array
from szal_nb.errors import NoCleanStart


class Pristine:
    """Values as they were before the first attempt; `fresh` gives new objects of them, as often as it is asked.

    All are copied as one, so that what two of them share is shared by their copies. `stored` gives the single value
    from the record instead, which saves the copy.
    """

    def __init__(
        self,
        step: str,
        values: Mapping[Any, Any],
        digests: Mapping[Any, Digest],
        stored: Callable[[], Any] | None,
    ) -> None:
        self._step = step
        self._keys = list(values)
        self._has_class = any(isinstance(value, type) for value in values.values())
        self._stored = stored
        self._copies = {} if stored is not None else self._copied(values, digests)

    def fresh(self) -> dict[Any, Any]:
        """The values in objects that nobody else has seen."""
        if self._has_class:
            names = ", ".join(sorted({str(key[1]) for key in self._keys}))
            raise NoCleanStart(self._step, names, "a class is one for all that have it, and was changed")
        if self._stored is not None:
            value = self._stored()
            return dict.fromkeys(self._keys, value)
        given = self._copies
        digests = _looked_at(given)
        # What is given away may be changed at once: the next beginning needs its own.
        self._copies = self._copied(given, digests)
        return given

    def _copied(self, values: Mapping[Any, Any], digests: Mapping[Any, Digest]) -> dict[Any, Any]:
        memo: dict[int, Any] = {}
        names = ", ".join(sorted({str(key[1]) for key in values}))
        try:
            for digest in digests.values():
                _copy_views(digest, memo)
            return {key: copy.deepcopy(value, memo) for key, value in values.items()}
        except Exception as error:
            raise NoCleanStart(self._step, names, f"{type(error).__name__}: {error}") from error


def _looked_at(values: Mapping[Any, Any]) -> dict[Any, Digest]:
    return {key: digest(value, is_hashing=False) for key, value in values.items()}


def _copy_views(digest: Digest, memo: dict[int, Any]) -> None:
    """Copies arrays together with what owns their memory: `deepcopy` would make them independent of each other."""
    numpy: Any = sys.modules.get("numpy")
    for array, is_frame in digest.arrays:
        owner = last_array(array)
        if owner is array or is_frame or type(array) is not numpy.ndarray or id(array) in memo:
            continue
        if id(owner) not in memo:
            memo[id(owner)] = numpy.array(owner, copy=True, order="K")
        twin = memo[id(owner)]
        offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        memo[id(array)] = numpy.ndarray(
            array.shape, array.dtype, buffer=twin.reshape(-1, order="A"), offset=offset, strides=array.strides
        )
