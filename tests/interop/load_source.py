#!/usr/bin/env python3
"""Senders under load: so many sessions, messages of given sizes to given recipients, plain or with STARTTLS.

`source(...)` runs it as a process of its own, or the program that $LOADGEN names where that one can do what is asked.
By hand: load_source.py '{"port": 2525, "sessions": 10, "messages": 100}' prints what came of it as JSON.
"""

import array
import asyncio
import itertools
import json
import os
import random
import re
import resource
import ssl
import subprocess
import sys
import time

# What may be asked for. seconds: end then, however many are left. rate: messages a second at most. tls: share of the sessions.
# sizes: [octets, weight] pairs. outcomes: a file for one line a message: seq, recipient number, "accepted ID" or "refused" or "unsure".
ASKED = {"port": 0, "sessions": 10, "messages": 100, "sizes": [[1024, 1]], "recipients": ["b@alive.example"], "sender": "a@sender.example",
         "run": 1, "first": 0, "tls": 0.0, "per_connection": 0, "seconds": 600, "rate": 0, "outcomes": "", "hold": 0, "parts": 1}
BLOCK = b"abcdefghijklmnopqrstuvwxyz0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ, and so on.\r\n"
CHUNK_BYTES = 1 << 18
PAUSE_SECONDS = 0.05
PATIENCE_SECONDS, LARGE_PATIENCE_SECONDS, LARGE_BYTES = 120, 1800, 10_000_000


def source(port, loadgen=True, **asked):
    """Sends, and gives: accepted, errors, first_ns and last_ns (wall clock), elapsed_s, acc_per_s, p50_ms, p99_ms."""
    return gathered(begun(port, loadgen, **asked))


def begun(port, loadgen=True, **asked):
    """The same in the background; `gathered` waits for the end."""
    unknown = set(asked) - set(ASKED)
    if unknown:
        raise ValueError(f"nobody knows {unknown}")
    program = os.environ.get("LOADGEN")
    simple = not set(asked) - {"sessions", "messages", "sizes", "recipients", "sender", "run", "per_connection", "seconds"}
    if program and loadgen and simple and len(asked.get("recipients", [0])) == 1 and len(asked.get("sizes", [0])) == 1:
        whole = {**ASKED, **asked}
        command = [program, "source", "--target", f"127.0.0.1:{port}", "--sessions", whole["sessions"], "--messages", whole["messages"],
                   "--size", whole["sizes"][0][0], "--run", whole["run"], "--timeout", whole["seconds"], "--from", whole["sender"],
                   "--rcpt", whole["recipients"][0], "--per-conn", whole["per_connection"]]
        return [subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)]
    return [subprocess.Popen([sys.executable, __file__, json.dumps({"port": port, **asked, **part})], stdout=subprocess.PIPE)
            for part in parts(asked)]


def parts(asked):
    """Two processes where there is much to do."""
    messages, sessions, first = (asked.get(key, ASKED[key]) for key in ("messages", "sessions", "first"))
    if messages < 2000 or sessions < 2 or asked.get("rate") or asked.get("outcomes"):
        return [{}]
    half = messages // 2
    return [{"messages": half, "sessions": sessions // 2}, {"messages": messages - half, "sessions": sessions - sessions // 2, "first": first + half}]


def gathered(processes):
    answers = [json.loads(process.communicate()[0] or b"{}") for process in processes]
    for process, answer in zip(processes, answers):
        if process.returncode or not answer:
            raise RuntimeError(f"a source ended with {process.returncode}")
    if len(answers) == 1:
        return answers[0]
    whole = {key: sum(answer[key] for answer in answers) for key in ("accepted", "errors")}
    whole["first_ns"], whole["last_ns"] = min(a["first_ns"] for a in answers), max(a["last_ns"] for a in answers)
    whole["elapsed_s"] = max(1e-9, (whole["last_ns"] - whole["first_ns"]) / 1e9)
    whole["acc_per_s"] = whole["accepted"] / whole["elapsed_s"]
    whole.update({key: max(answer[key] for answer in answers) for key in ("p50_ms", "p99_ms")})
    whole["error_kinds"] = {kind: count for answer in answers for kind, count in answer["error_kinds"].items()}
    return whole


class Senders:
    """All sessions of one process."""

    def __init__(self, asked):
        self.asked = {**ASKED, **asked}
        self.numbers = itertools.count(self.asked["first"])
        self.end = self.asked["first"] + self.asked["messages"]
        self.deadline = time.monotonic() + self.asked["seconds"]
        self.began, self.first, self.last, self.latencies, self.kinds = time.monotonic(), 0, 0, array.array("d"), {}
        self.accepted = self.errors = 0
        self.outcomes = open(self.asked["outcomes"], "w", buffering=1) if self.asked["outcomes"] else None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.dice = random.Random(self.asked["run"])

    def is_over(self):
        return time.monotonic() > self.deadline

    async def next(self):
        """The next number, at its moment where a rate is given; None: it is over."""
        if self.is_over():
            return None
        number = next(self.numbers)
        if number >= self.end:
            return None
        if self.asked["rate"]:
            due = self.began + (number - self.asked["first"]) / self.asked["rate"]
            if due > self.deadline:
                return None
            await asyncio.sleep(max(0, due - time.monotonic()))
        return number

    def note(self, number, place, outcome):
        if outcome.startswith("accepted"):
            self.accepted += 1
            self.last = time.time_ns()
        else:
            self.errors += 1
            kind = re.sub(r"\d{3,}|id=\S+", "", outcome)[:120]
            if len(self.kinds) < 50 or kind in self.kinds:
                self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.outcomes:
            self.outcomes.write(f"{number} {place} {outcome}\n")

    async def session(self, index):
        secure, left = index < self.asked["tls"] * self.asked["sessions"], None
        while not self.is_over():
            left = await self.next() if left is None else left
            if left is None:
                return
            connection = Connection()
            try:
                await asyncio.wait_for(connection.open(self.asked["port"], self.context if secure else None), PATIENCE_SECONDS)
                left = await self.transactions(connection, left)
            except (OSError, EOFError, TimeoutError, ssl.SSLError) as error:
                left = left if connection.number is None else None
                self.note(-1 if connection.number is None else connection.number, 0, f"unsure {type(error).__name__} {error}")
                await asyncio.sleep(PAUSE_SECONDS)
            finally:
                connection.close()

    async def transactions(self, connection, number):
        """Messages over one connection, this one first. Gives the number of one that was drawn and not begun."""
        sent = 0
        while number is not None:
            # From here on this message is begun.
            connection.number = number
            place = number % len(self.asked["recipients"])
            self.first = self.first or time.time_ns()
            size = self.dice.choices([size for size, _ in self.asked["sizes"]], [weight for _, weight in self.asked["sizes"]])[0]
            patience = PATIENCE_SECONDS if size <= LARGE_BYTES else LARGE_PATIENCE_SECONDS
            answer = await asyncio.wait_for(self.message(connection, number, self.asked["recipients"][place], size), patience)
            found = re.match(r"250 2\.0\.0 Ok: queued as (\w+)", answer)
            self.note(number, place, f"accepted {found[1]}" if found else f"refused {answer}")
            sent, connection.number = sent + 1, None
            if not found and answer[:3] in ("421", ""):
                return None
            if self.asked["per_connection"] and sent >= self.asked["per_connection"]:
                return await connection.quit()
            number = await self.next()
        return await connection.quit()

    async def message(self, connection, number, recipient, size):
        sender = self.asked["sender"]
        replies = await connection.say(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode(), 3)
        refused = next((reply for reply in replies if reply[0] not in "23"), None)
        if refused:
            # The relay is out of step if DATA was taken without a recipient; one that is not answers 503.
            if replies[-1].startswith("3"):
                raise EOFError("DATA was taken after a refusal")
            await connection.say(b"RSET\r\n", 1)
            return refused
        head = (f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: load\r\nMessage-Id: <{self.asked['run']}.{number}@sender.example>\r\n"
                f"Date: Fri, 01 Jan 2027 00:00:00 +0000\r\nX-Bench-Id: {self.asked['run']} {number} {time.time_ns()}\r\n\r\n").encode()
        blocks = max(1, (size - len(head)) // len(BLOCK))
        began = time.monotonic()
        if size <= CHUNK_BYTES:
            reply = (await connection.say(head + BLOCK * blocks + b".\r\n", 1))[0]
        else:
            connection.writer.write(head)
            piece = BLOCK * (CHUNK_BYTES // len(BLOCK))
            for _ in range(size // len(piece)):
                connection.writer.write(piece)
                await connection.writer.drain()
            reply = (await connection.say(b".\r\n", 1))[0]
        self.latencies.append(time.monotonic() - began)
        return reply

    async def run(self):
        await asyncio.gather(*(self.session(index) for index in range(self.asked["sessions"])))
        latencies, elapsed = sorted(self.latencies), max(1e-9, (self.last - self.first) / 1e9)
        at = lambda share: round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000, 3) if latencies else -1
        return {"accepted": self.accepted, "errors": self.errors, "first_ns": self.first, "last_ns": self.last, "elapsed_s": elapsed,
                "acc_per_s": self.accepted / elapsed, "p50_ms": at(0.5), "p99_ms": at(0.99), "error_kinds": self.kinds}


class Connection:
    """One SMTP session up to EHLO, and replies in whole."""

    def __init__(self):
        self.reader = self.writer = self.number = None

    async def open(self, port, context):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 17)
        greeting = await self.reply()
        if not greeting.startswith("220"):
            raise EOFError(greeting)
        await self.say(b"EHLO source.test\r\n", 1)
        if context:
            if not (await self.say(b"STARTTLS\r\n", 1))[0].startswith("220"):
                raise EOFError("no STARTTLS")
            await self.writer.start_tls(context, server_hostname="mx1.example.org")
            await self.say(b"EHLO source.test\r\n", 1)

    async def reply(self):
        while True:
            line = await self.reader.readline()
            if not line:
                raise EOFError("closed")
            if line[3:4] != b"-":
                return line.decode("utf-8", "replace").rstrip()

    async def say(self, words, replies):
        self.writer.write(words)
        await self.writer.drain()
        return [await self.reply() for _ in range(replies)]

    async def quit(self):
        await self.say(b"QUIT\r\n", 1)

    def close(self):
        if self.writer:
            self.writer.close()


class Idle:
    """Connections that say EHLO and then nothing."""

    def __init__(self, port, count, tls=False):
        command = [sys.executable, __file__, json.dumps({"port": port, "sessions": count, "tls": float(tls), "hold": 1})]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.open = json.loads(self.process.stdout.readline())["open"]

    def close(self):
        """Gives how many of them answered to the end."""
        self.process.stdin.close()
        alive = json.loads(self.process.stdout.readline() or b'{"alive": 0}')["alive"]
        self.process.wait(30)
        return alive


async def hold(asked):
    context, gate = Senders(asked).context if asked["tls"] else None, asyncio.Semaphore(50)

    async def one():
        connection = Connection()
        async with gate:
            await asyncio.wait_for(connection.open(asked["port"], context), PATIENCE_SECONDS)
        return connection
    opened = await asyncio.gather(*(one() for _ in range(asked["sessions"])), return_exceptions=True)
    held = [connection for connection in opened if isinstance(connection, Connection)]
    print(json.dumps({"open": len(held)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    answers = await asyncio.gather(*(connection.say(b"NOOP\r\n", 1) for connection in held), return_exceptions=True)
    print(json.dumps({"alive": sum(isinstance(answer, list) for answer in answers)}), flush=True)


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    asked = {**ASKED, **json.loads(sys.argv[1])}
    if asked["hold"]:
        asyncio.run(hold(asked))
    else:
        print(json.dumps(asyncio.run(Senders(asked).run())))


if __name__ == "__main__":
    main()
