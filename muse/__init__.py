"""Muse: version control for any domain. This distribution holds its op log: `from muse import OpLog`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muse.core.op_log import OpLog as OpLog


def __getattr__(name: str) -> Any:
    """`OpLog`, loaded when it is asked for: the commands' help must not wait for the engine."""
    if name == "OpLog":
        from muse.core.op_log import OpLog  # noqa: PLC0415 - see above

        return OpLog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
