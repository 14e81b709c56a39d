"""How much a report shows, in one place. Together these keep any page below 3 MB.

The worst case is text of which every letter takes six bytes: `<` is written as an escape.
"""

from __future__ import annotations

MAX_PAGE_BYTES = 3_000_000
"""No page is larger; what follows sees to it."""

WHOLE_UP_TO_OPS = 5_000
"""A session of up to so many ops is shown op by op; of a larger one a sample is."""

SAMPLED_OPS = 3_000
"""Of a larger session, how many ops are drawn at random."""

SAMPLED_LINKS = 1_000
"""And how many more are drawn among those that depend on another actor's op, or on several."""

MAX_FETCHED_PARENTS = 1_000
"""And how many ops are added because one of the latter depends on them."""

MAX_LANES = 1_000
"""Actors with a lane of their own; the least active beyond share the last one."""

MAX_DOMAINS = 6
"""Domains with a colour of their own; the smallest beyond share grey."""

MAX_KINDS = 20
"""Kinds of op that are listed; the rarest beyond share a row."""

MAX_BINS = 16_384
"""Lamport bins of the density, from the first timestamp to the last."""

MAX_CELLS = 80_000
"""Counts of the density, one for each lane, domain and bin that holds an op."""

MAX_PICTURE_LANES = 40
"""Lanes of a picture; the least active actors beyond share the last one."""

MAX_PICTURE_OPS = 1_500
"""A picture of more ops shows counts."""

MAX_PICTURE_LINKS = 400
"""Links of a picture."""

MAX_FINDINGS = 100
"""Findings of the check that are listed."""

MAX_PARENTS = 4
"""Parents of an op that are named."""

MAX_OP_TEXT_BYTES = 900_000
"""Bytes for the texts of single ops; the ops after that are drawn without theirs."""

NAME_LETTERS = 60
TEXT_LETTERS = 120
REASON_LETTERS = 240
"""Letters of a name, of what an op says of itself, of a finding; longer ones end in an ellipsis."""
