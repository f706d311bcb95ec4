"""Medians of the repetitions, ratios to the better Postfix, and the page that shows them."""

import statistics

from . import chart

BASES = ("postfix", "postfix-tuned")
SUBJECT = "gatepost"
# Name, heading, whether more is better.
RATIOS = [
    ("accepted_per_s", "accepted/s", True),
    ("delivered_per_s", "delivered/s", True),
    ("cpu_s_per_1000", "CPU", False),
    ("end_p99_ms", "end of data p99", False),
    ("queue_p99_ms", "through the relay p99", False),
]
COLUMNS = [
    ("accepted_per_s", "accepted/s", ",.0f"),
    ("delivered_per_s", "delivered/s", ",.0f"),
    ("cpu_s_per_1000", "CPU s / 1,000", ".3f"),
    ("end_p50_ms", "end of data p50 ms", ".2f"),
    ("end_p99_ms", "p99 ms", ".1f"),
    ("queue_p50_ms", "through the relay p50 ms", ",.1f"),
    ("queue_p99_ms", "p99 ms", ",.0f"),
]


def write(out, results, curves):
    """The page, and a chart for the table and each curve."""
    page = ["# Gatepost and Postfix under the same load", "", describe(results), ""]
    table = [result for result in results if result["series"] == "table"]
    if table:
        page += ["![delivered and CPU](compare.svg)", "", *figures(table), "", *ratios(table), ""]
        (out / "compare.svg").write_text(chart.bars("The same load through each relay", groups(table)))
    page += memory([result for result in results if result["series"] == "memory"])
    for curve in curves:
        points = [result for result in results if result["series"] == curve.name]
        page += [f"## Over {curve.axis}", "", f"![{curve.name}](curve-{curve.name}.svg)", "", *figures(points), ""]
        (out / f"curve-{curve.name}.svg").write_text(chart.lines(f"Over {curve.axis}", groups(points, "place")))
    (out / "report.md").write_text("\n".join(page).rstrip() + "\n")


def describe(results):
    first, repetitions = results[0], 1 + max(result["repetition"] for result in results)
    lost, doubled = (sum(result[name] for result in results) for name in ("lost", "doubled"))
    return (
        f"{first['at']}, {first['cores']} cores shared by relay, load source and sink. Medians of {repetitions} "
        f"repetition{'s' if repetitions > 1 else ''} in turn. Lost: {lost}, doubled: {doubled}. "
        "Each figure by itself is in raw.jsonl."
    )


def groups(results, name="cell"):
    """Cell to relay to figures, each a list over the repetitions; all in the order of the first appearance."""
    found = {}
    for result in results:
        found.setdefault(result[name], {}).setdefault(result["relay"], []).append(result)
    return found


def median(results, name):
    return statistics.median(result[name] for result in results)


def figures(results):
    headings = [heading for _, heading, _ in COLUMNS]
    lines = row(["cell", "relay", *headings, "errors / lost / doubled", "others' share of the CPU"], is_heading=True)
    for cell, relays in groups(results).items():
        for relay, repeated in sorted(relays.items()):
            values = [format(median(repeated, name), form) for name, _, form in COLUMNS]
            faults = " / ".join(str(sum(result[name] for result in repeated)) for name in ("errors", "lost", "doubled"))
            shares = (result["others_cpu_s"] / result["wall_s"] / result["cores"] for result in repeated)
            lines += row([cell, relay, *values, faults, f"{statistics.median(shares):.0%}"])
    return lines


def ratios(results):
    """Of each repetition by itself, to the Postfix that did better in it; the median of these."""
    found = []
    for cell, relays in groups(results).items():
        values = [ratio(relays, name, more_is_better) for name, _, more_is_better in RATIOS]
        if any(value is not None for value in values):
            found += row([cell, *("-" if value is None else f"{value:.2f} x" for value in values)])
    if not found:
        return []
    headings = row(["Gatepost to the better Postfix", *(heading for _, heading, _ in RATIOS)], is_heading=True)
    return ["Rates: higher is better. CPU and times: lower is better.", "", *headings, *found]


def ratio(relays, name, more_is_better):
    found = []
    better = max if more_is_better else min
    for result in relays.get(SUBJECT, []):
        same = [b[name] for base in BASES for b in relays.get(base, []) if b["repetition"] == result["repetition"]]
        if same and better(same):
            found.append(result[name] / better(same))
    return statistics.median(found) if found else None


def memory(results):
    if not results:
        return []
    headings = ["memory (PSS, MB)", "idle", "highest under 50 sessions of 10 KB", "processes then", "after it"]
    lines = row(headings, is_heading=True)
    for relay, repeated in sorted(groups(results, "relay").items()):
        repeated = repeated[relay]
        idle, peak, after = ([result[f"memory_{when}"] for result in repeated] for when in ("idle", "peak", "after"))
        values = [f"{median(samples, 'pss_mb'):.1f}" for samples in (idle, peak, after)]
        lines += row([relay, values[0], values[1], f"{median(peak, 'processes'):.0f}", values[2]])
    return [*lines, ""]


def row(values, is_heading=False):
    line = f"| {' | '.join(values)} |"
    return [line, "|" + "---|" * len(values)] if is_heading else [line]


def line(result):
    """A word about a measurement, while it goes on."""
    head = f"{result['repetition'] + 1}  {result['relay']:<14} {result['cell']:<46}"
    if result["series"] == "memory":
        return f"{head} idle {result['memory_idle']['pss_mb']} MB, highest {result['memory_peak']['pss_mb']} MB"
    counts = [f"{result[name]} {name}" for name in ("errors", "lost", "doubled") if result[name]]
    return (
        f"{head} {result['accepted_per_s']:7.0f} in/s {result['delivered_per_s']:7.0f} out/s "
        f"{result['cpu_s_per_1000']:6.3f} CPU s/1000 {', '.join(counts)}".rstrip()
    )
