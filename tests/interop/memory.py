#!/usr/bin/env python3
"""What sessions cost in memory: an idle relay, idle connections in clear and over TLS, and large messages in many sessions at once.

memory.py [--connections 500] [--sessions 20] [--megabytes 20] [--body-memory 64]
long form: --connections 2000 --sessions 100 --megabytes 100 --body-memory 256
"""

import argparse
import os
import shutil
import time

import load_rig
import load_sink
import load_source
import rig
from load_rig import say
from rig import wait_for

# What is aimed at: 25 MB idle, 60 MB with 2,000 idle connections in clear, 90 MB with as many over TLS.
IDLE_MB_MAX, PLAIN_KB_MAX, TLS_KB_MAX = 25, 17.5, 32.5
# Beside the bodies: what a session that receives and a delivery that sends may each have in hand.
SESSION_MB_MAX = 1
SETTLE_SECONDS = 2
RUN = 1

parser = argparse.ArgumentParser()
parser.add_argument("--connections", type=int, default=500)
parser.add_argument("--sessions", type=int, default=20)
parser.add_argument("--megabytes", type=int, default=20)
parser.add_argument("--body-memory", type=int, default=64)
asked = parser.parse_args()
checks, rows, idles = rig.Checks(), [], []


class World:
    """A relay that has done nothing yet, and its next hop."""

    def __init__(self):
        self.folder, self.hops = rig.scratch("memory"), load_sink.Hops()
        limits = {"max_body_memory": f'"{asked.body_memory}MB"'}
        spool = f'max_message_size = "{asked.megabytes + 50}MB"\n'
        domains = {"alive": load_rig.domain("alive.example", self.hops.open("alive"))}
        self.daemon = load_rig.relay(self.folder, domains, limits=limits, spool=spool)
        rig.on_exit(self.close)
        forget_program()
        self.daemon.start()

    def close(self):
        self.daemon.stop(20)
        self.hops.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self):
        return self.daemon.process.pid


def forget_program():
    """The kernel maps what the page cache has of a program, touched or not: up to 3 MB more just after it was written."""
    with open(rig.GATEPOST, "rb") as program:
        os.fsync(program.fileno())
        os.posix_fadvise(program.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def note(what, pid):
    resident, proportional = load_rig.memory(pid)
    rows.append([what, f"{resident:.1f}", f"{proportional:.1f}", load_rig.descriptors(pid)])
    return proportional


def idle_connections(kind, tls, bound):
    world = World()
    time.sleep(SETTLE_SECONDS)
    idle = note(f"idle relay before {kind}", world.pid())
    idles.append(idle)
    held = load_source.Idle(world.daemon.port, asked.connections, tls)
    time.sleep(SETTLE_SECONDS)
    full = note(f"{held.open} idle connections, {kind}", world.pid())
    checks.equal(f"{kind}: all of them are served", held.open, asked.connections)
    share, most = (full - idle) * 1024 / max(1, held.open), IDLE_MB_MAX + asked.connections * bound / 1024
    checks.check(f"{kind}: at most {most:.0f} MB with {held.open} connections", full <= most, f"{full:.1f} MB")
    say(f"{kind}: {share:.1f} KB a connection")
    checks.equal(f"{kind}: and all of them answer in the end", held.close(), held.open)
    wait_for(lambda: load_rig.descriptors(world.pid()) < 100, 10)
    note(f"after them, {kind}", world.pid())
    world.close()


def large_messages():
    world = World()
    time.sleep(SETTLE_SECONDS)
    idle = load_rig.memory(world.pid())[0]
    room = shutil.disk_usage(world.folder).free / 1e6
    needed = asked.sessions * asked.megabytes * 1.2
    if room < needed + 1000:
        return checks.check("there is room on the disk for the large messages", False, f"{room:.0f} MB free, {needed:.0f} needed")
    load_rig.forget_peak(world.pid())
    began = time.monotonic()
    outcomes = world.folder / "outcomes"
    sent = load_source.source(world.daemon.port, loadgen=False, sessions=asked.sessions, messages=asked.sessions, seconds=3600,
                              sizes=[[asked.megabytes * 1_000_000, 1]], run=RUN, outcomes=str(outcomes))
    took, peak = time.monotonic() - began, load_rig.peak_resident(world.pid())
    lines = [line.split(" ", 2)[2] for line in outcomes.read_text().splitlines()]
    unclean = [line for line in lines if not line.startswith("accepted") and not line.startswith("refused 4")]
    checks.equal("each large message is accepted, or refused for now in words", (len(lines), unclean), (asked.sessions, []))
    checks.check("some are accepted", sent["accepted"] > 0, str(lines[:3]))
    wait_for(lambda: world.hops.counts("alive", RUN)["distinct"] >= sent["accepted"], 600, 0.2)
    counts = world.hops.counts("alive", RUN)
    checks.equal("what was accepted arrives, once", (counts["distinct"], counts["again"]), (sent["accepted"], 0))
    whole, octets = load_rig.peak_resident(world.pid()), sent["accepted"] * asked.megabytes * 1_000_000
    checks.check("and they are as large as they should be", counts["octets"] >= octets * 0.95, str(counts))
    bound = idle + asked.body_memory + asked.sessions * SESSION_MB_MAX
    say(f"{asked.sessions} sessions with {asked.megabytes} MB each: {sent['accepted']} accepted in {took:.1f} s; at most {peak:.0f} MB resident "
        f"while they came, {whole:.0f} MB until they were delivered; idle {idle:.0f} MB")
    checks.check(f"never more than {bound:.0f} MB: idle, {asked.body_memory} MB of bodies, {SESSION_MB_MAX} MB a session", whole <= bound,
                 f"{whole:.0f} MB")
    checks.check("no panic", "panic" not in world.daemon.log.read_text())
    note("after the large messages", world.pid())
    world.close()
    return None


load_rig.many_files()
if not os.access("/proc/self/smaps_rollup", os.R_OK):
    raise SystemExit("this kernel tells no proportional set size")
idle_connections("plain", False, PLAIN_KB_MAX)
idle_connections("TLS", True, TLS_KB_MAX)
# How much of the program the kernel maps ahead differs from start to start.
checks.check(f"an idle relay takes at most {IDLE_MB_MAX} MB", min(idles) <= IDLE_MB_MAX, str(idles))
large_messages()
load_rig.table(["", "RSS MB", "PSS MB", "descriptors"], rows)
checks.finish()
