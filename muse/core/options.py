"""The limits of the format, in one place (docs/format.md, "Limits")."""

from __future__ import annotations

MAX_LAMPORT_TS = 2**53 - 1
"""Largest timestamp that every JSON reader (JavaScript's too) holds exactly."""

MAX_LINE_BYTES = 64 << 20
"""Longest line that is read as an entry, its newline included. The same for every handle, since all of
them share one index: what is an entry can't depend on who asks."""

DEFAULT_MAX_APPEND_BYTES = 16 << 20
"""Longest line that is appended, unless `OpLog(max_line_bytes=…)` says otherwise."""

MAX_SNAPSHOT_ID_BYTES = 1024
"""Longest snapshot_id of a checkpoint, in UTF-8."""

MAX_NESTING = 200
"""How deep arrays and objects may nest in a line. orjson 3.13 refuses to write past 254."""

MAX_SESSION_FOLDER_BYTES = 255
"""Longest encoded session id: NAME_MAX of the usual file systems."""
