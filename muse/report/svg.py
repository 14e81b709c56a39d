"""The diagram as an SVG picture of limited size, in light or dark by the reader's preference.

A small session is drawn op by op, a larger one as bars of counts. The picture contains no script and loads nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice, starmap
from xml.sax.saxutils import escape

from muse.report.gathering.gather import Gathered, Ranks
from muse.report.gathering.shown_op import ShownOp
from muse.report.limits import MAX_PICTURE_LANES, MAX_PICTURE_LINKS, MAX_PICTURE_OPS
from muse.report.palette import DARK, LIGHT, SHAPES, colour_name
from muse.report.text import brief

_WIDTH, _LEFT, _RIGHT = 1000, 220, 16
_PLOT = _WIDTH - _LEFT - _RIGHT
_TOP, _BOTTOM = 76, 44
_COLUMNS = 220
_LETTER = 7
"""The assumed width of a character of a name."""


def diagram_svg(gathered: Gathered) -> str:
    """Return the picture of a session as the text of an SVG file."""
    return "\n".join(_Picture(gathered).parts()) + "\n"


class _Picture:
    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._stats = gathered.stats
        self._lanes = Ranks(gathered.stats.actors, MAX_PICTURE_LANES)
        self._single = gathered.is_whole and len(gathered.ops) <= MAX_PICTURE_OPS
        self._lane_height = min(max(480 // max(len(self._lanes), 1), 15), 36)
        self._height = _TOP + self._lane_height * max(len(self._lanes), 1) + _BOTTOM
        self._lowest = self._stats.min_lamport_ts
        self._span = max(self._stats.max_lamport_ts - self._lowest, 1)

    def parts(self) -> Iterator[str]:
        """Yield the elements, from back to front."""
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {self._height}" width="{_WIDTH}" '
            f'height="{self._height}" role="img" aria-labelledby="title desc" font-family="system-ui, sans-serif">'
        )
        yield f'<title id="title">{_text(f"Op log of session {self._stats.session_id}")}</title>'
        yield f'<desc id="desc">{_text(self._in_words())}</desc>'
        yield f"<style>{_style()}</style>"
        yield f'<rect class="card" width="{_WIDTH}" height="{self._height}"/>'
        yield f'<text class="ink" x="16" y="28" font-size="17" font-weight="600">{_text(self._stats.session_id)}</text>'
        yield f'<text class="soft" x="16" y="47" font-size="12">{_text(self._in_words())}</text>'
        yield from self._stripes()
        yield from self._axis()
        yield from self._links()
        yield from self._dots() if self._single else self._bars()
        yield from self._commits()
        yield from self._checkpoint()
        yield from self._legend()
        yield "</svg>"

    def _in_words(self) -> str:
        stats = self._stats
        how = "every op shown" if self._single else "bars show the logarithm of the number of ops"
        made = len(self._gathered.commits.all)
        lines = f"; thin lines are commits, {made:,} in all" if made else ""
        return f"{stats.ops:,} ops of {len(stats.actors):,} actors, {how}; later in Lamport time is to the right{lines}"

    def _x(self, lamport_ts: float) -> float:
        return _LEFT + 6 + (lamport_ts - self._lowest) / self._span * (_PLOT - 12)

    def _y(self, lane: int) -> float:
        return _TOP + (lane + 0.5) * self._lane_height

    def _upright(self, x: float) -> str:
        return f"M{x:.1f} {_TOP}V{self._height - _BOTTOM}"

    def _stripes(self) -> Iterator[str]:
        counts = Counter[int]()
        for name, share in self._stats.actors.items():
            counts[self._lanes.of(name)] += share.ops
        for lane in range(len(self._lanes)):
            if lane % 2 == 0:
                top = _TOP + lane * self._lane_height
                yield f'<rect class="stripe" x="0" y="{top}" width="{_WIDTH}" height="{self._lane_height}"/>'
            middle, count = self._y(lane) + 4, f"{counts[lane]:,}"
            name = _text(self._lane_name(lane, len(count)))
            yield f'<text class="ink" x="16" y="{middle:g}" font-size="12">{name}</text>'
            right = f'x="{_LEFT - 10}" y="{middle:g}" font-size="11" text-anchor="end"'
            yield f'<text class="soft" {right}>{count}</text>'

    def _lane_name(self, lane: int, digits: int) -> str:
        name = self._lanes.label(lane, "actors")
        room = int((_LEFT - 40 - 7 * digits) / _LETTER)
        # Cut the name in the middle, because similar names often differ at their ends.
        return name if len(name) <= room else f"{name[: (room - 1) // 2]}…{name[-(room // 2) :]}"

    def _axis(self) -> Iterator[str]:
        yield f'<text class="soft" x="16" y="{_TOP - 8}" font-size="11">Lamport time</text>'
        for at in _ticks(self._lowest, self._lowest + self._span):
            x = self._x(at)
            yield f'<path class="rule line" d="{self._upright(x)}"/>'
            yield f'<text class="soft" x="{x:.1f}" y="{_TOP - 8}" font-size="11" text-anchor="middle">{at:,}</text>'

    def _links(self) -> Iterator[str]:
        across = (ends for ends in self._gathered.links() if self._has_own_lane(*ends))
        yield f'<path class="links link" d="{"".join(starmap(self._curve, islice(across, MAX_PICTURE_LINKS)))}"/>'

    def _has_own_lane(self, start: ShownOp, end: ShownOp) -> bool:
        """Whether a link joins two different actors' own lanes. In the shared lane, the actor would be unclear."""
        lanes = {self._lanes.of(start.actor_id), self._lanes.of(end.actor_id)}
        return len(lanes) == 2 and max(lanes) < len(self._lanes.own)

    def _curve(self, start: ShownOp, end: ShownOp) -> str:
        x1, x2 = self._x(start.lamport_ts), self._x(end.lamport_ts)
        y1, y2 = (self._y(self._lanes.of(op.actor_id)) for op in (start, end))
        bend = max((x2 - x1) / 2, 6)
        return f"M{x1:.1f} {y1:g}C{x1 + bend:.1f} {y1:g} {x2 - bend:.1f} {y2:g} {x2:.1f} {y2:g}"

    def _dots(self) -> Iterator[str]:
        # Without a checkpoint or commit all ops are pending, so marking them would tell nothing.
        marked = self._stats.checkpoint is not None or self._gathered.commits.all
        for op in self._gathered.ops:
            domain = self._gathered.domains.of(op.domain)
            shape = f"M{self._x(op.lamport_ts):.1f} {self._y(self._lanes.of(op.actor_id)):g}{SHAPES[domain]}"
            about = brief(f"{op.actor_id} · {op.domain} · {op.kind} {op.address} · Lamport {op.lamport_ts:,}")
            kind = "hollow" if marked and self._gathered.is_pending(op) else "dot"
            yield f'<path class="{kind} {self._colour(domain)}" d="{shape}"><title>{_text(about)}</title></path>'

    def _bars(self) -> Iterator[str]:
        columns = self._columns()
        own = (sum(counts.values()) for (lane, _), counts in columns.items() if lane < len(self._lanes.own))
        most = math.log1p(max(own, default=1))
        paths: dict[str, list[str]] = {}
        width = (_PLOT - 12) / _COLUMNS
        for (lane, column), counts in columns.items():
            total = sum(counts.values())
            # The shared lane is not used for the scale, since it would make all other bars small. Its bars are cut
            # at the top of the lane.
            height = (self._lane_height - 4) * min(max(math.log1p(total) / most, 0.15), 1)
            x, y = _LEFT + 6 + column * width, _TOP + (lane + 1) * self._lane_height - 2.0
            for domain, ops in sorted(counts.items()):
                part = height * ops / total
                path = f"M{x:.1f} {y:.1f}h{width - 0.4:.1f}v{-part:.1f}h{0.4 - width:.1f}z"
                paths.setdefault(self._colour(domain), []).append(path)
                y -= part
        for colour, pieces in sorted(paths.items()):
            yield f'<path class="bar {colour}" d="{"".join(pieces)}"/>'

    def _columns(self) -> dict[tuple[int, int], Counter[int]]:
        """The ops by domain in each lane and column of the picture."""
        columns: defaultdict[tuple[int, int], Counter[int]] = defaultdict(Counter)
        density = self._gathered.density
        for (actor, domain), bins in density.runs():
            lane, place = self._lanes.of(actor), self._gathered.domains.of(domain)
            for number, ops in bins:
                column = int((number * density.width - self._lowest) / self._span * _COLUMNS)
                columns[lane, min(max(column, 0), _COLUMNS - 1)][place] += ops
        return columns

    def _commits(self) -> Iterator[str]:
        commits = self._gathered.commits
        for number in commits.shown() if self._stats.ops else ():
            made, x = commits.all[number - 1], self._x(commits.highest[number]) + 2
            about = _text(f"commit {commits.id_of(number)}, {made.ops:,} ops")
            yield f'<path class="commit mark" d="{self._upright(x)}"><title>{about}</title></path>'

    def _checkpoint(self) -> Iterator[str]:
        mark = self._stats.checkpoint
        if mark is None or not self._stats.ops:
            return
        x = self._x(mark["lamport_ts"]) + 2
        yield f'<path class="checkpoint mark" d="{self._upright(x)}"/>'
        late = f", {self._gathered.late_pending:,} pending left of it" if self._gathered.late_pending else ""
        named = brief(mark["snapshot_id"], 30)
        label = f"highest Lamport time that checkpoint {named} covers{late}"
        right = x > _LEFT + _PLOT / 2
        yield (
            f'<text class="mark" x="{x - 4 if right else x + 4:.1f}" y="{self._height - _BOTTOM + 13}" '
            f'font-size="11" text-anchor="{"end" if right else "start"}">{_text(label)}</text>'
        )

    def _legend(self) -> Iterator[str]:
        x, y = 20.0, self._height - 12
        for domain in range(len(self._gathered.domains)):
            name = self._gathered.domains.label(domain, "domains", 18)
            yield f'<path class="dot {self._colour(domain)}" d="M{x:.1f} {y - 4}{SHAPES[domain]}"/>'
            yield f'<text class="ink" x="{x + 10:g}" y="{y}" font-size="12">{_text(name)}</text>'
            x += 34 + 7 * len(name)

    def _colour(self, domain: int) -> str:
        return colour_name(domain, len(self._gathered.domains.own))


def _text(text: str) -> str:
    return escape(brief(text, 160))


def _ticks(lowest: int, highest: int) -> Iterator[int]:
    """About seven round timestamps, spaced by 1, 2 or 5 times a power of ten."""
    rough = max((highest - lowest) / 7, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    yield from range(-(-lowest // step) * step, highest + 1, step)


def _style() -> str:
    """The style sheet: light colours, or dark ones if the reader prefers them. A class of an element is its colour."""
    fixed = (
        "text,rect,.dot,.bar{fill:currentColor}.rule,.links,.commit,.checkpoint{fill:none;stroke:currentColor}"
        ".hollow{stroke:currentColor;stroke-width:1.7}.links{opacity:.4}.commit{opacity:.5}"
        ".checkpoint{stroke-width:1.5;stroke-dasharray:5 4}"
    )
    return f"{fixed}{_colours(LIGHT)}@media (prefers-color-scheme:dark){{{_colours(DARK)}}}"


def _colours(theme: Mapping[str, str]) -> str:
    named = "".join(f".{name}{{color:{colour}}}" for name, colour in theme.items())
    return f"{named}.dot{{stroke:{theme['card']}}}.hollow{{fill:{theme['card']}}}"
