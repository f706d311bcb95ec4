#!/usr/bin/env python3
"""A slow disk: so many milliseconds more for each sync. Gatepost and Debian's Postfix in alternation, many sessions.

slow_sync.py [--milliseconds 2] [--sessions 200] [--messages 2000] [--size 10240] [--repetitions 3] [--serial] [--tuned] [--strict]
--serial: syncs of one machine wait for each other. --tuned: both with wider limits as well.
--strict: at least 10 times as fast, the better of each.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import time

import load_rig
import load_sink
import load_source
import postfix_rig
import rig
from rig import wait_for

RATIO_MIN, RATIO_STRICT_MIN = 3, 10
STALL_SECONDS_MAX = 30
WARM_UP_MESSAGES = 200
MAIN = """relay_domains = bench.example
relay_transport = relay:[127.0.0.1]:{hop}
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C {environment}
"""
# Wide enough for all sessions, nothing that slows acceptance down, connections used again.
TUNED = """default_process_limit = 250
in_flow_delay = 0
initial_destination_concurrency = 20
default_destination_concurrency_limit = 50
relay_destination_concurrency_limit = 50
smtp_connection_cache_destinations = [127.0.0.1]:{hop}
smtp_connection_reuse_time_limit = 300s
max_use = 2000
"""

parser = argparse.ArgumentParser()
parser.add_argument("--milliseconds", type=float, default=2)
parser.add_argument("--sessions", type=int, default=200)
parser.add_argument("--messages", type=int, default=2000)
parser.add_argument("--size", type=int, default=10240)
parser.add_argument("--repetitions", type=int, default=3)
for flag in ("--serial", "--tuned", "--strict"):
    parser.add_argument(flag, action="store_true")
asked = parser.parse_args()
checks, folder, runs = rig.Checks(), rig.scratch("slow-sync"), itertools.count(1)
load_rig.many_files()
# Postfix changes its user.
folder.chmod(0o755)
if not postfix_rig.is_there():
    print("skipped: needs root and Debian's Postfix\n0 passed, 0 failed")
    raise SystemExit(1 if os.environ.get("CI") else 0)


def preload():
    """The environment that makes syncs slow, and the file that counts them."""
    library, counter = folder / "slow_sync.so", folder / "counter"
    source = rig.pathlib.Path(__file__).with_name("slow_sync.c")
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"], check=True)
    counter.write_bytes(bytes(4096))
    counter.chmod(0o666)
    return {"LD_PRELOAD": str(library), "SLOW_SYNC_US": str(int(asked.milliseconds * 1000)), "SLOW_SYNC_COUNTER": str(counter),
            "SLOW_SYNC_SERIAL": str(int(asked.serial))}


def syncs():
    return int.from_bytes((folder / "counter").read_bytes()[:8], "little")


class Gatepost:
    """The relay under slow syncs."""

    def __init__(self, limits=None):
        place = folder / "gatepost"
        place.mkdir()
        domains = {"bench": load_rig.domain("bench.example", hop.port)}
        self.daemon = load_rig.relay(place, domains, limits=limits, environment=environment)
        self.daemon.start()
        self.port = self.daemon.port

    def close(self):
        self.daemon.stop(10)
        shutil.rmtree(folder / "gatepost", ignore_errors=True)


class Postfix:
    """Debian's, with its defaults or tuned."""

    def __init__(self, settings=""):
        self.port = rig.free_port()
        words = " ".join(f"{key}={value}" for key, value in environment.items())
        main = MAIN.format(hop=hop.port, environment=words) + settings.format(hop=hop.port)
        self.postfix = postfix_rig.Postfix({self.port: {}}, main).start(greets)

    def close(self):
        self.postfix.close()


def greets(port):
    try:
        client = rig.Client(port, timeout=5)
        client.close()
        return client.greeting.startswith("220")
    except (OSError, EOFError):
        return False


def load(port, messages):
    """One run: what the source says, what came, and how long from the first octet to the last delivery."""
    run, before = next(runs), syncs()
    sent = load_source.source(port, sessions=min(asked.sessions, messages), messages=messages, sizes=[[asked.size, 1]],
                              recipients=["user@bench.example"], run=run, seconds=300)
    began = sent["first_ns"] / 1e9 - time.time() + time.monotonic()
    progress = [0, time.monotonic()]

    def is_there():
        distinct = hop.counts(run)["distinct"]
        if distinct > progress[0]:
            progress[:] = distinct, time.monotonic()
        return distinct >= sent["accepted"] or time.monotonic() - progress[1] > STALL_SECONDS_MAX
    wait_for(is_there, 600, 0.1)
    counts = hop.counts(run)
    seconds = (counts["last"] or time.monotonic()) - began
    return {"accepted": sent["accepted"], "accepted_s": sent["acc_per_s"], "delivered": counts["distinct"], "again": counts["again"],
            "delivered_s": counts["distinct"] / seconds, "p50": sent["p50_ms"], "p99": sent["p99_ms"],
            "syncs": (syncs() - before) / max(1, sent["accepted"])}


hop = load_sink.FastHop()
rig.on_exit(hop.close, lambda: shutil.rmtree(folder, ignore_errors=True))
environment = preload()
contestants = {"postfix": Postfix, "gatepost": Gatepost}
if asked.tuned:
    contestants["postfix tuned"] = lambda: Postfix(TUNED)
    contestants["gatepost tuned"] = lambda: Gatepost({"max_destination_concurrency": 100})
results = {name: [] for name in contestants}
for _ in range(asked.repetitions):
    for name, make in contestants.items():
        relay = make()
        try:
            load(relay.port, WARM_UP_MESSAGES)
            results[name].append(load(relay.port, asked.messages))
        finally:
            relay.close()
rows = [[name, *(load_rig.figure(load_rig.median([run[key] for run in found])) for key in ("accepted_s", "delivered_s", "p50", "p99")),
         f"{load_rig.median([run['syncs'] for run in found]):.2f}"] for name, found in results.items()]
load_rig.say(f"{asked.milliseconds} ms more for each sync{', one at a time' if asked.serial else ''}; {asked.sessions} sessions, "
             f"{asked.size} octets; medians of {asked.repetitions}")
load_rig.table(["relay", "accepted/s", "delivered/s", "p50 ms", "p99 ms", "syncs a message"], rows)
for name, found in results.items():
    checks.check(f"{name}: its syncs are slow", all(run["syncs"] > 0 for run in found), str(found))
    checks.equal(f"{name}: nothing is lost", [run["accepted"] - run["delivered"] for run in found], [0] * len(found))
    checks.equal(f"{name}: nothing comes twice", [run["again"] for run in found], [0] * len(found))
rates = {name: load_rig.median([run["delivered_s"] for run in found]) for name, found in results.items()}
fastest = lambda whose: max(rate for name, rate in rates.items() if name.startswith(whose))
ratio = fastest("gatepost") / fastest("postfix")
least = RATIO_STRICT_MIN if asked.strict else RATIO_MIN
checks.check(f"{ratio:.1f} times as many deliveries a second as Postfix, at least {least}", ratio >= least)
checks.finish()
