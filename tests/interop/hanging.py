#!/usr/bin/env python3
"""A hundred destinations, ten of which hang: what the other ninety get, compared with a run in which all are good.

hanging.py [--destinations 100] [--hanging 10] [--messages 6000] [--delay 0.4] [--slots 0] [--settle 2] [--repetitions 1]
The hanging ones accept and say nothing, accept no connection, or answer very slowly. --delay: what a good hop takes for a message, so that
slots count and not CPU alone. --slots: another max_outbound_connections. --settle: seconds before the others' mail comes.
"""

import argparse
import itertools
import shutil
import time

import load_rig
import load_sink
import load_source
import rig
from load_rig import figure, say
from rig import wait_for

SHARE_MIN = 0.9
KINDS = [("accepts and says nothing", {"kind": "mute"}), ("accepts no connection", {"kind": "full"}), ("answers very slowly", {"answer_delay": 20})]
SESSIONS = 40
# Mail for the hanging ones that is there before the others' comes, for each of them: more than the slots that it may take.
AHEAD = 40
STALL_SECONDS_MAX = 40

parser = argparse.ArgumentParser()
parser.add_argument("--destinations", type=int, default=100)
parser.add_argument("--hanging", type=int, default=10)
parser.add_argument("--messages", type=int, default=6000)
parser.add_argument("--delay", type=float, default=0.4)
parser.add_argument("--settle", type=float, default=2)
parser.add_argument("--slots", type=int, default=0)
parser.add_argument("--repetitions", type=int, default=1)
asked = parser.parse_args()
checks, runs = rig.Checks(), itertools.count(1)
names = [f"d{number}" for number in range(asked.destinations)]
# Spread over the list, so that they are nobody's neighbours alone.
chosen = [names[number * asked.destinations // asked.hanging] for number in range(asked.hanging)]
others = [name for name in names if name not in chosen]


class World:
    """A relay with all destinations, each on an address of its own."""

    def __init__(self, hangs):
        self.folder, self.hops = rig.scratch("hanging"), load_sink.Hops()
        kinds = dict(zip(chosen, itertools.cycle(manners for _, manners in KINDS))) if hangs else {}
        domains = {}
        for number, name in enumerate(names):
            address = f"127.0.{1 + number // 200}.{1 + number % 200}"
            port = self.hops.open(name, address=address, **kinds.get(name, {"delay": asked.delay}))
            domains[name] = load_rig.domain(f"{name}.example", port, address)
        limits = {"max_outbound_connections": asked.slots} if asked.slots else {}
        self.daemon = load_rig.relay(self.folder, domains, retry='["1h"]', limits=limits)
        rig.on_exit(self.close)
        self.daemon.start()

    def close(self):
        self.daemon.stop(5)
        self.hops.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def delivered(self, run):
        return sum(self.hops.counts(name, run)["distinct"] for name in others)

    def last(self, run):
        return max(self.hops.counts(name, run)["last"] or 0 for name in others)


def throughput(hangs):
    """Deliveries a second to the others, and what was accepted for them and did not come."""
    world, ahead, run = World(hangs), next(runs), next(runs)
    addresses = {True: [f"b@{name}.example" for name in chosen], False: [f"b@{name}.example" for name in others]}
    load_source.source(world.daemon.port, sessions=10, messages=AHEAD * len(chosen), recipients=addresses[True], run=ahead)
    # Until they have the slots that they get.
    time.sleep(asked.settle)
    began = time.monotonic()
    sent = load_source.source(world.daemon.port, sessions=SESSIONS, messages=asked.messages, recipients=addresses[False], run=run)
    before = [-1, time.monotonic()]

    def over():
        count = world.delivered(run)
        if count > before[0]:
            before[:] = count, time.monotonic()
        return count >= sent["accepted"] or time.monotonic() - before[1] > STALL_SECONDS_MAX
    wait_for(over, 600, 0.2)
    count, took = world.delivered(run), (world.last(run) or time.monotonic()) - began
    held = {name: world.hops.counts(name)["live"] for name in chosen} if hangs else {}
    world.close()
    return count / took, sent["accepted"] - count, sent["acc_per_s"], sum(held.values())


results = {False: [], True: []}
for _ in range(asked.repetitions):
    for hangs in (False, True):
        results[hangs].append(throughput(hangs))
rows = []
for hangs, found in results.items():
    words = f"{len(chosen)} of {len(names)} hang" if hangs else f"all {len(names)} good"
    rate, accepted = (load_rig.median([run[place] for run in found]) for place in (0, 2))
    rows.append([words, figure(accepted), figure(rate)])
    checks.equal(f"{words}: nothing is lost of the other {len(others)}", [run[1] for run in found], [0] * len(found))
say(f"a good hop takes {asked.delay} s for a message; {asked.messages} messages for the others")
load_rig.table(["run", "accepted/s", "delivered/s to the others"], rows)
good, bad = (load_rig.median([run[0] for run in results[hangs]]) for hangs in (False, True))
checks.check(f"with {len(chosen)} hanging the others get {bad / good:.0%}, at least {SHARE_MIN:.0%}", bad >= good * SHARE_MIN)
checks.finish()
