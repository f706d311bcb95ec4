"""What lost_tls.py stands on: the daemon between senders and a world that loses TLS, and what both get to see."""

import datetime
import email
import json
import os
import re
import shutil

import lost_tls_world
import rig
import traffic_rig
from rig import Client, Daemon, Sink, message, wait_for

TRUSTED, STRANGER = "127.0.0.1", "127.0.0.9"
ROUTE_AFTER, NOTIFY = 16, 3
# How much later than it is due something may come: an attempt a second, on a busy machine.
LATE_SECONDS_MAX = 5
LOST = "starttls-not-supported"
ESCROW = f'on_tls_failure = "route:escrow"\nroute_after = "{ROUTE_AFTER}s"\nnotify_sender = "{NOTIFY}s"\n'
VERIFY = 'tls = "verify"\n'
LEARN = f'learn = "enforce"\n{ESCROW}'
# What it is told is appended to a file.
ALERT_SCRIPT = 'cat >>"$1"\n'

checks = rig.Checks()


def seconds_of(time):
    return datetime.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


class Relay:
    """A daemon that believes the world's resolver, with what its senders and the world got to see of a message."""

    def __init__(self, folder, world, domains, routes):
        folder.mkdir()
        shutil.copy(world.folder / "ca.pem", folder)
        self.world, self.home = world, Sink(data=stamped)
        smart, mx = rig.free_port(), rig.free_port()
        listeners = "".join(f'[[listener]]\nname = "{role}"\nbind = ["127.0.0.1:{port}"]\nrole = "{role}"\n'
                            for role, port in [("smarthost", smart), ("mx", mx)])
        home = f'domains = ["sender.test"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{self.home.port}"]\n'
        tables = "".join(self.route(name, keys) for name, keys in routes.items())
        self.daemon = Daemon(
            folder, {**domains, "home": home}, f'[dns]\nservers = ["{lost_tls_world.RESOLVER}:{world.resolver.port}"]\n'
            f'dnssec = "trust-ad"\nallow_targets = ["127.0.0.0/8"]\n[relay]\ntrusted = ["{TRUSTED}"]\n{tables}',
            listeners=listeners, spool_keys='retry = ["1s"]\n', metrics_port=rig.free_port(),
            environment={"SSL_CERT_FILE": str(folder / "ca.pem")})
        self.daemon.port, self.mx, self.key = smart, mx, []
        rig.on_exit(self.close)

    def route(self, name, keys):
        return f'[[route]]\nname = "{name}"\nhosts = ["{name}.test:{self.world.hosts[f"{name}.test"].port}"]\n{keys}'

    def close(self):
        self.daemon.close()
        self.home.close()

    def gatepost(self, *words, config=None):
        return traffic_rig.gatepost(*words, config=config or self.daemon.config, timeout=30)

    def send(self, sender, *recipients, parameters="", mx=False, requiretls=False):
        """Hands in a message; gives its id. `mx`: as a stranger at the public listener. `requiretls`: by RFC 8689."""
        client = Client(self.mx if mx else self.daemon.port, source=STRANGER if mx else TRUSTED)
        client.say("EHLO client.test")
        if requiretls:
            client.starttls()
            client.say("EHLO client.test")
        client.say(f"MAIL FROM:<{sender}>{' REQUIRETLS' if requiretls else ''}")
        for recipient in recipients:
            answer = client.say(f"RCPT TO:<{recipient}>{parameters}")
        if answer.startswith("250"):
            client.say("DATA")
            client.send(message(recipients[0], From=sender or "mailer@sender.test") + b".\r\n")
            answer = client.reply()
        client.say("QUIT")
        client.close()
        found = re.search(r"^250 .*?\b([0-9A-Z]{26})\b", answer)
        checks.check(f"a message from <{sender}> to {', '.join(recipients)} is taken", found, answer)
        return found and found[1]

    def records(self, ident, *events):
        found = [record for record in self.daemon.records(message=ident) if not events or record["event"] in events]
        return sorted(found, key=lambda record: record["seq"])

    def await_record(self, ident, event, seconds=40):
        found = wait_for(lambda: self.records(ident, event), seconds)
        checks.check(f"{self.about(ident)}: {event} is on record", found, str([r["event"] for r in self.records(ident)]))
        return found[0] if found else {}

    def about(self, ident):
        return next((record["to"][0] for record in self.records(ident, "inbound.accepted")), ident)

    def notices(self, sender, action):
        """What this sender was told of that kind: the message that came, its text, and the fields about each recipient.

        The same notice may come again after a kill: like any mail, it may have been taken before that was written down.
        """
        found = {}
        for entry in self.home.for_recipient(sender):
            report = email.message_from_bytes(entry["data"])
            if report.get_content_type() != "multipart/report":
                continue
            text, status, *_ = report.get_payload()
            _, fields, *others = status.get_payload()
            if fields["Action"] == action:
                words = " ".join(text.get_payload(decode=True).decode().split())
                notice = {"entry": entry, "report": report, "text": words, "fields": fields, "others": others}
                found.setdefault(report["Message-Id"], notice)
        return list(found.values())

    def await_notice(self, sender, action, seconds=20):
        found = wait_for(lambda: self.notices(sender, action), seconds)
        checks.check(f"{sender} is told: {action}", found)
        return found[0] if found else None

    def why(self, ident):
        """The sentence about it, between two tries."""
        def look():
            code, answer, words = self.gatepost("queue", "why", ident, "--json")
            sentence = answer["why"] if code == 0 else f"exit code {code}: {words}"
            return sentence if "right now" not in sentence else None
        return wait_for(look, 20)

    def why_for_people(self, ident):
        """Exit code and output of the same, without --json."""
        def look():
            code, answer, words = self.gatepost("queue", "why", ident)
            said = " ".join(f"{code} {answer} {words}".split())
            return said if "right now" not in said else None
        return wait_for(look, 20)

    def standing(self, ident):
        """The first recipient, as the queue shows it."""
        code, answer, _ = self.gatepost("queue", "show", ident, "--json")
        return answer["recipients"][0] if code == 0 else {}

    def alerts(self):
        """What the administrator was told."""
        path = self.daemon.folder / "alerts"
        return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []

    def start(self):
        self.daemon.start()
        code, answer, words = self.gatepost("audit", "key", "--json")
        if checks.check("the public key of the log is shown", code == 0 and "key" in answer, f"{answer}{words}"):
            self.key = ["--key", answer["key"]]

    def end(self, connected):
        """These hosts were connected to in vain; none was told more without TLS than it takes to ask for it."""
        for name, host in self.world.hosts.items():
            said = host.commands_without_tls()
            checks.equal(f"{name}: what it was told without TLS beside greetings", said - {"EHLO", "STARTTLS", "QUIT"}, set())
            if name in connected:
                checks.check(f"{name}: was asked for TLS", "EHLO" in said, str(said))
        checks.check("the queue is empty", self.daemon.drained(60), str(self.daemon.queue()))
        checks.check("no panic", "panic" not in self.daemon.log.read_text())
        checks.equal("the audit chain holds", self.daemon.broken_links(), [])
        checks.equal("stops in order", self.daemon.stop(), 0)


def stamped(entry):
    entry["time"] = datetime.datetime.now(datetime.timezone.utc).timestamp()
    return "250 2.0.0 Ok"


def verified(record):
    """By what the other end proved who it is."""
    return ((record.get("tls") or {}).get("peer") or {}).get("verified")


def words_of(record, *keys):
    return tuple(record.get(key) for key in keys)


def between(what, found, low, high):
    checks.check(f"{what}: between {low} and {high} s", low <= found <= high, f"found {found:.2f}")


def hops(records):
    """The events of a message, those that repeat once."""
    events = [record["event"] for record in records]
    return [event for place, event in enumerate(events) if place == 0 or events[place - 1] != event]


def sender_to(domain):
    return f"to-{domain.replace('.', '-')}@sender.test"


def learning(relay):
    """Has the relay learn fast, and tell the administrator by a program, if this build can; whether it can."""
    folder, config = relay.daemon.folder, relay.daemon.config
    script, before = folder / "alert.sh", config.read_text()
    script.write_text(ALERT_SCRIPT)
    # The program may write where the daemon may: beside the key of the log.
    config.write_text(f'{before}[learn]\ndeliveries = 2\ndays = 1\ninterference_destinations = 4\n'
                      f'[alert]\ncommand = ["/bin/sh", "{script}", "{folder / "alerts"}"]\n')
    known = relay.gatepost("check")[0] == 0
    if not known:
        print("SKIPPED  learned TLS and its alerts: this build does not know [alert]", flush=True)
        checks.check("learned TLS can be seen", not os.environ.get("CI"))
        config.write_text(before)
    return known
