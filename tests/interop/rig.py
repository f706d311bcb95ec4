"""What the interop scripts stand on: a scratch folder, the daemon as a process, a next hop that keeps what it gets.

Every script ends with a line "N passed, N failed" and exits with 0 only if nothing failed.
$GATEPOST names the binary; default: target/release/gatepost of this repository.
"""

import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
GATEPOST = os.environ.get("GATEPOST", str(REPOSITORY / "target/release/gatepost"))
GENESIS = "0" * 64
COMMAND_LINE_BYTES_MAX = 1 << 16
# What `openssl ca` takes to sign with dates of one's own.
AUTHORITY = """[ca]
default_ca = own
[own]
database = {folder}/index.txt
rand_serial = yes
unique_subject = no
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
policy = names
[names]
commonName = supplied
organizationalUnitName = optional
"""


class Checks:
    """Counts what held and what did not."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, holds, detail=""):
        if holds:
            self.passed += 1
            print(f"ok    {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {what}   {detail}", flush=True)
        return holds

    def equal(self, what, found, expected):
        return self.check(what, found == expected, f"found {found!r}, expected {expected!r}")

    def matches(self, what, found, pattern):
        text = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
        return self.check(what, re.search(pattern, text, re.S) is not None, f"found {text[-600:]!r}, expected /{pattern}/")

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed else 0)


def scratch(name):
    return pathlib.Path(tempfile.mkdtemp(prefix=f"gatepost-{name}-"))


def within_a_day(seconds):
    """For what is counted by days (UTC): waits for the next one if this one has not so much left."""
    left = 86400 - time.time() % 86400
    if left < seconds:
        time.sleep(left + 1)


ports_given = set()


def free_port():
    """A port that nobody listens on, and that was not given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in ports_given:
            ports_given.add(port)
            return port


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def self_signed(folder, name, stem="server"):
    """Makes STEM.pem and STEM.key for `name`."""
    chain, key = folder / f"{stem}.pem", folder / f"{stem}.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", chain)
    return chain, key


def authority(folder):
    """A certificate authority of our own: ca.pem and ca.key."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=Interop CA", "-addext", "basicConstraints=critical,CA:TRUE",
            "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    return folder / "ca.pem"


def issued(folder, name, stem, days=30):
    """A certificate of that authority for `name`; with negative `days` one that was good until so many days ago."""
    chain, key, request = folder / f"{stem}.pem", folder / f"{stem}.key", folder / f"{stem}.csr"
    extensions = folder / f"{stem}.ext"
    extensions.write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)
    sign(folder, request, chain, days, extensions)
    return chain, key


def sign(folder, request, chain, days, extensions=None):
    """`openssl x509` would write an end before the begin; such a certificate is wrong in another way than by its age."""
    also = ["-extfile", extensions] if extensions else []
    if days >= 0:
        return openssl("x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
                       "-CAcreateserial", "-days", days, *also, "-out", chain)
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(AUTHORITY.format(folder=folder))
    moment = lambda back: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - back * 86400))
    return openssl("ca", "-batch", "-notext", "-config", folder / "ca.cnf", "-in", request, "-out", chain,
                   "-startdate", moment(90 - days), "-enddate", moment(-days), *also)


def wait_for(what, seconds=20, every=0.05):
    """Asks `what` until it is true; gives its last answer."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(every)


class Daemon:
    """One Gatepost on loopback ports with a folder of its own."""

    def __init__(self, folder, domains, defaults="", listeners=None, spool=None, audit=None, spool_keys="", environment=None,
                 certificates=None, metrics_port=None, admin_port=None):
        self.folder, self.process, self.metrics_port, self.admin_port = folder, None, metrics_port, admin_port
        self.port = free_port()
        self.spool, self.audit = spool or folder / "spool", audit or folder / "audit"
        self.socket = folder / "control" / "control.sock"
        self.environment = {**os.environ, **(environment or {})}
        self.log = folder / "gatepost.log"
        self.config = folder / "gatepost.toml"
        if not certificates and not (folder / "server.pem").exists():
            self_signed(folder, "mx1.example.org")
        (folder / "domains.d").mkdir(exist_ok=True)
        for name, text in domains.items():
            (folder / "domains.d" / f"{name}.toml").write_text(text)
        certificates = certificates or '[[certificate]]\nchain = "server.pem"\nkey = "server.key"\n'
        metrics = f"127.0.0.1:{metrics_port}" if metrics_port else "off"
        admin = f"127.0.0.1:{admin_port}" if admin_port else "off"
        listeners = listeners or f'[[listener]]\nname = "mx"\nbind = ["127.0.0.1:{self.port}"]\nrole = "mx"\n'
        if "min_free_space" not in spool_keys:
            spool_keys += 'min_free_space = "50MB"\n'
        self.config.write_text(
            'hostname = "mx1.example.org"\npostmaster = "postmaster@example.org"\ndomains = "domains.d"\n'
            f'[spool]\npath = "{self.spool}"\n{spool_keys}'
            f'{listeners}{certificates}'
            f'[audit]\npath = "{self.audit}"\nkey = "{folder}/audit.key"\n[metrics]\nbind = "{metrics}"\n'
            f'[admin]\nbind = "{admin}"\nsocket = "{self.socket}"\n{defaults}')

    def start(self, seconds=20):
        self.process = subprocess.Popen([GATEPOST, "serve", "--config", str(self.config)], env=self.environment,
                                        stdout=subprocess.DEVNULL, stderr=self.log.open("ab"))
        if not wait_for(lambda: self.answers() or self.process.poll() is not None, seconds) or not self.is_alive():
            print(self.log.read_text(errors="replace")[-3000:])
            sys.exit("the daemon does not start")
        return self

    def start_in_vain(self, seconds=20):
        """A start that is expected to fail: its exit code and what it says."""
        done = subprocess.run([GATEPOST, "serve", "--config", str(self.config)], env=self.environment, check=False,
                              capture_output=True, timeout=seconds)
        return done.returncode, done.stderr.decode("utf-8", "replace")

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as probe:
                return probe.recv(4) == b"220 "
        except OSError:
            return False

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=45):
        """Asks it to stop; gives the exit code, None if it had to be killed."""
        if not self.is_alive():
            return self.process and self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def close(self):
        self.stop(10)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def resident_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    def ask(self, command, **arguments):
        """One question on the control socket."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(30)
            control.connect(str(self.socket))
            control.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            return json.loads(control.makefile().readline())

    def metric(self, name, **labels):
        """The sum of a metric's series that have these labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as page:
            lines = page.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        series = [line for line in lines if re.match(re.escape(name) + r"[{ ]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in series if all(label in line for label in wanted))

    def queue(self, domain=None):
        filters = {"to_domain": domain} if domain else {}
        return self.ask("queue-list", filter=filters)["messages"]

    def drained(self, seconds=60):
        return wait_for(lambda: self.ask("status")["messages"] == 0, seconds, 0.2)

    def segments(self):
        """Name and content of each file of the audit log, in their order; closed ones may be compressed."""
        names = sorted({path.name.split(".")[0] for path in self.audit.glob("*.jsonl*")})
        return [(name, self.settled(name)) for name in names]

    def settled(self, name):
        """A segment; if the daemon is in the middle of a write, as it is after that."""
        content, end = self.segment(name), time.monotonic() + 5
        while content and not content.endswith(b"\n") and self.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
            content = self.segment(name)
        return content

    def segment(self, name):
        for _ in range(3):
            plain = self.audit / f"{name}.jsonl"
            try:
                return plain.read_bytes()
            except FileNotFoundError:
                # Its compressed form is complete before it goes.
                done = subprocess.run(["zstd", "-dcq", f"{plain}.zst"], capture_output=True, check=False)
                if done.returncode == 0:
                    return done.stdout
        raise FileNotFoundError(name)

    def records(self, event=None, **fields):
        found = []
        for _, content in self.segments():
            for line in content.split(b"\n")[:-1]:
                record = json.loads(line)
                if event in (None, record["event"]) and all(record.get(k) == v for k, v in fields.items()):
                    found.append(record)
        return found

    def broken_links(self):
        """What is wrong with the chain of the audit log: a list of words, empty if it holds."""
        broken, seq, previous = [], 0, GENESIS
        for name, content in self.segments():
            if content and not content.endswith(b"\n"):
                broken.append(f"{name}: the last line is not complete")
            for line in content.split(b"\n")[:-1]:
                try:
                    record = json.loads(line)
                except ValueError:
                    broken.append(f"{name}: not a record: {line[:80]!r}")
                    continue
                if record["seq"] != seq + 1 or record["prev"] != previous:
                    broken.append(f"{name}: {record['seq']} does not follow {seq}")
                seq, previous = record["seq"], hashlib.sha256(line).hexdigest()
        return broken


class Client:
    """A sender that says exactly what it is told and gives whole replies."""

    def __init__(self, port, greeting=True, timeout=30, address="127.0.0.1", source=None):
        self.socket = socket.create_connection((address, port), timeout, (source, 0) if source else None)
        self.buffer = b""
        if greeting:
            self.greeting = self.reply()

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError(self.buffer)
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode("utf-8", "replace").rstrip("\r")

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def say(self, command):
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def starttls(self, **settings):
        answer = self.say("STARTTLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for key, value in settings.items():
            setattr(context, key, value)
        self.socket = context.wrap_socket(self.socket)
        return answer

    def mail(self, sender, recipients, content):
        """A whole transaction; gives the reply to the content, or the first refusal."""
        for command in [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"]:
            answer = self.say(command)
            if answer[0] not in "23":
                return answer
        stuffed = re.sub(rb"(?m)^\.", b"..", content)
        self.send(stuffed + (b"" if stuffed.endswith(b"\r\n") or not stuffed else b"\r\n") + b".\r\n")
        return self.reply()

    def silence(self, seconds):
        """Whether the peer says nothing for so long."""
        self.socket.settimeout(seconds)
        try:
            return not self.buffer and self.socket.recv(1) == b"never"
        except TimeoutError:
            return True

    def rest(self, seconds=30):
        """All that comes until the peer closes."""
        self.socket.settimeout(seconds)
        try:
            while more := self.socket.recv(65536):
                self.buffer += more
        except (TimeoutError, OSError):
            pass
        return self.buffer

    def close(self):
        self.socket.close()


def message(to="b@lax.example", subject="hello", body=b"hello\r\n", **fields):
    head = {"From": "a@sender.example", "To": to, "Subject": subject, "Message-Id": f"<{os.urandom(8).hex()}@sender.example>",
            "Date": "Fri, 01 Jan 2027 00:00:00 +0000", **fields}
    return "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in head.items()).encode() + b"\r\n" + body


class Hop:
    """A listening socket on loopback; each connection is given to `serve` in a thread."""

    def __init__(self, serve=None, port=None, address="127.0.0.1"):
        if serve:
            self.serve = serve
        self.connections = 0
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port or 0))
        self.socket.listen(512)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        try:
            with connection:
                connection.settimeout(120)
                self.serve(connection)
        except (OSError, EOFError, ValueError):
            pass

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


class Sink(Hop):
    """A next hop that takes mail and keeps the octets. `rcpt` and `data` may give other replies than 250.

    `tls` is a pair of chain and key, or a ready context. `handshakes` has version and cipher of each, `failures` why others failed,
    `named` each recipient that was named, with the handshake of its session or None for plaintext. An entry of a message says by which
    connection it came, counted from 1, and with which parameters of MAIL.
    """

    def __init__(self, tls=None, rcpt=None, data=None, port=None, extensions=("8BITMIME", "SIZE", "SMTPUTF8", "PIPELINING"),
                 address="127.0.0.1"):
        self.tls, self.handshakes, self.failures, self.named = None, [], [], []
        if isinstance(tls, ssl.SSLContext):
            self.tls = tls
        elif tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*map(str, tls))
        self.rcpt, self.data = rcpt or (lambda address: "250 2.1.5 Ok"), data or (lambda entry: "250 2.0.0 Ok")
        self.extensions, self.lock, self.messages, self.numbers = extensions, threading.Lock(), [], itertools.count(1)
        super().__init__(port=port, address=address)

    def serve(self, connection):
        reader, sender, recipients, secure, session = Reader(connection), None, [], False, None
        number, parameters = next(self.numbers), []
        reader.answer("220 sink.test ESMTP")
        while (line := reader.line()) is not None:
            verb = line.upper()
            if verb.startswith(b"EHLO"):
                offers = ["sink.test", *self.extensions, *(["STARTTLS"] if self.tls and not secure else [])]
                reader.answer("\r\n".join(f"250-{offer}" for offer in offers[:-1]) + f"\r\n250 {offers[-1]}")
            elif verb == b"STARTTLS" and self.tls:
                reader.answer("220 go")
                protected = self.shake(connection)
                reader, secure, session = Reader(protected), True, (protected.version(), protected.cipher()[0])
                self.handshakes.append(session)
            elif verb.startswith(b"MAIL FROM:"):
                sender, recipients = line[10:].split(b">")[0].lstrip(b" <").decode(), []
                parameters = line.decode().partition(">")[2].split()
                reader.answer("250 2.1.0 Ok")
            elif verb.startswith(b"RCPT TO:"):
                address = line[8:].split(b">")[0].lstrip(b" <").decode()
                self.named.append((address, session))
                answer = self.rcpt(address)
                if answer.startswith("2"):
                    recipients.append(address)
                reader.answer(answer)
            elif verb == b"DATA" and recipients:
                reader.answer("354 go")
                entry = {"from": sender, "to": recipients, "data": reader.content(), "tls": secure, "session": session,
                         "connection": number, "parameters": parameters}
                answer = self.data(entry)
                if answer.startswith("2"):
                    with self.lock:
                        self.messages.append(entry)
                reader.answer(answer)
            elif verb == b"QUIT":
                return reader.answer("221 2.0.0 bye")
            else:
                reader.answer("250 2.0.0 Ok" if verb in (b"RSET", b"NOOP") else "503 5.5.1 no")

    def shake(self, connection):
        try:
            return self.tls.wrap_socket(connection, server_side=True)
        except OSError as error:
            self.failures.append(str(error))
            raise

    def count(self):
        with self.lock:
            return len(self.messages)

    def taken(self):
        with self.lock:
            return list(self.messages)

    def for_recipient(self, address):
        return [entry for entry in self.taken() if address in entry["to"]]


class Reader:
    """Lines and content of one connection."""

    def __init__(self, connection):
        self.connection, self.buffer = connection, b""

    def answer(self, text):
        self.connection.sendall(text.encode() + b"\r\n")

    def more(self):
        data = self.connection.recv(1 << 18)
        self.buffer += data
        return bool(data)

    def line(self):
        while b"\r\n" not in self.buffer:
            if len(self.buffer) > COMMAND_LINE_BYTES_MAX or not self.more():
                return None
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def content(self):
        """Up to the dot, which is dropped, with the stuffing undone."""
        data, start = bytearray(b"\r\n" + self.buffer), 0
        while (end := data.find(b"\r\n.\r\n", start)) < 0:
            start = max(0, len(data) - 4)
            more = self.connection.recv(1 << 18)
            if not more:
                raise EOFError
            data += more
        self.buffer = bytes(data[end + 5:])
        return re.sub(rb"(?m)^\.", b"", bytes(data[2:end + 2]))


def on_exit(*closers):
    """Runs the closers when the script ends, also on Ctrl-C and SIGTERM."""
    import atexit
    for closer in closers:
        atexit.register(closer)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
