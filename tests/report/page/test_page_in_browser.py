"""The page in a real browser: drawn, worked with by mouse and keys, and deaf to what entries try."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from muse.report.page.html import report_page
from tests import making, plain_scan
from tests.report import sessions

pytest.importorskip("selenium", reason="selenium (the dev group) is not here")

from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

from tests.report.page.browser import Page, marks, number, range_in_view, settled, tile

pytestmark = [pytest.mark.browser, pytest.mark.process]

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


def shares(page: Page) -> dict[str, int]:
    """The rows of the tables of shares, by name."""
    return {name.strip("+\u2212→⇄~≡• "): number(count) for name, _, count, _ in page.rows(".shares")}


def test_numbers_are_those_of_a_plain_scan(opened: Callable[..., Page]) -> None:
    """Ops, pending, actors, domains, kinds and timestamps equal what a plain reader of the log counts."""
    page = opened(sessions.crowd(8, 400), checkpoint_after=300)

    assert number(tile(page, "Ops")) == len(page.entries)
    assert number(tile(page, "Not committed")) == len(page.entries) - 300
    assert number(tile(page, "Lamport time")) == max(entry["lamport_ts"] for entry in page.entries)
    expected: Counter[str] = Counter()
    for entry in page.entries:
        expected.update((entry["actor_id"], entry["domain"], entry["domain_op"]["op"]))
    assert shares(page) == expected


def test_a_mark_is_drawn_for_each_op_and_tells_of_it(opened: Callable[..., Page]) -> None:
    """Each lane has as many marks as its actor has ops; what is said of the third is the third, and of no other."""
    page = opened(sessions.evenly(60))
    by_actor = Counter(entry["actor_id"] for entry in page.entries)
    lanes = sorted(by_actor, key=lambda name: (-by_actor[name], name))
    found = [marks(page, lane) for lane in range(3)]
    assert list(map(len, found)) == [by_actor[name] for name in lanes]
    assert "60 ops, every one shown" in page.status

    third = [entry for entry in page.entries if entry["actor_id"] == "actor 0"][2]
    (x, y), (next_x, _) = found[0][2:4]
    about = page.point(x, y)
    for text in ("actor 0", f"Lamport {third['lamport_ts']} ", third["domain"]):
        assert text in about
    assert page.point((x + next_x) / 2, y) == ""


def test_a_click_shows_all_of_an_op_and_leads_to_its_parents(opened: Callable[..., Page]) -> None:
    """The details name every field; the button of a parent selects that parent."""
    page = opened(sessions.evenly(60))
    fourth = [entry for entry in page.entries if entry["actor_id"] == "actor 1"][3]

    page.point(*marks(page, 1)[3], click=True)
    details = page.text("#details")
    for value in (fourth["op_id"], fourth["actor_id"], fourth["domain"], fourth["created_at"]):
        assert value in details

    page.find("#details button").click()
    assert fourth["parent_op_ids"][0] in page.text("#details")


def test_keys_zoom_move_reset_and_select(opened: Callable[..., Page]) -> None:
    """Without a mouse one can zoom, move, come back, and read op after op."""
    page = opened(sessions.evenly(200))
    everything = range_in_view(page)

    page.press("+", "+", "+")
    low, high = range_in_view(page)
    assert everything[0] < low < high < everything[1]
    page.press(Keys.ARROW_RIGHT)
    assert range_in_view(page)[0] > low
    page.press(Keys.ARROW_LEFT)
    assert range_in_view(page) == (low, high)
    page.press("-")
    assert range_in_view(page)[0] < low
    page.press(Keys.HOME)
    assert range_in_view(page) == everything

    for entry in page.entries[:3]:
        page.press("n")
        assert entry["op_id"] in page.text("#details")
    page.press("p")
    assert page.entries[1]["op_id"] in page.text("#details")
    page.press(Keys.ESCAPE)
    assert "No op is selected" in page.text("#details")


def test_mouse_zooms_and_moves(opened: Callable[..., Page]) -> None:
    """The wheel with Ctrl zooms where it points, dragging moves, a double click zooms, a plain wheel does not."""
    page = opened(sessions.evenly(200))
    everything = range_in_view(page)
    wheel = ScrollOrigin.from_element(page.diagram, -300, 0)

    ActionChains(page.driver, duration=0).scroll_from_origin(wheel, 0, 1).perform()
    assert range_in_view(page) == everything
    chain = ActionChains(page.driver, duration=0).key_down(Keys.CONTROL)
    chain.scroll_from_origin(wheel, 0, -300).key_up(Keys.CONTROL).perform()
    low, high = range_in_view(page)
    assert low - everything[0] < everything[1] - high
    assert high - low < (everything[1] - everything[0]) / 2
    ActionChains(page.driver, duration=0).drag_and_drop_by_offset(page.diagram, -200, 0).perform()
    assert range_in_view(page)[0] > low
    low, high = range_in_view(page)
    ActionChains(page.driver, duration=0).double_click(page.diagram).perform()
    assert range_in_view(page)[1] - range_in_view(page)[0] < high - low


def test_buttons_reach_everything_by_tab(opened: Callable[..., Page]) -> None:
    """The tab key goes from control to control and into the diagram."""
    page = opened(sessions.evenly(20))
    page.script("document.body.focus()")

    reached = []
    for _ in range(15):
        ActionChains(page.driver, duration=0).send_keys(Keys.TAB).perform()
        reached.append(page.script("const at = document.activeElement; return at.id || at.getAttribute('aria-label')"))
    fields = ["axis", "from", "to", "search", "Previous op", "Next op", "filter", "order", "lane-height", "links"]
    assert reached == ["theme", "Zoom out", "Zoom in", "Show all of it", *fields, "diagram"]


def test_table_of_ops_says_what_the_diagram_shows(opened: Callable[..., Page]) -> None:
    """The same ops can be read as a table, page by page, and follow the view."""
    page = opened(sessions.evenly(120))
    page.open_table()
    assert [row[0] for row in page.rows("#op-table")] == [str(entry["lamport_ts"]) for entry in page.entries[:50]]

    page.find("#op-table .more button:nth-child(2)").click()
    assert [row[0] for row in page.rows("#op-table")] == [str(entry["lamport_ts"]) for entry in page.entries[50:100]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_follows_the_theme_of_the_reader_and_its_own_button(opened: Callable[..., Page], theme: str) -> None:
    """Paper and ink, and the canvas too, are as the system prefers, and the other way after the button."""
    page = opened(sessions.evenly(20), theme=theme)

    def darkness() -> list[bool]:
        body = page.script("return getComputedStyle(document.body).backgroundColor")
        return [sum(map(int, re.findall(r"\d+", body))) < 200, page.pixels(2, 1)[0][2] < 0x404040]

    assert darkness() == [theme == "dark"] * 2
    page.find("#theme").click()
    assert darkness() == [theme != "dark"] * 2


def test_nine_hundred_actors_can_be_read(opened: Callable[..., Page]) -> None:
    """The lanes scroll, most active first; the filter finds one actor; bars count what a plain scan counts."""
    page = opened(sessions.crowd(900, 6_000))
    by_actor = Counter(entry["actor_id"] for entry in page.entries)
    first = min(by_actor, key=lambda name: (-by_actor[name], name))

    assert page.complaints() == []
    assert "of 6,000 ops are shown one by one" in page.text("main")
    about = page.point(20, 30 + 7)
    assert first in about
    assert f"{by_actor[first]} ops" in about
    page.script("arguments[0].scrollTop = 1e6", page.diagram)
    fewest = max(by_actor, key=lambda name: (-by_actor[name], name))
    height = page.diagram.rect["height"]
    assert fewest in page.point(20, height - 10)

    page.find("#filter").send_keys("AGENT-0456")
    assert "1 of 900 lanes" in page.status
    assert "agent-0456" in page.point(20, 30 + 7)


def test_bars_count_every_op_of_a_large_session_and_zoomed_in_the_sample_appears(opened: Callable[..., Page]) -> None:
    """Pointing at a bar tells how many ops a plain scan finds there; near enough, each op shown is one of the log."""
    page = opened(sessions.evenly(5_200, actors=2))
    assert "density" in page.status
    about = page.point(700, 40)
    found = re.search(r"([\d,]+) ops? at Lamport ([\d,]+) to ([\d,]+)", about)
    assert found, about
    ops, low, high = map(number, found.groups())
    of_lane = [entry["lamport_ts"] for entry in page.entries if entry["actor_id"] == "actor 0"]
    assert sum(low <= stamp <= high for stamp in of_lane) == ops > 1

    page.press(*"++++++")
    assert "ops of the sample" in page.status
    page.press("n")
    shown = re.search(r"op_id([0-9a-f-]{36})", page.text("#details"))
    assert shown
    assert shown[1] in {entry["op_id"] for entry in page.entries}


@pytest.mark.parametrize("ops", [0, 1])
def test_a_session_of_no_op_or_one_is_shown(opened: Callable[..., Page], repo: Path, ops: int) -> None:
    """Nothing to show is no reason to break."""
    making.add_bytes(making.log_path(repo), b"")
    page = opened(sessions.evenly(ops))
    page.press("+", "-", Keys.ARROW_LEFT, "n", Keys.HOME)

    assert page.complaints() == []
    assert number(tile(page, "Ops")) == ops
    assert len(marks(page, 0)) == (1 if ops else 0)


def test_damage_is_shown_with_place_reason_and_remedy(opened: Callable[..., Page], repo: Path) -> None:
    """A damaged line is in the page as it is in the answer of verify, its bytes as text alone."""
    entries = sessions.evenly(5)
    damaged = b'{"op_id": <script>window.hacked=1</script>\n'
    making.add_bytes(making.log_path(repo), making.line(entries[0]) + damaged)
    page = opened(entries[1:])
    scanned = plain_scan.scan_file(making.log_path(repo))
    ((span, _),) = scanned.damaged

    assert tile(page, "Check of the log") == "damaged"
    (row,) = page.rows("#findings")
    assert [number(text) for text in row[:2]] == [span.byte_offset, len(damaged)]
    assert row[2:4] == ["damaged-line", "damage"]
    assert "appends again" in row[5]
    assert page.script("return window.hacked === undefined")


def test_hostile_texts_are_shown_and_do_nothing(opened: Callable[..., Page]) -> None:
    """In whatever field a text stands, it is shown and searched for as text: nothing runs, loads or becomes markup."""
    page = opened(sessions.hostile_entries(), checkpoint_after=3)
    page.open_table()
    for _ in sessions.HOSTILE:
        page.press("n")
    for lane in range(len(sessions.HOSTILE)):
        page.point(20, 30 + lane * 37 + 18)
    for at in range(len(page.texts("#busiest tbody button"))):
        page.script(f"document.querySelectorAll('#busiest tbody button')[{at}].click()")
        assert re.match(r"(1 of )?[1-9]\d* ops?\b", page.text("#found"))
    page.enter("#search", Keys.BACKSPACE)
    settled(page)

    assert page.complaints() == []
    assert page.requests() == [page.url]
    assert page.script("return window.hacked === undefined && ({}).x === undefined")
    assert page.script("return document.querySelectorAll('main img, main script, main iframe, [onerror]').length") == 0
    rows = page.rows("#op-table")
    for at, text in enumerate(sessions.HOSTILE):
        if text.isprintable() and len(text) < 60:
            assert [rows[at][column] for column in (1, 3, 4, 5, 6)] == [text] * 5
    shown = "".join(page.texts("main"))
    assert not set(shown) & set("\u202e\u2066\u2028\u2029\x00\x1b\x7f\u200b")
    assert "\\u202egnp.exe" in shown
    assert "x" * 200 not in shown
    assert "snapshot <b>1</b>" in shown


def test_hostile_session_name_is_shown_as_text(opened: Callable[..., Page]) -> None:
    """The name of the session stands in the title and the heading, as text."""
    name = "</title><script>window.hacked=1</script>"
    page = opened(sessions.evenly(2), name)

    assert page.text("h1") == name
    assert name in page.driver.title
    assert page.script("return window.hacked === undefined")


def ops_by_commit(page: Page) -> dict[str, set[str]]:
    """The timestamps that the table of ops gives for each text in its column of commits."""
    page.open_table()
    found: dict[str, set[str]] = {}
    for lamport_ts, *_, commit in page.rows("#op-table"):
        found.setdefault(commit, set()).add(lamport_ts)
    return found


def test_one_can_tell_which_ops_are_in_which_commit_and_which_in_none(opened: Callable[..., Page], repo: Path) -> None:
    """The table of commits, the table of ops, a mark's words, and the pale marks all agree with what was committed."""
    made = [each[:12] for each in sessions.committed(repo, sessions.evenly(40), 10, 16, 30)]
    page = opened()

    listed = [("not committed", "10"), (made[2], "14"), (made[1], "6"), (made[0], "10")]
    assert [(name, ops) for name, _, ops, _ in page.rows("#commits")] == listed
    assert "The commits hold 30 ops; 10 are in none." in page.text("main")
    assert "Earlier checkpoints are not recorded" not in page.text("main")
    ends = {made[0]: (1, 11), made[1]: (11, 17), made[2]: (17, 31), "pending": (31, 41)}
    assert ops_by_commit(page) == {name: set(map(str, range(*of))) for name, of in ends.items()}

    assert page.complaints() == []
    fifth = marks(page, 1, top=46)[4]
    about = page.point(*fifth)
    assert "Lamport 15 " in about
    assert f"in commit {made[1]}" in about
    page.point(*fifth, click=True)
    assert f"in commit {made[1]}" in page.text("#details")
    page.press(Keys.ESCAPE)
    before = page.picture

    page.find("#commits tbody tr:nth-child(3)").click()
    assert f"6 ops in commit {made[1]}" in page.status
    assert sum(len(marks(page, lane, top=46)) for lane in range(3)) == 6
    marked = page.pixels(133, 1)[0].count(page.colour("ink"))
    assert marked == 3
    page.find("#commits tbody tr:nth-child(3) button").click()
    assert "in commit" not in page.status
    is_as_before = page.picture == before
    assert is_as_before


def test_two_thousand_commits_can_be_looked_at(driver: Chrome, repo: Path) -> None:
    """The page says how many of them are listed; each row marks its own line, which zooming keeps in view."""
    path = sessions.recorded(repo, sessions.evenly(2_000))
    commits = sessions.made_by_hand(path, [f"{number:040d}"[::-1] for number in range(1, 2_001)])
    file = repo / "report.html"
    file.write_text(report_page(sessions.data_with(repo, commits)), encoding="utf-8")
    page = Page(driver, file)

    assert len(page.rows("#commits")) == 500
    assert "500 of 2,000 commits are listed" in page.text("main")
    page.script("document.querySelectorAll('#commits button')[499].click()")
    assert page.text("#commits tr:has([aria-pressed=true]) td") == "1" + "0" * 11
    page.press(*"+" * 12)
    low, high = range_in_view(page)
    assert low <= 1 < high < 100
    page.press(Keys.HOME, "n")
    assert "in commit 1" in page.text("#details")
    assert page.complaints() == []


def test_without_commits_the_page_says_that_only_one_checkpoint_is_known(opened: Callable[..., Page]) -> None:
    """The section names the checkpoint and what came after it, and the table of ops has no column for commits."""
    page = opened(sessions.evenly(10), checkpoint_after=5)
    page.open_table()

    assert "Earlier checkpoints are not recorded." in page.text("main")
    assert "Commit" not in page.texts("th")
    assert [row[0::2] for row in page.rows("#commits")] == [["not committed", "5"], ["snapshot <b>1</b>", "5"]]


def test_keys_are_explained_in_words_and_the_page_stays_as_wide_as_the_window(opened: Callable[..., Page]) -> None:
    """Each key has its own row, also on the screen of a telephone."""
    page = opened(sessions.evenly(10))
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        page.script("document.querySelector('#keys').parentNode.open = true")
        assert "object" not in page.text("#keys")
        assert page.texts("#keys kbd") == ["←", "→", "↑", "↓", "+", "\u2212", "Home", "N", "P", "Esc", "Click", "Touch"]
        assert page.script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_tap_selects_one_finger_moves_and_two_zoom(opened: Callable[..., Page]) -> None:
    """By touch alone one reads an op, moves in time, and zooms where the fingers are."""
    page = opened(sessions.evenly(60))
    everything = range_in_view(page)
    (x, y), *_ = marks(page, 0)[2:]

    page.touch([(x + 4, y + 3)])
    assert "actor 0" in page.text("#details")
    assert "as number 9 of 60" in page.text("#details")
    assert not page.find(".tip").is_displayed()

    page.touch([(500, 60), (600, 60)], [(450, 60), (650, 60)], [(300, 70), (800, 50)])
    low, high = range_in_view(page)
    assert everything[0] < low < high < everything[1]
    assert 2 < (everything[1] - everything[0]) / (high - low) < 8

    page.touch([(700, 60)], [(650, 60)], [(500, 62)])
    assert range_in_view(page)[0] > low
    assert "as number 9 of 60" in page.text("#details")
    assert not page.find(".tip").is_displayed()


def test_what_is_said_of_an_op_goes_when_the_view_changes(opened: Callable[..., Page]) -> None:
    """By keys or by scrolling: under a pointer that rests, something else lies then."""
    page = opened(sessions.crowd(60, 500))
    # A scroll is told to the page with the next frame.
    frames = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
    for how in ("+", "n", Keys.ARROW_RIGHT, Keys.ESCAPE, ""):
        page.script("arguments[0].scrollTop = 60", page.diagram)
        page.driver.execute_async_script(frames)
        assert page.point(20, 60)
        page.press(how) if how else page.script("arguments[0].scrollTop = 90", page.diagram)
        page.driver.execute_async_script(frames)
        assert not page.find(".tip").is_displayed()
        page.point(20, 500)


def test_links_leave_lanes_alone_that_have_no_part_in_them(opened: Callable[..., Page]) -> None:
    """Between lanes that are no neighbours nothing is drawn, unless an op is selected: a missing line tells nothing."""
    places = enumerate(zip("aaabb", (1, 2, 3, 1, 2), strict=True), start=1)
    early = [making.entry(number, actor_id=actor, lamport_ts=stamp) for number, (actor, stamp) in places]
    page = opened([*early, making.entry(6, actor_id="c", lamport_ts=40, parent_op_ids=[making.op_id(1)])])
    assert "1 link" in page.status
    assert "Neither a lane nor a missing line tells that" in page.text("footer")
    between, ends = range(30 + 44, 30 + 76), range(30, 30 + 40)

    def lines(rows: range) -> int:
        """How many pixels of these rows are neither paper nor grid, in the middle of the plot."""
        pixels = page.pixels(rows.start, len(rows))
        plain = {page.colour("card"), page.colour("stripe"), page.colour("line")}
        return sum(colour not in plain for row in pixels for colour in row[330:-200])

    assert lines(between) == 0
    assert lines(ends) > 0
    page.press("n")
    assert lines(between) > 0


def test_policy_of_the_page_stops_a_script_that_gets_in(opened: Callable[..., Page]) -> None:
    """Even markup that found its way into the page could neither run nor load anything."""
    page = opened(sessions.evenly(2))
    page.script("document.body.innerHTML += '<img src=x onerror=\"window.hacked=1\"><style>body{color:red}</style>'")
    page.script(
        "const made = document.createElement('script'); made.textContent = 'hacked=1'; document.body.append(made)"
    )

    assert page.script("return window.hacked === undefined")
    assert any("Content Security Policy" in complaint for complaint in page.complaints())
