"""The schema of the sidecar index, as sqlite-utils migrations (docs/format.md, "The index").

The folder stands alone: the library loads this file by its path, and `sqlite-utils migrate index.db migrations/` finds
it by its name. The statements are in `schema.sql`, against which an index is held before it is used.
"""

import re
from pathlib import Path

from sqlite_utils import Migrations
from sqlite_utils.db import Database

migrations = Migrations("muse.index")


@migrations()
def m0001_tail_segments_origin_runs_evidence(db: Database) -> None:
    """The newest lines row by row, the others in segments, runs over these, and what the log alone can't say."""
    schema = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    for statement in re.findall(r"^CREATE .*?(?=;$)", schema, re.MULTILINE | re.DOTALL):
        db.execute(statement)
