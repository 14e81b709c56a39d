"""The piece of music that ships with the demo, and how it is read."""

from __future__ import annotations

import pytest

from muse.cli.demo.music import Note, Piece, edits, parsed, round_for_four
from tests.cli.demo.playing import play

SMALL = """
title A small piece  # with a comment
melody
  bar f C4 D4:2 F#4
  bar p Bb3:4
voice high enters 1 octaves 1 times 2
  slip 1 wrong E5
  slip 3 early
voice low apart enters 0 octaves -1 times 1 bars 2-2
"""


@pytest.fixture(scope="module")
def piece() -> Piece:
    """The piece that ships."""
    return round_for_four()


def test_round_has_four_voices_that_enter_two_bars_apart(piece: Piece) -> None:
    """Each voice sings the same melody, two bars after the one before it."""
    voices = [voice for voice in piece.voices if not voice.apart]
    starts = [voice.notes[0].at_ticks // (4 * 480) for voice in voices]

    assert piece.title == "Frère Jacques"
    assert [voice.name for voice in voices] == ["soprano", "alto", "tenor", "bass"]
    assert starts == [0, 2, 4, 6]
    melodies = [[note.pitch.rstrip("0123456789") for note in voice.notes] for voice in voices]
    assert melodies == [melodies[0]] * 4


def test_melody_is_frere_jacques(piece: Piece) -> None:
    """The eight bars, note by note."""
    bars = [" ".join(pitch for pitch, _ in notes) for _, notes in piece.melody]

    assert bars == [
        "C4 D4 E4 C4",
        "C4 D4 E4 C4",
        "E4 F4 G4",
        "E4 F4 G4",
        "G4 A4 G4 F4 E4 C4",
        "G4 A4 G4 F4 E4 C4",
        "C4 G3 C4",
        "C4 G3 C4",
    ]


@pytest.mark.parametrize("apart", [False, True])
def test_playing_the_edits_gives_the_notes(piece: Piece, apart: bool) -> None:
    """Applied one after the other, slips and corrections included, they end with the piece as it should be."""
    content = play([edit.domain_op for edit in edits(piece, apart=apart)])

    for voice in piece.voices:
        if voice.apart == apart:
            notes = content[f"frère-jacques/{voice.name}"]
            assert [_pitch_and_time(note) for note in notes] == [
                f"{note.pitch} @t{note.at_ticks}" for note in voice.notes
            ]
            assert [f"vel{loud}" for loud in voice.loudness] == [note.split()[1] for note in notes]


def _pitch_and_time(note: str) -> str:
    pitch, _, at, _ = note.split()
    return f"{pitch} {at}"


def test_every_slip_is_one(piece: Piece) -> None:
    """A wrong pitch is another than the right one, and every slip costs an edit."""
    for voice in piece.voices:
        for number, (kind, pitch) in voice.slips.items():
            assert kind != "wrong" or pitch != voice.notes[number].pitch


def test_all_kinds_of_operations_occur(piece: Piece) -> None:
    """Insert, delete, move, replace, mutate and patch."""
    kinds = {edit.domain_op["op"] for edit in edits(piece, apart=False)}

    assert kinds == {"insert", "delete", "move", "replace", "mutate", "patch"}


def test_following_voice_depends_on_the_leading_one(piece: Piece) -> None:
    """Each first note of the alto has a parent of its own and one of the soprano's."""
    made = edits(piece, apart=False)
    alto = [edit for edit in made if edit.actor_id.startswith("alto")]

    assert {made[parent].actor_id for parent in alto[0].parents} == {"soprano (score)"}
    assert {made[parent].actor_id for parent in alto[5].parents} == {"soprano (score)", "alto (score)"}


def test_small_piece_is_read_as_written() -> None:
    """Octaves, times, bars, beats and comments."""
    high, low = parsed(SMALL).voices

    assert [note.pitch for note in high.notes] == ["C5", "D5", "F#5", "Bb4"] * 2
    assert high.notes[0] == Note("C5", at_ticks=1920, dur_ticks=480)
    assert high.slips == {0: ("wrong", "E5"), 2: ("early", "")}
    assert (low.apart, [str(note) for note in low.notes]) == (True, ["Bb2 vel64 @t0 dur1920"])


@pytest.mark.parametrize(
    "line",
    ["bar f C4 D4 E4", "bar loud C4:4", "bar f H4:4", "note C4", "slip 9 wrong C4", "slip 1 sideways", "voice x"],
)
def test_line_that_is_not_of_the_format_is_named(line: str) -> None:
    """The error says which line it is."""
    with pytest.raises(ValueError, match="line 10: "):
        parsed(SMALL + line)
