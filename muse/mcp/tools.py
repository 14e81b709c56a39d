"""What an agent may ask and do: each public method of `Tools` is a tool, described by its docstring and parameters.

Nothing here destroys: what is recorded stays. An answer is JSON text of at most some 48 KiB, however large the session
is; it says what was left out and how to get it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from muse.blame import blame
from muse.core.op_log import (
    EntryFilters,
    Guard,
    InvalidArgumentError,
    OpEntry,
    OpIdConflictError,
    OpLog,
    describe_sessions,
    list_sessions,
    op_id_of,
)

MOST_BYTES = 48 << 10
"""Of the rows of one answer."""
MOST_ROW_BYTES = 16 << 10
MOST_ROWS = 200
LONGEST_WAIT_S = 60.0
_SMALL_BYTES = 1 << 10
_MOST_NAMES = 20

Session = Annotated[str, Field(description="Which session.")]
OpId = Annotated[str, Field(description="The whole op_id of an operation.")]
Where = Annotated[
    dict[str, Any] | None,
    Field(description='Values inside the operation by path, all of which must be so: {"address": "app.py"}.'),
]
Names = Annotated[list[str] | None, Field(description="Exact names, one of which it must be.")]
OtherNames = Annotated[list[str] | None, Field(description="Exact names, none of which it may be.")]
Path_ = Annotated[str, Field(description="The field of the operation that says what it touched.")]
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="At most so many.")]


class Tools:
    """The tools for the sessions of one repository. Any thread may call them; each call opens the session anew."""

    def __init__(
        self,
        repo: Path,
        *,
        sessions: Iterable[str] = (),
        actor: str | None = None,
        guard: Guard | None = None,
        git: Path | None = None,
    ) -> None:
        """Serve the sessions of `repo`.

        Args:
            repo: the folder that holds `.muse/`.
            sessions: those that may be used, which need not exist yet; none means all that exist.
            actor: whose name everything is recorded under; None lets the agent say.
            guard: asked about each entry before it is written.
            git: the repository for commits; None: `repo`.
        """
        self._repo, self._sessions, self._actor, self._guard, self._git = repo, set(sessions), actor, guard, git or repo

    def _open(self, session: str) -> OpLog:
        """Not kept open: a handle is of no more use after its log was replaced, and the server goes on for days."""
        if session not in (self._sessions or list_sessions(self._repo)):
            raise InvalidArgumentError(f"session: there is no {session!r} here: list_sessions names those there are")
        return OpLog(self._repo, session, guard=self._guard)

    # -- asking -----------------------------------------------------------------------------------------

    def list_sessions(self, limit: Limit = 50) -> str:
        """List the sessions: how many operations each holds, by whom, in which domains, how many are not committed."""
        found = [
            each for each in describe_sessions(self._repo) if not self._sessions or each.session_id in self._sessions
        ]
        rows = (
            {
                "session": each.session_id,
                "ops": each.ops,
                "pending": each.pending,
                "last_created_at": each.last_created_at,
                "actors": dict(islice(each.actors.items(), _MOST_NAMES)),
                "number_of_actors": len(each.actors),
                "domains": dict(islice(each.domains.items(), _MOST_NAMES)),
                "problem": each.problem,
            }
            for each in sorted(found, key=lambda each: each.last_created_at or "", reverse=True)
        )
        return _answer("sessions", rows, limit)

    def query(
        self,
        session: Session,
        where: Where = None,
        actor_id: Names = None,
        not_actor_id: OtherNames = None,
        domain: Names = None,
        not_domain: OtherNames = None,
        since: Annotated[
            str | None, Field(description="Only what arrived after the operation with this op_id.")
        ] = None,
        order: Literal["newest first", "oldest first"] = "newest first",
        limit: Limit = 20,
    ) -> str:
        """Find the operations that match all that is asked, in the order of their arrival."""
        filters = _filters(where, actor_id, not_actor_id, domain, not_domain)
        with self._open(session) as log:
            found = log.query(reverse=order == "newest first", since=since, limit=limit + 1, **filters)
            return _answer("entries", found, limit, "go on with `since` and the oldest first, or ask for fewer")

    def history(self, session: Session, op_id: OpId, limit: Limit = 20) -> str:
        """Tell what an operation was based on: itself, then its parents, theirs, and so on, the nearest first."""
        with self._open(session) as log:
            return _answer("entries", _with_past(log, op_id), limit, "ask for the history of the last one")

    def children(self, session: Session, op_id: OpId, limit: Limit = 20) -> str:
        """Tell what was directly based on an operation, in the order of arrival."""
        with self._open(session) as log:
            return _answer("entries", log.history.children(op_id), limit)

    def blame(
        self,
        session: Session,
        address: Annotated[str, Field(description="Compared exactly; for what is no text, `query` with `where`.")],
        field: Path_ = "address",
        limit: Limit = 20,
    ) -> str:
        """Tell who touched an address: whoever did last first, how often, when, and the op_id of the last operation."""
        with self._open(session) as log:
            rows = (
                {
                    "actor_id": touched.actor_id,
                    "ops": touched.ops,
                    "kinds": touched.kinds,
                    "first_created_at": touched.first["created_at"],
                    "last_created_at": touched.last["created_at"],
                    "last_op_id": touched.last["op_id"],
                }
                for touched in blame(log, address, field=field)
            )
            return _answer("actors", rows, limit)

    def conflicts(self, session: Session, field: Path_ = "address", limit: Limit = 20) -> str:
        """Tell which addresses operations touched of which neither knew the other: one may have undone the other."""
        with self._open(session) as log:
            rows = (
                {
                    "value": each.value,
                    "ops": len(each.entries),
                    "actors": list(dict.fromkeys(entry["actor_id"] for entry in each.entries))[:_MOST_NAMES],
                    "last_op_ids": [entry["op_id"] for entry in each.entries[-_MOST_NAMES:]],
                }
                for each in log.history.contested(field)
            )
            return _answer("conflicts", rows, limit)

    async def wait(
        self,
        session: Session,
        since: Annotated[
            str | None,
            Field(description="What `wait` gave as resume_since; leave it out to wait for what comes from now on."),
        ] = None,
        where: Where = None,
        actor_id: Names = None,
        not_actor_id: OtherNames = None,
        domain: Names = None,
        not_domain: OtherNames = None,
        timeout_s: Annotated[float, Field(ge=0, le=LONGEST_WAIT_S)] = 20.0,
        limit: Limit = 20,
    ) -> str:
        """Wait until operations arrive that match, from any process, and give them; none if the time is over.

        Call it again with `since` set to the `resume_since` of the answer, and none is missed or comes twice.
        """
        filters = _filters(where, actor_id, not_actor_id, domain, not_domain)
        async with self._open(session) as log:
            if since is None:
                since = next((entry["op_id"] for entry in log.query(reverse=True, limit=1)), "")
            found: list[OpEntry] = []
            async with log.follow_async(
                from_start=not since, since=since or None, timeout=timeout_s, **filters
            ) as follower:
                async for entry in follower:
                    found.append(entry)
                    break
            if found:
                found += log.query(since=found[0]["op_id"], limit=limit, **filters)
        rows, left_out = _fitting(found, limit, "call wait again")
        resume_since = found[len(rows) - 1]["op_id"] if rows else since
        return _as_json({"entries": rows, "resume_since": resume_since, **left_out})

    # -- doing ------------------------------------------------------------------------------------------

    def record(
        self,
        session: Session,
        domain: Annotated[str, Field(description='What it belongs to, such as "code".')],
        op: Annotated[
            dict[str, Any],
            Field(description='What was done: any JSON object, such as {"op": "replace", "address": "app.py"}.'),
        ],
        actor_id: Annotated[str | None, Field(description="Who did it, unless the server says.")] = None,
        parent_op_ids: Annotated[
            list[str] | None, Field(description="op_ids of what it is based on: the last you had seen.")
        ] = None,
        intent_id: str = "",
        key: Annotated[
            str | None,
            Field(description="A name for this operation: if you call again with it, nothing is recorded twice."),
        ] = None,
    ) -> str:
        """Record an operation that you have done. It can't be taken back: to undo it, record another one."""
        if self._actor is not None and actor_id not in (None, self._actor):
            raise InvalidArgumentError(f"actor_id: everything is recorded as {self._actor!r} here: leave it out")
        name = self._actor or actor_id
        if name is None:
            raise InvalidArgumentError("actor_id: say who did it")
        op_id = None if key is None else op_id_of(key)
        try:
            with self._open(session) as log:
                entry = log.record(name, domain, op, op_id=op_id, parent_op_ids=parent_op_ids, intent_id=intent_id)
        except OpIdConflictError as error:
            raise OpIdConflictError(f"key: {key!r} is another operation's already: give this one its own") from error
        return _as_json({name: entry[name] for name in ("op_id", "actor_id", "lamport_ts", "created_at")})

    def commit(
        self,
        session: Session,
        message: Annotated[str | None, Field(description="What to say about it.")] = None,
    ) -> str:
        """Commit all operations that are not committed yet to the git repository, under refs/muse/."""
        # Git is of no use to whoever may not commit.
        from muse.commit import GitTarget  # noqa: PLC0415

        with self._open(session) as log:
            made = log.commit(GitTarget(self._git), message=message)
        return _as_json({"commit": made and made.commit_id, "ops": made.ops if made else 0})


def _filters(
    where: dict[str, Any] | None,
    actor_id: list[str] | None,
    not_actor_id: list[str] | None,
    domain: list[str] | None,
    not_domain: list[str] | None,
) -> EntryFilters:
    return {
        "where": where,
        "actor_id": actor_id,
        "not_actor_id": not_actor_id,
        "domain": domain,
        "not_domain": not_domain,
    }


def _with_past(log: OpLog, op_id: str) -> Iterator[OpEntry]:
    """An operation and what it depends on, breadth first; no more is looked at than is taken."""
    seen = {op_id}
    ahead = [op_id]
    log.history.missing_parents(op_id)  # Raises if there is no such operation.
    for one in ahead:
        entry = log.get(one)
        if entry is not None:
            yield entry
            new = [parent for parent in entry["parent_op_ids"] if parent not in seen]
            seen.update(new)
            ahead += new


def _answer(name: str, rows: Iterable[Any], limit: int, way_on: str = "ask for more with `limit`") -> str:
    shown, left_out = _fitting(rows, limit, way_on)
    return _as_json({name: shown, **left_out})


def _fitting(rows: Iterable[Any], limit: int, way_on: str) -> tuple[list[Any], dict[str, str]]:
    """As many rows as an answer may hold, and a note for what is left out."""
    shown: list[Any] = []
    left = MOST_BYTES
    for row, size in map(_row, rows):
        if len(shown) == limit or size > left:
            return shown, {"left_out": f"there are more: {way_on}"}
        shown.append(row)
        left -= size
    return shown, {}


def _row(row: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """A row and its size; of one that is too large some small fields, those that any entry has first, and a note."""
    sizes = {name: len(orjson.dumps({name: value})) for name, value in row.items()}
    size = sum(sizes.values())
    if size <= MOST_ROW_BYTES:
        return row, size
    known_first = sorted(row, key=lambda name: name not in OpEntry.__annotations__)
    kept = [name for name in known_first if sizes[name] <= _SMALL_BYTES][:_MOST_NAMES]
    told = ", ".join(name for name in row if name not in kept)[:_SMALL_BYTES]
    note = f"{told}: {size} bytes are too many here; `muse op-log show --json` has an entry whole"
    return {**{name: row[name] for name in kept}, "left_out": note}, sum(sizes[name] for name in kept) + len(note)


def _as_json(value: Any) -> str:
    return orjson.dumps(value).decode()
