"""The engine, as `engine`: it is imported when the first of its names is used, because a help text needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["engine"]

if TYPE_CHECKING:
    from muse.core import op_log as engine
else:

    class _Engine:
        def __getattr__(self, name: str) -> Any:
            from muse.core import op_log

            return getattr(op_log, name)

    engine = _Engine()
