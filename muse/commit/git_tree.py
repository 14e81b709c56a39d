"""What a commit in git holds, and how it is named; as a stream for `git fast-import`.

    refs/muse/<session>     the folder's name, with what git refuses in a ref escaped
        deltas/<domain>.json    the StructuredDelta of each domain, one operation a line
        ops.jsonl               the slice of the log, byte for byte
        muse.json               what is remembered of the commit: all that is ever read back

The message is for people. Nothing is read back from it, so that no name of an actor can forge anything.
"""

from __future__ import annotations

import re
from hashlib import sha256
from urllib.parse import quote

import orjson

from muse.commit.batch import CommitBatch
from muse.core.op_log import encode_session_id
from muse.domain import StructuredDelta
from muse.escaping import escape_for_terminal

RECORD_NAME = "muse.json"
LINES_NAME = "ops.jsonl"

_MOST_AUTHORS = 50
_LONGEST_TEXT = 500
_LONGEST_REF_PART = 200
"""git adds ".lock" to a ref, and a file name has at most 255 bytes."""

_REFUSED_IN_REF = re.compile(r"\.(?=\.|lock$)")


def ref_of(session_id: str) -> str:
    """The ref of a session's commits."""
    name = _REFUSED_IN_REF.sub("%2E", encode_session_id(session_id))
    if len(name) > _LONGEST_REF_PART:
        # "+" is in no folder's name, so no other session has this folder.
        name = f"+{name[:_LONGEST_REF_PART]}/{name[_LONGEST_REF_PART:]}"
    return f"refs/muse/{name}"


def commit_stream(ref: str, batch: CommitBatch, author: str, committer: str) -> bytes:
    """What fast-import makes the commit from; it prints its id.

    Args:
        ref: where the commit goes.
        batch: what is in it.
        author: name, address and time, as in a commit.
        committer: likewise.
    """
    parts = [
        f"commit {ref}\nmark :1\nauthor {author}\ncommitter {committer}\n".encode(),
        *_data(message_of(batch)),
        f"from {batch.parent.commit_id}\n".encode() if batch.parent else b"",
        b"deleteall\n",
    ]
    record = orjson.dumps(batch.committed_as("").to_record(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    files = {LINES_NAME: batch.lines, RECORD_NAME: record}
    files |= {f"deltas/{file_name(delta['domain'])}.json": _delta(delta) for delta in batch.deltas}
    for name, content in files.items():
        parts += [f"M 100644 inline {name}\n".encode(), *_data(content)]
    return b"".join((*parts, b"get-mark :1\n"))


def file_name(domain: str) -> str:
    """The name of a domain's file; nothing is read back from it."""
    name = quote(domain, safe=" ").replace("~", "%7E")
    name = re.sub(r"^[. ]|[ ]$", lambda found: f"%{ord(found[0]):02X}", name)
    return name if len(name) <= _LONGEST_REF_PART else f"{name[:150]}~{sha256(domain.encode()).hexdigest()[:16]}"


def message_of(batch: CommitBatch) -> bytes:
    """What people read in `git log`: what the user says, what is in it, and whose it is."""
    actors = list(batch.actors)
    number = f"{batch.ops:,} operation{'s' * (batch.ops != 1)}"
    text = escape_for_terminal(batch.message or "", keep="\n\t").strip() or f"{_shown(batch.session_id)}: {number}"
    domains = [f"{_shown(delta['domain'])}: {_shown(delta['summary'])}" for delta in batch.deltas]
    if len(actors) > _MOST_AUTHORS:
        domains.append(f"{len(actors) - _MOST_AUTHORS:,} more actors are named in {RECORD_NAME}.")
    authors = [f"Co-authored-by: {_author(actor)}" for actor in actors[:_MOST_AUTHORS]]
    return "\n\n".join((text, "\n".join(domains), "\n".join(authors))).encode() + b"\n"


def _author(actor: str) -> str:
    # An actor has no address: .invalid is a domain that nobody can have (RFC 2606).
    return f"{_shown(actor).translate(str.maketrans('<>', '()'))} <{quote(actor, safe='')[:60]}@muse.invalid>"


def _shown(text: str) -> str:
    return escape_for_terminal(text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…")


def _delta(delta: StructuredDelta) -> bytes:
    ops = b",\n".join(map(orjson.dumps, delta["ops"]))
    head = orjson.dumps({"domain": delta["domain"], "summary": delta["summary"]})[:-1]
    return head + b',"ops":[\n' + ops + b"\n]}\n"


def _data(content: bytes) -> tuple[bytes, ...]:
    return (f"data {len(content)}\n".encode(), content, b"\n")
