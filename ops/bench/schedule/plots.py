"""Line charts as SVG, by hand: no dependency for two kinds of picture. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_COLOURS = ("#2563a8", "#c2410c", "#4d7c0f", "#7e22ce", "#0f766e", "#b91c5c", "#a16207", "#475569")
_LEFT, _TOP, _WIDTH, _HEIGHT, _RIGHT, _BOTTOM = 64, 40, 560, 280, 170, 44


@dataclass(frozen=True, slots=True)
class Line:
    """A named curve; points whose y isn't finite are left out."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(
    title: str, x_label: str, y_label: str, lines: Sequence[Line], *, log_y: bool = False
) -> str:
    """Return an SVG of the curves with a legend, ticks and grid; the y axis begins at zero or,
    if `log_y`, at the power of ten below the smallest positive value."""
    kept = [
        Line(line.name, [p for p in line.points if _drawable(p, log_y=log_y)]) for line in lines
    ]
    xs = [x for line in kept for x, _ in line.points] or [0.0, 1.0]
    ys = [y for line in kept for _, y in line.points] or [1.0]
    x_ticks = _ticks(min(xs), max(xs))
    if log_y:
        low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
        y_ticks = [10.0**power for power in range(low, max(high, low + 1) + 1)]
    else:
        y_ticks = _ticks(0.0, max(ys))
    scale_x = _Scale.over(x_ticks[0], max(x_ticks[-1], *xs), _LEFT, _LEFT + _WIDTH)
    base, top = _TOP + _HEIGHT, _TOP
    scale_y = _Scale.over(y_ticks[0], max(y_ticks[-1], *ys), base, top, log=log_y)
    parts = [_text(_LEFT, 22, title, weight="600", size=14)]
    for tick in x_ticks:
        x = scale_x(tick)
        parts.append(_rule(x, top, x, base))
        parts.append(_text(x, base + 17, _number(tick), anchor="middle"))
    for tick in y_ticks:
        y = scale_y(tick)
        parts.append(_rule(_LEFT, y, _LEFT + _WIDTH, y))
        parts.append(_text(_LEFT - 7, y + 4, _number(tick), anchor="end"))
    parts.append(_text(_LEFT + _WIDTH / 2, base + 36, x_label, anchor="middle"))
    parts.append(
        f'<text transform="translate(15 {_TOP + _HEIGHT / 2:.0f}) rotate(-90)" '
        f'text-anchor="middle" font-size="11">{escape(y_label)}</text>'
    )
    for index, line in enumerate(kept):
        parts += _curve(line, index, [(scale_x(x), scale_y(y)) for x, y in line.points])
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" fill="#1f2937">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _drawable(point: tuple[float, float], *, log_y: bool) -> bool:
    return math.isfinite(point[1]) and (not log_y or point[1] > 0)


def _curve(line: Line, index: int, points: Sequence[tuple[float, float]]) -> list[str]:
    colour = _COLOURS[index % len(_COLOURS)]
    dash = ' stroke-dasharray="5 3"' if index >= len(_COLOURS) else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = _LEFT + _WIDTH + 14, _TOP + 10 + 18 * index
    drawn = [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>',
        f'<line x1="{x}" y1="{y}" x2="{x + 18}" y2="{y}" stroke="{colour}" '
        f'stroke-width="3"{dash}/>',
        _text(x + 24, y + 4, line.name),
    ]
    if len(points) <= 12:
        drawn += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{colour}"/>' for a, b in points]
    return drawn


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    factor: float
    first: float
    log: bool

    @classmethod
    def over(
        cls, low: float, high: float, first: float, last: float, *, log: bool = False
    ) -> "_Scale":
        if log:
            low, high = math.log10(low), math.log10(high)
        return cls(low, (last - first) / ((high - low) or 1.0), first, log)

    def __call__(self, value: float) -> float:
        return self.first + ((math.log10(value) if self.log else value) - self.low) * self.factor


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers that span the range, about five of them."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * index for index in range(first, last + 1)]


def _number(value: float) -> str:
    if value and abs(value) >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.6g}"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e5e7eb"/>'


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", weight: str = "400", size: int = 11
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}">{escape(words)}</text>'
    )
