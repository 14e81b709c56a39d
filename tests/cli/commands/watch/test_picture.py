"""The screen of `watch`, drawn as text for screens of given sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from muse.cli.commands.watch.picture import ActorView, View, picture
from tests import making
from tests.cli.running import ESCAPE

SIZES = [(80, 24), (40, 12), (200, 60), (20, 5), (100, 30), (1, 1), (80, 2), (10, 40)]


def actor(number: int, **changes: Any) -> ActorView:
    """One actor of many."""
    made = ActorView(f"agent-{number:03}", 1000 - number, 12.34, 250.0, [0] * 19 + [5])
    return replace(made, **changes)


def view(**changes: Any) -> View:
    """A session at work."""
    made = View(
        session_id="friday/jam",
        ops=1234,
        rate_10s=45.6,
        size_bytes=2_500_000,
        max_lamport_ts=1240,
        pending=17,
        checkpoint={
            "session_id": "friday/jam",
            "snapshot_id": "snap-7",
            "lamport_ts": 1200,
            "op_count": 1217,
            "created_at": "",
        },
        domains={"music": 1200, "code": 34},
        actors=[actor(number) for number in range(3)],
        more_actors=0,
        newest=making.entries(200),
        findings=[],
        check="",
    )
    return replace(made, **changes)


def drawn(what: View, width: int = 80, height: int = 24) -> list[str]:
    """The lines of a picture as plain text."""
    return [line.plain for line in picture(what, width, height)]


MANY = [actor(number) for number in range(200)]
FULL = view(actors=MANY, more_actors=700, findings=[f"finding {number}" for number in range(50)], check="verify: 3 %")
WIDE = view(session_id="音" * 100, actors=[actor(1, actor_id="音楽" * 20)], findings=["音" * 300])


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("what", [view(), FULL, WIDE, view(actors=[], newest=[], domains={}, checkpoint=None)])
def test_a_picture_fits_its_screen(what: View, width: int, height: int) -> None:
    """It has as many lines as the screen, and none is wider, in cells and not in letters."""
    lines = drawn(what, width, height)

    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 12), (200, 60)])
def test_a_usual_screen_shows_each_part(width: int, height: int) -> None:
    """Totals, pending, findings, the most active actor and the newest op are there, and the keys."""
    text = "\n".join(drawn(FULL, width, height))

    for part in ("1,234 ops", "17 pending", "50 findings", "finding 49", "agent-000", "more", "\n200  ", "q quit"):
        assert part in text


@pytest.mark.parametrize(("what", "actors"), [(FULL, 900), (view(), 3)], ids=["many", "few"])
def test_actors_that_find_no_line_are_counted(what: View, actors: int) -> None:
    """What is shown and what is counted are all; where there is room for all, nothing is said of others."""
    lines = drawn(what, 80, 24)
    shown = [line for line in lines if line.startswith("agent-")]

    assert shown
    assert [line for line in lines if line.startswith("and ")] == [f"and {actors - len(shown)} more"] * (actors > 3)


def test_newest_op_is_the_last_line_of_the_ops() -> None:
    """The ops stand in arrival order, and the last of all is there."""
    lines = drawn(view(), 80, 24)
    heading = next(number for number, line in enumerate(lines) if line.startswith("LAMPORT"))
    ops = [line.split()[0] for line in lines[heading + 1 : -1]]

    assert ops == [str(number) for number in range(201 - len(ops), 201)]
    assert len(ops) >= 5


def test_a_row_shows_who_did_what_where() -> None:
    """The words of an op are those of `query`."""
    entry = making.entry(7, domain_op={"op": "move", "address": "bar:3", "from_position": 1, "to_position": 2})

    assert "7         03:04:05  ada         music     move     bar:3             1 -> 2" in drawn(view(newest=[entry]))


def test_unusable_checkpoint_is_not_shown_as_nothing_pending() -> None:
    """Where nobody knows, no number is shown."""
    text = "\n".join(drawn(view(pending=None, checkpoint=None, findings=["now checkpoint damaged"])))

    assert "pending unknown" in text
    assert "0 pending" not in text


def test_escape_sequences_are_shown_and_never_sent() -> None:
    """No name, text, snapshot or finding can move the cursor."""
    op = {"op": ESCAPE, "address": ESCAPE, "content_summary": ESCAPE}
    hostile = view(
        session_id=ESCAPE,
        domains={ESCAPE: 1},
        actors=[actor(1, actor_id=ESCAPE)],
        newest=[making.entry(1, actor_id=ESCAPE, domain=ESCAPE, domain_op=op)],
        findings=[ESCAPE],
        check=ESCAPE,
        checkpoint={"session_id": "", "snapshot_id": ESCAPE, "lamport_ts": 0, "op_count": 0, "created_at": ""},
    )

    text = "".join(drawn(hostile, 300, 40))

    assert "\\x1b[31mred" in text
    assert all(character.isprintable() for character in text)


def test_widths_do_not_depend_on_what_is_shown() -> None:
    """A column stands where it stood, whatever arrives: nothing jumps, and little is sent."""
    short = drawn(view(newest=making.entries(50)))
    long = drawn(view(newest=making.entries(50, start=10**9, actor_id="a very long name " * 5)))

    assert [line for line in short if line.startswith("LAMPORT")] == [
        line for line in long if line.startswith("LAMPORT")
    ]
    assert len({line.index("1000000") for line in long if line.startswith("1000000")}) == 1
