"""Small limits for the engine, so that a short log has many segments, and what is rare happens often.

The only place where tests change the engine's options for every handle, also those that commands open. A constant that
is not an option is imported by name into the modules that use it, so it is changed in each of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import muse.core
from muse.core import options
from muse.core.options import Options
from muse.core.paging import PageSize


@cache
def _modules() -> list[ModuleType]:
    """All modules of the engine, imported."""
    (root,) = map(Path, muse.core.__path__)
    found = sorted(path.relative_to(root).with_suffix("").parts for path in root.rglob("*.py"))
    return [importlib.import_module(".".join(("muse.core", *parts))) for parts in found if parts[-1] != "__init__"]


@contextmanager
def limits(**values: Any) -> Iterator[None]:
    """Give options and constants of the engine other values, in this process and in those forked from it meanwhile.

    Raises:
        LookupError: no module has a constant of this name.
    """
    before: list[tuple[ModuleType, str, Any]] = [(options, "DEFAULT", options.DEFAULT)]
    tuned = {name.lower(): value for name, value in values.items() if name.lower() in Options.__dataclass_fields__}
    constants = {name: value for name, value in values.items() if name.lower() not in tuned}
    for name in constants:
        holders = [module for module in _modules() if name in vars(module)]
        if not holders:
            raise LookupError(f"no module of the engine has a constant {name}")
        before += [(module, name, vars(module)[name]) for module in holders]
    try:
        options.DEFAULT = replace(options.DEFAULT, **tuned)
        for module, name, _ in before[1:]:
            setattr(module, name, constants[name])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def segments_of(lines: int, *, long_batch: int = 0, **more: Any) -> AbstractContextManager[None]:
    """`limits` under which so many lines become a segment, and a batch of a quarter as many (or `long_batch`) does.

    Nothing is changed that decides how an index is read: any handle may open it.
    """
    return limits(
        SEGMENT_LINES=lines,
        LONG_BATCH_LINES=long_batch or max(lines // 4, 1),
        MAX_UNWRITTEN_LINES=4 * lines,
        PAGE_KEYS=max(lines, 4),
        **more,
    )


def pages_of(lines: int, size_bytes: int = 1 << 20) -> AbstractContextManager[None]:
    """`limits` under which so many lines, or bytes of them, are a page: a few hundred entries are several."""
    return limits(WHOLE_PAGE=PageSize(lines, size_bytes))
