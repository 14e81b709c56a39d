"""The diagram as an SVG: well-formed, of what the log holds, of bounded size."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from muse.core.op_log import OpLog
from muse.report import limits
from tests import making, plain_scan
from tests.report import sessions

NAMESPACE = "{http://www.w3.org/2000/svg}"


def picture(repo: Path) -> ET.Element:
    """The root of the picture of a session, read by a strict reader of XML."""
    return ET.fromstring(sessions.report(repo, "svg").read_bytes())


def drawn(root: ET.Element, of_class: str) -> list[ET.Element]:
    """The paths of a class."""
    return [path for path in root.iter(f"{NAMESPACE}path") if of_class in path.get("class", "").split()]


def left(path: ET.Element) -> float:
    """Where a path begins."""
    return float(re.findall(r"[\d.]+", path.get("d", ""))[0])


def titled(root: ET.Element) -> list[str]:
    """What the marks say of their ops."""
    found = [path.find(f"{NAMESPACE}title") for path in root.iter(f"{NAMESPACE}path")]
    return [title.text or "" for title in found if title is not None]


def test_each_op_of_a_small_session_is_a_mark(repo: Path) -> None:
    """As many marks for each actor as the log has ops of it; those that are pending are hollow."""
    path = sessions.recorded(repo, sessions.crowd(6, 300), checkpoint_after=200)
    entries = plain_scan.scan_file(path).entries
    root = picture(repo)

    assert Counter(text.split(" · ")[0] for text in titled(root)) == Counter(entry["actor_id"] for entry in entries)
    assert len(drawn(root, "hollow")) == 100


def test_names_of_all_domains_lie_within_the_picture(repo: Path) -> None:
    """However long they are: a letter takes some 7 units."""
    letters = "abcdef"
    with OpLog(repo, "s") as log:
        log.append_many([making.entry(at, domain=each * 80) for at, each in enumerate(letters, 1)])
    names = [text for text in picture(repo).iter(f"{NAMESPACE}text") if (text.text or " ")[0] in letters]
    named = {name.text[0]: float(name.get("x", "0")) + 7 * len(name.text) for name in names if name.text}
    assert set(letters) <= named.keys()
    assert max(named.values()) <= float(picture(repo).get("width", "0"))


def test_later_ops_lie_further_right(repo: Path) -> None:
    """The place of a mark follows its timestamp alone."""
    sessions.recorded(repo, sessions.crowd(6, 200))
    root = picture(repo)

    lefts = [left(path) for path in root.iter(f"{NAMESPACE}path") if len(path)]
    places = sorted(zip((int(text.rsplit(" ", 1)[1]) for text in titled(root)), lefts, strict=True))
    assert len({place for _, place in places}) == len({stamp for stamp, _ in places}) > 10
    assert [place for _, place in places] == sorted(place for _, place in places)


def test_links_are_those_between_actors(repo: Path) -> None:
    """A line is drawn for each parent that another actor made, and for no other."""
    path = sessions.recorded(repo, sessions.crowd(6, 200))
    entries = plain_scan.scan_file(path).entries
    actors = {entry["op_id"]: entry["actor_id"] for entry in entries}
    across = [parent for entry in entries for parent in entry["parent_op_ids"] if actors[parent] != entry["actor_id"]]

    (links,) = drawn(picture(repo), "link")
    assert links.get("d", "").count("M") == len(across) > 10


def test_checkpoint_line_lies_at_the_highest_timestamp_covered(repo: Path) -> None:
    """Every covered op lies left of it, and its label says what it is and how many pending ones do too."""
    early = [making.entry(number, lamport_ts=10 * number) for number in range(1, 11)]
    late = [making.entry(101, lamport_ts=50), making.entry(102, lamport_ts=200)]
    sessions.recorded(repo, [*early, *late], checkpoint_after=10)
    root = picture(repo)

    (line,) = drawn(root, "checkpoint")
    covered = [left(path) for path in drawn(root, "dot") if len(path)]
    assert len(covered) == 10
    assert max(covered) < left(line)
    texts = [text.text or "" for text in root.iter(f"{NAMESPACE}text")]
    assert "highest Lamport time that checkpoint snapshot <b>1</b> covers, 1 pending left of it" in texts


def test_a_large_session_is_drawn_as_bars_of_few_lanes(repo: Path) -> None:
    """However many ops and actors, the picture is small, and says how many it counts."""
    sessions.recorded(repo, sessions.crowd(900, 6_000))
    root = picture(repo)

    assert titled(root) == []
    assert drawn(root, "bar")
    texts = [text.text or "" for text in root.iter(f"{NAMESPACE}text")]
    assert any(text.startswith("6,000 ops of 900 actors, bars show the logarithm") for text in texts)
    assert f"{900 - limits.MAX_PICTURE_LANES + 1} other actors" in texts
    assert (repo / "report.svg").stat().st_size < 1_000_000


def test_hostile_texts_are_text(repo: Path) -> None:
    """A strict reader of XML finds no element and no character that an entry brought in."""
    sessions.recorded(repo, sessions.hostile_entries())
    root = picture(repo)

    names = {element.tag.removeprefix(NAMESPACE) for element in root.iter()}
    assert names == {"svg", "title", "desc", "style", "rect", "text", "path"}
    assert any(text.startswith("<script>window.hacked=1;alert(1)</script> · ") for text in titled(root))
    assert len(titled(root)) == len(sessions.HOSTILE)
    assert "url(" not in "".join(root.itertext())


def test_an_empty_session_has_a_picture(repo: Path) -> None:
    """Nothing to draw is no reason to fail."""
    making.add_bytes(making.log_path(repo), b"")

    assert titled(picture(repo)) == []
