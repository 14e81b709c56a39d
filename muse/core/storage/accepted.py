"""accepted.json: what of the findings an operator has understood and accepts, who, when and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from muse.core.errors import DamagedAcceptanceError
from muse.core.storage import durable
from muse.core.storage.locks import exclusive_lock
from muse.core.storage.session_dir import ACCEPTED_NAME, LOG_NAME

_MAX_BYTES = 64 << 20
_WAIT_SECONDS = 8.0
_CHECKSUM_DIGITS = 8


class Acceptance(NamedTuple):
    """Who has accepted a finding, why and when."""

    by: str
    why: str
    at: str
    """ISO 8601 wall-clock time."""


def read_accepted(folder: Path) -> dict[tuple[str, str], Acceptance]:
    """What is accepted in a session, by (kind, member) of a finding.

    Raises:
        DamagedAcceptanceError: the file is not as `add_accepted` writes it.
    """
    accepted: dict[tuple[str, str], Acceptance] = {}
    for item in _read(folder / ACCEPTED_NAME):
        acceptance = Acceptance(item["by"], item["why"], item["at"])
        accepted.update(((item["kind"], member), acceptance) for member in item["members"])
    return accepted


def add_accepted(folder: Path, members: Mapping[str, Sequence[str]], by: str, why: str) -> None:
    """Accept findings, their members given by kind.

    Raises:
        DamagedAcceptanceError: what was accepted before can't be read.
    """
    path = folder / ACCEPTED_NAME
    at = datetime.now(UTC).isoformat(timespec="seconds")
    new = [{"kind": kind, "by": by, "why": why, "at": at, "members": list(each)} for kind, each in members.items()]
    with exclusive_lock(folder, _WAIT_SECONDS):
        _write(path, [*_read(path), *new])


def copy_accepted(folder: Path, fork: Path) -> None:
    """Let a fork begin with what is accepted in its source; raises as `read_accepted`."""
    if items := _read(folder / ACCEPTED_NAME):
        _write(fork / ACCEPTED_NAME, items)


def forget_changed(folder: Path, op_ids: Collection[str], members: Mapping[str, str]) -> None:
    """Forget what was known of operations by their old bytes, and know damaged lines by their new ones.

    Args:
        folder: the session's.
        op_ids: of the operations.
        members: by what each changed line is known now; the keys are the same without the checksum.
    """
    path = folder / ACCEPTED_NAME
    with suppress(DamagedAcceptanceError), exclusive_lock(folder, _WAIT_SECONDS):
        items = _read(path)
        for item in items:
            known = [member for member in item["members"] if member.partition(":")[0] not in op_ids]
            item["members"] = [members.get(member[:-_CHECKSUM_DIGITS], member) for member in known]
        if items:
            _write(path, items)


def _write(path: Path, items: Sequence[Mapping[str, Any]]) -> None:
    data = orjson.dumps({"accepted": items}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    durable.replace_file(path, data, path.with_name(LOG_NAME))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        read = orjson.loads(durable.read_small_file(path, _MAX_BYTES))
        items = read["accepted"]
        for item in items:
            texts = [item["kind"], item["by"], item["why"], item["at"], *item["members"]]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("not all of it is text")
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, LookupError) as error:
        raise DamagedAcceptanceError(
            f"{path}: not what accept writes ({error}); restore it, or move it away and accept again"
        ) from None
    return list(items)
