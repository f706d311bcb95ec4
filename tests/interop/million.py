#!/usr/bin/env python3
"""A long queue for a destination that is down: memory, acceptance, a kill, the restart, and the drain when it comes back.

million.py [--count 20000] [--size 1024] [--variants refused,deferred] [--burst 2000] [--strict]
refused: nobody listens there. deferred: it answers 450. --strict: the bounds for a million (1 GB, 10 s, 80 %) instead of a message's share.
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

RESIDENT_MB_MAX, RESTART_SECONDS_MAX, ACCEPT_RATIO_MIN = 1000, 10, 0.8
# Short bursts on a machine that does other things too are no measure.
ACCEPT_RATIO_ROUGH_MIN = 0.5
# What a relay has before the first message, and what a queued one may cost: a gigabyte holds a million.
RESIDENT_MB_IDLE_MAX, MESSAGE_BYTES_MAX = 80, 2500
FIRST_SESSIONS, BURSTS, STUCK = 50, 3, 20
STALL_SECONDS_MAX = 60
# A delivery whose record a kill cut off is made again. Its record may lag by a second; here the machine may be busy too.
LAG_SECONDS = 3

parser = argparse.ArgumentParser()
parser.add_argument("--count", type=int, default=20_000)
parser.add_argument("--size", type=int, default=1024)
parser.add_argument("--variants", default="refused,deferred")
parser.add_argument("--burst", type=int, default=4000)
parser.add_argument("--strict", action="store_true")
asked = parser.parse_args()
checks, runs = rig.Checks(), itertools.count(1)


class Case:
    """One relay, a destination that is down, one that works, and one where mail gets stuck for the kill."""

    def __init__(self, variant):
        self.variant, self.folder = variant, rig.scratch("million")
        self.hops, self.dead_port = load_sink.Hops(), rig.free_port()
        ports = {"alive": self.hops.open("alive"), "stuck": self.hops.open("stuck", kind="mute"), "dead": self.dead_port}
        if variant == "deferred":
            self.hops.open("dead", port=self.dead_port, rcpt="450 4.2.1 mailbox is busy, please try again later; see https://hop.test/busy")
        domains = {name: load_rig.domain(f"{name}.example", port) for name, port in ports.items()}
        self.daemon = load_rig.relay(self.folder, domains, retry='["4h"]')
        rig.on_exit(self.close)
        self.daemon.start()
        self.idle = load_rig.memory(self.daemon.process.pid)
        self.back = None

    def close(self):
        self.daemon.stop(20)
        self.hops.close()
        if self.back:
            self.back.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self):
        return self.daemon.process.pid

    def send(self, name, count, run, size=None):
        return load_source.source(self.daemon.port, sessions=FIRST_SESSIONS, messages=count, sizes=[[size or asked.size, 1]],
                                  recipients=[f"b@{name}.example"], run=run, seconds=7200)

    def acceptance(self):
        """Accepted messages a second for the destination that works, and CPU seconds for 1,000: the best of some bursts."""
        rates, costs = [], []
        for _ in range(BURSTS):
            run, cpu = next(runs), load_rig.cpu_seconds(self.pid())
            sent = self.send("alive", asked.burst, run)
            rates.append(sent["acc_per_s"])
            wait_for(lambda: self.hops.counts("alive", run)["distinct"] >= sent["accepted"], 60, 0.1)
            costs.append((load_rig.cpu_seconds(self.pid()) - cpu) * 1000 / max(1, sent["accepted"]))
        return max(rates), min(costs)

    def queued(self):
        return self.daemon.ask("status")["messages"]

    def tried(self):
        """How many deliveries were deferred since the start of the process."""
        return self.daemon.metric("gatepost_smtp_deliveries_total", result="deferred")


def fill(case):
    """So many messages, each tried once in vain. Gives their run."""
    run = next(runs)
    sent = case.send("dead", asked.count, run)
    checks.equal(f"{case.variant}: all of it is accepted", (sent["accepted"], sent["errors"]), (asked.count, 0))
    before = [-1, time.monotonic()]

    def settled():
        tried = case.tried()
        if tried > before[0]:
            before[:] = tried, time.monotonic()
        return tried >= asked.count or time.monotonic() - before[1] > STALL_SECONDS_MAX
    wait_for(settled, 3600, 0.5)
    say(f"{case.variant}: filled at {figure(sent['acc_per_s'])}/s; {case.tried():.0f} attempts have failed")
    checks.equal(f"{case.variant}: all of it is queued", case.queued(), asked.count)
    return run


def check_memory(case, when):
    resident, proportional = load_rig.memory(case.pid())
    share = max(0, resident - case.idle[0]) * 1e6 / asked.count
    say(f"{case.variant}: {when}: {resident:.0f} MB resident, {proportional:.0f} MB PSS (idle {case.idle[0]:.0f}), {share:.0f} octets a message")
    bound = RESIDENT_MB_MAX if asked.strict else RESIDENT_MB_IDLE_MAX + asked.count * MESSAGE_BYTES_MAX / 1e6
    checks.check(f"{case.variant}: {when}: at most {bound:.0f} MB resident", resident <= bound, f"{resident:.0f} MB")


def check_restart(case):
    """A kill while mail is on its way; the time from the start of the process to the first delivery of that mail."""
    run = next(runs)
    sent = case.send("stuck", STUCK, run)
    wait_for(lambda: case.hops.counts("stuck")["live"] or case.hops.counts("stuck")["connections"], 20)
    case.daemon.kill()
    case.hops.change("stuck", kind="good")
    began = time.monotonic()
    case.daemon.start(seconds=600)
    listening = time.monotonic() - began
    wait_for(lambda: case.hops.counts("stuck", run)["distinct"] >= sent["accepted"], 120, 0.02)
    found = case.hops.counts("stuck", run)
    first = (found["first"] or time.monotonic()) - began
    say(f"{case.variant}: after a kill it listens after {listening:.2f} s and delivers after {first:.2f} s")
    checks.equal(f"{case.variant}: what was on its way at the kill arrives", (found["distinct"], found["again"]), (sent["accepted"], 0))
    checks.check(f"{case.variant}: the first delivery comes within {RESTART_SECONDS_MAX} s of the start", first <= RESTART_SECONDS_MAX,
                 f"{first:.1f} s")
    checks.equal(f"{case.variant}: the queue is as long as before", wait_for(lambda: case.queued() == asked.count, 20) and case.queued(), asked.count)


def check_drain(case, run, working):
    """The destination comes back, a kill comes in between, and all of it arrives."""
    if case.variant == "deferred":
        case.hops.shut("dead")
    case.back = load_sink.FastHop(case.dead_port)
    began = time.monotonic()
    code, _, said = load_rig.command("queue", "retry", "--to-domain", "dead.example", config=case.daemon.config)
    checks.equal(f"{case.variant}: the operator has it tried again", (code, said), (0, ""))
    asking = time.monotonic() - began
    halfway = wait_for(lambda: case.back.counts(run)["distinct"] >= asked.count // 2, 3600, 0.05)
    checks.check(f"{case.variant}: half of it is delivered", halfway, str(case.back.counts(run)))
    half, at = case.back.counts(run)["distinct"], time.monotonic()
    rate = half / max(0.001, at - began)
    case.daemon.kill()
    case.daemon.start(seconds=600)
    load_rig.command("queue", "retry", "--to-domain", "dead.example", config=case.daemon.config)
    before = [0, time.monotonic()]

    def over():
        left = case.queued()
        if left != before[0]:
            before[:] = left, time.monotonic()
        return left == 0 or time.monotonic() - before[1] > STALL_SECONDS_MAX
    wait_for(over, 3600, 0.2)
    counts = case.back.counts(run)
    whole = counts["distinct"] / max(0.001, (counts["last"] or at) - began)
    say(f"{case.variant}: drains at {figure(rate)}/s before the kill, {figure(whole)}/s with it; the command took {asking:.1f} s; "
        f"{counts['again']} came twice; mail that is not queued is accepted at {figure(working)}/s")
    checks.equal(f"{case.variant}: nothing is lost", asked.count - counts["distinct"], 0)
    checks.check(f"{case.variant}: what came twice is what the kill explains", counts["again"] <= max(50, rate * LAG_SECONDS), str(counts))
    checks.equal(f"{case.variant}: the queue is empty", case.queued(), 0)
    code, _, said = load_rig.command("audit", "verify", config=case.daemon.config)
    checks.check(f"{case.variant}: the audit chain holds", code == 0, said[-300:])
    checks.check(f"{case.variant}: no panic", "panic" not in case.daemon.log.read_text())


def run_case(variant):
    case = Case(variant)
    case.acceptance()
    empty, cost_empty = case.acceptance()
    run = fill(case)
    check_memory(case, "filled")
    full, cost_full = case.acceptance()
    say(f"{variant}: accepts {figure(empty)}/s with an empty queue and {figure(full)}/s with {asked.count} in it; "
        f"{cost_empty:.2f} and {cost_full:.2f} CPU s for 1,000")
    least = ACCEPT_RATIO_MIN if asked.strict else ACCEPT_RATIO_ROUGH_MIN
    checks.check(f"{variant}: with a full queue it accepts at least {least:.0%} as fast", full >= empty * least, f"{full / empty:.0%}")
    check_restart(case)
    check_memory(case, "started again")
    check_drain(case, run, full)
    check_memory(case, "drained")
    case.close()


for each in asked.variants.split(","):
    run_case(each)
checks.finish()
