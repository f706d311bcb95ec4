#!/usr/bin/env python3
"""kill -9 under load, again and again: every message that got its 250 arrives, and the audit log tells the whole story."""

import os
import re
import threading
import time

import rig
from rig import Client, Daemon, Sink, message, wait_for

ROUNDS = int(os.environ.get("ROUNDS", 20))
SENDERS = 20
LOAD_SECONDS = 1.0

checks = rig.Checks()
folder = rig.scratch("kill")
sink = Sink()
domains = {"lax": f'domains = ["lax.example"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{sink.port}"]\n'}
daemon = Daemon(folder, domains, '[limits]\nmax_connections_per_client = 1000\n', spool_keys='retry = ["1s"]\n')
rig.on_exit(daemon.close)
daemon.start()

lock, accepted, unsure, stop = threading.Lock(), {}, set(), threading.Event()


def one_session(number):
    client = Client(daemon.port, timeout=20)
    try:
        client.say("EHLO client.test")
        while not stop.is_set():
            mark = os.urandom(8).hex()
            size = 200 if number % 4 else 200_000 if number % 8 else 1_500_000
            content = message(X_Mark=mark, body=(b"x" * 70 + b"\r\n") * (size // 72))
            answer = ""
            try:
                answer = client.mail("a@sender.example", ["b@lax.example"], content)
            finally:
                with lock:
                    found = re.match(r"250 2\.0\.0 Ok: queued as (\w+)", answer)
                    if found:
                        accepted[mark] = found[1]
                    elif not answer:
                        unsure.add(mark)
    finally:
        client.close()


def sender(number):
    while not stop.is_set():
        try:
            one_session(number)
        except (OSError, EOFError):
            stop.wait(0.05)


threads = [threading.Thread(target=sender, args=(number,), daemon=True) for number in range(SENDERS)]
for thread in threads:
    thread.start()
kills, slowest = [], 0
for round_ in range(ROUNDS):
    time.sleep(LOAD_SECONDS * (0.6 + 0.8 * (round_ % 7) / 7))
    daemon.kill()
    kills.append(time.time())
    began = time.monotonic()
    daemon.start()
    slowest = max(slowest, time.monotonic() - began)
    broken = daemon.broken_links()
    if broken or round_ == ROUNDS - 1:
        checks.equal(f"the audit chain holds after restart {round_ + 1}", broken[:3], [])
stop.set()
for thread in threads:
    thread.join(30)
print(f"      {len(accepted)} accepted, {len(unsure)} cut off without an answer, slowest restart {slowest:.2f} s")
checks.check("there was load", len(accepted) > ROUNDS * 20, f"{len(accepted)} accepted")
checks.check("the queue runs empty", daemon.drained(240), str(daemon.ask("status")))

arrived = {}
for entry in sink.taken():
    mark = re.search(rb"X-Mark: (\w+)", entry["data"])[1].decode()
    arrived.setdefault(mark, []).append(entry["data"])
lost = [mark for mark in accepted if mark not in arrived]
checks.equal("every message that got a 250 arrived", lost, [])
strange = [mark for mark in arrived if mark not in accepted and mark not in unsure]
checks.equal("nothing arrived that was refused", strange, [])
whole = all(copy.endswith(b"x\r\n") or b"\r\n\r\n" in copy for copies in arrived.values() for copy in copies)
lengths = {mark: {len(copy.split(b"\r\n\r\n", 1)[1]) for copy in copies} for mark, copies in arrived.items()}
checks.check("every copy is whole", whole and all(len(sizes) == 1 for sizes in lengths.values()))

stop_code = daemon.stop()
checks.equal("stops in order", stop_code, 0)
checks.equal("the audit chain holds at the end", daemon.broken_links()[:3], [])
records = daemon.records()
by_message = {}
for record in records:
    if record["message"]:
        by_message.setdefault(record["message"], []).append(record)
unrecorded = [i for i in accepted.values() if not any(r["event"] == "inbound.accepted" for r in by_message.get(i, []))]
checks.equal("the log holds inbound.accepted for each 250", unrecorded, [])
twice = [i for i, found in by_message.items() if sum(r["event"] == "inbound.accepted" for r in found) > 1]
checks.equal("and each once", twice, [])
undelivered = [i for i in accepted.values() if not any(r["event"] == "outbound.delivered" for r in by_message.get(i, []))]
checks.equal("the log holds outbound.delivered for each", undelivered, [])
duplicates = {mark: copies for mark, copies in arrived.items() if len(copies) > 1}
unexplained = []
for mark, copies in duplicates.items():
    found = by_message.get(accepted.get(mark) or re.search(rb"\bid\s+(\w{26})\b", copies[0])[1].decode(), [])
    attempts = sum(r["event"] == "outbound.attempt" for r in found)
    delivered = sum(r["event"] == "outbound.delivered" for r in found)
    # A copy without a record of its delivery: the attempt stands before the kill that cut the record off.
    if attempts < len(copies) or delivered >= len(copies):
        unexplained.append((mark, attempts, delivered, len(copies)))
print(f"      {len(duplicates)} messages arrived more than once")
checks.equal("every second copy is explained by an attempt that a kill cut off", unexplained, [])
checks.check("no panic", "panic" not in daemon.log.read_text())
checks.finish()
