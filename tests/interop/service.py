#!/usr/bin/env python3
"""Gatepost as a service of systemd, without a systemd that runs: sockets are passed to it, it tells a socket of ours how it does, and
it works behind the filter of system calls that its unit asks for. The unit files are read by systemd-analyze.

Needs openssl, systemd-analyze and the Python module seccomp.
"""

import errno
import fcntl
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import rig
from rig import GATEPOST, Client, Daemon, Sink, message, wait_for

UNITS = rig.REPOSITORY / "config/systemd"
# What `systemd-analyze security` may find: 0 is shut off from everything, 10 from nothing.
EXPOSURE_MAX = 1.5
WATCHDOG_USEC = 400_000
NOTICE_SECONDS = 30
DESCRIPTORS_FROM = 200
# Debian's own has Debian's modules.
PYTHON = "/usr/bin/python3"
PROT_WRITE, PROT_EXEC = 2, 4
FAMILIES = [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6]
# Runs as the process that becomes the daemon: descriptors 3 and on, the filter, then the program.
LAUNCH = """
import json, os, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
descriptors, filtered, command = json.loads(sys.argv[2])
for at, descriptor in enumerate(descriptors):
    os.dup2(descriptor, 3 + at)
if descriptors:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(descriptors)))
if filtered:
    import service_filter
    service_filter.load(filtered)
os.execv(command[0], command)
"""

checks, folder = rig.Checks(), rig.scratch("service")
rig.on_exit(lambda: os.environ.get("KEEP") or shutil.rmtree(folder, ignore_errors=True))
sink = Sink()
DOMAINS = {"lax": f'domains = ["lax.example"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{sink.port}"]\n'}
listener = lambda name, *binds: f'[[listener]]\nname = "{name}"\nbind = {json.dumps(binds)}\nrole = "mx"\n'


def listening(host="127.0.0.1", port=0, kind=socket.SOCK_STREAM, both=False):
    """A socket as a service manager makes it, under a number that is in nobody's way."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        made.bind((host, port))
        if kind == socket.SOCK_STREAM:
            made.listen(16)
        return socket.socket(fileno=fcntl.fcntl(made.fileno(), fcntl.F_DUPFD, DESCRIPTORS_FROM))


class Service(Daemon):
    """A daemon with what a service manager gives: `passed` is a list of name and socket."""

    def __init__(self, name, passed=(), filtered=None, environment=None, **settings):
        home = folder / name
        home.mkdir()
        self.passed, self.filtered = list(passed), filtered
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(home / "notify"))
        self.notices = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()
        names = {"LISTEN_FDNAMES": ":".join(name for name, _ in self.passed)} if self.passed else {}
        told = {"NOTIFY_SOCKET": str(home / "notify"), **names, **(environment or {})}
        super().__init__(home, DOMAINS, environment=told, **settings)

    def launch(self, **how):
        descriptors = [one.fileno() for _, one in self.passed]
        what = json.dumps([descriptors, self.filtered, [GATEPOST, "serve", "--config", str(self.config)]])
        return subprocess.Popen([PYTHON, "-c", LAUNCH, __file__, what], pass_fds=descriptors, env=self.environment,
                                stdout=subprocess.DEVNULL, **how)

    def start(self, seconds=NOTICE_SECONDS):
        self.process = self.launch(stderr=self.log.open("ab"))
        return self

    def start_in_vain(self, seconds=NOTICE_SECONDS):
        process = self.launch(stderr=subprocess.PIPE)
        said = process.communicate(timeout=seconds)[1].decode()
        return process.returncode, " ".join(said.split())

    def listen(self):
        """Reads at once, as a manager does: few words fit into the kernel."""
        while True:
            self.notices.put(self.manager.recv(4096).decode())

    def told(self):
        """What the manager is told next, as pairs."""
        try:
            text = self.notices.get(timeout=NOTICE_SECONDS)
        except queue.Empty:
            return {"nothing": self.log.read_text(errors="replace")[-1500:]}
        return dict(line.split("=", 1) for line in text.splitlines())

    def told_of(self, key):
        """The next that has this key; the line for people comes often."""
        while True:
            told = self.told()
            if key in told or "nothing" in told:
                return told


def deliver(port, mark, host="127.0.0.1"):
    client = Client(port, address=host)
    client.say("EHLO client.test")
    answer = client.mail("a@sender.example", ["b@lax.example"], message(X_Mark=mark))
    client.close()
    arrived = lambda: any(mark.encode() in entry["data"] for entry in sink.taken())
    checks.check(f"{mark}: taken and delivered", answer.startswith("250") and wait_for(arrived, NOTICE_SECONDS), answer)


def passed_sockets():
    one, two, metrics, admin = (listening(host) for host in ("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.1"))
    first, second, page, board = (one.getsockname()[1] for one in (one, two, metrics, admin))
    own = rig.free_port()
    listeners = listener("mx", f"127.0.0.1:{first}", f"127.0.0.2:{second}", f"127.0.0.1:{own}")
    service = Service("passed", [("mx", two), ("metrics", metrics), ("mx", one), ("admin", admin)], listeners=listeners,
                      metrics_port=page, admin_port=board)
    # It is the kernel that takes this connection, before there is a daemon.
    early = Client(first, greeting=False)
    service.start()
    checks.check("a client that came before the daemon is greeted", early.reply().startswith("220 "))
    early.close()
    checks.equal("told when it is ready", service.told_of("READY").get("READY"), "1")
    deliver(first, "first-address")
    deliver(second, "second-address", "127.0.0.2")
    deliver(own, "bound-by-itself")
    checks.equal("the metrics port is the one that was passed", service.metric("gatepost_ready"), 1)
    with socket.create_connection(("127.0.0.1", board), NOTICE_SECONDS) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        checks.matches("so is the dashboard's", browser.recv(64), r"^HTTP/1\.1 [23]")
    # The sockets outlive the daemon, and so do clients that wait.
    checks.equal("it ends as it is told to", service.stop(), 0)
    waiting = Client(first, greeting=False)
    service.start()
    checks.check("a client that came between two runs is greeted", waiting.reply().startswith("220 "))
    waiting.close()
    service.close()


def misfits():
    port = rig.free_port()
    bound = f"127.0.0.1:{port}"
    local = lambda: listening()
    cases = [
        ("other-name", "smtp", local, rf'passed socket 3 "smtp" on 127\.0\.0\.1:\d+: nothing here has this name; .* one of "mx", "metrics"'),
        ("other-address", "mx", local, rf'passed socket 3 "mx" on 127\.0\.0\.1:\d+: `bind` of "mx" does not have .* has {bound}'),
        ("no-name", "", local, r'passed socket 3 "unknown" on 127'),
        ("datagrams", "mx", lambda: listening(port=port, kind=socket.SOCK_DGRAM), r'passed socket 3 "mx" is no listening TCP socket'),
        ("both-versions", "mx", lambda: listening("::", both=True), r'passed socket 3 "mx" on \[::\]:\d+ takes IPv4 .*BindIPv6Only'),
    ]
    for case, name, make, expected in cases:
        with make() as made:
            service = Service(case, [(name, made)], listeners=listener("mx", bound), metrics_port=rig.free_port())
            code, said = service.start_in_vain()
        checks.equal(f"{case}: exit code", code, 2)
        checks.matches(f"{case}: named", said, rf"error: {expected}.*help: make the socket units")
        service.close()
    # Sockets for a process that started us are not ours.
    service = Service("of-another", environment={"LISTEN_PID": "1", "LISTEN_FDS": "1"}).start()
    checks.equal("sockets of another process are left alone", service.told_of("READY").get("READY"), "1")
    deliver(service.port, "of-another")
    service.close()


def notices():
    service = Service("notices", environment={"WATCHDOG_USEC": str(WATCHDOG_USEC)}).start()
    first = service.told()
    checks.equal("the first word is that it is ready", first.get("READY"), "1")
    checks.matches("with a line for people", first.get("STATUS"), r"^Takes mail; 0 messages in the queue$")
    client = Client(service.port)
    checks.check("and then it listens", client.greeting.startswith("220 "), client.greeting)
    client.close()
    for number in (1, 2):
        checks.equal(f"the watchdog is told, {number}", service.told_of("WATCHDOG").get("WATCHDOG"), "1")

    def reloads(what, begin, expected):
        before = time.monotonic_ns() // 1000
        begin()
        told = service.told_of("RELOADING")
        moment = int(told.get("MONOTONIC_USEC", 0))
        checks.check(f"{what}: when it began is told", before <= moment <= time.monotonic_ns() // 1000, str(told))
        told = service.told_of("READY")
        checks.equal(f"{what}: its end is told", told.get("READY"), "1")
        checks.matches(f"{what}: in words", told.get("STATUS"), expected)

    reloads("SIGHUP", lambda: service.process.send_signal(signal.SIGHUP), "^Takes mail;")
    tool = [GATEPOST, "--config", str(service.config), "reload"]
    reloads("gatepost reload", lambda: subprocess.run(tool, check=True, stdout=subprocess.DEVNULL), "^Takes mail;")
    right = service.config.read_text()
    service.config.write_text(right + "\nmisspelt = 1\n")
    reloads("a configuration with errors", lambda: service.process.send_signal(signal.SIGHUP), "^Not reloaded: ")
    service.config.write_text(right)
    reloads("mended", lambda: service.process.send_signal(signal.SIGHUP), "^Takes mail;")
    service.process.send_signal(signal.SIGTERM)
    told = service.told_of("STOPPING")
    checks.equal("its end is told", (told.get("STOPPING"), service.process.wait(NOTICE_SECONDS)), ("1", 0))
    service.close()


def unit_keys(key):
    text = (UNITS / "gatepost.service").read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.M)


def permitted_calls():
    """The system calls that the unit leaves, as systemd-analyze spells its sets out."""
    sets, name = {}, None
    said = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = []
        elif name and line.startswith(" ") and not line.strip().startswith("#"):
            sets[name].append(line.strip())
    spell = lambda word: {call for part in sets[word] for call in spell(part)} if word.startswith("@") else {word}
    permitted = set()
    for line in unit_keys("SystemCallFilter"):
        calls = {call for word in line.lstrip("~").split() for call in spell(word)}
        permitted = permitted - calls if line.startswith("~") else permitted | calls
    return sorted(permitted)


def filtered():
    """Behind the unit's filter of system calls."""
    calls = permitted_calls()
    checks.check("the filter is one", 150 < len(calls) < 400 and "mount" not in calls and "setrlimit" not in calls, str(len(calls)))
    limits = {"calls": calls, "families": FAMILIES, "write": PROT_WRITE, "execute": PROT_EXEC, "refusal": errno.EPERM}
    service = Service("filtered", filtered=limits).start()
    told = service.told_of("READY")
    if not checks.check("it starts behind the filter", told.get("READY") == "1", str(told)):
        return
    status = pathlib.Path(f"/proc/{service.process.pid}/status").read_text()
    checks.matches("which is in force", status, r"\nNoNewPrivs:\t1\nSeccomp:\t2\n")
    client = Client(service.port)
    client.say("EHLO client.test")
    checks.matches("TLS", client.starttls(), "^220")
    client.close()
    deliver(service.port, "filtered")
    service.process.send_signal(signal.SIGHUP)
    checks.equal("a reload", service.told_of("RELOADING").get("RELOADING"), "1")
    checks.matches("which is well", service.told_of("READY").get("STATUS"), "^Takes mail;")
    checks.equal("the end", service.stop(), 0)
    log = service.log.read_text(errors="replace")
    checks.check("nothing that it needs was refused", "Operation not permitted" not in log, log[-800:])
    if "this kernel has no Landlock" not in log:
        checks.matches("the daemon's own sandbox as well", log, "sandbox: file access is confined")
    service.close()


def units():
    """As systemd itself reads them; the program is the one that is tested."""
    home = folder / "units"
    home.mkdir()
    for path in UNITS.glob("gatepost.*"):
        text = path.read_text()
        checks.check(f"{path.name} names the program where packages put it", "/usr/bin/gatepost" in text or path.suffix == ".socket")
        (home / path.name).write_text(text.replace("/usr/bin/gatepost", GATEPOST))
    files = [str(home / name) for name in ("gatepost.service", "gatepost.socket")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "gatepost" in line]
    checks.equal("systemd-analyze verify", (done.returncode, ours), (0, []))
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", files[0]], capture_output=True, text=True,
                          check=False)
    found = re.search(r"Overall exposure level for gatepost\.service: ([\d.]+)", done.stdout)
    checks.check(f"systemd-analyze security: at most {EXPOSURE_MAX}", found and float(found[1]) <= EXPOSURE_MAX,
                 (done.stdout + done.stderr)[-400:])
    print(f"      exposure {found and found[1]}", flush=True)
    socket_unit = (UNITS / "gatepost.socket").read_text()
    starter = (rig.REPOSITORY / "config/gatepost.toml").read_text()
    passed = re.findall(r"^ListenStream=(.*)$", socket_unit, re.M)
    bind = json.loads(re.search(r'^name = "mx".*?\nbind = (\[.*?\])$', starter, re.M)[1])
    checks.equal("the socket unit has what the default configuration binds", passed, bind)


notices()
passed_sockets()
misfits()
if shutil.which("systemd-analyze"):
    units()
    filtered()
else:
    checks.check("systemd-analyze is there", "CI" not in os.environ, "install systemd")
checks.finish()
