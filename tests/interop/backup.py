#!/usr/bin/env python3
"""A running node is copied under load as docs/operations/backup.md says, and the copy is started in its place: it has every message
that was acknowledged before the copy began and not finished by its end. Then the queue moves to an empty spool by export and
import, and all of it is delivered. Damage, a lost content file and a newer format are told on the way.

Needs openssl.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import threading
import zlib

import rig
from rig import GATEPOST, Client, Daemon, Sink, message, wait_for

SENDERS = 8
# Of a kind that never finishes: they must all be in the copy.
KEPT = 400
CONTENT_FILES = 5
LARGE = b"x" * 70 + b"\r\n"
LARGE_LINES = 20_000

checks = rig.Checks()
folder = rig.scratch("backup")
rig.on_exit(lambda: os.environ.get("KEEP") or shutil.rmtree(folder, ignore_errors=True))
down, sink = rig.free_port(), Sink()
place = lambda name, port: f'domains = ["{name}.test"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{port}"]\n'
DOMAINS = {"kept": place("kept", down), "flow": place("flow", sink.port)}
LIMITS = "[limits]\nmax_connections_per_client = 100\nmax_messages_per_session = 100000\n"


def node(name):
    home = folder / name
    home.mkdir(exist_ok=True)
    return Daemon(home, DOMAINS, LIMITS, spool_keys='retry = ["1h"]\nlifetime = "2d"\n')


def tool(daemon, *words, expect=0, json_output=False):
    more = ["--json"] if json_output else []
    done = subprocess.run([GATEPOST, "--config", str(daemon.config), *more, *map(str, words)], capture_output=True, check=False,
                          timeout=120, stdin=subprocess.DEVNULL, text=True, env={**os.environ, "NO_COLOR": "1"})
    checks.check(f"{' '.join(map(str, words[:2]))}: exit {expect}", done.returncode == expect,
                 f"{done.returncode} {done.stdout[-300:]} {done.stderr[-600:]}")
    return json.loads(done.stdout) if json_output else " ".join((done.stdout + done.stderr).split())


class Load:
    """Senders that hand in mail for both domains until they are stopped; what was acknowledged, by its mark."""

    def __init__(self, port):
        self.port, self.lock, self.over, self.accepted = port, threading.Lock(), threading.Event(), {"kept": {}, "flow": {}}
        self.threads = [threading.Thread(target=self.session, args=(number,), daemon=True) for number in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def session(self, number):
        client = Client(self.port)
        client.say("EHLO client.test")
        while not self.over.is_set():
            # Without an end of its own the queue would only grow.
            domain = "kept" if number % 2 and self.count("kept") < 2 * KEPT else "flow"
            self.send(client, domain, os.urandom(8).hex(), b"short\r\n")
        client.close()

    def send(self, client, domain, mark, body):
        answer = client.mail("a@sender.example", [f"b@{domain}.test"], message(X_Mark=mark, body=body))
        found = re.match(r"250 2\.0\.0 Ok: queued as (\w+)", answer)
        with self.lock:
            self.accepted[domain][mark] = found[1]

    def count(self, domain):
        with self.lock:
            return len(self.accepted[domain])

    def so_far(self, domain):
        with self.lock:
            return dict(self.accepted[domain])

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(30)


def marks(entries):
    return [re.search(rb"X-Mark: (\w+)", entry["data"])[1].decode() for entry in entries]


def copied():
    """The copy of a node that goes on working, and what it must have."""
    original = node("original").start()
    rig.on_exit(original.close)
    load = Load(original.port)
    client = Client(original.port)
    client.say("EHLO client.test")
    for _ in range(CONTENT_FILES):
        load.send(client, "kept", os.urandom(8).hex(), LARGE * LARGE_LINES)
    client.close()
    wait_for(lambda: load.count("kept") >= KEPT and load.count("flow") >= KEPT, 30)
    tool(original, "queue", "hold", "--to-domain", "kept.test", "--why", "the hop is down")
    tool(original, "spool", "keep", "10m")
    must, early = load.so_far("kept"), load.so_far("flow")
    before = len(early)
    backup = folder / "backup"
    backup.mkdir()
    subprocess.run(["cp", "-a", original.folder / "domains.d", original.config, original.folder / "server.pem",
                    original.folder / "server.key", backup], check=True)
    for part in (*original.folder.glob("audit.key*"), original.audit, original.spool):
        subprocess.run(["cp", "-a", part, backup], check=True)
    # The copy was taken in the middle of it.
    wait_for(lambda: load.count("flow") > before, 10)
    tool(original, "spool", "keep", "--end")
    load.stop()
    checks.check("there was load meanwhile", load.count("flow") > before, f"{before}")
    checks.matches("beside a daemon the check is clean", tool(original, "spool", "check"), "a daemon has it open.*as it was written")
    checks.equal("the original is killed", original.kill(), None)
    print(f"      {len(must)} messages must be in the copy, {load.count('kept')} and {load.count('flow')} were accepted in all")
    return must, early, load


def restored(must, early, load):
    """The copy in the place of the original."""
    daemon = node("restored")
    for part in ("spool", "audit", "audit.key", "audit.key.seen"):
        if (folder / "backup" / part).exists():
            shutil.move(folder / "backup" / part, daemon.folder / part)
    checks.matches("the copy is whole", tool(daemon, "spool", "check"), "no daemon has it open.*Everything is as it was written")
    tool(daemon, "check")
    daemon.start()
    rig.on_exit(daemon.close)
    queued = {entry["id"] for entry in tool(daemon, "queue", "list", "--to-domain", "kept.test", json_output=True)}
    checks.equal("every message that was acknowledged before the copy is there", sorted(set(must.values()) - queued)[:3], [])
    checks.equal("and no other than those", sorted(queued - set(load.so_far("kept").values()))[:3], [])
    holds = tool(daemon, "queue", "holds", json_output=True)
    checks.equal("the hold is in force", [(hold["domain"], hold["reason"]) for hold in holds], [("kept.test", "the hop is down")])
    checks.equal("the audit chain holds", daemon.broken_links()[:3], [])
    checks.check("what was for the other domain goes out", wait_for(lambda: daemon.ask("status")["deliveries"]["held"] == daemon.ask(
        "status")["messages"], 60))
    lost = set(load.so_far("flow")) - set(marks(sink.taken()))
    checks.equal("all of it that was acknowledged before the copy", sorted(lost & set(early))[:3], [])
    # Accepted after the copy and not delivered before the kill: only the lost node had it.
    print(f"      {len(lost)} messages were younger than the copy and went with the original")
    return daemon, queued


def damaged(daemon):
    """What is wrong with a spool is told with what is lost and what to do; a tool changes nothing of it."""
    checks.equal("stops in order", daemon.stop(), 0)
    whole = {path: path.read_bytes() for path in [*daemon.spool.glob("journal/*.journal"), *daemon.spool.glob("bodies/*.body")]}
    segment = max((path for path in whole if path.suffix == ".journal"), key=lambda path: len(whole[path]))
    body = next(path for path in whole if path.suffix == ".body")
    content = whole[segment]

    def told(what, said, words=("check",), expect=1):
        checks.matches(what, tool(daemon, "spool", *words, expect=expect), said)

    middle = content.index(b"GPbatch\n", len(content) // 2) + 60
    segment.write_bytes(content[:middle] + bytes([content[middle] ^ 0xff]) + content[middle + 1:])
    told("a damaged frame", "metadata is damaged; batch.*serve --accept-damage")
    report = tool(daemon, "spool", "check", expect=1, json_output=True)
    checks.check("its place is told", report["damage"] and report["damage"][0]["segment"] in segment.name, str(report["damage"]))
    told("an import into a damaged spool is refused", "is damaged.*put in order", ("import", folder))
    told("and so is a compaction", "is damaged.*put in order", ("compact",))
    checks.matches("a daemon does not start on it", daemon.start_in_vain()[1], "(?i)the spool is damaged.*accept-damage")
    newer = content[:8] + struct.pack("<I", 99) + content[12:44]
    segment.write_bytes(newer + struct.pack("<I", zlib.crc32(newer)) + content[48:])
    told("a newer format", "has format version 99; this release reads version 1.*newer one", expect=3)
    checks.matches("a daemon says the same", " ".join(daemon.start_in_vain()[1].split()), "version 99; this release reads.*newer one")
    segment.write_bytes(content)
    body.unlink()
    told("a lost content file", f"message {body.stem}: the file with its content is missing.*1 message is lost.*queue bounce")
    partial = tool(daemon, "spool", "export", folder / "partial", expect=1)
    checks.matches("an export goes on with the others", partial, f"messages exported.*not exported: {body.stem}")
    body.write_bytes(whole[body])
    body.chmod(0o600)
    now = {path: path.read_bytes() for path in whole}
    changed = [path.name for path in whole if now[path] != whole[path]]
    checks.equal("nothing was changed by looking", changed, [])
    told("and all is well again", "Everything is as it was written", expect=0)


def moved(daemon, queued, load):
    """By export and import into an empty spool, where the way is open now."""
    out = folder / "out"
    exported = tool(daemon, "spool", "export", out, json_output=True)
    checks.equal("all is exported", (exported["exported"], exported["failed"]), (len(queued), []))
    again = tool(daemon, "spool", "export", out, json_output=True)
    checks.equal("once", (again["exported"], again["present"]), (0, len(queued)))
    target = node("moved")
    (target.folder / "domains.d" / "kept.toml").write_text(place("kept", sink.port))
    target.spool.mkdir(mode=0o750)
    imported = tool(target, "spool", "import", out, json_output=True)
    checks.equal("all is imported", (imported["imported"], imported["refused"]), (len(queued), []))
    checks.matches("nothing twice", tool(target, "spool", "import", out, expect=1), "0 messages imported.*it is in the queue already")
    target.start()
    rig.on_exit(target.close)
    checks.matches("a running daemon keeps its spool to itself", tool(target, "spool", "import", out, expect=3), "in use.*stop the daemon")
    tool(target, "queue", "retry", "--all")
    checks.check("all of it is delivered", target.drained(60), str(target.ask("status")["messages"]))
    arrived, kept = set(marks(sink.taken())), load.so_far("kept")
    lost = [mark for mark, id_ in kept.items() if id_ in queued and mark not in arrived]
    checks.equal("every message that was in the queue arrived", lost[:3], [])
    large = [entry for entry in sink.taken() if entry["to"] == ["b@kept.test"] and entry["data"].endswith(LARGE * LARGE_LINES)]
    checks.equal("the large ones whole", len(large), CONTENT_FILES)
    uid = f"asked for by uid {os.getuid()}"
    imports = lambda: [r for r in target.records("queue.admin") if "is imported from" in r["detail"] and r["detail"].endswith(uid)]
    checks.check("each import is on record", wait_for(lambda: len(imports()) == len(queued), 10), str(len(imports())))
    tool(target, "spool", "compact")
    checks.equal("stops in order", target.stop(), 0)
    checks.equal("the audit chain holds", target.broken_links()[:3], [])
    tool(target, "spool", "compact")
    checks.matches("and the spool", tool(target, "spool", "check"), "Everything is as it was written")
    for one in (daemon, target):
        checks.check("no panic", "panic" not in one.log.read_text())


*found, traffic = copied()
started, ids = restored(*found, traffic)
damaged(started)
moved(started, ids, traffic)
checks.finish()
