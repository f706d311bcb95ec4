"""The relays under load, each in a private folder with ports of its own. No service of the system is touched."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass

from .accounting import Account

START_SECONDS_MAX = 30
PLAIN, TLS, DEAD, MANY = (f"{name}.load.example" for name in ("plain", "tls", "dead", "many"))
MESSAGE_BYTES_MAX = 52_428_800


@dataclass(frozen=True)
class Surroundings:
    """What all relays are given alike."""

    chain: pathlib.Path
    key: pathlib.Path
    # Domain to address and port of its next hop.
    routes: dict


def routes(plain_port, tls_port, destinations):
    """The next hops. Of `many` each has an address of its own, so that each is a destination of its own."""
    found = {PLAIN: ("127.0.0.1", plain_port), TLS: ("127.0.0.1", tls_port), DEAD: ("127.0.0.1", free_port())}
    for number in range(destinations):
        high, low = divmod(number + 1, 250)
        found[f"d{number}.{MANY}"] = (f"127.1.{high}.{low + 1}", plain_port)
    return found


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Relay:
    """What is common: the folder, the account, start and end."""

    name = ""

    def __init__(self, folder, surroundings):
        self.folder, self.surroundings, self.port = folder, surroundings, free_port()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.account = Account(self.name)
        self.account.root = self.main_process
        self.process = None

    def start(self):
        self.configure()
        with (self.folder / "output.log").open("wb") as log:
            command = self.account.command([str(word) for word in self.start_command()])
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS_MAX
        while not self.greets():
            if time.monotonic() > until:
                log = (self.folder / "output.log").read_text(errors="replace")[-2000:]
                raise SystemExit(f"error: {self.name} does not greet:\n{log}")
            time.sleep(0.05)
        return self

    def stop(self):
        if self.process is not None:
            self.ask_to_stop()
            self.account.end()
            self.process.wait(10)

    def greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as client:
                client.settimeout(2)
                return client.recv(3) == b"220"
        except OSError:
            return False

    def main_process(self):
        return self.process.pid if self.process else None

    def ask_to_stop(self):
        self.process.terminate()


class Gatepost(Relay):
    """As `init` makes it, but for the bounds on what one client may do and the routes."""

    name = "gatepost"
    program = pathlib.Path("gatepost")

    def configure(self):
        domains = self.folder / "domains.d"
        domains.mkdir()
        (self.folder / "gatepost.toml").write_text(f"""hostname = "relay.load.example"
postmaster = "postmaster@load.example"
domains = "domains.d"
[spool]
path = "spool"
max_message_size = "50MB"
[[listener]]
name = "relay"
bind = ["127.0.0.1:{self.port}"]
role = "smarthost"
[[certificate]]
chain = "{self.surroundings.chain}"
key = "{self.surroundings.key}"
[relay]
trusted = ["127.0.0.0/8"]
[audit]
path = "audit"
key = "audit.key"
[metrics]
bind = "off"
[admin]
bind = "off"
socket = "control/control.sock"
[limits]
max_connections_per_client = 10000
max_messages_per_session = 1000000
""")
        for domain, (address, port) in self.surroundings.routes.items():
            text = f'domains = ["{domain}"]\n[route]\nhosts = ["{address}:{port}"]\ntls = "opportunistic"\n'
            (domains / f"{domain.removesuffix('.load.example')}.toml").write_text(text)

    def start_command(self):
        return [self.program, "--config", self.folder / "gatepost.toml", "serve"]


class Postfix(Relay):
    """Debian's package with its defaults, but for what makes it a relay to these next hops."""

    name = "postfix"
    settings = ""
    smtpd_processes = "-"
    services = ""

    @staticmethod
    def lacks():
        """Why there is none, or nothing."""
        if not pathlib.Path("/usr/sbin/postfix").exists():
            return "Postfix is not installed (apt-get install --no-install-recommends postfix)"
        return "" if os.geteuid() == 0 else "Postfix can be started by root only"

    def configure(self):
        self.etc = self.folder / "etc"
        for part in (self.etc, self.folder / "spool", self.folder / "data"):
            part.mkdir()
        shutil.chown(self.folder / "data", "postfix")
        hops = (f"{domain} relay:[{at}]:{port}\n" for domain, (at, port) in self.surroundings.routes.items())
        (self.etc / "transport").write_text("".join(hops))
        (self.etc / "main.cf").write_text(f"""compatibility_level = 3.6
queue_directory = {self.folder}/spool
data_directory = {self.folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.load.example
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relay_domains = load.example
transport_maps = texthash:{self.etc}/transport
message_size_limit = {MESSAGE_BYTES_MAX}
smtpd_tls_chain_files = {self.key_and_chain()}
smtpd_tls_security_level = may
smtp_tls_security_level = may
smtp_tls_session_cache_database = btree:${{data_directory}}/smtp_scache
maillog_file = {self.folder}/mail.log
maillog_file_prefixes = {self.folder}, /var
{self.settings.format(**self.ports())}""")
        (self.etc / "master.cf").write_text(self.services_of_debian() + self.services)

    def key_and_chain(self):
        both = self.etc / "server.pem"
        both.write_text(self.surroundings.key.read_text() + self.surroundings.chain.read_text())
        return both

    def ports(self):
        return {"plain": self.surroundings.routes[PLAIN][1], "tls": self.surroundings.routes[TLS][1]}

    def services_of_debian(self):
        """Debian's master.cf, with our port and without chroot, which would need files copied into the queue."""
        lines = []
        for line in pathlib.Path("/etc/postfix/master.cf").read_text().splitlines():
            fields = line.split()
            if re.match(r"[a-z]\S*\s+(inet|unix|unix-dgram)\s", line) and len(fields) >= 8:
                fields[4] = "n" if fields[4] == "y" else fields[4]
                if fields[:2] == ["smtp", "inet"]:
                    fields[0], fields[6] = f"127.0.0.1:{self.port}", self.smtpd_processes
                line = " ".join(fields)
            lines.append(line)
        return "\n".join(lines) + "\n"

    def start_command(self):
        return ["/usr/sbin/postfix", "-c", self.etc, "start"]

    def ask_to_stop(self):
        subprocess.run(["/usr/sbin/postfix", "-c", self.etc, "stop"], capture_output=True, check=False, timeout=60)

    def main_process(self):
        try:
            return int((self.folder / "spool/pid/master.pid").read_text())
        except (OSError, ValueError):
            return None


class PostfixTuned(Postfix):
    """What its documentation has for throughput: processes for all sessions, no brake on input, wide output,
    connections and TLS sessions that are used again, workers that live longer, no reverse look-ups. It syncs as ever.
    """

    name = "postfix-tuned"
    smtpd_processes = "600"
    services = "tlsproxy unix - - n - 0 tlsproxy\n"
    settings = """default_process_limit = 250
in_flow_delay = 0
initial_destination_concurrency = 20
relay_destination_concurrency_limit = 50
smtp_connection_cache_destinations = [127.0.0.1]:{plain} [127.0.0.1]:{tls}
smtp_connection_reuse_time_limit = 300s
smtp_tls_connection_reuse = yes
smtpd_peername_lookup = no
max_use = 2000
"""
