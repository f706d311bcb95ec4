#!/usr/bin/env python3
"""A full disk: mail is refused in time and in plain words, nothing that was accepted is lost, and it heals by itself."""

import os
import pathlib
import subprocess
import sys

import rig
from rig import Client, Daemon, Sink, message, wait_for

checks = rig.Checks()
folder = rig.scratch("full-disk")
mounts, sinks = [], []


def unmount():
    for mount in mounts:
        subprocess.run(["umount", "-l", mount], check=False)


def small(name, size):
    """A file system of its own; the script is skipped where that is not allowed."""
    place = folder / name
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        print(f"skipped: a small file system cannot be mounted ({mounted.stderr.decode().strip()}); run it as root")
        print("0 passed, 0 failed")
        sys.exit(0)
    mounts.append(str(place))
    return place


def fill(place, leave=0):
    """Fills the file system but for `leave` octets."""
    filler = place / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass
        room = file.tell() if not leave else max(0, os.path.getsize(filler) - leave)
    if leave:
        os.truncate(filler, room)
    return filler


def deliver(mark, size=200, port=None):
    """One transaction in a session of its own; the reply that it ends with."""
    client = Client(port or daemon.port, timeout=60)
    try:
        client.say("EHLO client.test")
        return client.mail("a@sender.example", ["b@lax.example"], message(X_Mark=mark, body=b"y" * 70 + b"\r\n" + (b"x" * 70 + b"\r\n") * (size // 72)))
    finally:
        client.close()


def marks():
    taken = [entry for sink in sinks for entry in sink.taken()]
    return sorted(entry["data"].split(b"X-Mark: ")[1].split(b"\r\n")[0].decode() for entry in taken)


def lax(port):
    return {"lax": f'domains = ["lax.example"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{port}"]\n'}


# 1. The spool runs full while the next hop is away. Large messages: their space comes back with their delivery.
spool = small("spool", "8m")
(spool / "queue").mkdir()
hop_port = rig.free_port()
daemon = Daemon(folder, lax(hop_port), spool=spool / "queue", spool_keys='min_free_space = "1MB"\nretry = ["1h"]\n')
rig.on_exit(daemon.close, unmount)
daemon.start()
accepted, refused = [], []
for number in range(20):
    mark = f"m{number:03}"
    answer = deliver(mark, 1_200_000)
    (accepted if answer.startswith("250") else refused).append((mark, answer))
print(f"      {len(accepted)} accepted, {len(refused)} refused")
checks.check("some mail fits", len(accepted) >= 3, str(refused[:1]))
checks.check("the rest is refused with 452 4.3.1", refused and all(a.startswith("452 4.3.1") for _, a in refused), str(refused[:1]))
checks.check("alive", daemon.is_alive())
filler = fill(spool)
fault = wait_for(lambda: daemon.ask("status")["spool_fault"], 30)
checks.matches("status says so", fault, "space")
filler.unlink()

# 2. Not even the reserve is left: what is known must still end well.
filler = fill(spool)
checks.matches("with no octet left", deliver("none-left"), "^452 4.3.1")
sinks.append(Sink(port=hop_port))
daemon.ask("queue-retry")
checks.check("alive with a full disk", daemon.is_alive())
filler.unlink()
healed = wait_for(lambda: deliver("healed").startswith("250"), 20, 0.5)
checks.check("takes mail again once there is room", healed)
wait_for(lambda: daemon.ask("queue-retry") and daemon.drained(1), 90)
expected = sorted([mark for mark, _ in accepted] + ["healed"])
checks.equal("everything that was accepted arrives", sorted(set(marks())), expected)
print(f"      {len(marks()) - len(set(marks()))} second copies")
checks.equal("the audit chain holds", daemon.broken_links(), [])

# 3. The disk runs full in the middle of a body.
client = Client(daemon.port)
client.say("EHLO client.test")
client.say("MAIL FROM:<a@sender.example>")
client.say("RCPT TO:<b@lax.example>")
client.say("DATA")
client.send(message(X_Mark="torn", body=b"z" * 70 + b"\r\n"))
filler = fill(spool)
client.send((b"x" * 70 + b"\r\n") * 40_000 + b"\r\n.\r\n")
checks.matches("a body that the disk cannot hold", client.reply(), "^452 4.3.1")
checks.matches("the session goes on", client.say("NOOP"), "^250")
filler.unlink()
checks.check("takes mail again", wait_for(lambda: deliver("after").startswith("250"), 20, 0.5))
daemon.drained(20)
checks.check("the torn message did not arrive", "torn" not in marks() and "after" in marks())

# 4. kill -9 with a full disk, and a start on it.
sinks[0].close()
kept = [f"k{n}" for n in range(5)]
# Space is looked at once a second: the last look may have been when there was none.
taken = [wait_for(lambda mark=mark: deliver(mark, 50_000).startswith("250"), 30, 0.1) for mark in kept]
checks.equal("accepted before the kill", taken, [True] * len(kept))
filler = fill(spool)
# The last page of the journal may have room for it.
if deliver("edge").startswith("250"):
    kept.append("edge")
daemon.kill()
# Room that the journal had made ahead is given back at the start, which has it for itself.
daemon.start()
checks.equal("starts in the room that it had made", daemon.stop(), 0)
filler = fill(spool)
code, words = daemon.start_in_vain()
checks.equal("with no octet left it does not start, exit code", code, 2)
checks.matches("and says why", words, "(?i)space")
filler.unlink()
daemon.start()
sinks.append(Sink(port=hop_port))
checks.check("takes mail again", wait_for(lambda: deliver("again").startswith("250"), 20, 0.5))
wait_for(lambda: daemon.ask("queue-retry") and daemon.drained(1), 60)
checks.equal("nothing is lost", sorted(set(marks())), sorted([*expected, "after", *kept, "again"]))
checks.equal("the audit chain holds", daemon.broken_links(), [])
checks.equal("stops in order", daemon.stop(), 0)
checks.check("no panic", "panic" not in daemon.log.read_text())

# 5. The audit log's disk is full.
second = folder / "second"
second.mkdir()
audit = small("evidence", "1m")
(audit / "log").mkdir()
sinks[:] = [Sink()]
daemon = Daemon(second, lax(sinks[0].port), audit=audit / "log", spool_keys='retry = ["1s"]\n')
rig.on_exit(daemon.close)
daemon.start()
checks.matches("with room", deliver("first"), "^250")
filler = fill(audit)
answers = []


def refused_now():
    answers.append(deliver(f"a{len(answers)}"))
    return answers[-1].startswith("451 4.3.0")


checks.check("with no room for the log: 451 4.3.0", wait_for(refused_now, 20, 0.02), str(answers[-1:]))
taken = sum(answer.startswith("250") for answer in answers)
checks.check("alive", daemon.is_alive())
checks.check("status says so", daemon.ask("status")["audit_writable"] is False)
filler.unlink()
checks.check("takes mail again once there is room", wait_for(lambda: deliver("end").startswith("250"), 30, 0.5))
checks.check("all of it goes out", daemon.drained(30))
checks.equal("everything that was accepted arrived", len(set(marks())), taken + 2)
wait_for(lambda: len(daemon.records("outbound.delivered")) >= taken + 2, 10)
checks.equal("and is on record", len(daemon.records("inbound.accepted")), taken + 2)
checks.equal("the audit chain holds", daemon.broken_links(), [])
filler = fill(audit)
wait_for(refused_now, 20, 0.02)
daemon.kill()
filler.unlink()
daemon.start()
checks.equal("the audit chain holds after a kill with a full disk", daemon.broken_links(), [])
checks.check("takes mail", wait_for(lambda: deliver("last").startswith("250"), 20, 0.5))
checks.equal("stops in order", daemon.stop(), 0)
checks.check("no panic", "panic" not in daemon.log.read_text())
checks.finish()
