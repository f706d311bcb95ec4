"""The machine and the network in which the pages of the documentation happen: Gatepost as its package installs it, a name server, and the
mail hosts of everybody whom the pages name. All of it in a root, mounts and a network of its own.
"""

import ctypes
import os
import pathlib
import shutil
import ssl
import subprocess

import own_root
import rig
import sts_names

HOSTNAME, ADDRESS = "mx1.example.org", "192.0.2.25"
# Addresses of this machine beside those of the hosts.
ADDRESSES = (ADDRESS, "203.0.113.7", "203.0.113.9", "10.0.0.5")
MX = {"partner.example": "mx.partner.example", "old.example": "mx.old.example", "plain.example": "mx.plain.example"}
# host -> (address, what its TLS is)
HOSTS = {
    "mailstore.bank.example": ("10.0.0.10", "1.3"),
    "mailbox.shop.example": ("10.0.0.11", None),
    "mx.partner.example": ("198.51.100.10", "any"),
    "mx.old.example": ("198.51.100.20", "1.0"),
    "mx.plain.example": ("198.51.100.30", None),
    "portal.example.net": ("203.0.113.80", "1.3"),
}
ALSO_NAMED = {"mx.partner.example": ["partner.example"]}
SECONDS_MAX = 120
# For unshare(2) and setns(2).
NEW_NETWORK, NETWORK = 0x40000000, "/proc/thread-self/ns/net"
# The kernel's capability to bind low ports.
LOW_PORTS = "+net_bind_service"
SYSTEMCTL = """#!/bin/bash
# Stands in for systemd: one service, as the account and with the folders of its unit.
log=/run/gatepost.log pid=/run/gatepost.pid
is_up() { [ -s "$pid" ] && grep -qs '^State:.[^Z]' "/proc/$(cat "$pid")/status"; }
start() {
    is_up && return 0
    install -d -m 750 -o gatepost -g gatepost /run/gatepost /var/lib/gatepost /var/log/gatepost
    echo >>"$log"
    setsid setpriv --reuid gatepost --regid gatepost --init-groups --inh-caps %(caps)s --ambient-caps %(caps)s --bounding-set -all,%(caps)s \\
        /usr/bin/gatepost serve </dev/null >>"$log" 2>&1 &
    echo $! >"$pid"
    for _ in $(seq 300); do
        if ! is_up; then cat "$log" >&2; return 1; fi
        gatepost health >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}
stop() { is_up || return 0; kill "$(cat "$pid")"; while is_up; do sleep 0.1; done; }
[ "$1" = enable ] && { [ "$2" = --now ] || exit 0; set -- start; }
[ "$1" = disable ] && { [ "$2" = --now ] || exit 0; set -- stop; }
case "$1" in
    daemon-reload) ;;
    start) start ;;
    stop) stop ;;
    restart) stop && start ;;
    reload) gatepost reload ;;
    status) gatepost status ;;
    is-active) if is_up; then echo active; else echo inactive; exit 3; fi ;;
    *) echo "systemctl: $1 is not known here" >&2; exit 1 ;;
esac
""" % {"caps": LOW_PORTS}
# A relay that has seen mail of all kinds, for pages that are about something else.
IN_USE = """#!/bin/bash
set -e
mkdir -p /etc/gatepost/domains.d
cat >/etc/gatepost/gatepost.toml <<'END'
hostname = "mx1.example.org"
postmaster = "postmaster@bank.example"
domains = "domains.d"

[spool]
path = "/var/lib/gatepost"
min_free_space = "50MB"

[[listener]]
name = "mx"
bind = ["0.0.0.0:25"]
role = "mx"
relay = true

[[certificate]]
chain = "/etc/letsencrypt/live/mx1.example.org/fullchain.pem"
key = "/etc/letsencrypt/live/mx1.example.org/privkey.pem"

[audit]
path = "/var/log/gatepost/audit"

[relay]
trusted = ["10.0.0.0/8"]
END
cat >/etc/gatepost/domains.d/bank.toml <<'END'
domains = ["bank.example"]
hosted = true
recipients = "any"

[route]
hosts = ["mailstore.bank.example:25"]
tls = "verify"
match = ["mx"]

[inbound]
tls = "required"
min_version = "TLSv1.2"
mode = "report"
END
cat >/etc/gatepost/domains.d/partner.toml <<'END'
domains = ["partner.example"]

[outbound]
tls = "encrypt"
END
systemctl start gatepost
send() { swaks --silent 3 --server mx1.example.org --from "$1" --to "$2" --local-interface "${@:3}" >/dev/null; }
old=(--tls-protocol tlsv1 --tls-cipher ALL:@SECLEVEL=0)
send news@partner.example info@bank.example 203.0.113.7 --tls
send clerk@partner.example info@bank.example 203.0.113.7 --tls --tls-protocol tlsv1_2
send scanner@old.example info@bank.example 203.0.113.9 --tls "${old[@]}"
send cron@plain.example info@bank.example 203.0.113.9
send teller@bank.example clerk@partner.example 10.0.0.5 --tls
wait-until took mx.partner.example 'to: clerk'
wait-until test "$(count mailstore.bank.example)" = 4
"""
COMMANDS = {
    "a-relay-in-use": IN_USE,
    "systemctl": SYSTEMCTL,
    "journalctl": "#!/bin/sh\ncat /run/gatepost.log\n",
    "took": '#!/bin/sh\ncat /srv/mail/"$1"/* 2>/dev/null | grep -qE -- "$2"\n',
    "count": '#!/bin/sh\nls /srv/mail/"$1" | wc -l\n',
    "wait-until": '#!/bin/bash\nfor _ in $(seq 200); do "$@" >/dev/null 2>&1 && exit 0; sleep 0.1; done; "$@"\n',
}


class Host(rig.Sink):
    """A mail host that lays what it took into a folder, one file a message."""

    def __init__(self, name, folder):
        address, kind = HOSTS[name]
        self.folder = None
        super().__init__(tls=context(name, kind, folder), port=25, address=address, data=self.keep)

    def keep(self, entry):
        version = entry["session"][0] if entry["session"] else "none"
        envelope = f"from: {entry['from']}\nto: {' '.join(entry['to'])}\ntls: {version}\n\n"
        number = len(list(self.folder.iterdir())) + 1
        (self.folder / f"{number}.eml").write_bytes(envelope.encode() + entry["data"])
        return "250 2.0.0 Ok"


def context(name, kind, folder):
    if kind is None:
        return None
    if kind == "1.0":
        pair = rig.self_signed(folder, name, name)
    else:
        pair = issued(folder, name, ALSO_NAMED.get(name, []))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if kind == "1.0":
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1
    made.load_cert_chain(*map(str, pair))
    return made


def issued(folder, name, others):
    chain, key, request, names = (folder / f"{name}.{end}" for end in ("pem", "key", "csr", "ext"))
    names.write_text("subjectAltName=" + ",".join(f"DNS:{each}" for each in [name, *others]) + "\nextendedKeyUsage=serverAuth\n")
    rig.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)
    rig.sign(folder, request, chain, 90, names)
    return chain, key


class Names(sts_names.Names):
    def __init__(self):
        super().__init__(53)
        self.set(HOSTNAME + ".", "A", ADDRESS)
        self.set("bank.example.", "MX", f"10 {HOSTNAME}.")
        self.set("shop.example.", "MX", f"10 {HOSTNAME}.")
        for name, (address, _) in HOSTS.items():
            self.set(name + ".", "A", address)
        for domain, host in MX.items():
            self.set(domain + ".", "MX", f"10 {host}.")
        self.set("_smtp._tls.partner.example.", "TXT", "v=TLSRPTv1; rua=mailto:tls-reports@partner.example")


class World:
    """One page's machine. The network is that of all pages."""

    program = None

    def __init__(self, folder, hosts):
        self.folder, self.own = folder, own_root.OwnRoot(folder)
        self.install()
        for host in hosts.values():
            host.folder = self.own.at("srv/mail", name_of(hosts, host))
            host.folder.mkdir(parents=True)

    def install(self):
        at = self.own.at
        for path, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
                             ("stderr", "/proc/self/fd/2")):
            at("dev", path).symlink_to(target)
        at("tmp").chmod(0o1777)
        at("usr/bin/gatepost").unlink(missing_ok=True)
        shutil.copy(World.program, at("usr/bin/gatepost"))
        shutil.copytree(rig.REPOSITORY / "config", at("usr/share/gatepost-documents/config"))
        own_root.run("chroot", at(), "useradd", "--system", "--user-group", "--home-dir", "/var/lib/gatepost", "--shell", "/usr/sbin/nologin",
                     "gatepost")
        for name, text in COMMANDS.items():
            at("usr/local/bin", name).write_text(text)
            at("usr/local/bin", name).chmod(0o755)
        at("etc/resolv.conf").unlink(missing_ok=True)
        at("etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        at("etc/hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} {HOSTNAME}\n")
        at("etc/hostname").write_text("mx1\n")
        shutil.rmtree(at("root"))
        at("root").mkdir(mode=0o700)
        self.certificates()

    def certificates(self):
        """Those of the relay, by an authority that the system trusts."""
        at, shared = self.own.at, World.program.parent
        with at("etc/ssl/certs/ca-certificates.crt").open("a") as bundle:
            bundle.write((shared / "ca.pem").read_text())
        live = at("etc/letsencrypt/live", HOSTNAME)
        live.mkdir(parents=True)
        chain, key = issued(shared, HOSTNAME, [])
        for source, name in ((chain, "fullchain.pem"), (key, "privkey.pem")):
            shutil.copy(source, live / name)
            own_root.run("chroot", at(), "chgrp", "gatepost", f"/etc/letsencrypt/live/{HOSTNAME}/{name}")
            (live / name).chmod(0o640)

    def close(self):
        """Whatever still runs is of this page: the processes are ours alone."""
        subprocess.run(["bash", "-c", "kill -9 -1"], check=False)
        self.own.clean()


def name_of(hosts, host):
    return next(name for name, each in hosts.items() if each is host)


class Elsewhere:
    """A second network at the end of a cable, where the hosts are: the relay may bind every address of its own."""

    def __init__(self):
        self.own = os.open(NETWORK, os.O_RDONLY)
        c("unshare", NEW_NETWORK)
        self.other = os.open(NETWORK, os.O_RDONLY)
        enter_network(self.own)
        theirs = [address for address, _ in HOSTS.values()]
        own_root.run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", f"/proc/self/fd/{self.other}",
                     pass_fds=[self.other])
        cable("here", ADDRESSES, theirs)
        with self:
            own_root.run("ip", "link", "set", "lo", "up")
            cable("there", theirs, ADDRESSES)

    def __enter__(self):
        enter_network(self.other)

    def __exit__(self, *_):
        enter_network(self.own)


def enter_network(descriptor):
    """For this thread, and for the sockets that it opens."""
    c("setns", descriptor, NEW_NETWORK)


def c(function, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), function)


def cable(link, own, others):
    own_root.run("ip", "link", "set", link, "up")
    for address in own:
        own_root.run("ip", "address", "add", f"{address}/32", "dev", link)
    for address in others:
        own_root.run("ip", "route", "add", f"{address}/32", "dev", link, "src", own[0])


def open_network(folder):
    """Addresses, names and hosts; and the program as it is installed, without what debuggers read."""
    World.program = folder / "gatepost"
    own_root.run("strip", "--strip-debug", "-o", World.program, pathlib.Path(rig.GATEPOST).resolve())
    World.program.chmod(0o755)
    rig.authority(folder)
    Names()
    with Elsewhere():
        return {name: Host(name, folder) for name in HOSTS}
