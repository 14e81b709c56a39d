"""Edits of a musical score for the demo: several people typing the voices of a round.

A notes file has one statement per line. A "#" at the start of a word begins a comment:

    title TEXT, key TEXT                            for people
    melody                                          begins the melody; its bars follow:
      bar LOUDNESS PITCH[:BEATS] …                  such as "bar f C4 D4 E4:2"
    voice NAME [apart] enters BARS octaves N times N [bars FIRST-LAST]
      slip NOTE wrong PITCH | twice | early         a typing error that is made and then corrected

Each voice is typed by an actor of its own. The actor first types the notes, then sets their loudness once all voices
are typed, and last sets the phrasing, with one patch per bar. The voices of a round repeat each other, so each first
insertion of a note depends on the same note of the voice before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.resources import files

from muse.cli.demo import text_ops
from muse.cli.demo.trace import Edit
from muse.domain import DomainOp, MoveOp, MutateOp, PatchOp

DOMAIN = "music"

_LOUDNESS = {"pp": 32, "p": 48, "mf": 72, "f": 96}
_TYPED_VELOCITY = 64
_BEATS_PER_BAR = 4
_TICKS_PER_BEAT = 480
_PITCH = re.compile(r"([A-G](?:#|b)?)(-?\d+)")


@dataclass(frozen=True, slots=True)
class Note:
    """One note of one voice. Its text is the content summary in the log."""

    pitch: str
    at_ticks: int
    dur_ticks: int
    velocity: int = _TYPED_VELOCITY

    def __str__(self) -> str:
        return f"{self.pitch} vel{self.velocity} @t{self.at_ticks} dur{self.dur_ticks}"

    @property
    def content_id(self) -> str:
        """The hash of the note's text."""
        return text_ops.content_id(str(self))


@dataclass(slots=True)
class Voice:
    """What one person types: the correct notes, and the typing errors made on the way."""

    name: str
    apart: bool
    notes: list[Note]
    loudness: list[int]
    bar_of: list[int]
    slips: dict[int, tuple[str, str]] = field(default_factory=dict)
    """The typing errors by number of the note, from 0: (kind, the wrong pitch or "")."""


@dataclass(slots=True)
class Piece:
    """A piece of music in voices."""

    title: str = ""
    key: str = ""
    melody: list[tuple[int, list[tuple[str, float]]]] = field(default_factory=list)
    """Bars of (velocity, [(pitch, beats)])."""
    voices: list[Voice] = field(default_factory=list)


def round_for_four() -> Piece:
    """The piece that ships with the demo."""
    material = files("muse.cli.demo") / "material" / "frere-jacques.notes"
    return parsed(material.read_text("utf-8"))


def parsed(text: str) -> Piece:
    """Parse a notes file.

    Raises:
        ValueError: a line does not follow the format. The message quotes it.
    """
    piece = Piece()
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.sub(r"(^|\s)#.*", "", line).split()
        if not words:
            continue
        try:
            _take(piece, words)
        except (ValueError, IndexError, KeyError) as error:
            raise ValueError(f"line {number}: {line.strip()!r}: {error}") from error
    return piece


def _take(piece: Piece, words: list[str]) -> None:
    match words:
        case ["title", *rest]:
            piece.title = " ".join(rest)
        case ["key", *rest]:
            piece.key = " ".join(rest)
        case ["melody"]:
            piece.melody.clear()
        case ["bar", loudness, *notes]:
            piece.melody.append((_LOUDNESS[loudness], _bar(notes)))
        case ["voice", name, *rest]:
            piece.voices.append(_voice(piece, name, rest))
        case ["slip", note, kind, *pitch] if kind in ("wrong", "twice", "early"):
            voice = piece.voices[-1]
            voice.slips[int(note) - 1] = (kind, pitch[0] if kind == "wrong" else "")
            voice.notes[int(note)]  # a slip is followed by another note
        case _:
            raise ValueError("not a line of the notes format")


def _bar(words: list[str]) -> list[tuple[str, float]]:
    notes = []
    for word in words:
        pitch, _, beats = word.partition(":")
        if not _PITCH.fullmatch(pitch):
            raise ValueError(f"{pitch!r} is not a pitch")
        notes.append((pitch, float(beats or 1)))
    if sum(beats for _, beats in notes) != _BEATS_PER_BAR:
        raise ValueError(f"a bar has {_BEATS_PER_BAR} beats")
    return notes


def _voice(piece: Piece, name: str, words: list[str]) -> Voice:
    apart = words[:1] == ["apart"]
    told = dict(zip(words[apart::2], words[apart + 1 :: 2], strict=True))
    first, last = (int(bar) for bar in told.get("bars", f"1-{len(piece.melody)}").split("-"))
    voice = Voice(name, apart, notes=[], loudness=[], bar_of=[])
    start_bar = int(told["enters"])
    for bar, (velocity, notes) in enumerate(piece.melody[first - 1 : last] * int(told["times"])):
        at_beats = float((start_bar + bar) * _BEATS_PER_BAR)
        for pitch, beats in notes:
            ticks = int(at_beats * _TICKS_PER_BEAT), int(beats * _TICKS_PER_BEAT)
            voice.notes.append(Note(_octaves(pitch, int(told["octaves"])), *ticks))
            voice.loudness.append(velocity)
            voice.bar_of.append(bar)
            at_beats += beats
    return voice


def _octaves(pitch: str, up: int) -> str:
    found = _PITCH.fullmatch(pitch)
    assert found is not None  # noqa: S101 - checked when the bar was read
    return f"{found[1]}{int(found[2]) + up}"


def edits(piece: Piece, *, apart: bool) -> list[Edit]:
    """The edits that type the voices: those of the session, or with `apart` those of the offline actor."""
    typing = _Typing(piece.title)
    voices = [voice for voice in piece.voices if voice.apart == apart]
    leading: dict[int, int] = {}
    for voice in voices:
        leading = typing.enter_notes(voice, leading)
    everybody = [typing.last[voice.name] for voice in voices]
    for voice in voices:
        typing.set_loudness(voice, everybody)
        typing.phrase(voice)
    return typing.edits


class _Typing:
    """Collects edits. Each depends on its actor's previous edit and on any further edits given."""

    def __init__(self, title: str) -> None:
        self.edits: list[Edit] = []
        self.last: dict[str, int] = {}
        self._place = re.sub(r"\W+", "-", title.lower())

    def _add(self, voice: Voice, op: DomainOp, *further: int) -> int:
        own = [self.last[voice.name]] if voice.name in self.last else []
        parents = tuple(sorted({*own, *further}))
        self.edits.append(Edit(f"{voice.name} (score)", parents, DOMAIN, op))
        self.last[voice.name] = len(self.edits) - 1
        return self.last[voice.name]

    def _address(self, voice: Voice) -> str:
        return f"{self._place}/{voice.name}"

    def enter_notes(self, voice: Voice, leading: dict[int, int]) -> dict[int, int]:
        """Type the notes; return for each note the number of the edit that completes it."""
        stands: dict[int, int] = {}
        for number, note in enumerate(voice.notes):
            if number in stands:
                continue  # already typed, before the previous note
            leader = (leading[number],) if number in leading else ()
            kind, wrong = voice.slips.get(number, ("", ""))
            if kind == "early":
                stands[number + 1] = self._type_swapped(voice, number, leader)
            elif kind == "wrong":
                typed = replace(note, pitch=wrong)
                self._add(voice, text_ops.insert(self._address(voice), number, str(typed)), *leader)
                self._add(voice, text_ops.replace(self._address(voice), number, str(typed), str(note)))
            else:
                self._add(voice, text_ops.insert(self._address(voice), number, str(note)), *leader)
            if kind == "twice":
                self._add(voice, text_ops.insert(self._address(voice), number + 1, str(note)))
                self._add(voice, text_ops.delete(self._address(voice), number + 1, str(note)))
            stands[number] = self.last[voice.name]
        return stands

    def _type_swapped(self, voice: Voice, number: int, leader: tuple[int, ...]) -> int:
        """Type a note after its successor, then move it to where it belongs."""
        note, successor = voice.notes[number], voice.notes[number + 1]
        self._add(voice, text_ops.insert(self._address(voice), number, str(successor)), *leader)
        self._add(voice, text_ops.insert(self._address(voice), number + 1, str(note)))
        moved = MoveOp(
            op="move",
            address=self._address(voice),
            from_position=number + 1,
            to_position=number,
            content_id=note.content_id,
        )
        return self._add(voice, moved)

    def _mutate(self, voice: Voice, position: int, old: Note, new: Note) -> MutateOp:
        names = ("velocity", "dur_ticks")
        changed = {name: (getattr(old, name), getattr(new, name)) for name in names}
        return MutateOp(
            op="mutate",
            address=self._address(voice),
            entity_id=f"{voice.name}:{position + 1}",
            old_content_id=old.content_id,
            new_content_id=new.content_id,
            fields={name: {"old": was, "new": now} for name, (was, now) in changed.items() if was != now},
            old_summary=str(old),
            new_summary=str(new),
            position=position,
        )

    def set_loudness(self, voice: Voice, everybody: list[int]) -> None:
        """Set the loudness of each note. The first of these edits depends on the last notes of all voices."""
        for position, (note, velocity) in enumerate(zip(voice.notes, voice.loudness, strict=True)):
            louder = replace(note, velocity=velocity)
            self._add(voice, self._mutate(voice, position, note, louder), *(everybody if position == 0 else ()))

    def phrase(self, voice: Voice) -> None:
        """Shorten the last note of each bar a little, so that the end of the phrase can be heard."""
        for bar, positions in _bars(voice):
            children: list[DomainOp] = []
            for position in positions[-1:]:
                note = replace(voice.notes[position], velocity=voice.loudness[position])
                shorter = replace(note, dur_ticks=note.dur_ticks * 3 // 4)
                children.append(self._mutate(voice, position, note, shorter))
            patch = PatchOp(
                op="patch",
                address=self._address(voice),
                child_ops=children,
                child_domain="music.bar",
                child_summary=f"bar {bar + 1}: breath at the end",
            )
            self._add(voice, patch)


def _bars(voice: Voice) -> Iterator[tuple[int, list[int]]]:
    bars: dict[int, list[int]] = {}
    for position, bar in enumerate(voice.bar_of):
        bars.setdefault(bar, []).append(position)
    yield from bars.items()
