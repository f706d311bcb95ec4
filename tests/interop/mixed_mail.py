#!/usr/bin/env python3
"""Mixed messages: `mixed_mail.py send PORT COUNT` sends them, `mixed_mail.py compare FOLDER COUNT` holds what arrived against them."""

import json
import pathlib
import random
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from rig import Checks, Client

ARRIVAL_SECONDS = 90
TRACE = re.compile(rb"\A(?:(?:Received|Return-Path|Delivered-To):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*")


def body(kind, noise):
    """Content of one kind; always whole lines."""
    if kind == "empty":
        return b""
    if kind == "dots":
        return b".\r\n..\r\n...\r\n.leading\r\n. \r\n\r\n.\r\nFrom here\r\n.."[:-2] + b"\r\n.x\r\n" * 50
    if kind == "long":
        return b"\r\n".join(b"L" * n for n in (997, 998, 76, 990, 1)) + b"\r\n"
    if kind == "longer":
        return b"\r\n".join(b"M" * n for n in (999, 1500, 4096, 10_000)) + b"\r\n"
    if kind == "eight":
        return ("Grüße aus Łódź — 日本語 ✓\r\n" * 40).encode()
    if kind == "latin":
        return bytes(b for b in range(1, 256) if b not in (10, 13)) + b"\r\n"
    if kind == "blank":
        return b"\r\n" * 30 + b" \r\n\t\r\n"
    size = {"small": noise.randint(50, 3000), "middle": noise.randint(20_000, 200_000), "big": noise.randint(1_000_000, 3_000_000)}[kind]
    line = bytes(noise.choices(b"abcdefghijklmnopqrstuvwxyz .", k=70)) + b"\r\n"
    return line * (size // len(line) + 1)


def mail(number):
    """The n-th message: recipients and octets. The same for the sender and for the comparison."""
    noise = random.Random(number)
    kinds = ["small"] * 6 + ["dots", "long", "longer", "eight", "latin", "blank", "empty", "middle", "middle"]
    kind = "big" if number % 50 == 7 else noise.choice(kinds)
    count = 20 if number % 40 == 3 else noise.choice([1, 1, 1, 2, 3, 7])
    recipients = [f"r{number}-{n}@d{noise.randint(0, 2)}.example" for n in range(count)]
    head = [f"From: Sender <s{number}@sender.test>", f"To: {recipients[0]}", f"Message-Id: <{number}@sender.test>",
            "Date: Fri, 01 Jan 2027 00:00:00 +0000", f"Subject: {kind}", f"X-Number: {number}", "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit",
            "X-Folded: one\r\n\ttwo\r\n   three"]
    return recipients, "\r\n".join(head).encode() + b"\r\n\r\n" + body(kind, noise)


def send(port, count):
    def share(first):
        client = Client(port, timeout=60)
        client.say("EHLO client.test")
        for number in range(first, count, 8):
            recipients, content = mail(number)
            client.say(f"MAIL FROM:<s{number}@sender.test> BODY=8BITMIME")
            for recipient in recipients:
                client.say(f"RCPT TO:<{recipient}>")
            client.say("DATA")
            client.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
            answer = client.reply()
            if not answer.startswith("250"):
                raise ValueError(f"{number}: {answer}")
        client.say("QUIT")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(share, range(8)))


def compare(folder, count):
    checks = Checks()
    expected = {recipient: content for recipients, content in map(mail, range(count)) for recipient in recipients}
    end = time.monotonic() + ARRIVAL_SECONDS
    arrived = {}
    seen = set()
    while time.monotonic() < end:
        for envelope in folder.glob("*.json"):
            # The envelope is written last, but perhaps not yet to its end.
            text = envelope.read_text()
            if envelope.name in seen or not text.endswith("}"):
                continue
            seen.add(envelope.name)
            content = envelope.with_suffix(".eml").read_bytes()
            for recipient in json.loads(text)["to"]:
                arrived.setdefault(recipient, []).append((envelope.name, content))
        if len(arrived) >= len(expected):
            break
        time.sleep(0.3)
    checks.equal(f"{count} messages with {len(expected)} recipients: none is missing", sorted(set(expected) - set(arrived))[:5], [])
    checks.equal("none is there that was not sent", sorted(set(arrived) - set(expected))[:5], [])
    checks.equal("none is there twice", [r for r, copies in arrived.items() if len(copies) > 1][:5], [])
    changed = []
    for recipient, copies in arrived.items():
        without_trace = TRACE.sub(b"", copies[0][1], count=1)
        if without_trace != expected.get(recipient):
            changed.append((recipient, copies[0][0], re.search(rb"Subject: (\w+)", copies[0][1])[1], len(without_trace), len(expected[recipient])))
    checks.equal("every one is the same octet for octet, apart from trace fields before it", changed[:5], [])
    secure = [json.loads(file.read_text())["tls"] for file in folder.glob("*.json")]
    checks.check("all came over TLS", all(secure) and secure)
    print(f"      {len(seen)} deliveries of {count} messages")


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(int(sys.argv[2]), int(sys.argv[3]))
    else:
        compare(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
