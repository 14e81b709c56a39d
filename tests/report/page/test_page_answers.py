"""What a colleague asks of the page, and what helps to find the answer: search, the axes, ranges, and links to them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpEntry
from tests import making
from tests.report import sessions

pytest.importorskip("selenium", reason="selenium (the dev group) is not here")

from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.report.page.browser import Page, marks, number, range_in_view, settled, tile

pytestmark = [pytest.mark.browser, pytest.mark.process]

KINDS = {"insert": "+", "delete": "\u2212", "move": "→", "replace": "⇄", "mutate": "~", "patch": "≡", "sing": "•"}


def rehearsal(ops: int = 60) -> list[OpEntry]:
    """Three actors at a few bars of a piece, an op each half second from 18:56:00 on; some had not seen the others'."""
    made: list[OpEntry] = []
    newest: dict[str, int] = {}
    for at in range(1, ops + 1):
        actor = ("ada", "grace", "lin")[at * at % 7 % 3]
        # Who has seen the op before depends on it; every fifth has seen only its actor's own.
        parents = {newest.get(actor, 0), 0 if at % 5 == 0 else at - 1} - {0}
        newest[actor] = at
        address = f"bar:{(1, 17, 170, 7, 4)[at % 5]}" if at % 4 else "bar:23"
        summaries = dict.fromkeys(("content_summary", "new_summary", "child_summary"), f"take {at}")
        op = {"op": list(KINDS)[at % 7], "address": address, **summaries}
        made.append(
            making.entry(
                at,
                actor_id=actor,
                parent_op_ids=[making.op_id(parent) for parent in sorted(parents)],
                domain=("music", "code")[at % 2],
                domain_op=op,
                created_at=f"2026-03-04T18:56:{at // 2:02d}.{at % 2 * 5}00000+00:00",
            )
        )
    return made


def table(page: Page) -> list[list[str]]:
    """The rows of the table of ops, which follows what is shown a moment later."""
    if not page.find("#op-table").get_attribute("open"):
        page.open_table()
    caption = WebDriverWait(page.driver, 10).until(lambda _: settled(page) and page.text("#op-table caption"))
    rows = page.rows("#op-table")
    assert number(caption) == len(rows)
    return rows


def test_a_colleague_finds_the_answers_in_the_page_alone(opened: Callable[..., Page], repo: Path) -> None:
    """Who touched bar:17 last, what two changed at once, what is not committed, what was done in five seconds."""
    made = rehearsal()
    sessions.committed(repo, made, 20, 41)
    page = opened()
    entries = page.entries

    at_bar = [entry for entry in entries if entry["domain_op"]["address"] == "bar:17"]
    page.enter("#search", '"bar:17"')
    assert page.text("#found") == f"{len(at_bar)} ops found"
    page.find("[aria-label='Previous op']").click()
    assert at_bar[-1]["op_id"] in page.text("#details")
    assert page.texts("#details dd")[1] == at_bar[-1]["actor_id"]
    assert page.text("#found") == f"{len(at_bar)} of {len(at_bar)} ops"
    page.enter("#search", Keys.BACKSPACE)

    expected = sessions.changed_at_once(made, made)
    assert {address: set(names.split(", ")) for address, _, names, _ in page.rows("#at-once")} == expected
    assert 0 < len(expected) < 6

    assert tile(page, "Not committed") == "19"
    page.find("#commits tbody tr:first-child").click()
    assert "19 ops not committed" in page.status
    assert [row[0] for row in table(page)] == [str(entry["lamport_ts"]) for entry in entries[41:]]
    page.find("#commits tbody tr:first-child").click()

    page.choose("#axis", "wall")
    page.enter("#from", "18:56:10")
    page.enter("#to", "18:56:15")
    within = [entry for entry in entries if "18:56:10" <= entry["created_at"][11:] <= "18:56:15.000001"]
    assert [row[6] for row in table(page)] == [entry["created_at"] for entry in within]
    assert f"{len(within)} ops, every one shown" in page.status
    assert len(within) == 11
    assert page.complaints() == []


def test_marks_carry_the_glyph_of_their_kind_and_beside_them_their_address(opened: Callable[..., Page]) -> None:
    """Zoomed in, what is written at each mark is what was done there; of other kinds, all have one glyph."""
    ops = [*KINDS, "strange"]
    entries = [
        making.entry(at, domain_op={"op": ops[at % len(ops)], "address": f"bar:{at}", "content_summary": "x" * 99})
        for at in range(1, 61)
    ]
    page = opened(entries)
    assert not {text for text, _, _ in page.drawn_texts()} & {"+", "•"}
    page.press(*"+++++++")
    low, high = range_in_view(page)
    texts = page.drawn_texts()

    found = marks(page, 0)
    stamps = range(low, high + 1)
    assert 4 < len(found) <= len(stamps)
    glyphs = [text for text, _, _ in texts if text in KINDS.values()]
    assert glyphs == [KINDS.get(ops[at % len(ops)], "•") for at in stamps][: len(glyphs)]
    addresses = [named[0] for text, _, _ in texts if (named := re.match(r"bar:\d+", text))]
    assert addresses[:3] == [f"bar:{at}" for at in stamps][:3]
    legend = page.texts(".legend[aria-label='Kinds of op'] li")
    assert set(legend) == {f"{glyph}{kind}" for kind, glyph in KINDS.items() if kind != "sing"} | {"•other kinds"}


def test_search_finds_counts_and_leads_from_one_to_the_next(opened: Callable[..., Page]) -> None:
    """By address and summary, in any case; the others turn pale; N, P and the buttons go through what was found."""
    page = opened(rehearsal(30))
    colours = {page.colour("d0"), page.colour("d1")}

    def coloured() -> int:
        return sum(colour in colours for y in (50, 90, 130) for colour in page.pixels(y, 1)[0])

    everything = coloured()
    # A move has no summary, but from where to where.
    with_summary = [entry for entry in rehearsal(30) if entry["domain_op"]["op"] != "move"]
    expected = [entry for entry in with_summary if "take 2" in entry["domain_op"]["new_summary"]]

    page.enter("#search", "TAKE 2")
    assert page.text("#found") == f"{len(expected)} ops found"
    assert f"{len(expected)} ops found" in page.status
    assert abs(coloured() / everything - len(expected) / 30) < 0.1
    for at, entry in enumerate(expected[:3], start=1):
        page.press("n")
        assert entry["op_id"] in page.text("#details")
        assert page.text("#found") == f"{at} of {len(expected)} ops"
    page.find("#search").send_keys(Keys.SHIFT, Keys.ENTER)
    assert expected[1]["op_id"] in page.text("#details")
    page.enter("#search", "bar:1")
    at_bar_1 = [entry for entry in rehearsal(30) if "bar:1" in entry["domain_op"]["address"]]
    assert page.text("#found").split(" of ")[-1].startswith(f"{len(at_bar_1)} op")
    page.find("#busiest tbody button").click()
    assert page.find("#search").get_attribute("value") == f'"{page.text("#busiest tbody button")}"'
    page.enter("#search", "nowhere")
    assert page.text("#found") == "0 ops found"


def test_by_wall_time_ops_lie_where_their_clocks_say(opened: Callable[..., Page]) -> None:
    """The other way round if the clocks ran so; an op without a valid time is not shown, which is said."""
    entries = sessions.evenly(9, actors=1)
    for entry in entries:
        entry["created_at"] = f"2026-03-04T18:00:{59 - entry['lamport_ts'] * 5}+00:00"
    entries[4]["created_at"] = "at noon"
    page = opened(entries, checkpoint_after=3)
    page.choose("#axis", "wall")

    assert "Wall time (UTC) 2026-03-04 18:00:14.000 to 2026-03-04 18:00:54.000" in page.status
    assert "1 op without a valid time not shown" in page.status
    said = [page.point(*place) for place in marks(page, 0)]
    assert [re.findall(r"Lamport (\d+)", text) for text in said] == [[str(at)] for at in (9, 8, 7, 6, 4, 3, 2, 1)]
    page.choose("#axis", "lamport")
    assert range_in_view(page) == (1, 9)


def test_a_click_on_a_bar_zooms_into_it(opened: Callable[..., Page]) -> None:
    """Of the diagram, by either axis, and of the activity over wall time, which has a table for keys."""
    entries = sessions.crowd(3, 2_400)
    for at, entry in enumerate(entries):
        entry["created_at"] = f"2026-03-04T18:{at // 60:02d}:{at % 60:02d}+00:00"
    page = opened(entries)
    found = re.search(r"Lamport ([\d,]+) to ([\d,]+)", page.point(700, 60))
    assert found
    page.point(700, 60, click=True)
    low, high = range_in_view(page)
    assert low <= number(found[1]) <= number(found[2]) <= high < low + 8

    page.script("document.querySelectorAll('.plot .zooms')[2].click()")
    begins, ends = page.texts(".card details th[scope=row]")[2:4]
    within = re.search(r"(\S+ \S+) to (\S+ \S+) · ([\d,]+) op", page.status)
    assert within
    assert within[1].startswith(begins)
    assert within[2] < ends
    times = [entry["created_at"].replace("T", " ").replace("+00:00", ".000") for entry in entries]
    made = [time for time in times if within[1] <= time <= within[2]]
    assert number(within[3]) == len(made)

    page.press(Keys.HOME)
    assert "density" in page.status
    said = page.point(700, 60)
    assert "long" in said
    # A second click too soon is a double click.
    page.driver.execute_async_script("setTimeout(arguments[0], 500)")
    page.point(700, 60, click=True)
    assert "every one shown" in page.status


def test_a_range_dragged_on_the_strip_is_shown(opened: Callable[..., Page]) -> None:
    """From where the pointer went down to where it came up, in either direction; a click only moves the view."""
    page = opened(sessions.evenly(1_000))
    page.drag_on_strip(0.25, 0.5)
    low, high = range_in_view(page)
    assert abs(low - 250) < 8
    assert abs(high - 500) < 8

    page.drag_on_strip(0.9, 0.7)
    low, high = range_in_view(page)
    assert abs(low - 700) < 12
    assert abs(high - 900) < 12
    page.drag_on_strip(0.2, 0.2)
    assert abs(sum(range_in_view(page)) / 2 - 200) < 12
    assert abs((range_in_view(page)[1] - range_in_view(page)[0]) - (high - low)) < 3


def test_a_link_leads_to_what_is_shown(opened: Callable[..., Page]) -> None:
    """Axis, range, filters, search, what is picked out and the selected op stand in the URL; opened, all is there."""
    page = opened(rehearsal(), checkpoint_after=30)
    assert settled(page)
    assert "#" not in page.driver.current_url
    page.choose("#axis", "wall")
    page.enter("#from", "18:56:02.5")
    page.enter("#to", "18:56:28")
    page.enter("#search", "bar:1")
    page.enter("#filter", "a")
    page.find("#order option:last-child").click()
    page.find("#links").click()
    page.find("#commits tbody tr:first-child").click()
    page.press("n", "n")

    def shown() -> list[Any]:
        fields = ("#axis", "#from", "#to", "#search", "#filter", "#order")
        values = [page.find(selector).get_attribute("value") for selector in fields]
        return [*values, page.find("#links").is_selected(), page.status, page.text("#details"), page.picture]

    rows, before = table(page), shown()
    link = page.driver.current_url
    again = Page(page.driver, Path(link.removeprefix("file://").split("#")[0]), fragment="#" + link.split("#")[1])
    same = shown() == before
    assert same
    assert table(again) == rows
    assert len(rows) > 2
    # A link that is pasted while the page is open is followed too.
    page.script("location.hash = 'find=bar:17'")
    WebDriverWait(page.driver, 10).until(lambda _: page.find("#search").get_attribute("value") == "bar:17")
    assert page.find("#axis").get_attribute("value") == "lamport"


def test_a_link_from_a_stranger_does_nothing_but_show(opened: Callable[..., Page]) -> None:
    """What names nothing in the page is passed over; a text is searched for as text."""
    page = opened(rehearsal(10))
    for fragment in (
        "#axis=__proto__&from=1e999&to=NaN&lanes=constructor&only=toString&op=<b>&actor=%",
        "#find=%3Cimg src=x onerror=window.hacked=1%3E&from=-9&to=99999999",
        "#axis=wall&from=0001-01-01&to=9999-12-31&&&==",
        "#%E0%A4%A",
    ):
        again = Page(page.driver, Path(page.url.removeprefix("file://")), fragment=fragment)
        assert again.complaints() == []
        assert again.script("return window.hacked === undefined && document.querySelectorAll('img').length === 0")
        assert again.status


def test_what_is_picked_out_is_drawn_among_too_many(opened: Callable[..., Page]) -> None:
    """Where ops are counted by bars, those found are drawn nevertheless; the line of the checkpoint is there too."""
    entries = sessions.evenly(2_000)
    entries[700]["domain_op"] = {"op": "insert", "address": "needle"}
    page = opened(entries, checkpoint_after=1_500)
    page.enter("#search", "needle")

    assert "density" in page.status
    assert "1 op found" in page.status
    rows, mark = page.pixels(40, 100), page.colour("mark")
    width = len(rows[0])
    line = max(range(width), key=lambda x: sum(row[x] == mark for row in rows))
    left = min(200, round(width * 0.24))
    assert abs((line - left) / (width - left - 12) - 0.75) < 0.02
    ActionChains(page.driver, duration=0).move_to_element(page.find("#search")).click().send_keys(Keys.ENTER).perform()
    assert "needle" in page.text("#details")
