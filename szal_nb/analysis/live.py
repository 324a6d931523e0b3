"""Which values cannot be stored, told by what made them: they live in their process, and a resume makes them anew."""

from __future__ import annotations

from collections.abc import Iterable

from szal_nb.analysis.names import Given

# Only what the store refuses for certain; whatever else it cannot keep is known after the run. A test makes each.
_LIVE = frozenset(
    {
        # Iterators are used up by reading them.
        *("generator", "map", "filter", "zip", "enumerate", "reversed", "iter", "csv.reader"),
        *("itertools.count", "itertools.repeat"),
        # What is open, and what belongs to threads.
        *("file", "io.open", "os.popen", "socket.socket", "sqlite3.connect", "duckdb.connect", "subprocess.Popen"),
        *("zipfile.ZipFile", "tempfile.TemporaryFile", "tempfile.NamedTemporaryFile", "urllib.request.urlopen"),
        *("queue.Queue", "queue.LifoQueue", "queue.PriorityQueue", "queue.SimpleQueue"),
        *("threading.Lock", "threading.RLock", "threading.Condition", "threading.Event", "threading.Semaphore"),
        *("threading.Thread", "concurrent.futures.ThreadPoolExecutor", "concurrent.futures.ProcessPoolExecutor"),
    }
)
REBUILDS = "rebuilds on resume"


def live_note(given: Iterable[Given], changed: Iterable[tuple[str, str]] = ()) -> str:
    """What the chip of a step says of its values that cannot be stored; "" if there are none that are known.

    `changed` are names of values that it changes in place, each with its kind.
    """
    names = dict.fromkeys(one.name for one in given if one.kind in _LIVE and not one.name.startswith("_"))
    others = dict.fromkeys(name for name, kind in changed if kind in _LIVE and name not in names)
    verbs = (("Gives", names), ("changes" if names else "Changes", others))
    does = [f"{verb} {', '.join(found)}" for verb, found in verbs if found]
    if not does:
        return ""
    return f"{' and '.join(does)}, which cannot be stored: {REBUILDS} if a later step needs it."
