"""Charts as plain SVG: no script, nothing from elsewhere, readable on light and dark pages."""

import html
import math
import statistics

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1c1e21 }
.title { font-size: 16px; font-weight: 600 } .axis { font-weight: 600 } .quiet { fill: #59616b }
.paper { fill: #ffffff } .grid { stroke: #dfe3e8; stroke-width: 1 }
.gatepost { fill: #1f5fbf } .postfix { fill: #8a9099 } .postfix-tuned { fill: #c2691c }
.line { fill: none; stroke-width: 2 } .spread { stroke-width: 1 }
.line.gatepost, .spread.gatepost { stroke: #1f5fbf } .line.postfix, .spread.postfix { stroke: #8a9099 }
.line.postfix-tuned, .spread.postfix-tuned { stroke: #c2691c }
.line.gatepost, .line.postfix, .line.postfix-tuned { fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #e8eaed } .quiet { fill: #a3abb5 } .paper { fill: #14171a } .grid { stroke: #2f353c }
.gatepost { fill: #6ea8ff } .postfix { fill: #98a0aa } .postfix-tuned { fill: #f0a35e }
.line.gatepost, .spread.gatepost { stroke: #6ea8ff } .line.postfix, .spread.postfix { stroke: #98a0aa }
.line.postfix-tuned, .spread.postfix-tuned { stroke: #f0a35e }
.line.gatepost, .line.postfix, .line.postfix-tuned { fill: none }
}
"""
PANELS = [
    ("delivered_per_s", "delivered/s, more is better"),
    ("cpu_s_per_1000", "CPU s / 1,000 messages, less is better"),
]
RELAYS = ["gatepost", "postfix", "postfix-tuned"]
WIDTH, MARGIN, TOP = 980, 16, 76
# Of bars.
LABEL_WIDTH, BAR, ROW_GAP, VALUE_WIDTH = 290, 14, 14, 62
# Of curves.
PLOT_HEIGHT, AXIS_WIDTH, PANEL_GAP = 260, 56, 36
GRID_LINES = 4
# Beyond this ratio of the highest to the lowest value the axis is logarithmic.
LINEAR_RATIO_MAX = 20


def bars(title, groups):
    """A row for each cell, a bar for each relay, the two panels side by side."""
    shapes, width = [], (WIDTH - LABEL_WIDTH - 2 * MARGIN - PANEL_GAP) / 2
    lefts = [LABEL_WIDTH + MARGIN + place * (width + PANEL_GAP) for place in range(2)]
    tops = {name: _median_max(groups, name) for name, _ in PANELS}
    y = TOP + 12
    for cell, relays in groups.items():
        shown = [relay for relay in RELAYS if relay in relays]
        shapes.append(_text(MARGIN, y + BAR * len(shown) / 2 + 4, cell))
        for relay in shown:
            for left, (name, _) in zip(lefts, PANELS):
                value = _median(relays[relay], name)
                length = (width - VALUE_WIDTH) * value / (tops[name] or 1)
                shapes.append(f'<rect class="{relay}" x="{left:.1f}" y="{y}" width="{length:.1f}" height="{BAR - 2}"/>')
                shapes.append(_text(left + length + 5, y + BAR - 4, _number(value), "quiet"))
            y += BAR
        y += ROW_GAP
    heads = [_text(left, TOP, heading, "axis") for left, (_, heading) in zip(lefts, PANELS)]
    return _page(title, groups, y, heads + shapes)


def lines(title, groups):
    """A line for each relay over the steps, which stand at equal distances; from least to most of the repetitions."""
    shapes, width = [], (WIDTH - 2 * MARGIN - PANEL_GAP - 2 * AXIS_WIDTH) / 2
    for place, (name, heading) in enumerate(PANELS):
        left = MARGIN + AXIS_WIDTH + place * (width + AXIS_WIDTH + PANEL_GAP)
        shapes.append(_text(left - AXIS_WIDTH, TOP, heading, "axis"))
        shapes += _plot(groups, name, left, TOP + 16, width)
    return _page(title, groups, TOP + PLOT_HEIGHT + 44, shapes)


def _plot(groups, name, left, top, width):
    values = [value[name] for relays in groups.values() for repeated in relays.values() for value in repeated]
    low, high = min((value for value in values if value > 0), default=1), max(values, default=1) or 1
    is_log = high / low > LINEAR_RATIO_MAX
    ticks = _log_ticks(low, high) if is_log else _linear_ticks(high)

    def height(value):
        if is_log:
            share = math.log(max(value, ticks[0]) / ticks[0]) / math.log(ticks[-1] / ticks[0])
        else:
            share = value / ticks[-1]
        return top + PLOT_HEIGHT * (1 - share)

    shapes = []
    for tick in ticks:
        y = height(tick)
        shapes.append(f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        shapes.append(_text(left - 6, y + 4, _number(tick), "quiet", "end"))
    step = width / max(1, len(groups))
    across = {cell: left + step * (place + 0.5) for place, cell in enumerate(groups)}
    shapes += [_text(x, top + PLOT_HEIGHT + 18, cell, "quiet", "middle") for cell, x in across.items()]
    for relay in RELAYS:
        points = [(across[cell], relays[relay]) for cell, relays in groups.items() if relay in relays]
        path = " ".join(f"{x:.1f},{height(_median(repeated, name)):.1f}" for x, repeated in points)
        shapes.append(f'<polyline class="line {relay}" points="{path}"/>')
        for x, repeated in points:
            ends = [height(function(value[name] for value in repeated)) for function in (min, max)]
            y = height(_median(repeated, name))
            place = f'x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"'
            shapes.append(f'<line class="spread {relay}" {place}/>')
            shapes.append(f'<circle class="{relay}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
    return shapes


def _page(title, groups, height, shapes):
    legend, x = [], MARGIN
    for relay in [relay for relay in RELAYS if any(relay in relays for relays in groups.values())]:
        legend.append(f'<rect class="{relay}" x="{x}" y="40" width="12" height="12"/>')
        legend.append(_text(x + 18, 50, relay))
        x += 36 + 8 * len(relay)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{html.escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}"/>',
        _text(MARGIN, 26, title, "title"),
        *legend,
        *shapes,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x, y, text, style="", anchor="start"):
    style = f' class="{style}"' if style else ""
    anchor = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{style}{anchor}>{html.escape(str(text))}</text>'


def _median(repeated, name):
    return statistics.median(value[name] for value in repeated)


def _median_max(groups, name):
    return max((_median(repeated, name) for relays in groups.values() for repeated in relays.values()), default=1)


def _linear_ticks(high):
    """From 0 to a round number at or above the highest value."""
    rough = high / GRID_LINES
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [step * place for place in range(math.ceil(high / step) + 1)]


def _log_ticks(low, high):
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def _number(value):
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
