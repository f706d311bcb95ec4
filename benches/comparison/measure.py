"""One measurement: a load, until everything has come out of the relay again, and what that took."""

import itertools
import threading
import time

from . import load
from .accounting import Machine
from .relays import DEAD, MANY, PLAIN, TLS

# Without a further message at the sink for so long, the rest counts as lost.
STANDSTILL_SECONDS = 30
SETTLE_SECONDS_MAX = 5
BACKLOG_SETTLE_SECONDS_MAX = 60
SETTLE_STEP_SECONDS = 0.3
SETTLED_CPU_SHARE = 0.03
FILL_SECONDS_MAX = 3600
QUIET_STEP_SECONDS = 1.0
# Of one core.
QUIET_CPU_SHARE = 0.15
MEMORY_STEP_SECONDS = 0.25
WARM_UP_SECONDS = 1.0

_runs = itertools.count(int(time.time()) % 1_000_000 * 1000)


class Rig:
    """The generator and its two sinks, which all relays share."""

    def __init__(self, program, chain, key, sink_options):
        self.program = program
        self.plain = load.Sink(program, ["--whole-loopback", *sink_options])
        self.tls = load.Sink(program, ["--chain", chain, "--key", key, *sink_options])

    def stop(self):
        self.plain.stop()
        self.tls.stop()

    def warm_up(self, relay):
        """The first messages pay for processes and caches that later ones find."""
        for starttls in (False, True):
            self._carry(relay, {"sessions": 10, "seconds": WARM_UP_SECONDS, "starttls": starttls})

    def fill(self, relay, messages):
        """Queues this many messages for a destination that does not answer."""
        begin = time.monotonic()
        options = {"sessions": 50, "messages": messages, "seconds": FILL_SECONDS_MAX, "domain": DEAD}
        accepted = load.send(self.program, relay.port, options)["accepted"]
        settle(relay, BACKLOG_SETTLE_SECONDS_MAX)
        return {"filled": accepted, "seconds": round(time.monotonic() - begin, 1)}

    def measure(self, relay, cell, seconds):
        """The figures of a cell, as they go into the raw file."""
        options = {"sessions": cell.sessions, "size": cell.size, "seconds": seconds, "starttls": cell.starttls}
        options["per_connection"] = cell.per_connection or None
        if cell.destinations > 1:
            options |= {"destinations": cell.destinations, "domain": MANY}
        if cell.messages:
            options |= {"messages": cell.messages, "seconds": FILL_SECONDS_MAX}
        machine, cpu_before = Machine(), relay.account.cpu_seconds()
        source, report, sink_cpu = self._carry(relay, options)
        settle(relay, SETTLE_SECONDS_MAX)
        cpu = relay.account.cpu_seconds() - cpu_before
        wall, busy, stolen = machine.since()
        accepted = source["accepted"]
        missing = set(report["missing"]) - set(source["unaccepted"])
        span = (report["last_ns"] - source["first_ns"]) / 1e9
        others = max(0.0, busy - cpu - source["cpu_s"] - sink_cpu)
        return {
            "relay": relay.name,
            "cell": cell.label,
            "accepted": accepted,
            "delivered": report["distinct"],
            "lost": len(missing),
            "doubled": report["doubled"],
            "errors": sum(source["errors"].values()),
            "error_texts": source["errors"],
            "accepted_per_s": round(accepted / source["seconds"], 1) if source["seconds"] else 0,
            "delivered_per_s": round(report["distinct"] / span, 1) if span > 0 else 0,
            "cpu_s_per_1000": round(cpu * 1000 / accepted, 4) if accepted else 0,
            "end_p50_ms": source["p50_ms"],
            "end_p99_ms": source["p99_ms"],
            "queue_p50_ms": report["wait_p50_ms"],
            "queue_p99_ms": report["wait_p99_ms"],
            "setup_p50_ms": source["setup_p50_ms"],
            "connections_in": source["connections"],
            "connections_out_max": report["open_max"],
            "source_cpu_s": round(source["cpu_s"], 3),
            "sink_cpu_s": round(sink_cpu, 3),
            "others_cpu_s": round(others, 2),
            "stolen_s": round(stolen, 2),
            "wall_s": round(wall, 2),
            "memory_after": relay.account.memory(),
        }

    def measure_memory(self, relay, cell, seconds):
        """The highest of many samples under load. Taking them costs time: the speed of this run is not used."""
        samples, over = [relay.account.memory()], threading.Event()

        def watch():
            while not over.wait(MEMORY_STEP_SECONDS):
                samples.append(relay.account.memory())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        figures = self.measure(relay, cell, seconds)
        over.set()
        watcher.join()
        peak = max(samples, key=lambda sample: sample["pss_mb"])
        kept = {name: figures[name] for name in ("relay", "cell", "lost", "doubled", "errors", "memory_after")}
        return kept | {"memory_peak": peak}

    def _carry(self, relay, options):
        """Sends, and waits until all that was accepted has arrived."""
        run = next(_runs)
        is_tls = options.get("starttls")
        sink = self.tls if is_tls else self.plain
        options = {"domain": TLS if is_tls else PLAIN, "run": run} | options
        cpu_before = sink.ask("count", run)["cpu_s"]
        source = load.send(self.program, relay.port, options)
        arrived, since = -1, time.monotonic()
        while arrived < source["accepted"] and time.monotonic() - since < STANDSTILL_SECONDS:
            count = sink.ask("count", run)["distinct"]
            if count != arrived:
                arrived, since = count, time.monotonic()
            time.sleep(0.02)
        report = sink.ask("report", run, source["begun"])
        return source, report, report["cpu_s"] - cpu_before


def settle(relay, seconds_max):
    """Waits until the relay has done what it does behind a load, such as to tidy its queue."""
    until, before = time.monotonic() + seconds_max, relay.account.cpu_seconds()
    while time.monotonic() < until:
        time.sleep(SETTLE_STEP_SECONDS)
        now = relay.account.cpu_seconds()
        if now - before < SETTLED_CPU_SHARE * SETTLE_STEP_SECONDS:
            return
        before = now


def wait_for_quiet(relay, seconds_max):
    """Waits until other programs leave the machine alone, at most so long."""
    until = time.monotonic() + seconds_max
    while time.monotonic() < until:
        machine, before = Machine(), relay.account.cpu_seconds()
        time.sleep(QUIET_STEP_SECONDS)
        wall, busy, _ = machine.since()
        if busy - (relay.account.cpu_seconds() - before) < QUIET_CPU_SHARE * wall:
            return
