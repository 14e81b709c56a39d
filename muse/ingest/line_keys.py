"""Keys for the lines of a file that have none of their own.

A key is made of the file's first line, the line itself, and how often the same line stood before it. So it stays the
same when the file grows or is renamed. Equal lines of one file are different operations, and equal lines of two files
are as well, unless the files begin with the same line: then nothing tells them apart from one file that has grown.
"""

from __future__ import annotations

import hashlib
from collections import Counter


class LineKeys:
    """The keys of one file's lines, from the first on."""

    def __init__(self, kind: str, scope: str = "") -> None:
        """`kind` begins each key; `scope` names the file, and is its first line's digest if it is not known."""
        self._kind = kind
        self.scope = scope
        self._counts: Counter[bytes] = Counter()

    def next(self, line: bytes) -> str:
        """The key of the next line."""
        digest = hashlib.sha256(line).digest()[:16]
        self.scope = self.scope or digest.hex()
        self._counts[digest] += 1
        return f"{self._kind}/{self.scope}/{digest.hex()}/{self._counts[digest]}"
