"""Operations on content that is a short text: one token of a source file, or one note of a score."""

from __future__ import annotations

import hashlib

from muse.domain import DeleteOp, InsertOp, ReplaceOp


def content_id(text: str) -> str:
    """The hash under which a domain would store the text."""
    return hashlib.sha256(text.encode()).hexdigest()


def insert(address: str, position: int, text: str) -> InsertOp:
    """An operation that inserts the text at a position."""
    return InsertOp(op="insert", address=address, position=position, content_id=content_id(text), content_summary=text)


def delete(address: str, position: int, text: str) -> DeleteOp:
    """An operation that deletes the text at a position."""
    return DeleteOp(op="delete", address=address, position=position, content_id=content_id(text), content_summary=text)


def replace(address: str, position: int, old: str, new: str) -> ReplaceOp:
    """An operation that replaces the text at a position."""
    return ReplaceOp(
        op="replace",
        address=address,
        position=position,
        old_content_id=content_id(old),
        new_content_id=content_id(new),
        old_summary=old,
        new_summary=new,
    )
