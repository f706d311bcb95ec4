"""Next hops under load: one process with many of them, each with manners of its own that may change while it runs.

They keep no content, only which message of which run came how often and when: the field "X-Bench-Id: RUN SEQ ..." says.
Programs use the class `Hops`; the process itself is `load_sink.py`, with a JSON object a line as question and answer.
"""

import asyncio
import collections
import json
import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import time

import rig

MARK = re.compile(rb"X-Bench-Id: (\d+) (\d+)")
HEAD_BYTES_MAX = 8192
LINE_BYTES_MAX = 1 << 16
SEQUENCE_MAX = 5_000_000
SAMPLE_SECONDS = 0.1
SAMPLES_MAX = 40_000

# What a hop may be told. kind: "good", "mute" (accepts and says nothing) or "full" (nobody accepts: connecting times out).
# above: with more sessions than that, 421 to a newcomer, and to one that is there when it says MAIL.
# defer_first: the first copy of each message is answered 451. delay: seconds before the answer to content;
# answer_delay: before each answer. head: how many octets of a message are searched for its mark.
MANNERS = {"kind": "good", "greeting": None, "mail": None, "rcpt": None, "data": None, "above": None, "defer_first": False, "delay": 0,
           "answer_delay": 0, "tls": None, "head": HEAD_BYTES_MAX}


class Hops:
    """Starts the process and asks it."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, what, **arguments):
        self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def open(self, name, address="127.0.0.1", port=0, **manners):
        """Gives the port. A hop of that name that was closed keeps what it has counted."""
        return self.ask("open", name=name, address=address, port=port, manners=manners)["port"]

    def change(self, name, **manners):
        self.ask("change", name=name, manners=manners)

    def shut(self, name):
        """Connections are refused from now on, and open ones end."""
        self.ask("shut", name=name)

    def counts(self, name, run=None):
        """connections, live, refused, taken, octets of content; of the run: distinct, copies beyond the first, first and last moment."""
        return self.ask("counts", name=name, run=run)

    def copies(self, name, run):
        """sequence number -> how often it came."""
        return {int(seq): count for seq, count in self.ask("copies", name=name, run=run)["copies"].items()}

    def samples(self, name):
        """(moment, sessions let in, refused since the last sample, taken since then), every 100 ms."""
        return self.ask("samples", name=name)["samples"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


class FastHop:
    """One good hop that only counts: the program that $LOADGEN names, which is faster than this one, or else a place of this one."""

    def __init__(self, port=0):
        self.hops, self.program = None, os.environ.get("LOADGEN")
        if not self.program:
            self.hops = Hops()
            self.port = self.hops.open("fast", port=port)
            return
        self.port, self.control = port or rig.free_port(), rig.free_port()
        self.process = subprocess.Popen([self.program, "sink", "--listen", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{self.control}"])
        rig.wait_for(self.answers, 10)

    def answers(self):
        try:
            return self.counts(0)
        except OSError:
            return None

    def counts(self, run):
        """distinct, again, and the moment (monotonic) of the last first copy."""
        if self.hops:
            return self.hops.counts("fast", run)
        with socket.create_connection(("127.0.0.1", self.control), 30) as control:
            control.sendall(f"STAT {run}\n".encode())
            found = json.loads(control.makefile().readline())
        last = found["last_ns"] / 1e9 - time.time() + time.monotonic()
        return {"distinct": found["distinct"], "again": found["dup"], "last": last if found["last_ns"] else None}

    def close(self):
        if self.hops:
            return self.hops.close()
        self.process.terminate()
        self.process.wait(10)


class Book:
    """What came of one run at one hop."""

    def __init__(self):
        self.counts, self.distinct, self.again = bytearray(), 0, 0
        self.begin = self.latest = None

    def note(self, seq, now):
        if seq >= len(self.counts):
            self.counts.extend(bytes(seq + 1024 - len(self.counts)))
        if self.counts[seq] == 0:
            self.distinct, self.latest = self.distinct + 1, now
            self.begin = self.begin or now
        else:
            self.again += 1
        self.counts[seq] = min(255, self.counts[seq] + 1)


class Place:
    """One hop: where it listens, its manners, what it has counted."""

    def __init__(self):
        self.manners, self.server, self.blocked, self.context = dict(MANNERS), None, [], None
        self.connections = self.live = self.refused = self.taken = self.octets = 0
        self.sessions, self.books, self.deferred = set(), collections.defaultdict(Book), set()
        self.samples = collections.deque(maxlen=SAMPLES_MAX)
        self.sampled = (0, 0)

    def change(self, manners):
        unknown = set(manners) - set(MANNERS)
        if unknown:
            raise ValueError(f"no such manners: {unknown}")
        self.manners.update(manners)
        if self.manners["tls"]:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*self.manners["tls"])

    async def open(self, address, port):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        if self.manners["kind"] == "full":
            return self.block(listening)
        self.server = await asyncio.get_running_loop().create_server(lambda: Session(self), sock=listening, backlog=4096)
        return listening.getsockname()[1]

    def block(self, listening):
        """A queue of connections that is full and that nobody takes from: the next one's SYN is dropped."""
        listening.listen(0)
        self.blocked.append(listening)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
            self.blocked.append(filler)
        return listening.getsockname()[1]

    def shut(self):
        for held in self.blocked:
            held.close()
        self.blocked.clear()
        if self.server:
            self.server.close()
            self.server = None
        for session in list(self.sessions):
            session.transport.abort()

    def sample(self, now):
        refused, taken = self.sampled
        self.samples.append((now, self.live, self.refused - refused, self.taken - taken))
        self.sampled = (self.refused, self.taken)


class Session(asyncio.Protocol):
    """One connection. Pipelined commands are answered together."""

    def __init__(self, place):
        self.place, self.transport, self.secure, self.admitted = place, None, False, False
        self.buffer, self.output, self.waiting, self.head, self.recipients = bytearray(), [], False, None, 0

    def connection_made(self, transport):
        self.transport, place = transport, self.place
        place.connections += 1
        place.sessions.add(self)
        if self.place.manners["kind"] == "mute":
            return
        if self.is_busy(1):
            return self.refuse()
        if place.manners["greeting"]:
            self.output.append(place.manners["greeting"])
            return self.answer_and(self.transport.close)
        place.live, self.admitted = place.live + 1, True
        self.output.append("220 hop.test ESMTP")
        self.answer_and(self.work)

    def connection_lost(self, error):
        self.place.sessions.discard(self)
        if self.admitted:
            self.admitted, self.place.live = False, self.place.live - 1

    def is_busy(self, more):
        above = self.place.manners["above"]
        return above is not None and self.place.live + more > above

    def refuse(self):
        self.place.refused += 1
        self.output.append("421 4.3.2 hop.test too many connections, try again later")
        self.answer_and(self.transport.close)

    def answer_and(self, then):
        """Writes what is to be said, at once or when this hop gets round to it, and goes on."""
        delay = self.place.manners["answer_delay"]
        if not delay:
            self.flush()
            return then()
        self.later(delay, then)

    def later(self, seconds, then):
        def wake():
            self.waiting = False
            if not self.transport.is_closing():
                self.flush()
                then()
        self.waiting = True
        asyncio.get_running_loop().call_later(seconds, wake)

    def flush(self):
        if self.output:
            self.transport.write(("\r\n".join(self.output) + "\r\n").encode())
            self.output.clear()

    def data_received(self, data):
        if self.place.manners["kind"] == "mute":
            return
        self.buffer += data
        if not self.waiting:
            self.work()

    def work(self):
        while not self.waiting and not self.transport.is_closing():
            if self.head is not None:
                if not self.content():
                    break
                continue
            end = self.buffer.find(b"\r\n")
            if end < 0:
                if len(self.buffer) > LINE_BYTES_MAX:
                    self.transport.abort()
                break
            line = bytes(self.buffer[:end])
            del self.buffer[:end + 2]
            self.command(line)
        if not self.waiting:
            self.flush()

    def command(self, line):
        verb, manners = line[:4].upper(), self.place.manners
        if verb == b"EHLO":
            offers = ["hop.test", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"]
            offers += ["STARTTLS"] if self.place.context and manners["tls"] and not self.secure else []
            self.output += [f"250-{offer}" for offer in offers] + ["250 SIZE"]
        elif verb == b"STAR" and self.place.context and not self.secure:
            self.output.append("220 go")
            self.flush()
            self.waiting = True
            self.shaking = asyncio.ensure_future(self.shake())
            return
        elif verb == b"MAIL":
            self.recipients = 0
            if self.is_busy(0):
                return self.refuse()
            self.output.append(manners["mail"] or "250 2.1.0 Ok")
        elif verb == b"RCPT":
            self.output.append(manners["rcpt"] or "250 2.1.5 Ok")
            self.recipients += not manners["rcpt"]
        elif verb == b"DATA" and self.recipients:
            self.output.append("354 go")
            self.head = bytearray(b"\r\n")
        elif verb == b"QUIT":
            self.output.append("221 2.0.0 bye")
            return self.answer_and(self.transport.close)
        else:
            self.output.append("250 2.0.0 Ok" if verb in (b"RSET", b"NOOP") else "503 5.5.1 no")
        if manners["answer_delay"]:
            self.answer_and(self.work)

    async def shake(self):
        try:
            self.transport = await asyncio.get_running_loop().start_tls(self.transport, self, self.place.context, server_side=True)
        except (OSError, ConnectionError):
            return
        self.secure, self.waiting = True, False
        self.work()

    def content(self):
        """Takes content up to the dot; of what stands there only the head is kept. Gives whether the dot came."""
        room, seam = self.place.manners["head"], self.head[-4:]
        window = seam + self.buffer
        end = window.find(b"\r\n.\r\n")
        taken = len(self.buffer) if end < 0 else end + 5 - len(seam)
        self.place.octets += taken
        fresh = bytes(self.buffer[:taken])
        del self.buffer[:taken]
        # The last octets stay, for a dot that is cut in two.
        self.head = self.head + fresh if len(self.head) < room else self.head[:room] + (self.head[room:] + fresh)[-4:]
        if end < 0:
            return False
        head, self.head = bytes(self.head), None
        answer = self.place.manners["data"] or self.keep(head)
        self.output.append(answer)
        if self.place.manners["delay"]:
            self.later(self.place.manners["delay"], self.work)
        return True

    def keep(self, head):
        found, place = MARK.search(head), self.place
        if found and int(found[2]) < SEQUENCE_MAX:
            mark = int(found[1]), int(found[2])
            if place.manners["defer_first"] and mark not in place.deferred:
                place.deferred.add(mark)
                return "451 4.3.0 not yet"
            place.books[mark[0]].note(mark[1], time.monotonic())
        place.taken += 1
        return "250 2.0.0 Ok"


class Desk:
    """Answers the questions of the program."""

    def __init__(self):
        self.places = {}

    async def open(self, name, address, port, manners):
        place = self.places.setdefault(name, Place())
        place.change(manners)
        return {"port": await place.open(address, port)}

    async def change(self, name, manners):
        self.places[name].change(manners)
        return {}

    async def shut(self, name):
        self.places[name].shut()
        return {}

    async def counts(self, name, run):
        place = self.places[name]
        book = place.books.get(run) or Book()
        return {"connections": place.connections, "live": place.live, "refused": place.refused, "taken": place.taken, "octets": place.octets,
                "distinct": book.distinct, "again": book.again, "first": book.begin, "last": book.latest}

    async def copies(self, name, run):
        book = self.places[name].books.get(run) or Book()
        return {"copies": {seq: count for seq, count in enumerate(book.counts) if count}}

    async def samples(self, name):
        return {"samples": list(self.places[name].samples)}

    async def sample(self):
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            now = time.monotonic()
            for place in self.places.values():
                place.sample(now)


async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    desk, loop = Desk(), asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    sampling = asyncio.ensure_future(desk.sample())
    while question := await reader.readline():
        arguments = json.loads(question)
        try:
            answer = await getattr(desk, arguments.pop("do"))(**arguments)
        except (OSError, ValueError, KeyError, TypeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    sampling.cancel()


if __name__ == "__main__":
    asyncio.run(main())
