#!/usr/bin/env python3
"""Mixed load for long, killed again and again: every message that got its 250 is accounted for, and nothing grows.

soak.py [--minutes 2] [--kill-every 20] [--rate 60] [--folder DIR]     long form: --minutes 30 --kill-every 180
Sizes from 1 KB to 5 MB, plain and STARTTLS, to destinations that are good, slow, take each message at the second try, hang, or refuse for good.
The hanging one gets mail in the first third only: what waits there is what may still be queued at the end.
"""

import argparse
import collections
import pathlib
import re
import shutil
import time

import load_rig
import load_sink
import load_source
import rig
from load_rig import say
from rig import wait_for

SIZES = [[1024, 60], [10_000, 30], [100_000, 8], [1_000_000, 3], [5_000_000, 1]]
RUN, HUNG_RUN = 1, 2
# What the last third may have more than the middle one: share, and MB or descriptors on top.
GROWTH_MAX, GROWTH_MB_MAX, GROWTH_DESCRIPTORS_MAX = 1.15, 30, 50
SAMPLE_SECONDS = 0.5
# Deliveries at once to a destination, and how long the record of one may lag behind it: what a kill may cause twice.
SLOTS, LAG_SECONDS = 20, 3
# The one that is written to is always there.
SEGMENT_MB = 64 * 1.05
DRAIN_SECONDS = 120
HEAD_OF_NOTICE_BYTES_MAX = 65_536

parser = argparse.ArgumentParser()
parser.add_argument("--minutes", type=float, default=2)
parser.add_argument("--kill-every", type=float, default=20)
parser.add_argument("--rate", type=float, default=60)
parser.add_argument("--folder", type=pathlib.Path)
asked = parser.parse_args()
checks, folder = rig.Checks(), rig.scratch("soak")
hops, seconds = load_sink.Hops(), asked.minutes * 60
certificate = [str(part) for part in rig.self_signed(folder, "hop.test", "hop")]
HOPS = {
    "good": {}, "secure": {"tls": certificate}, "slow": {"delay": 1}, "again": {"defer_first": True}, "never": {"rcpt": "550 5.1.1 no such user"},
}
# The first two of each four messages go to the good ones.
ORDER = ["good", "secure", "good", "slow", "secure", "again", "good", "never"]
domains = {name: load_rig.domain(f"{name}.example", hops.open(name, **manners), route='tls = "encrypt"\n' if name == "secure" else "")
           for name, manners in HOPS.items()}
domains["hung"] = load_rig.domain("hung.example", hops.open("hung", kind="mute"))
domains["home"] = load_rig.domain("sender.example", hops.open("home", head=HEAD_OF_NOTICE_BYTES_MAX))
daemon = load_rig.relay(folder, domains, retry='["2s", "10s"]', limits={"drain_timeout": '"5s"'})
rig.on_exit(daemon.close, hops.close, lambda: shutil.rmtree(folder, ignore_errors=True))
daemon.start()


def look():
    pid = daemon.process.pid
    return load_rig.memory(pid)[0], load_rig.descriptors(pid), load_rig.occupied(daemon.spool), daemon.ask("status")["messages"]


def sender(name, run, recipients, **more):
    outcomes = folder / f"{name}.outcomes"
    return outcomes, load_source.begun(daemon.port, loadgen=False, sizes=SIZES, run=run, recipients=recipients, messages=5_000_000,
                                       outcomes=str(outcomes), **more)


def outcomes_of(path):
    """What became of each message: accepted ones {number: (recipient's place, id)}, and the numbers of those without an answer."""
    accepted, unsure = {}, set()
    for line in path.read_text().splitlines():
        number, place, kind, rest = (line + " ").split(" ", 3)
        if kind == "accepted":
            accepted[int(number)] = int(place), rest.strip()
        elif kind == "unsure":
            unsure.add(int(number))
    return accepted, unsure


def kills():
    """Until the time is over. Gives how often, and the longest that a start took."""
    count, slowest, end = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() + asked.kill_every < end:
        time.sleep(asked.kill_every)
        daemon.kill()
        began = time.monotonic()
        daemon.start(60)
        count, slowest = count + 1, max(slowest, time.monotonic() - began)
    time.sleep(max(0, end - time.monotonic()))
    return count, slowest


watch = load_rig.Watch(look, SAMPLE_SECONDS)
main_file, main = sender("main", RUN, [f"b@{name}.example" for name in ORDER], sessions=24, tls=0.5, rate=asked.rate, seconds=seconds)
hung_file, hung = sender("hung", HUNG_RUN, ["b@hung.example"], sessions=2, rate=1, seconds=seconds / 3)
killed, slowest = kills()
sent = load_source.gathered(main)
load_source.gathered(hung)
accepted, unsure = outcomes_of(main_file)
waiting_accepted, hung_unsure = outcomes_of(hung_file)
# Some of those without an answer may be in the queue too.
most_left = len(waiting_accepted) + len(hung_unsure - {-1})
settled = wait_for(lambda: daemon.ask("status")["messages"] <= most_left, DRAIN_SECONDS, 0.5)
say(f"{len(accepted)} accepted, {len(unsure)} cut off without an answer, {len(waiting_accepted)} for the one that hangs; {killed} kills, "
    f"the slowest start took {slowest:.2f} s; {sent['error_kinds']}")
checks.check("there was load", len(accepted) > seconds * asked.rate / 4, str(sent))
checks.check("all but what waits for the one that hangs has left the queue", settled, str(daemon.ask("status")["messages"]))


def queued():
    """Ids of all messages that are in the queue."""
    found, after = set(), None
    while True:
        page = daemon.ask("queue-list", filter={}, **({"after": after} if after else {}))
        found |= {message["id"] for message in page["messages"]}
        if not page["more"]:
            return found
        after = page["messages"][-1]["id"]


# Before what has arrived: the hop counts before it answers.
left = queued()
arrived = {name: hops.copies(name, RUN) for name in HOPS}
notices = collections.Counter(hops.copies("home", RUN))
for name in HOPS:
    mine = {number: identity for number, (place, identity) in accepted.items() if ORDER[place] == name}
    there = notices if name == "never" else arrived[name]
    lost = [number for number, identity in mine.items() if not there.get(number) and identity not in left]
    words = "has bounced with a notice" if name == "never" else "has arrived"
    checks.equal(f"{name}: each of {len(mine)} messages {words} or is in the queue", lost[:5], [])
    again, most = sum(count - 1 for count in there.values()), killed * (SLOTS + asked.rate * LAG_SECONDS)
    checks.check(f"{name}: {again} came again, which {killed} kills explain", again <= most, f"at most {most:.0f} expected")
checks.equal("never: nothing was delivered", arrived["never"], {})
missing = [number for number, (_, identity) in waiting_accepted.items() if identity not in left]
checks.equal(f"hung: each of {len(waiting_accepted)} messages is in the queue", missing[:5], [])
samples = watch.stop()


def flat(what, column, more, unit):
    """The highest of the last third of the load against that of the third before."""
    part = seconds / 3
    thirds = [[row[column] for row in samples if third * part <= row[0] < (third + 1) * part] for third in range(3)]
    highest = [max(values, default=0) for values in thirds]
    say(f"{what}: at most {highest[0]:.0f}, {highest[1]:.0f}, {highest[2]:.0f} {unit} in the thirds")
    checks.check(f"{what} does not grow", highest[2] <= highest[1] * GROWTH_MAX + more, str(highest))


flat("resident memory", 1, GROWTH_MB_MAX, "MB")
flat("open descriptors", 2, GROWTH_DESCRIPTORS_MAX, "")
flat("the spool", 3, GROWTH_MB_MAX, "MB")
waits = sum(int(found[0]["size"]) for identity in left if (found := [daemon.ask("queue-show", id=identity)])) / 1e6
# What waits keeps a segment each from going, until compaction has moved it.
code, _, said = load_rig.command("spool", "compact", config=daemon.config)
compacts = code != 2
if not compacts:
    say("this binary has no spool compact: segments of the first third may all be there still")
most = SEGMENT_MB + waits * 4 + GROWTH_MB_MAX + (0 if compacts else max(row[3] for row in samples))
wait_for(lambda: load_rig.occupied(daemon.spool) <= most, 30, 1)
spool = load_rig.occupied(daemon.spool)
checks.check(f"at the end the spool holds {waits:.1f} MB of mail and takes {spool:.0f} MB, at most {most:.0f}", spool <= most, said)
code, _, said = load_rig.command("audit", "verify", config=daemon.config)
checks.check("the audit chain holds", code == 0, said[-300:])
checks.check("no panic", not re.search("panic", daemon.log.read_text()))
if asked.folder:
    asked.folder.mkdir(parents=True, exist_ok=True)
    names = ["resident MB", "descriptors", "spool MB", "queued"]
    load_rig.write_csv(asked.folder / "soak.csv", ["seconds", *names], [tuple(round(value, 2) for value in row) for row in samples])
    curves = {name: [(row[0], row[place]) for row in samples] for place, name in enumerate(names, 1)}
    load_rig.write_svg(asked.folder / "soak.svg", "Soak", "seconds", curves)
checks.equal("stops in order", daemon.stop(), 0)
checks.finish()
