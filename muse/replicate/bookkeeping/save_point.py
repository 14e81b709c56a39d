"""The save point: from where a host goes on with a session after a restart (docs/replication.md, "The save point").

It lies outside the session's folder, so that a copy of the session does not copy it. It may be missing, old or of
another log at any time: then everything is read again, which is always right, and only slower.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any

from muse.core.op_log import OpLog
from muse.replicate.bookkeeping.ledger import START, Ledger, Position, SentLine
from muse.replicate.wire.messages import op_id_of_line


@dataclass(frozen=True)
class SavePoint:
    """What a host remembers of a session in a stream."""

    resume: Position = START
    seen: Position = START
    sent_to: int = 0
    sent_op: SentLine | None = None
    salt: str = ""
    """Part of the digest that is a message's id: a new one after a loss, as the server may know the old ids still."""
    missing: int = 0
    """How many messages the server counts and can't deliver, as far as that is known and was told."""
    audit: int = 0
    """The highest audit that was followed: so many messages were missing when it was called for."""

    def ledger(self) -> Ledger:
        """The bookkeeping that goes on from here."""
        return Ledger(self.resume, self.seen, self.sent_to, self.sent_op)

    def advanced(self, ledger: Ledger) -> SavePoint:
        """Where the bookkeeping has got to by now."""
        return replace(self, resume=ledger.resume, seen=ledger.seen, sent_to=ledger.sent_to, sent_op=ledger.sent_line)

    @classmethod
    def rewound(cls) -> SavePoint:
        """From the start, since something is missing in the stream."""
        return cls(salt=secrets.token_hex(8))

    def fits(self, log: OpLog) -> bool:
        """Whether the log still has what it had: the last line sent where it was, and no less than was sent."""
        if self.sent_op is None:
            # Nothing but damaged lines was passed over, if that.
            return log.lines_after(self.sent_to)[1] >= self.sent_to
        lines, _ = log.lines_after(self.sent_op.begin)
        if not lines or lines[0][0] != self.sent_op.begin or lines[0][1] > self.sent_to:
            return False
        is_same = op_id_of_line(lines[0][2]) == self.sent_op.op_id
        return is_same and log.lines_after(self.sent_to)[1] >= self.sent_to

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        sent_op = self.sent_op and {"op_id": self.sent_op.op_id.hex(), "begin": self.sent_op.begin}
        return {
            "version": 1,
            **asdict(self),
            "resume": self.resume._asdict(),
            "seen": self.seen._asdict(),
            "sent_op": sent_op,
        }

    @classmethod
    def from_json(cls, value: Any) -> SavePoint | None:
        """What was stored; None if that is not a save point."""
        try:
            if value.pop("version") != 1:
                return None
            sent_op = value["sent_op"]
            value["sent_op"] = sent_op and SentLine(bytes.fromhex(sent_op["op_id"]), int(sent_op["begin"]))
            found = cls(**{**value, "resume": Position(**value["resume"]), "seen": Position(**value["seen"])})
        except (TypeError, ValueError, KeyError, AttributeError):
            return None
        numbers = (*found.resume, *found.seen, found.sent_to, found.missing, found.audit)
        are_valid = all(type(number) is int and number >= 0 for number in numbers) and isinstance(found.salt, str)
        return found if are_valid else None
