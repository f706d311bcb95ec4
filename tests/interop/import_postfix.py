#!/usr/bin/env python3
"""Three configurations of Postfix are imported, and Postfix itself is asked what each means.

`postconf -x` expands the parameters, `postmap -q` answers for the tables, in the order of keys that trivial-rewrite(8) and
smtp(8) have, and `posttls-finger` shakes hands with servers of every version and name. Destination by destination it is
compared with `gatepost policy explain --direction outbound --json`: next hop, level, lowest version, and whose certificate
will do. What Gatepost takes must never be more than what Postfix takes.
"""

import json
import os
import pathlib
import random
import re
import shutil
import socket
import ssl
import subprocess
import threading
import tomllib

import rig
import tls_rig

LEVELS = {"none": "off", "may": "opportunistic", "dane": "opportunistic", "encrypt": "encrypt", "dane-only": "verify",
          "fingerprint": "verify", "verify": "verify", "secure": "verify"}
VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
MANDATORY = ("encrypt", "dane-only", "fingerprint", "verify", "secure")
MAILBOXES = ["127.0.0.1:2525"]
NAMES = ["bank.example", "mx1.bank.example", "a.b.bank.example", "mail.cloud.example", "x.cloud.example", "gate.example",
         "other.example"]
MASTER = """smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
strict    unix  -       -       y       -       -       smtp
        -o smtp_tls_security_level=encrypt
        -o smtp_tls_mandatory_protocols=>=TLSv1.3
slow      unix  -       -       y       -       -       smtp
error     unix  -       -       y       -       -       error
retry     unix  -       -       y       -       -       error
discard   unix  -       -       y       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       y       -       -       lmtp
dovecot   unix  -       n       n       -       -       pipe
  flags=DRhu user=vmail:vmail argv=/usr/lib/dovecot/deliver -d ${recipient}
"""
# What a service of it overrides, for the questions to Postfix.
OVERRIDES = {"strict": {"smtp_tls_security_level": "encrypt", "smtp_tls_mandatory_protocols": ">=TLSv1.3"}}
SMTP = ("smtp", "relay", "strict", "slow")
# The folder of main.cf that programs without an option for it read.
CONFIG = []


def minimal():
    main = """
compatibility_level = 3.6
myhostname = host.here.example
mydestination =
inet_interfaces = loopback-only
relayhost = [gate.example]:587
smtp_tls_security_level = secure
smtp_tls_mandatory_protocols = !SSLv2, !SSLv3, !TLSv1, !TLSv1.1
smtp_tls_secure_cert_match = nexthop
tls_append_default_CA = yes
"""
    return {"main.cf": main}, ["bank.example", "here.example", "far.example"]


def mailserver():
    main = """
# In the shape of a mail server for a few domains.
compatibility_level = 3.6
myhostname = mail.here.example
mydomain = here.example
myorigin = $mydomain
mydestination = localhost, $myhostname
mynetworks = 127.0.0.0/8 [::1]/128
smtpd_banner = $myhostname ESMTP
virtual_mailbox_domains = hash:/etc/postfix/vhosts
virtual_mailbox_maps = hash:/etc/postfix/vmaps
virtual_alias_maps = hash:/etc/postfix/virtual
virtual_transport = lmtp:unix:private/dovecot-lmtp
relay_domains = backup.example, hash:/etc/postfix/relays
transport_maps = hash:/etc/postfix/transport
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_protocols = >=TLSv1.2
smtp_tls_security_level = may
smtp_tls_policy_maps =
    hash:/etc/postfix/tls_policy
    inline:{ { inline.example = encrypt protocols=>=TLSv1.3 }, plain.example=none }
smtp_tls_mandatory_protocols = ${level?{>=TLSv1.2}:{>=TLSv1}}
level = high
smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt
smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_milters = inet:localhost:11332
milter_default_action = accept
message_size_limit = 52428800
"""
    files = {
        "main.cf": main,
        "vhosts": "box.example ok\nother-box.example ok\n",
        "vmaps": "a@box.example box/a\nb@other-box.example box/b\n",
        "virtual": "info@box.example a@box.example\n",
        "relays": "in.example x\n",
        "transport": "in.example relay:[store.in.example]:2525\n.in.example relay:[store.in.example]:2525\n"
                     "slow.example slow:\nbounce.example error:5.1.1 gone\nvia.example smtp:[gate.example]:587\n",
        "tls_policy": "bank.example secure\n.bank.example encrypt\n[gate.example]:587 secure match=nexthop\n"
                      "via.example none\npartner.example secure match=mail.cloud.example:.cloud.example ciphers=high\n"
                      "old.example encrypt protocols=!SSLv2:!SSLv3\n",
    }
    destinations = ["box.example", "other-box.example", "in.example", "x.in.example", "slow.example", "bounce.example",
                    "via.example", "bank.example", "x.bank.example", "x.y.bank.example", "partner.example", "old.example",
                    "inline.example", "plain.example", "far.example", "backup.example", "mail.here.example"]
    return files, destinations


def big():
    """A relay for many, with tables of some hundred entries that overlap in every way."""
    draw = random.Random(7)
    main = """
compatibility_level = 3.6
myhostname = relay.here.example
mydestination =
relay_domains = /etc/postfix/relay_domains
transport_maps = hash:/etc/postfix/transport_first, hash:/etc/postfix/transport
mynetworks = !192.0.2.13, 192.0.2.0/24, 127.0.0.0/8
smtp_tls_security_level = may
smtp_tls_policy_maps = hash:/etc/postfix/tls_policy
smtp_tls_mandatory_protocols = >=TLSv1.2
smtp_tls_mandatory_ciphers = high
smtp_tls_CApath = /etc/ssl/certs
slow_destination_concurrency_limit = 2
slow_destination_rate_delay = 5s
smtpd_tls_security_level = may
smtpd_client_connection_count_limit = 200
"""
    policies = ["none", "may", "encrypt", "encrypt protocols=>=TLSv1.3", "encrypt protocols=!SSLv2:!SSLv3 ciphers=medium",
                "secure", "secure match=nexthop", "secure match=mail.cloud.example:.cloud.example", "verify",
                "encrypt exclude=RC4:3DES", "must"]
    hops = ["smtp:[gate.example]:587", "relay:[gate.example]", "smtp:[192.0.2.9]:2525", "strict:", "slow:", ":",
            "smtp:hub.example", "relay:[a.example]:26, [b.example]:26", "error:gone", ":[gate.example]:587", "dovecot:",
            "strict:[gate.example]:587"]
    transport, first, policy, relays, destinations = {}, {}, {}, [], set()
    for number in range(400):
        domain = f"d{number}.t{number % 23}.example"
        transport[draw.choice(["", "", "."]) + domain] = draw.choice(hops)
        destinations |= {domain, f"x.{domain}", f"x.y.{domain}"}
    for number in range(0, 400, 9):
        first[f"d{number}.t{number % 23}.example"] = draw.choice(hops)
    for number in range(300):
        domain = f"d{number * 3}.t{number * 3 % 23}.example"
        policy[draw.choice(["", "", "."]) + domain] = draw.choice(policies)
        destinations |= {domain, f"x.{domain}"}
    for number in range(23):
        policy[f".t{number}.example"] = draw.choice(policies)
    policy |= {"bank.example": "secure", "[gate.example]:587": "secure match=nexthop", "[gate.example]": "encrypt",
               "hub.example": "secure match=nexthop", "[a.example]:26": "encrypt", "[b.example]:26": "encrypt",
               "far.example": "fingerprint match=" + ":".join(["AB"] * 32)}
    relays = [f"d{number}.t{number % 23}.example" for number in range(0, 400, 7)]
    text = lambda table: "".join(f"{key} {value}\n" for key, value in table.items())
    files = {"main.cf": main, "transport": text(transport), "transport_first": text(first), "tls_policy": text(policy),
             "relay_domains": "# ours\n" + "\n".join(relays) + "\n"}
    return files, sorted(destinations) + ["bank.example", "far.example", "unknown.example"]


class Oracle:
    """Postfix on a folder: its own programs answer, in its own order of questions."""

    def __init__(self, folder):
        self.folder, self.answers = folder, {}
        names = ["relay_domains", "mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "transport_maps",
                 "relayhost", "default_transport", "relay_transport", "local_transport", "virtual_transport",
                 "smtp_tls_policy_maps", "smtp_tls_security_level", "smtp_tls_mandatory_protocols", "smtp_tls_protocols",
                 "smtp_tls_secure_cert_match", "smtp_tls_verify_cert_match"]
        self.main = {name: self.expanded(name) for name in names}

    def expanded(self, name):
        done = subprocess.run(["postconf", "-c", self.folder, "-x", "-h", name], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def tables(self, value):
        """The tables of a parameter, with the copy in place of /etc/postfix. Those inline have blanks in braces."""
        found = re.findall(r"inline:\{(?:[^{}]|\{[^{}]*\})*\}|\S+", value.replace(",", " ") if "{" not in value else value)
        return [table.rstrip(",").replace("/etc/postfix/", f"{self.folder}/") for table in found]

    def prepare(self, keys):
        """Asks every table for all keys that will be wanted, each by one run of postmap."""
        wanted = "".join(f"{key}\n" for key in sorted(keys))
        for name in ["transport_maps", "smtp_tls_policy_maps", "virtual_mailbox_domains", "relay_domains", "virtual_alias_domains"]:
            for table in self.tables(self.main[name]):
                if ":" not in table.split("{")[0] or table in self.answers:
                    continue
                if table.startswith("hash:"):
                    subprocess.run(["postmap", "-c", self.folder, table], check=True)
                done = subprocess.run(["postmap", "-c", self.folder, "-q", "-", table], input=wanted, capture_output=True, text=True)
                self.answers[table] = dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)

    def find(self, name, key):
        """The answer of the first table that has the key."""
        for table in self.tables(self.main[name]):
            if key.lower() in self.answers.get(table, {}):
                return self.answers[table][key.lower()]
        return None

    def is_in(self, name, domain, parents=False):
        keys = above(domain, "") if parents else [domain]
        for item in self.tables(self.main[name]):
            if item in self.answers:
                if any(key in self.answers[item] for key in keys):
                    return True
            elif item.startswith("/"):
                lines = pathlib.Path(item).read_text().split()
                if any(key in lines for key in keys):
                    return True
            elif item in keys:
                return True
        return False

    def resolve(self, domain):
        """Transport, next hop and class, as trivial-rewrite(8) finds them."""
        usual = self.main["relayhost"] or domain
        if self.is_in("mydestination", domain):
            kind, transport, usual = "local", self.main["local_transport"], domain
        elif self.is_in("virtual_mailbox_domains", domain):
            kind, transport, usual = "virtual", self.main["virtual_transport"], domain
        elif self.is_in("relay_domains", domain, parents=True):
            kind, transport = "relay", self.main["relay_transport"]
        else:
            kind, transport = "default", self.main["default_transport"]
        transport, _, hop = transport.partition(":")
        hop = hop or usual
        for key in [*above(domain, "."), "*"]:
            entry = self.find("transport_maps", key)
            if entry is not None:
                new, _, new_hop = entry.partition(":")
                if new:
                    transport, hop = new, domain
                hop = new_hop.strip() or hop
                break
        return transport, hop, kind

    def policy(self, transport, destination):
        """The level and the attributes, as smtp(8) finds them."""
        keys = above(destination, ".") if re.fullmatch(r"[\w.-]+", destination) else [destination]
        entry = next((found for found in (self.find("smtp_tls_policy_maps", key) for key in keys) if found is not None), None)
        own = {**self.main, **OVERRIDES.get(transport, {})}
        words = re.split(r"[,\s]+", entry) if entry is not None else [own["smtp_tls_security_level"] or "none"]
        attributes = dict(word.split("=", 1) for word in words[1:])
        level = words[0] if words[0] in LEVELS else "invalid"
        protocols = attributes.get("protocols", own["smtp_tls_mandatory_protocols"])
        names = attributes.get("match", own["smtp_tls_secure_cert_match"] if level == "secure" else own["smtp_tls_verify_cert_match"])
        return level, protocols, [name for name in re.split(r"[:,\s]+", names) if name]


def above(domain, dot):
    """The keys for a domain: itself, then those above it."""
    labels = domain.split(".")
    return [domain] + [dot + ".".join(labels[at:]) for at in range(1, len(labels))]


class Server:
    """Says STARTTLS and shakes hands in the versions from one to another, with one certificate."""

    def __init__(self, chain, key, lowest="TLSv1.2", highest="TLSv1.3"):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.context.minimum_version, self.context.maximum_version = tls_rig.VERSIONS[lowest], tls_rig.VERSIONS[highest]
        self.context.load_cert_chain(chain, key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        try:
            client.settimeout(20)
            client.sendall(b"220 hop.test ESMTP\r\n")
            while line := self.line(client):
                if line.startswith(b"EHLO"):
                    client.sendall(b"250-hop.test\r\n250 STARTTLS\r\n")
                elif line.startswith(b"STARTTLS"):
                    client.sendall(b"220 go\r\n")
                    client = self.context.wrap_socket(client, server_side=True)
                elif line.startswith(b"QUIT"):
                    client.sendall(b"221 bye\r\n")
                    return
                else:
                    client.sendall(b"502 no\r\n")
        except OSError:
            pass
        finally:
            client.close()

    @staticmethod
    def line(client):
        line = b""
        while not line.endswith(b"\n"):
            byte = client.recv(1)
            if not byte:
                return b""
            line += byte
        return line


def finger(port, level, *arguments):
    """What posttls-finger says of a handshake at a level: the version and whether the certificate was the right one."""
    command = ["posttls-finger", "-c", "-l", level, "-T", "10", "-t", "10", *arguments]
    at = command.index("--") if "--" in command else len(command)
    command[at:at + 1] = [f"[127.0.0.1]:{port}"]
    environment = {**os.environ, "MAIL_CONFIG": str(CONFIG[0])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    said = done.stdout + done.stderr
    found = re.search(r"(\w+) TLS connection established.*?: (\S+) with", said)
    return (found[2], found[1] == "Verified") if found else (None, False)


def explain(config, facts, domain, *arguments):
    done = subprocess.run([rig.GATEPOST, "--config", config, "policy", "explain", "--direction", "outbound", "--json",
                           "--from", "a@here.example", "--to", f"user@{domain}", "--facts", facts, *arguments],
                          capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": done.stdout + done.stderr}


def hosts_of(hop):
    """A next hop as our `hosts` writes it."""
    hosts = []
    for one in re.split(r"[,\s]+", hop):
        bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", one)
        name, port = bracketed.groups() if bracketed else (one.partition(":")[0], one.partition(":")[2])
        hosts.append(f"{name}:{port or 25}")
    return hosts


def lowest(protocols):
    """The lowest version of a list of Postfix's, for the forms that are used here."""
    if found := re.search(r">=(\S+)", protocols):
        return found[1].rstrip(",")
    left = [version for version in VERSIONS if f"!{version}" not in re.split(r"[:,\s]+", protocols)]
    return left[0]


def written_hosts(out, route):
    if route is None:
        return None
    file = out / route["name"]
    tables = tomllib.loads(file.read_text())
    return (tables["default"]["route"] if file.name == "gatepost.toml" else tables["route"])["hosts"]


def required(answer):
    return {row["key"]: row["value"] for row in answer["requirement"]["policy"]}


class Comparison:
    def __init__(self, checks, folder, name, files, destinations):
        self.checks, self.name, self.destinations = checks, name, destinations
        self.folder, self.out = folder / name, folder / f"{name}-out"
        self.folder.mkdir()
        for file, text in {"master.cf": MASTER, **files}.items():
            (self.folder / file).write_text(text)
        self.config, self.facts = self.out / "gatepost.toml", folder / f"{name}-facts.json"
        self.facts.write_text('{"hosts": [{"name": "mx.any.example", "dnssec": "insecure"}]}')

    def run(self):
        done = subprocess.run([rig.GATEPOST, "import", "postfix", self.folder, "--out", self.out, "--json"],
                              capture_output=True, text=True, check=False)
        if not self.checks.equal(f"{self.name}: it is imported", done.returncode, 0):
            print(done.stderr)
            return
        self.report = json.loads(done.stdout)
        checked = subprocess.run([rig.GATEPOST, "--config", self.config, "check", "--json"], capture_output=True, text=True, check=False)
        findings = json.loads(checked.stdout)
        self.checks.equal(f"{self.name}: check finds no error", (checked.returncode, findings["errors"]), (0, []))
        self.oracle = Oracle(self.folder)
        keys = {key for domain in self.destinations for dot in ("", ".") for key in above(domain, dot)} | {"*"}
        self.oracle.prepare(keys)
        # The next hops are known once the routes are.
        hops = {hop for domain in self.destinations for hop in re.split(r"[,\s]+", self.oracle.resolve(domain)[1]) if hop}
        self.oracle.answers.clear()
        self.oracle.prepare(keys | hops | {key for hop in hops for key in above(hop, ".")})
        agreed, differing = 0, []
        for domain in self.destinations:
            wrong = self.compare(domain)
            agreed += not wrong
            differing += [f"{domain}: {wrong}"] if wrong else []
        self.checks.check(f"{self.name}: {agreed} of {len(self.destinations)} destinations agree", not differing, "; ".join(differing[:5]))

    def compare(self, domain):
        """What differs; empty where Postfix and Gatepost say the same."""
        transport, hop, kind = self.oracle.resolve(domain)
        answer = explain(self.config, self.facts, domain)
        if "requirement" not in answer:
            return f"no answer: {answer}"
        hosts, level = written_hosts(self.out, answer["route"]), answer["requirement"]["level"]
        if transport in ("error", "discard", "retry"):
            return "" if hosts == ["nowhere.invalid:25"] else f"{transport}, and it goes to {hosts}"
        if transport not in SMTP:
            return "" if hosts == MAILBOXES else f"{transport}, and it goes to {hosts}"
        expected_hosts = None if hop == domain else hosts_of(hop)
        if hosts != expected_hosts:
            return f"next hop {hop}, here {hosts}"
        policies = {self.oracle.policy(transport, one)[0:2] + (tuple(self.oracle.policy(transport, one)[2]),)
                    for one in (re.split(r"[,\s]+", hop) if expected_hosts else [domain])}
        if len(policies) > 1:
            return "" if level == "verify" else f"policies {policies}, here {level}"
        wanted, protocols, names = policies.pop()
        policy = required(answer)
        if wanted == "invalid":
            return "" if "held.invalid" in policy.get("match", "") else f"nothing goes out by Postfix, here {policy}"
        if level != LEVELS[wanted]:
            return f"level {wanted}, here {level}"
        if wanted in MANDATORY and policy.get("min_version") != lowest(protocols):
            return f"lowest version of {protocols}, here {policy.get('min_version')}"
        if wanted in ("secure", "verify"):
            return self.compare_names(names, hop, domain, policy.get("match", ""), expected_hosts)
        return ""

    def compare_names(self, names, hop, domain, written, is_route):
        """The words of `match`, one by one."""
        host = re.sub(r":\d+$", "", hosts_of(hop)[0])
        is_address = re.fullmatch(r"[\d.]+", host)
        below = f"*.{host if is_route else domain}"
        words = {"nexthop": "mx" if is_route else "domain", "hostname": "mx", "dot-nexthop": below}
        expected = [words.get(name, re.sub(r"^\.", "*.", name)) for name in names]
        found = [word for word in re.split(r"[,\s\[\]\"]+", written) if word]
        if is_address and not [name for name in names if name not in words]:
            expected = ["held.invalid"]
        # Where names below are not known, fewer names will do, never more.
        fewer = [word for word in expected if word != below]
        return "" if found in (expected, fewer) else f"names {names} of {hop}, here {found}"


def compare_versions(checks, folder, comparison):
    """Handshakes of posttls-finger with servers that know one version only, beside sessions of that version here."""
    chain, key = rig.self_signed(folder, "versions.test", "versions")
    for domain in ["bank.example", "old.example", "inline.example", "x.bank.example"]:
        transport, hop, _ = comparison.oracle.resolve(domain)
        _, protocols, _ = comparison.oracle.policy(transport, hop)
        for version in VERSIONS:
            server = Server(chain, key, version, version)
            found, _ = finger(server.port, "encrypt", "-p", protocols.replace(":", ","), "-g", "medium", "-L", "summary")
            names = required(explain(comparison.config, comparison.facts, domain)).get("match", "")
            shown = ["--certificate", "trusted", "--certificate-name", domain] if names else []
            here = explain(comparison.config, comparison.facts, domain, "--tls", version, *shown)["verdict"]
            what = f"{domain} over {version}: Postfix {'takes' if found else 'leaves'} it with {protocols}"
            if found is None and version in ("TLSv1", "TLSv1.1"):
                # The OpenSSL of a distribution may know no such version at all; it must not be taken here where it is excluded.
                checks.check(what, here != "deliver" or VERSIONS.index(version) >= VERSIONS.index(lowest(protocols)), here)
            else:
                checks.equal(what, here == "deliver", found is not None)
            server.socket.close()


def compare_certificates(checks, folder, comparison):
    """Certificates for one name each, by an authority that both trust."""
    rig.authority(folder)
    servers = {name: Server(*rig.issued(folder, name, name)) for name in NAMES}
    for domain, host in [("bank.example", "mx.any.example"), ("partner.example", "mx.any.example"), ("via.example", "gate.example")]:
        transport, hop, _ = comparison.oracle.resolve(domain)
        level, _, names = comparison.oracle.policy(transport, hop)
        next_hop = re.sub(r"[\[\]]|:\d+$", "", hop)
        words = {"nexthop": next_hop, "dot-nexthop": f".{next_hop}", "hostname": host}
        facts = folder / f"{domain}.json"
        facts.write_text(json.dumps({"hosts": [{"name": host, "dnssec": "insecure", "trusted": host == "gate.example"}]}))
        for name, server in servers.items():
            _, verified = finger(server.port, level, "-F", folder / "ca.pem", "-g", "medium", "-L", "summary,certmatch",
                                 "--", *[words.get(word, word) for word in names])
            answer = explain(comparison.config, facts, domain, "--tls", "TLSv1.3", "--certificate", "trusted", "--certificate-name", name)
            here = answer["verdict"] == "deliver"
            what = f"{domain} ({level} {':'.join(names)}), a certificate for {name}: {'right' if verified else 'wrong'} to Postfix"
            # A pattern of ours stands for one label, one of Postfix for any number: stricter, and told in the report.
            is_deep = verified and not here and name == "a.b.bank.example"
            checks.check(what, here == verified or is_deep, f"here {answer['verdict']}")
    for server in servers.values():
        server.socket.close()


def main():
    checks, folder = rig.Checks(), rig.scratch("import")
    comparisons = {}
    CONFIG.append(folder / "minimal")
    for name, made in [("minimal", minimal()), ("mailserver", mailserver()), ("big", big())]:
        comparisons[name] = Comparison(checks, folder, name, *made)
        comparisons[name].run()
    mailserver_report = comparisons["mailserver"].report
    told = json.dumps(mailserver_report["missing"]) + json.dumps(mailserver_report["differs"])
    for word in ["smtpd_milters", "submission", "virtual_alias_maps", "backup.example", "private/dovecot-lmtp", "bounce.example",
                 "via.example (tls_policy", "one label below"]:
        checks.check(f"mailserver: the report tells of {word}", word in told)
    trusted = tomllib.loads((comparisons["big"].config).read_text())["relay"]["trusted"]
    checks.check("big: what mynetworks excludes is not trusted",
                 "192.0.2.12/32" in trusted and "192.0.2.13/32" not in trusted and "192.0.2.0/24" not in trusted, trusted)
    compare_versions(checks, folder, comparisons["mailserver"])
    compare_certificates(checks, folder, comparisons["mailserver"])
    shutil.rmtree(folder, ignore_errors=True)
    checks.finish()


main()
