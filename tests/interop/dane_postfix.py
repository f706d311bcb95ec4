"""Debian's Postfix on the zones of the DANE cases: what it makes of each, in the words of dane_cases.py, and why that may differ."""

import re
import socket

import dane_cases
import dns_rig
import postfix_rig
import rig
from rig import Client, message, wait_for

SETTLED_SECONDS_MAX = 150
# Its smtp clients run below this folder of the spool, and find their resolver there.
SETTINGS = """default_transport = smtp
smtp_dns_support_level = dnssec
smtp_tls_security_level = dane
smtp_tls_loglevel = 1
smtp_tls_policy_maps = {policies}
transport_maps = {routes}
smtp_host_lookup = dns
smtp_tcp_port = 25
smtp_tls_mandatory_protocols = >=TLSv1
smtp_tls_protocols = >=TLSv1
tls_medium_cipherlist = ALL:!aNULL:@SECLEVEL=0
smtp_tls_CAfile =
append_dot_mydomain = no
minimal_backoff_time = 1h
maximal_backoff_time = 1h
queue_run_delay = 1h
"""
# The sentences of its log, in the order in which they are looked for.
REASONS = [
    (r"TLS is required, but was not offered", "starttls-not-supported"),
    (r"TLS is required, but host .* refused to start TLS", "starttls-not-supported"),
    (r"TLSA lookup error|Name service error|Host not found, try again", "dns-failure"),
    (r"no TLSA records found|non DNSSEC destination|TLSA records unusable|DNSSEC", "dane-required"),
    (r"certificate has expired", "certificate-expired"),
    (r"hostname mismatch", "certificate-host-mismatch"),
    (r"Server certificate not (trusted|verified)", "tlsa-invalid"),
    (r"Cannot start TLS|lost connection|handshake failure", "validation-failure"),
]
# case -> (what Postfix makes of it, why it may)
EXPLAINED = {
    "insecure-mx-proves-no-name-of-the-domain": (
        dane_cases.DANE, "takes the domain's name in a certificate for a proof whether or not the MX records are secure; by RFC 7672 "
        "section 3.2.2 the MX host's name is the only one that counts where they are not"),
    "no-mx-and-an-alias-name-of-the-domain": (
        "deferred certificate-host-mismatch", "knows only the end of the alias as a name where there is no MX; by RFC 7672 section 3.2.2 "
        "the domain that was asked for counts as well"),
    "tls10-host": (
        "deferred validation-failure", "raises OpenSSL's security level to 1 where it authenticates, at which OpenSSL 3 takes no signature "
        "of TLS 1.0; by RFC 7671 section 3 a client has to support that version"),
    "tls10-host-below-the-minimum": (
        "deferred validation-failure", "does not offer what it would not take, so the handshake fails and says no more; "
        "neither RFC says how to learn of it"),
}


def expected(case):
    """What Postfix has to make of a case; None if there is nothing to compare."""
    return EXPLAINED.get(case.name, (case.expect,))[0]


def policy(case):
    """The line of its policy map that says what the case's domain file does."""
    words = {'dane = "required"': "dane-only", 'dane = "off"': "may", 'min_version = "TLSv1.2"': "dane protocols=>=TLSv1.2"}
    nexthop = f"[{case.absolute(case.route).rstrip('.')}]:{case.port}" if case.route else case.domain.rstrip(".")
    return f"{{ {nexthop} = {words[case.keys]} }}"


def table(lines):
    """A table in the settings themselves; it must not be empty."""
    lines = list(lines)
    return f"inline:{{ {' '.join(lines)} }}" if lines else ""


class Postfix:
    def __init__(self, world, cases):
        self.world, self.cases, self.port = world, cases, rig.free_port()
        routes = [f"{{ {case.domain.rstrip('.')} = smtp:[{case.absolute(case.route).rstrip('.')}]:{case.port} }}" for case in cases if case.route]
        settings = SETTINGS.format(policies=table(policy(case) for case in cases if case.keys), routes=table(routes))
        self.postfix = postfix_rig.Postfix({self.port: {}}, settings)
        self.give_resolver()

    def give_resolver(self):
        """Its own resolv.conf for the smtp client alone, which is confined to the spool and sees no other."""
        master = self.postfix.etc / "master.cf"
        lines = [re.sub(r"^(smtp\s+unix\s+\S+\s+\S+\s+)n", r"\1y", line) for line in master.read_text().splitlines()]
        master.write_text("\n".join(lines) + "\n")
        etc = self.postfix.folder / "spool/etc"
        etc.mkdir()
        (etc / "resolv.conf").write_text(f"nameserver {dns_rig.VALIDATING}\noptions trust-ad edns0\n")

    def outcomes(self):
        self.postfix.start(greets)
        client = Client(self.port)
        client.say("EHLO client.test")
        for case in self.cases:
            address = f"postfix@{case.domain.rstrip('.')}"
            client.mail("a@sender.test", [address], message(address))
        client.close()
        wanted = {f"postfix@{case.domain.rstrip('.')}" for case in self.cases}
        wait_for(lambda: wanted <= set(self.settled()), SETTLED_SECONDS_MAX, 1)
        found = self.settled()
        return {case.name: found.get(f"postfix@{case.domain.rstrip('.')}", ("nothing", "")) for case in self.cases}

    def settled(self):
        """The end of each recipient by the log, and the log's words."""
        found, level, fault = {}, {}, {}
        for line in self.postfix.log().splitlines():
            if made := re.search(r"smtp\[(\d+)\]: (\w+) TLS connection established to (\S+?):", line):
                level[made[1], made[3]] = made[2]
            elif failed := re.search(r"smtp\[(\d+)\]: server certificate verification failed for (\S+?):\d+: (.*)", line):
                fault[failed[1], failed[2]] = failed[3]
            ended = re.search(r"smtp\[(\d+)\]: \w+: to=<([^>]+)>.* relay=(\S+?)(?::\d+)?, .*status=(\w+) \((.*)\)$", line)
            if ended and ended[2] not in found:
                process, address, relay, status, said = ended.groups()
                words = f"{fault.get((process, relay), '')} {said}"
                found[address] = (outcome(status, words, level.get((process, relay))), words)
        return found

    def end(self):
        pass

    def close(self):
        self.postfix.close()


def outcome(status, said, level):
    if status == "sent":
        return {None: dane_cases.PLAINTEXT, "Verified": dane_cases.DANE, "Trusted": dane_cases.DANE}.get(level, dane_cases.ENCRYPTED)
    return f"{status} {next((word for pattern, word in REASONS if re.search(pattern, said)), said)}"


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as probe:
            return probe.recv(4) == b"220 "
    except OSError:
        return False


def check_explanations(checks, cases):
    """An explanation is for a case that there is, and for a difference."""
    expectations = {case.name: case.expect for case in cases}
    for name, (made, _) in EXPLAINED.items():
        checks.check(f"postfix, {name}: the explanation is of a difference", expectations.get(name, made) != made)
