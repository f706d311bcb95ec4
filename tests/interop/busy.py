#!/usr/bin/env python3
"""One destination that answers 421 above so many connections: its concurrency falls, and comes back when the limit is lifted.

busy.py [--cap 20] [--low 4] [--phase 15] [--delay 0.1] [--folder DIR]
Three phases of so many seconds each: the limit of the hop is the relay's own cap, then low, then the cap again. Samples what the hop sees every
100 ms; busy.csv and busy.svg go into the folder.
"""

import argparse
import pathlib
import shutil
import time

import load_rig
import load_sink
import load_source
import rig
from load_rig import say
from rig import wait_for

# After a change of the limit, before the curve is held against it.
SETTLE_SECONDS = 5
# What was refused is tried again after up to 64 windows of deliveries, 7 s with four of 0.1 s; the rise takes 2 s.
RISE_SECONDS = 10
REACHED_SHARE = 0.8
# Whoever asks from time to time whether more is allowed again is refused once for each few messages.
REFUSED_SHARE_MAX = 0.1
# Of what the hop could take in the low phase.
USED_SHARE_MIN = 0.5
RETRY = '["3s"]'
RUN = 1

parser = argparse.ArgumentParser()
parser.add_argument("--cap", type=int, default=20)
parser.add_argument("--low", type=int, default=4)
parser.add_argument("--phase", type=float, default=15)
parser.add_argument("--delay", type=float, default=0.1)
parser.add_argument("--folder", type=pathlib.Path)
asked = parser.parse_args()
checks, folder = rig.Checks(), rig.scratch("busy")
kept = asked.folder or folder
kept.mkdir(exist_ok=True, parents=True)
hops = load_sink.Hops()
port = hops.open("busy", delay=asked.delay, above=asked.cap)
domains = {"busy": load_rig.domain("busy.example", port), "sender": load_rig.domain("sender.example", port)}
daemon = load_rig.relay(folder, domains, retry=RETRY, limits={"max_destination_concurrency": asked.cap})
rig.on_exit(daemon.close, hops.close, lambda: shutil.rmtree(folder, ignore_errors=True))
daemon.start()

# A backlog that lasts through all phases: what the hop could take at the most, and a third more.
most = asked.cap / asked.delay
wanted = int(most * asked.phase * 2 * 1.3 + asked.low / asked.delay * asked.phase)
began = time.monotonic()
sent = load_source.source(daemon.port, sessions=20, messages=wanted, sizes=[[1024, 1]], recipients=["b@busy.example"], run=RUN)
checks.equal("all of it is accepted", (sent["accepted"], sent["errors"]), (wanted, 0))
full = wait_for(lambda: hops.counts("busy")["live"] >= asked.cap * REACHED_SHARE, 10, 0.1)
start = time.monotonic()
time.sleep(asked.phase)
hops.change("busy", above=asked.low)
fell = time.monotonic()
time.sleep(asked.phase)
hops.change("busy", above=asked.cap)
rose = time.monotonic()
time.sleep(asked.phase)
end = time.monotonic()
drained = daemon.drained(max(60, wanted / most * 3))
samples = [tuple(sample) for sample in hops.samples("busy")]

load_rig.write_csv(kept / "busy.csv", ["seconds", "sessions", "refused", "taken"], [(round(moment - began, 3), *rest) for moment, *rest in samples])
curves = {"sessions at the hop": [(moment - began, live) for moment, live, _, _ in samples if moment < end],
          "refused in 100 ms": [(moment - began, refused) for moment, _, refused, _ in samples if moment < end]}
load_rig.write_svg(kept / "busy.svg", f"A hop that answers 421 above {asked.cap}, {asked.low}, then {asked.cap} sessions", "seconds", curves,
                   [(fell - began, f"limit {asked.low}"), (rose - began, f"limit {asked.cap}")])


def phase(first, last):
    """Mean sessions, refused and taken a second in that time."""
    chosen = [rest for moment, *rest in samples if first <= moment < last]
    seconds = max(0.1, last - first)
    live = [row[0] for row in chosen]
    return sum(live) / max(1, len(live)), sum(row[1] for row in chosen) / seconds, sum(row[2] for row in chosen) / seconds


parts = {"at the cap": (start + SETTLE_SECONDS, fell), "just fallen": (fell, fell + SETTLE_SECONDS), "low": (fell + SETTLE_SECONDS, rose),
         "just lifted": (rose, rose + RISE_SECONDS), "at the cap again": (rose + RISE_SECONDS, end)}
found = {name: phase(*span) for name, span in parts.items()}
load_rig.table(["phase", "sessions", "refused/s", "taken/s"], [[name, *(f"{figure:.1f}" for figure in figures)] for name, figures in found.items()])
checks.check(f"it rises to the cap of {asked.cap}", full and found["at the cap"][0] >= asked.cap * REACHED_SHARE, str(found["at the cap"]))
live, refused, taken = found["low"]
checks.check(f"it falls to about {asked.low}", asked.low * USED_SHARE_MIN <= live <= asked.low + 1, f"{live:.1f}")
checks.check(f"then at most {REFUSED_SHARE_MAX:.0%} of the attempts are refused", refused <= REFUSED_SHARE_MAX * (taken + refused),
             f"{refused:.1f} a second refused, {taken:.1f} taken")
possible = asked.low / asked.delay
checks.check(f"and the hop gets at least {USED_SHARE_MIN:.0%} of the {possible:.0f} messages a second that it takes",
             taken >= possible * USED_SHARE_MIN, f"{taken:.1f}")
checks.check("it comes back to the cap when the limit is lifted", found["at the cap again"][0] >= asked.cap * REACHED_SHARE,
             str(found["at the cap again"]))
checks.check("the backlog lasted", found["at the cap again"][2] > 0)
checks.check("the queue runs empty", drained)
counts = hops.counts("busy", RUN)
checks.equal("nothing is lost, nothing comes twice", (counts["distinct"], counts["again"]), (wanted, 0))
if asked.folder:
    say(f"curve: {kept / 'busy.csv'}, {kept / 'busy.svg'}")
checks.finish()
