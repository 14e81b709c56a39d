"""The lock of one handle: its threads enter one at a time, and once it is closed none does."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from muse.core.errors import ClosedLogError


class HandleLock:
    """Held while a handle works; a thread may enter again what it holds already."""

    def __init__(self, path: Path) -> None:
        """`path` names the log in the error."""
        self.of_threads = threading.RLock()
        self.is_closed = False
        self._path = path

    def __enter__(self) -> None:
        self.of_threads.acquire()
        # Asked inside: who waited here while another thread closed the handle would open its files again.
        if self.is_closed:
            self.of_threads.release()
            raise ClosedLogError(f"{self._path}: the log is closed: open it anew")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.of_threads.release()
