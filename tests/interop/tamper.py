#!/usr/bin/env python3
"""Whoever changes the audit log is found: `audit verify` names what was done and where, receipts stand alone, kills lose nothing.

Each kind of tampering is done to a copy of a log of many segments. A daemon under load is then killed again and again, and
after each restart its log is whole up to its durable end.
"""

import json
import os
import re
import shutil
import threading
import time

import rig
import traffic_rig
from rig import Client, Daemon, Sink, message, wait_for

RECORDS = 20_000
SEGMENT_BYTES = 2_000_000
# The traffic follows the hours of the day: with one end it is always the same.
UNTIL = "2026-11-23T19:21:25.196959Z"
KILLS = int(os.environ.get("KILLS", 8))
SENDERS = 12
LOAD_SECONDS = 0.7

checks = rig.Checks()
folder = rig.scratch("tamper")


def verify(home, *arguments):
    return traffic_rig.gatepost("audit", "verify", "--json", *arguments, config=home / "gatepost.toml")


class Copy:
    """A copy of the log, with its lines and the number of each."""

    def __init__(self, original):
        self.home = traffic_rig.copy(original, "copy")
        self.paths = traffic_rig.segments(self.home)

    def lines(self, segment):
        return self.paths[segment].read_bytes().splitlines(keepends=True)

    def edit(self, segment, change):
        lines = self.lines(segment)
        change(lines)
        self.paths[segment].write_bytes(b"".join(lines))

    def seq(self, segment, line):
        return seq_of(self.lines(segment)[line])


def seq_of(line):
    return json.loads(line)["seq"]


def is_checkpoint(line):
    return b'"event":"checkpoint"' in line


def flipped(line, field):
    """The line with one bit of the field's value changed."""
    place = line.index(field) + len(field)
    return line[:place] + bytes([line[place] ^ 1]) + line[place + 1:]


# Each does one thing to a copy and gives what must be found: kind, first and last record, segment and line (None: any).
def flip(field):
    def tamper(copy):
        seq = copy.seq(2, 40)
        copy.edit(2, lambda lines: lines.__setitem__(40, flipped(lines[40], field)))
        return "changed", seq, seq, 2, 41
    return tamper


def flip_of_last(field):
    """In the line that nothing follows: its signature and the copy of it beside the key protect it."""
    def tamper(copy):
        seq, line = copy.seq(-1, -1), len(copy.lines(-1))
        copy.edit(-1, lambda lines: lines.__setitem__(-1, flipped(lines[-1], field)))
        return "changed", seq, seq, -1, line
    return tamper


def drop(copy):
    seq = copy.seq(2, 40)
    copy.edit(2, lambda lines: lines.pop(40))
    return "missing", seq, seq, 2, 41


def drop_many(copy):
    seq = copy.seq(2, 40)
    copy.edit(2, lambda lines: lines.__delitem__(slice(40, 50)))
    return "missing", seq, seq + 9, 2, 41


def drop_first(copy):
    copy.edit(0, lambda lines: lines.pop(0))
    return "missing", 1, 1, 0, 1


def swap(copy):
    seq = copy.seq(2, 40)
    copy.edit(2, lambda lines: lines.__setitem__(slice(40, 42), [lines[41], lines[40]]))
    return "reordered", seq, seq + 1, 2, None


def swap_apart(distance):
    def tamper(copy):
        seq = copy.seq(2, 40)
        def change(lines):
            lines[40], lines[40 + distance] = lines[40 + distance], lines[40]
        copy.edit(2, change)
        return "reordered", seq, seq + distance, 2, None
    return tamper


def swap_between_segments(copy):
    one, other = copy.lines(1)[30], copy.lines(3)[50]
    copy.edit(1, lambda lines: lines.__setitem__(30, other))
    copy.edit(3, lambda lines: lines.__setitem__(50, one))
    return "reordered", seq_of(one), seq_of(other), 1, 31


def repeat(copy):
    seq = copy.seq(2, 40)
    copy.edit(2, lambda lines: lines.insert(41, lines[40]))
    return "duplicated", seq, seq, 2, 42


def cut_at_a_line(copy):
    lines = copy.lines(-1)
    copy.edit(-1, lambda lines: lines.__delitem__(slice(-3, None)))
    return "tail-cut", seq_of(lines[-3]), seq_of(lines[-1]), None, None


def cut_inside_a_line(copy):
    lines = copy.lines(-1)
    copy.paths[-1].write_bytes(copy.paths[-1].read_bytes()[:-len(lines[-1]) - 100])
    return "tail-cut", seq_of(lines[-2]), seq_of(lines[-1]), None, None


def drop_segment(copy):
    first, last = copy.seq(3, 0), copy.seq(3, -1)
    copy.paths[3].unlink()
    return "segment-missing", first, last, None, None


def drop_last_segment(copy):
    first, last = copy.seq(-1, 0), copy.seq(-1, -1)
    copy.paths[-1].unlink()
    return "tail-cut", first, last, None, None


def older_segment(copy):
    """As a backup would have it that was made while the segment was written: whole, and it ends with a checkpoint."""
    lines = copy.lines(3)
    end = [number for number, line in enumerate(lines) if is_checkpoint(line)][-3] + 1
    copy.edit(3, lambda lines: lines.__delitem__(slice(end, None)))
    return "segment-replaced", seq_of(lines[end]), seq_of(lines[-1]), 3, None


def other_segment(copy):
    first, last = copy.seq(3, 0), copy.seq(3, -1)
    shutil.copy(copy.paths[2], copy.paths[3])
    return "segment-replaced", first, last, 3, None


def older_log(copy):
    """The whole folder as it was once. The key's `.seen` lies elsewhere and knows better."""
    last = copy.seq(-1, -1)
    for path in copy.paths[4:]:
        path.unlink()
    return "tail-cut", copy.seq(3, -1) + 1, last, None, None


def other_key(copy):
    """A whole new log, signed in order by a key of somebody else."""
    shutil.rmtree(copy.home / "audit")
    shutil.copytree(folder / "forged" / "audit", copy.home / "audit")
    (copy.home / "audit.key.seen").unlink()
    return "key-unexpected", None, None, None, None


def other_signature(copy):
    """One checkpoint with the signature of another."""
    lines = copy.lines(2)
    places = [number for number, line in enumerate(lines) if is_checkpoint(line)]
    signature = lambda line: re.search(rb'"signature":"([0-9a-f]{128})"', line)[1]
    one, other = lines[places[0]], lines[places[1]]
    changed = one.replace(signature(one), signature(other))
    copy.edit(2, lambda lines: lines.__setitem__(places[0], changed))
    return "changed", seq_of(one), seq_of(one), 2, places[0] + 1


TAMPERINGS = {
    **{f"a byte of {name}": flip(field) for name, field in {
        "the number": b'{"seq":', "the time": b'"time":"20', "the id": b'"id":"01', "the event": b'"event":"',
        "the configuration": b'"config":"', "the link": b'"prev":"', "a name": b'"node":"'}.items()},
    "a byte of the last checkpoint's root": flip_of_last(b'"root":"'),
    "a byte of the last signature": flip_of_last(b'"signature":"'),
    "the signature of another checkpoint": other_signature,
    "a record taken out": drop, "ten records taken out": drop_many, "the first record taken out": drop_first,
    "two records swapped": swap, "two with one between them swapped": swap_apart(2), "two far apart swapped": swap_apart(100),
    "two records of different segments swapped": swap_between_segments, "a record repeated": repeat,
    "the tail cut at a line": cut_at_a_line, "the tail cut inside a line": cut_inside_a_line,
    "a segment removed": drop_segment, "the last segment removed": drop_last_segment,
    "an older copy of a segment": older_segment, "another segment in its place": other_segment,
    "an older copy of the whole log": older_log, "a log signed with another key": other_key,
}


def tampering(original):
    code, report, words = verify(original)
    checks.check("an untouched log is whole", code == 0 and report["break_count"] == 0, f"{code}: {report} {words}")
    print(f"      {report['records']} records, {report['segments']} segments, {report['checkpoints']} checkpoints")
    for what, tamper in TAMPERINGS.items():
        copy = Copy(original)
        kind, first, last, segment, line = tamper(copy)
        code, report, words = verify(copy.home)
        if not checks.check(f"{what}: exit code 1", code == 1 and isinstance(report, dict), f"{code}: {words[-300:]}"):
            continue
        finding = report["breaks"][0]
        found = {**finding, "file": finding["file"].rpartition("/")[2]}
        expected = {"kind": kind, "first": first, "last": last, "line": line,
                    "file": None if segment is None else copy.paths[segment].name}
        differs = {key: (found[key], value) for key, value in expected.items() if value is not None and found[key] != value}
        is_one = report["break_count"] == 1
        checks.check(f"{what}: named in one finding", not differs and is_one, f"{differs} {report['breaks'][:3]}")
        print(f"      {found['file']}:{found['line']}: {found['what'][:150]}")
        _, page, _ = traffic_rig.gatepost("audit", "verify", config=copy.home / "gatepost.toml")
        flat = " ".join(str(page).split())
        checks.check(f"{what}: the page says so", finding["what"] in flat, flat[:400])


def held_elsewhere(original, key):
    """The key's owner writes the log anew: only a checkpoint that is held elsewhere shows it."""
    copy = Copy(original)
    held = copy.home / "held.jsonl"
    checkpoints = [line for segment in range(len(copy.paths)) for line in copy.lines(segment) if is_checkpoint(line)]
    held.write_bytes(b"".join(checkpoints[::7]))
    code, report, _ = verify(copy.home, "--checkpoint", held)
    checks.check("checkpoints held elsewhere stand in the log", code == 0 and report["held"]["confirmed"] == len(checkpoints[::7]))
    code, _, _ = verify(copy.home, "--key", key)
    checks.equal("the key that was kept is the right one", code, 0)
    code, report, _ = verify(copy.home, "--key", "ed25519:" + "ab" * 32)
    checks.check("another key is not", code == 1 and report["breaks"][0]["kind"] == "key-unexpected", str(report)[:300])
    # Removed with all that is known of it on the host: only what is held elsewhere tells.
    for path in copy.paths[4:]:
        path.unlink()
    (copy.home / "audit.key.seen").unlink()
    checks.equal("a log that was cut together with its `.seen` looks whole by itself", verify(copy.home)[0], 0)
    code, report, _ = verify(copy.home, "--checkpoint", held)
    checks.check("and not beside a checkpoint held elsewhere", code == 1 and report["breaks"][0]["kind"] == "tail-cut", str(report)[:300])


def receipts(original, key):
    copy = Copy(original)
    delivered = [json.loads(line) for line in copy.lines(2) if b'"event":"outbound.delivered"' in line]
    wanted, other = delivered[10]["message"], delivered[20]["message"]
    made = {}
    for name, wish in [("one", wanted), ("other", other)]:
        out = copy.home / f"{name}.json"
        code, _, words = traffic_rig.gatepost("audit", "receipt", wish, "--out", out, config=copy.home / "gatepost.toml")
        if not checks.check(f"a receipt is made ({name})", code == 0, words[-300:]):
            return
        made[name] = out.read_text()
    shutil.rmtree(copy.home / "audit")
    file = copy.home / "receipt.json"

    def proved(text, *arguments):
        file.write_text(text)
        code, answer, words = traffic_rig.gatepost("audit", "verify", "--receipt", file, "--json", *arguments)
        return code, answer if isinstance(answer, dict) else {"reason": words}

    code, answer = proved(made["one"], "--key", key)
    events = [record["event"] for record in answer.get("records", [])]
    checks.equal("without the log it proves the message's way", (code, events),
                 (0, ["inbound.accepted", "outbound.attempt", "outbound.delivered"]))
    code, answer = proved(made["one"], "--key", "ed25519:" + "ab" * 32)
    checks.equal("not with another key", code, 1)
    receipt, stranger = json.loads(made["one"]), json.loads(made["other"])

    def changed(change):
        again = json.loads(made["one"])
        change(again)
        return json.dumps(again)

    edits = {
        "an address in a record": lambda r: r["records"][0].update(line=r["records"][0]["line"].replace("example", "exemple", 1)),
        "a time in a record": lambda r: r["records"][-1].update(line=r["records"][-1]["line"].replace('"time":"20', '"time":"21', 1)),
        "a hash of a path": lambda r: r["records"][0]["path"].__setitem__(0, "00" * 32),
        "a path cut": lambda r: r["records"][0]["path"].pop(),
        "another checkpoint's number": lambda r: r["records"][0].update(checkpoint=r["records"][0]["checkpoint"] + 1),
        "a checkpoint's signature": lambda r: r["checkpoints"].__setitem__(0, flipped(r["checkpoints"][0].encode(), b'"signature":"').decode()),
        "a checkpoint's root": lambda r: r["checkpoints"].__setitem__(0, flipped(r["checkpoints"][0].encode(), b'"root":"').decode()),
        "no checkpoint": lambda r: r["checkpoints"].clear(),
        "no record": lambda r: r["records"].clear(),
        "a record of another message": lambda r: r["records"].__setitem__(0, stranger["records"][0]),
        "another message's name": lambda r: r.update(message=other),
        "records in another order": lambda r: r["records"].reverse(),
    }
    for what, edit in edits.items():
        code, answer = proved(changed(edit), "--key", key)
        checks.check(f"a receipt with {what} is refused", code == 1 and answer.get("reason"), f"{code} {answer}")
    checks.check("a receipt cut short is refused", proved(made["one"][:-100])[0] != 0)
    checks.equal("the untouched one still proves", proved(json.dumps(receipt))[0], 0)


def kills():
    sink = Sink()
    home = folder / "killed"
    home.mkdir()
    domains = {"lax": f'domains = ["lax.example"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{sink.port}"]\n'}
    daemon = Daemon(home, domains, '[limits]\nmax_connections_per_client = 1000\n', spool_keys='retry = ["1s"]\n')
    rig.on_exit(daemon.close)
    daemon.start()
    lock, acknowledged, stop = threading.Lock(), set(), threading.Event()

    def send():
        while not stop.is_set():
            try:
                client = Client(daemon.port, timeout=20)
                client.say("EHLO client.test")
                while not stop.is_set():
                    found = re.match(r"250 2\.0\.0 Ok: queued as (\w+)", client.mail("a@sender.example", ["b@lax.example"], message()))
                    with lock:
                        acknowledged.update(found.groups() if found else ())
            except (OSError, EOFError):
                stop.wait(0.05)

    threads = [threading.Thread(target=send, daemon=True) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    torn, broken, missing = 0, [], []
    for round_ in range(KILLS):
        time.sleep(LOAD_SECONDS * (0.6 + 0.8 * (round_ % 5) / 5))
        daemon.kill()
        with lock:
            known = set(acknowledged)
        code, report, words = verify(home)
        torn += bool(isinstance(report, dict) and report["unfinished"])
        if not isinstance(report, dict) or report["break_count"]:
            broken.append((round_, "before the restart", code, words or report["breaks"][:2]))
        daemon.start()
        wait_for(lambda: not (known - accepted(daemon)), 60, 0.5)
        if lost := sorted(known - accepted(daemon)):
            missing.append((round_, len(lost), lost[:2]))
        code, report, words = verify(home)
        if not isinstance(report, dict) or report["break_count"]:
            broken.append((round_, "after the restart", code, words or report["breaks"][:2]))
    stop.set()
    for thread in threads:
        thread.join(30)
    print(f"      {len(acknowledged)} acknowledged, {KILLS} kills, {torn} of them inside a line")
    checks.check("there was load", len(acknowledged) > KILLS * 10)
    checks.equal("after each kill the log is whole up to its durable end", broken, [])
    checks.equal("what was acknowledged before a kill is on record after it", missing, [])
    checks.equal("stops in order", daemon.stop(), 0)
    code, report, words = verify(home)
    checks.check("after the stop all of it is signed", code == 0 and report["behind"] == 0, f"{code} {report} {words}")
    checks.equal("and all that was acknowledged is on record", sorted(acknowledged - accepted(daemon))[:3], [])


def accepted(daemon):
    """Messages on record, by the log's whole lines."""
    found = set()
    for _, content in daemon.segments():
        for line in content.split(b"\n")[:-1]:
            if b'"event":"inbound.accepted"' in line:
                found.add(json.loads(line)["message"])
    return found


original = folder / "original"
traffic_rig.generate(original, RECORDS, segment_bytes=SEGMENT_BYTES, until=UNTIL)
traffic_rig.generate(folder / "forged", RECORDS, segment_bytes=SEGMENT_BYTES, until=UNTIL, seed=2)
key = verify(original)[1]["keys"][0]
tampering(original)
held_elsewhere(original, key)
receipts(original, key)
kills()
if not os.environ.get("KEEP"):
    shutil.rmtree(folder, ignore_errors=True)
checks.finish()
