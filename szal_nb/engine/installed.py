"""What is put into the process while runs go on, and taken out again behind the last of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Installed:
    """`put` is called when the first run needs it, `take` when none does any more: on whatever thread that is."""

    def __init__(self, put: Callable[[], None], take: Callable[[], None]) -> None:
        self._put, self._take = put, take
        self._lock = threading.Lock()
        self._users = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A run needs it meanwhile."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._put()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._take()
