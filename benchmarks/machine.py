"""What the figures were measured on and with."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from benchmarks.entries import source

_LIBRARIES = ("orjson", "pydantic", "sqlite-utils", "eventsourcing", "pycrdt", "pycrdt-store", "diskcache")


def machine() -> dict[str, object]:
    """As a JSON-able dict."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "entries": source(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
