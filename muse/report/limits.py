"""The limits of a report. Together they keep every page below 3 MB.

The worst case is text that consists only of `<`, because each is written as an escape of six bytes.
"""

from __future__ import annotations

MAX_PAGE_BYTES = 3_000_000
"""The largest page that the limits below allow."""

WHOLE_UP_TO_OPS = 5_000
"""Up to this many ops, every op is shown; for a larger session, a sample."""

SAMPLED_OPS = 3_000
"""Ops of a larger session that are drawn at random from all ops."""

SAMPLED_LINKS = 1_000
"""Further ops drawn at random from those with a parent other than their actor's previous op."""

MAX_FETCHED_PARENTS = 1_000
"""Further ops added because they are parents of those."""

MAX_LANES = 1_000
"""Lanes. If there are more actors, the least active share the last lane."""

MAX_DOMAINS = 6
"""Colours of domains. If there are more domains, the smallest share grey."""

MAX_KINDS = 20
"""Rows of kinds of op. If there are more kinds, the rarest share the last row."""

MAX_BINS = 16_384
"""Lamport bins of the density, from the first timestamp to the last."""

MAX_CELLS = 60_000
"""Counts in the density: one for each lane, domain and bin that holds an op."""

MAX_TIME_BINS, MAX_TIME_CELLS = 4_096, 15_000
"""The same of the density over wall time."""

MAX_ADDRESSES = 4_096
"""Addresses that are counted. When there would be more than twice as many, those with the fewest ops are forgotten."""

MAX_ADDRESS_ACTORS = 8
"""Actors of an address whose ops there a new one is compared with: those that were there most recently."""

MAX_ADDRESS_ROWS = 25
"""Addresses listed: the busiest, and those that several actors changed at once."""

MAX_PICTURE_LANES = 40
"""Lanes of a picture. If there are more actors, the least active share the last lane."""

MAX_PICTURE_OPS = 1_500
"""Up to this many ops, a picture shows every op; beyond, it shows counts."""

MAX_PICTURE_LINKS = 400
"""Links drawn in a picture."""

MAX_COMMITS = 500
"""Commits shown one by one. If there are more, half of them are the newest, and the others lie at even distance."""

MAX_NAMED_ACTORS = 3
"""Actors of a commit, and of an address that several changed at once, that are named."""

MAX_FINDINGS = 100
"""Findings of the full check that are listed."""

MAX_PARENTS = 4
"""Parents of an op that are listed."""

MAX_OP_TEXT_BYTES = 900_000
"""Bytes for the texts of the ops shown individually. Further ops are drawn without text."""

COMMIT_ID_LETTERS = 12
"""Characters of the id of a commit; to git they name it."""

NAME_LETTERS = 60
TEXT_LETTERS = 120
REASON_LETTERS = 240
"""Characters of a name, of an op's text, and of a finding. A longer text is cut and ends with an ellipsis."""
