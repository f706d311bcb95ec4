#!/usr/bin/env python3
"""The operator steers the queue of the real daemon, which is killed with -9 between each command and its effect, and in the
middle of a long one: what was answered is so after the restart, nothing is sent that was held, bounced or deleted, and the
audit log names who asked.

Needs openssl.
"""

import collections
import json
import os
import re
import socket
import subprocess
import threading
import time

import rig
from rig import GATEPOST, Client, Daemon, Sink, message, wait_for

UID = os.getuid()
NOBODY = 65534
MANY = 2000
SESSIONS = 20
# The lifetime of a domain's mail.
FLEETING_SECONDS = 2
# Notices of a bounce of many that are out when the daemon is killed.
NOTICES_BEFORE_KILL = 300

checks = rig.Checks()
folder = rig.scratch("queue-ops")
rig.authority(folder)
hop_tls = rig.issued(folder, "hop.test", "hop")
sink, escrow = Sink(), Sink(tls=hop_tls)
refusing = Sink(rcpt=lambda address: "550 5.1.1 no such mailbox")
busy = Sink(rcpt=lambda address: "450 4.2.1 The mailbox is busy")
route = lambda port, more="": f'[route]\nhosts = ["127.0.0.1:{port}"]\n{more}'
hosted = lambda name, rest: f'domains = ["{name}.test"]\nhosted = true\nrecipients = "any"\n{rest}'
domains = {name: hosted(name, route(sink.port)) for name in ("home", "one", "two", "three", "four", "bulk")}
domains["refused"] = hosted("refused", route(refusing.port))
domains["busy"] = hosted("busy", route(busy.port))
domains["fleeting"] = hosted("fleeting", f'[outbound]\nretry = ["1s"]\nlifetime = "{FLEETING_SECONDS}s"\n{route(busy.port)}')
domains["strict"] = hosted("strict", route(sink.port, f'tls = "verify"\nmatch = ["hop.test"]\nca = "{folder}/ca.pem"\n'))
escrows = (f'[[route]]\nname = "escrow"\nhosts = ["127.0.0.1:{escrow.port}"]\ntls = "encrypt"\n'
           f'[[route]]\nname = "weak"\nhosts = ["127.0.0.1:{escrow.port}"]\ntls = "opportunistic"\n')
LIMITS = "[limits]\nmax_connections_per_client = 100\nmax_messages_per_session = 10000\n"
daemon = Daemon(folder, domains, escrows + LIMITS, spool_keys='retry = ["1h"]\nlifetime = "2d"\n')
rig.on_exit(daemon.close)
daemon.start()


def run(*words, expect=0, where=("--config", str(daemon.config)), **account):
    done = subprocess.run([GATEPOST, *where, "--json", "queue", *words], capture_output=True, check=False,
                          timeout=120, stdin=subprocess.DEVNULL, text=True, **account)
    checks.check(f"queue {' '.join(words)}: exit {expect}", done.returncode == expect,
                 f"{done.returncode} {done.stdout[-400:]} {done.stderr[-400:]}")
    try:
        return json.loads(done.stdout)
    except ValueError:
        return " ".join(done.stderr.split())


def hand_in(*domains, sender="a@home.test", subject="hello"):
    return hand_in_all(domains, [subject], sender)[0]


def hand_in_all(domains, subjects, sender="a@home.test"):
    client, ids = Client(daemon.port), []
    client.say("EHLO client.test")
    for subject in subjects:
        answer = client.mail(sender, [f"b@{name}.test" for name in domains], message(subject=subject))
        ids.append(re.match(r"250 2\.0\.0 Ok: queued as (\w+)", answer)[1])
    client.close()
    return ids


def hand_in_many(domain, name):
    """The ids of MANY messages by their subjects."""
    ids = {}

    def session(number):
        subjects = [f"{name}-{place}." for place in range(number, MANY, SESSIONS)]
        ids.update(zip(subjects, hand_in_all([domain], subjects)))

    threads = [threading.Thread(target=session, args=(number,)) for number in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checks.equal(f"{MANY} messages are handed in", len(ids), MANY)
    return ids


def crash():
    daemon.kill()
    daemon.start()


def queued():
    return {entry["id"]: entry for entry in daemon.queue()}


def states(id_):
    found = queued().get(id_)
    return found and sorted({to["state"] for to in found["recipients"]})


def stand(what, id_, expected):
    checks.check(what, wait_for(lambda: states(id_) == expected), f"{states(id_)}")


def came(subject, at=sink):
    return sum(f"Subject: {subject}\r\n".encode() in entry["data"] for entry in at.taken())


def admin(pattern, count=1):
    """Records of what the operator did, once there are so many."""
    look = lambda: [record for record in daemon.records("queue.admin") if re.search(pattern, record["detail"])]
    wait_for(lambda: len(look()) >= count)
    return look()


def steer(verb, **words):
    """Asks on the socket itself; gives the lines that come, up to the last one or the end of the daemon."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(120)
        control.connect(str(daemon.socket))
        control.sendall(json.dumps({"command": "queue-steer", "verb": verb, **words}).encode() + b"\n")
        try:
            return [json.loads(line) for line in control.makefile() if line.endswith("\n")]
        except OSError:
            return []


def holds_of_destinations():
    for name in ("one", "two", "three", "four", "strict", "fleeting"):
        found = run("hold", "--to-domain", f"{name}.test", "--why", f"moving {name}")
        checks.equal(f"the hold of {name} is answered", found["destinations"], [f"mail to {name}.test"])
    crash()
    checks.equal("after a kill all holds are in force", len(run("holds")), 6)
    checks.equal("`hold` alone lists them too", [hold["domain"] for hold in run("hold")][0], "fleeting.test")
    both = hand_in("one", "home", subject="both")
    checks.check("the other recipient of a message is served", wait_for(lambda: came("both") == 1))
    stand("and one stays", both, ["delivered", "held"])
    crash()
    stand("also after a kill", both, ["delivered", "held"])
    checks.equal("status says how many", daemon.ask("status")["held_destinations"], 6)
    run("release", "--to-domain", "one.test")
    crash()
    # The second copy, for the other recipient.
    # Once more if the kill came between the hop's 250 and its record.
    checks.check("what is released goes out", wait_for(lambda: came("both") >= 2))
    checks.equal("the records name the account", len(admin(rf"hold of mail to one\.test, asked for by uid {UID}: moving one")), 1)


def holds_of_messages():
    kept = hand_in("two", subject="kept")
    stand("it is held with its domain", kept, ["held"])
    checks.equal("it is held by itself", run("hold", kept, "--for", "2h", "--why", "evidence")["changed"], 1)
    crash()
    run("release", "--to-domain", "two.test", "--older-than", "1d")
    checks.equal("a filter that matches nothing releases nothing", run("holds")[-1]["domain"], "two.test")
    answer = run("release", kept)
    checks.equal("a release says that the domain is held still", (answer["changed"], answer["still_held"]), (1, 1))
    run("hold", kept)
    crash()
    stand("the hold outlasts the kill", kept, ["held"])
    checks.equal("a retry moves nothing that is held", run("retry", kept)["changed"], 0)
    run("hold", kept, "--for", "1s")
    daemon.kill()
    time.sleep(1.5)
    daemon.start()
    checks.check("it is released by itself", wait_for(lambda: admin("released, its time is over"), 20))
    run("release", "--to-domain", "two.test")
    checks.check("and goes out", wait_for(lambda: came("kept") == 1))


def ends():
    gone = [hand_in("three", sender="a@home.test", subject="gone") for _ in range(3)]
    back = [hand_in("four", subject="back") for _ in range(2)]
    for id_ in gone + back:
        stand("it is held", id_, ["held"])
    checks.equal("a dry run counts", run("delete", "--to-domain", "three.test", "--dry-run")["changed"], 3)
    words = run("delete", "--to-domain", "three.test", expect=2)
    checks.matches("without a terminal, many are not deleted without --yes", words, "--yes")
    checks.matches("nothing given is an error that says so", run("delete", expect=2), "nothing says which messages")
    checks.equal("by id", run("delete", gone[0], "--why", "spam")["changed"], 1)
    crash()
    checks.check("it is gone after the kill", gone[0] not in queued())
    answer = run("delete", "--to-domain", "three.test", "--from-domain", "home.test", "--yes")
    checks.equal("by filters, all of which must match", answer["changed"], 2)
    crash()
    checks.equal("all are gone after the kill", [id_ for id_ in gone if id_ in queued()], [])
    checks.equal("what is gone is not found", run("delete", gone[1], expect=1)["unknown"], [gone[1]])
    checks.equal("each deletion is on record", len(admin(rf"^deleted, asked for by uid {UID}", 3)), 3)
    notices = lambda: [entry for entry in sink.taken() if entry["from"] == "" and b"bounced by the administrator" in entry["data"]]
    checks.equal("bounced", run("bounce", "--to-domain", "four.test", "--yes", "--why", "not wanted")["changed"], 2)
    crash()
    # One that was on its way at the kill comes again, as the same message.
    told = lambda: {re.search(rb"(?im)^Message-Id: (\S+)", entry["data"])[1] for entry in notices()}
    checks.check("each sender is told once", wait_for(lambda: len(told()) >= 2) and len(told()) == 2, len(notices()))
    checks.matches("with status and reason", notices()[0]["data"], r"Status: 5\.7\.1.*not wanted|not wanted.*Status: 5\.7\.1")
    checks.equal("and none of a deletion", came("gone"), 0)
    wait_for(lambda: len(daemon.records("outbound.bounced", reason="operator")) >= 2)
    bounced = daemon.records("outbound.bounced", reason="operator")
    checks.equal("outbound.bounced", sorted(record["message"] for record in bounced), sorted(back))


def reroutes():
    strict, plain = hand_in("strict", subject="strict"), hand_in("four", subject="plain")
    stand("it is held", plain, ["held"])
    for via, id_, more in [("escrow", strict, ()), ("weak", plain, ()), ("weak", plain, ("--dry-run",))]:
        refused = run("reroute", id_, "--via", via, *more, expect=1)["refused"]
        checks.matches(f"{via} is weaker", refused[0]["why"], "is weaker than its policy: it lacks tls")
    checks.matches("no such route", run("reroute", plain, "--via", "nowhere", expect=1), "name one of these: escrow, weak")
    checks.equal("rerouted", run("reroute", plain, "--via", "escrow")["changed"], 1)
    crash()
    stand("it is held after the kill", plain, ["held"])
    run("release", "--to-domain", "four.test")
    checks.check("it goes by the route", wait_for(lambda: came("plain", escrow) == 1))
    checks.equal("and not its own way", came("plain"), 0)
    run("delete", strict)
    run("release", "--to-domain", "strict.test")

    run("hold", "--route", "escrow")
    moved = hand_in("refused", subject="bounced")
    checks.check("it bounces at once", wait_for(lambda: moved not in queued()))
    run("hold", "--to-domain", "one.test")
    moved = hand_in("one", subject="moved")
    stand("it is held", moved, ["held"])
    run("reroute", "--to-domain", "one.test", "--via", "escrow")
    run("release", "--to-domain", "one.test")
    stand("a held route holds it", moved, ["held"])
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace('tls = "encrypt"\n[[route]]', 'tls = "opportunistic"\n[[route]]'))
    subprocess.run([GATEPOST, "--config", str(daemon.config), "reload"], check=True, capture_output=True)
    checks.check("a route that became too weak sends it back to its own way", wait_for(lambda: came("moved") == 1))
    checks.equal("on record", len(admin("goes its own way again, not by escrow")), 1)
    daemon.config.write_text(text)
    run("release", "--all")
    checks.equal("all holds are ended", run("holds"), [])


def soft_bounce():
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("[spool]\n", "[spool]\nsoft_bounce = true\n"))
    checked = subprocess.run([GATEPOST, "--config", str(daemon.config), "check"], capture_output=True, text=True, check=False)
    checks.matches("check warns", checked.stdout + checked.stderr, "SOFT BOUNCE IS ON")
    subprocess.run([GATEPOST, "--config", str(daemon.config), "reload"], check=True, capture_output=True)
    soft = hand_in("refused", subject="soft")
    checks.check("a refusal waits", wait_for(lambda: states(soft) == ["waiting"]), str(states(soft)))
    wait_for(lambda: daemon.records("outbound.deferred", message=soft))
    record = daemon.records("outbound.deferred", message=soft)[-1]
    checks.matches("the record keeps the reason", record["reason"] + record["reply"], "remote-refused550 5.1.1")
    checks.equal("status says so", daemon.ask("status")["soft_bounce"], True)
    crash()
    daemon.config.write_text(text)
    subprocess.run([GATEPOST, "--config", str(daemon.config), "reload"], check=True, capture_output=True)
    checks.equal("tried now", run("retry", "--reason", "remote-refused")["changed"], 1)
    checks.check("and bounces again", wait_for(lambda: soft not in queued()))


def holds_that_end():
    found = run("hold", "--to-domain", "one.test", "--for", "2s", "--why", "a moment")
    checks.equal("a hold with an end", found["destinations"], ["mail to one.test"])
    brief = hand_in("one", subject="brief")
    stand("it is held", brief, ["held"])
    crash()
    checks.check("it is released by itself", wait_for(lambda: came("brief") == 1, 20))
    checks.equal("and the hold is gone", [hold for hold in run("holds") if hold["domain"] == "one.test"], [])
    checks.equal("on record", len(admin(r"the hold of mail to one\.test is over, its time has come")), 1)


def holds_past_the_lifetime():
    """Nothing expires while it is held; what is released after its time is tried once more."""
    kept = hand_in("fleeting", subject="fleeting")
    stand("it is held", kept, ["held"])
    time.sleep(FLEETING_SECONDS + 1)
    stand("beyond its lifetime too", kept, ["held"])
    run("release", "--to-domain", "fleeting.test")
    checks.check("it is tried once and given up", wait_for(lambda: kept not in queued()))
    checks.equal("once", [address for address, _ in busy.named].count("b@fleeting.test"), 1)
    told = lambda: [entry["data"] for entry in sink.taken() if entry["from"] == "" and b"b@fleeting.test" in entry["data"]]
    checks.matches("its sender is told that its time is over", wait_for(told)[0], r"Status: 4\.4\.7")


def retries():
    """Each filter, and all of them together, tries those that are meant and no others."""
    waiting = lambda ids: wait_for(lambda: all(states(id_) == ["waiting"] for id_ in ids))
    ours = [hand_in("busy"), hand_in("busy")]
    other = hand_in("busy", sender="c@other.test")
    everything = [*ours, other]
    checks.check("all wait", waiting(everything))
    time.sleep(1)
    for words, count in [
        (["--to-domain", "busy.test"], 3), (["--to-domain", "one.test"], 0),
        (["--from-domain", "home.test"], 2), (["--from-domain", "other.test", "--to-domain", "busy.test"], 1),
        (["--older-than", "1s"], 3), (["--older-than", "1d"], 0),
        (["--route", "domains.d/busy.toml"], 3), (["--route", "escrow"], 0),
        (["--reason", "remote-deferred"], 3), (["--reason", "timeout"], 0),
        (["--all"], 3), (ours, 2), ([other], 1),
    ]:
        rehearsed, before = run("retry", *words, "--dry-run")["changed"], len(busy.named)
        checks.equal("a dry run counts the same", rehearsed, count)
        checks.equal("so many are tried", run("retry", *words)["changed"], count)
        checks.check("and they are", wait_for(lambda: len(busy.named) >= before + count) and waiting(everything))
        checks.equal("no others", len(busy.named), before + count)
    checks.equal("nobody is told", [entry for entry in sink.taken() if b"b@busy.test" in entry["data"]], [])
    checks.equal("deleted", run("delete", *everything, "--yes")["changed"], 3)


def bad_input():
    """What makes no sense is refused before anything is done, with a word on what would."""
    before = len(daemon.records("queue.admin"))
    unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    for words, expect, said in [
        (["hold", "nonsense"], 2, "not an id"),
        (["hold", "--to-domain", "one.test", "--for", "5x"], 2, "a number and a unit"),
        (["hold", "--to-domain", "one.test", "--for", "0s"], 2, "at least one second"),
        (["hold", "--why", "a reason alone"], 2, "nothing says which messages"),
        (["hold", "--route", "nowhere"], 1, "no route named"),
        (["retry"], 2, "nothing says which messages"),
        (["retry", "--reason", "whim"], 2, "write tls-required, .* or operator"),
        (["retry", "--to-domain", "no domain"], 2, "a domain name holds"),
        (["release", "--all", "--to-domain", "one.test"], 2, "leave out one"),
        (["bounce", "--older-than", "soon"], 2, "a number and a unit"),
        (["delete", "--all", "--why", "x" * 401], 2, "at most 400"),
        (["reroute", "--all"], 2, "--via"),
    ]:
        checks.matches(f"{words[0]}: says what is wrong", run(*words, expect=expect), said)
    checks.equal("nothing of it is on record", len(daemon.records("queue.admin")), before)
    for verb in ("retry", "hold", "release", "bounce", "delete"):
        checks.equal(f"{verb}: an unknown id is told", run(verb, unknown, expect=1)["unknown"], [unknown])
    checks.equal("without a reason it is done too", run("hold", "--to-domain", "one.test")["destinations"], ["mail to one.test"])
    run("release", "--to-domain", "one.test")
    for words in (["hold", unknown], ["retry", "--all"], ["delete", "--all"]):
        checks.equal(f"{words[0]}: nothing is changed where nothing is", run(*words, expect=int(unknown in words))["changed"], 0)


def accounts():
    """Who may not open the socket changes nothing; who may is on record with the uid that the kernel tells."""
    if UID != 0:
        return print("      skipped: only root can become somebody else")
    nobody = {"user": NOBODY, "group": NOBODY, "cwd": "/"}
    ask = lambda expect: run("--socket", str(daemon.socket), "hold", "--to-domain", "two.test", expect=expect, where=(), **nobody)
    try:
        checks.matches("no permission is told as such", ask(3), "ermission denied.*run this as root")
    except PermissionError:
        return print("      skipped: the binary lies where nobody else can start it")
    for path in (folder, daemon.socket.parent, daemon.socket):
        path.chmod(0o777)
    ask(0)
    checks.equal("the record has the peer's uid", len(admin(rf"hold of mail to two\.test, asked for by uid {NOBODY}")), 1)
    checks.equal("and so has the hold", run("holds")[0]["by"], NOBODY)
    run("release", "--to-domain", "two.test")
    return None


def many():
    """Long orders tell how far they are, and a kill in their middle loses nothing."""
    run("hold", "--to-domain", "bulk.test", "--why", "many")
    ids = hand_in_many("bulk", "bulk")
    checks.check("all are held", wait_for(lambda: daemon.ask("status")["deliveries"]["held"] == MANY))
    found = run("hold", "--to-domain", "bulk.test", "--older-than", "0s", "--for", "1h")
    checks.equal("by themselves too, if something narrows it", (found["changed"], found["destinations"]), (MANY, []))
    crash()
    found = run("release", "--to-domain", "bulk.test", "--older-than", "0s")
    checks.equal("after a kill all are held by themselves", (found["changed"], found["still_held"]), (MANY, MANY))
    noticed = lambda: [entry for entry in sink.taken() if entry["from"] == "" and b"Subject: bulk-" in entry["data"]]
    lines = []
    bouncing = threading.Thread(target=lambda: lines.extend(steer("bounce", filter={"to_domain": "bulk.test"}, why="too many")))
    bouncing.start()
    wait_for(lambda: len(noticed()) >= NOTICES_BEFORE_KILL, 30, 0.002)
    daemon.kill()
    bouncing.join()
    daemon.start()
    left = {entry["id"] for entry in run("list", "--to-domain", "bulk.test")}
    print(f"      killed with {MANY - len(left)} of {MANY} bounced, {len(lines)} lines told")
    checks.equal("the hold outlasts it", [hold["domain"] for hold in run("holds")], ["bulk.test"])
    began, again = time.monotonic(), steer("bounce", filter={"to_domain": "bulk.test"}, why="too many")
    checks.equal("the rest can be bounced", again[-1].get("changed"), len(left))
    checks.check("a long order tells how far it is", len(left) <= 512 or len(again) > 1 or time.monotonic() - began < 1, str(again)[:400])
    checks.check("the queue runs empty", daemon.drained(60), str(daemon.ask("status")["messages"]))
    wait_for(lambda: len(daemon.records("outbound.bounced")) >= MANY)
    records = collections.Counter(record["message"] for record in daemon.records("outbound.bounced"))
    odd = [id_ for id_ in ids.values() if records[id_] != 1]
    checks.equal("each is bounced once, by the audit log", odd, [])
    # A notice that was on its way at the kill comes again, as the same message.
    notices = collections.defaultdict(set)
    for entry in noticed():
        subject = re.search(rb"^Subject: (bulk-\d+\.)", entry["data"], re.M)[1].decode()
        notices[subject].add(re.search(rb"(?im)^Message-Id: (\S+)", entry["data"])[1])
    checks.equal("each sender is told", sorted(set(ids) - set(notices)), [])
    checks.equal("of each message once", [subject for subject, found in notices.items() if len(found) != 1], [])
    checks.equal("nothing is delivered", sum(b"Subject: bulk-" in entry["data"] for entry in sink.taken() if entry["from"]), 0)
    run("release", "--to-domain", "bulk.test")


def stopped():
    checks.equal("stops in order", daemon.stop(), 0)
    for words in (["hold"], ["holds"], ["retry", "--all"], ["delete", "--all", "--yes"], ["reroute", "--all", "--via", "escrow"]):
        checks.matches(f"{words[0]}: says that no daemon runs", run(*words, expect=3), "no daemon answers.*gatepost serve")


PARTS = [bad_input, accounts, holds_of_destinations, holds_of_messages, holds_that_end, holds_past_the_lifetime, ends, reroutes,
         retries, soft_bounce, many]
for part in PARTS:
    began = time.monotonic()
    part()
    print(f"      {part.__name__}: {time.monotonic() - began:.1f} s")
checks.check("the queue runs empty", daemon.drained(60), str(daemon.ask("status")))
stopped()
checks.equal("the audit chain holds", daemon.broken_links()[:3], [])
checks.check("no panic", "panic" not in daemon.log.read_text())
checks.finish()
