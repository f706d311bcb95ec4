"""What the load programs stand on: a relay with room for load, what a process and a folder occupy, curves as CSV and SVG."""

import math
import os
import pathlib
import re
import resource
import statistics
import subprocess
import threading
import time

import rig

LIMITS = {"max_connections_per_client": "20000", "max_messages_per_session": "1000000"}
COLORS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"]


def domain(names, port, address="127.0.0.1", route="", keys=""):
    """The text of a domain file: names that go to one next hop; `keys` stand before the route, `route` in it."""
    listed = ", ".join(f'"{name}"' for name in ([names] if isinstance(names, str) else names))
    return f'domains = [{listed}]\nhosted = true\nrecipients = "any"\n{keys}[route]\nhosts = ["{address}:{port}"]\n{route}'


def relay(folder, domains, retry='["1h"]', limits=None, spool="", environment=None, defaults=""):
    """A relay for load. `limits` and `spool` are further keys of the configuration."""
    keys = "".join(f"{key} = {value}\n" for key, value in {**LIMITS, **(limits or {})}.items())
    many_files()
    return rig.Daemon(folder, domains, f"[limits]\n{keys}{defaults}", spool_keys=f"retry = {retry}\n{spool}", environment=environment,
                      metrics_port=rig.free_port())


def many_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def memory(pid):
    """Resident and proportional set in MB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1]) / 1024 for key in ("Rss", "Pss"))


def peak_resident(pid):
    """The highest resident set since `forget_peak`, in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def occupied(folder):
    """MB on disk below a folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            pass
    return total / 1e6


def median(values):
    return statistics.median(values) if values else 0


def say(text):
    print(f"      {text}", flush=True)


def table(head, rows):
    cells = [list(map(str, row)) for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def write_csv(path, head, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in [head, *rows]) + "\n")


def ticks(highest):
    """Round figures from 0 on, ten at the most."""
    power = 10 ** math.floor(math.log10(highest))
    step = next(step for step in (power / 5, power / 2, power, power * 2) if highest / step <= 10)
    return [round(step * number, 6) for number in range(int(highest / step) + 1)]


def write_svg(path, title, across, curves, marks=()):
    """Curves {name: [(x, y)]} over one axis; `marks` are (x, words) at which something happened."""
    width, height, left, top, bottom = 900, 420, 60, 50, 50
    points = [point for curve in curves.values() for point in curve]
    x_max, y_max = max((x for x, _ in points), default=1) or 1, max((y for _, y in points), default=1) * 1.1 or 1
    at_x = lambda x: round(left + x / x_max * (width - left - 20), 1)
    at_y = lambda y: round(height - bottom - y / y_max * (height - top - bottom), 1)
    style = "text{font:13px sans-serif;fill:#333}line{stroke:#999}polyline{fill:none;stroke-width:1.6}"
    dark = "@media(prefers-color-scheme:dark){text{fill:#ddd}rect{fill:#181818}}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>rect{{fill:#fff}}{style}{dark}</style>',
             f'<rect width="{width}" height="{height}"/><text x="{left}" y="22" font-weight="bold">{title}</text>',
             f'<line x1="{left}" y1="{at_y(0)}" x2="{width - 20}" y2="{at_y(0)}"/><line x1="{left}" y1="{top}" x2="{left}" y2="{at_y(0)}"/>',
             f'<text x="{width / 2}" y="{height - 10}">{across}</text>']
    parts += [f'<text x="{at_x(x)}" y="{at_y(0) + 18}" text-anchor="middle">{x:g}</text>' for x in ticks(x_max)]
    parts += [f'<text x="{left - 8}" y="{at_y(y) + 4}" text-anchor="end">{y:g}</text>' for y in ticks(y_max)]
    for x, words in marks:
        parts.append(f'<line x1="{at_x(x)}" y1="{top}" x2="{at_x(x)}" y2="{at_y(0)}" stroke-dasharray="4"/>')
        parts.append(f'<text x="{at_x(x) + 4}" y="{top + 10}">{words}</text>')
    for number, ((name, curve), color) in enumerate(zip(curves.items(), COLORS)):
        line = " ".join(f"{at_x(x)},{at_y(y)}" for x, y in curve)
        parts.append(f'<polyline points="{line}" stroke="{color}"/>')
        parts.append(f'<text x="{left + 10 + 220 * number}" y="40" style="fill:{color}">{name}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def command(*arguments, config):
    """A command of the binary: exit code, what it printed, what it said on stderr."""
    done = subprocess.run([rig.GATEPOST, *map(str, arguments), "--config", str(config)], capture_output=True, check=False, timeout=600,
                          env={**os.environ, "NO_COLOR": "1"})
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


class Watch:
    """Samples (seconds since the begin, figures) of something until it is stopped."""

    def __init__(self, look, every=1.0):
        self.look, self.every, self.samples, self.began = look, every, [], time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.wait(self.every):
            try:
                self.samples.append((time.monotonic() - self.began, *self.look()))
            except (OSError, TypeError, ValueError, AttributeError, KeyError):
                # Between a kill and the next start there is nothing to be seen.
                continue

    def stop(self):
        self.over.set()
        self.thread.join(10)
        return self.samples
