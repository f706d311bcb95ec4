#!/usr/bin/env python3
"""Why is it still here? Waiting messages of many kinds, made for real, and the sentence of `gatepost queue why` for each.

Each must name the recipient or the destination, the cause, and when it is tried next or what can be done, in at most 500 octets.
Rates are skipped with a word where this binary has none.
"""

import json
import re
import shutil
import ssl
import time

import load_rig
import load_sink
import rig
from load_rig import say
from rig import Sink, message, wait_for

SENTENCE_BYTES_MAX = 500
LONG_REPLY = "450 4.7.1 Greylisted, see https://hop.test/" + "x" * 400
# Ways to write a limit of one message an hour; the first that `check` takes is used.
RATES = ['rate = "1/h"', 'rate = "1/1h"', 'rate = "1 per 1h"', 'rate = { messages = 1, per = "1h" }']
# When it is tried next, or what to do or what it waits for.
NEXT = r"in \d+ (s|min|h|seconds|minutes|hours)|right now|tried again (now|at)|waits for its turn|queue release|until|as soon as|slot"
PATIENCE_SECONDS = 20
CONNECT_PATIENCE_SECONDS = 60

checks, folder = rig.Checks(), rig.scratch("why")
hops = load_sink.Hops()
rig.authority(folder)
right, wrong = rig.issued(folder, "good.test", "good"), rig.issued(folder, "other.test", "other")
expired, lonely = rig.issued(folder, "good.test", "expired", days=-400), rig.self_signed(folder, "good.test", "lonely")
old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
old.load_cert_chain(*map(str, right))
old.maximum_version = ssl.TLSVersion.TLSv1_2
VERIFY = 'tls = "verify"\nmatch = ["good.test"]\n'
ONE = "[outbound]\nconcurrency = 1\n"


def place(name, keys="", route="", **manners):
    """The text of a domain file whose next hop has these manners."""
    return load_rig.domain(f"{name}.test", hops.open(name, **manners), keys=keys, route=route)


def secure(name, tls, route):
    return load_rig.domain(f"{name}.test", Sink(tls=tls).port, route=route)


def plain(name, port):
    return load_rig.domain(f"{name}.test", port)


def rate_keys():
    """How this binary wants a rate written; None: not at all."""
    trial = rig.scratch("why-rate")
    try:
        for words in RATES:
            domain = load_rig.domain("rate.test", 25, keys=f"[outbound]\n{words}\n")
            daemon = load_rig.relay(trial, {"rate": domain})
            if load_rig.command("check", config=daemon.config)[0] == 0:
                return f"[outbound]\n{words}\n"
        return None
    finally:
        shutil.rmtree(trial, ignore_errors=True)


rate = rate_keys()
domains = {
    "turn": place("turn", keys=ONE, kind="mute"),
    "deferred": place("deferred", rcpt="450 4.2.1 The mailbox is busy, try again later"),
    "longwinded": place("longwinded", data=LONG_REPLY),
    "odd": place("odd", rcpt="451 4.3.0 caf\u00e9 \x1b[31mred\x07 (try \"later\"); it is delivered"),
    "refused": plain("refused", rig.free_port()),
    "silent": place("silent", kind="full"),
    "busy": place("busy", greeting="421 4.3.2 Too many connections from you"),
    "hanging": place("hanging", kind="mute"),
    "good": place("good"),
    "heldone": place("heldone", rcpt="450 4.2.1 not now"),
    "heldall": place("heldall", rcpt="450 4.2.1 not now"),
    "nostarttls": secure("nostarttls", None, 'tls = "encrypt"\n'),
    "name": secure("name", wrong, VERIFY),
    "expired": secure("expired", expired, VERIFY),
    "untrusted": secure("untrusted", lonely, VERIFY),
    "version": secure("version", old, 'tls = "encrypt"\nmin_version = "TLSv1.3"\n'),
}
if rate:
    domains["rate"] = place("rate", keys=rate)
silent_server = f'[dns]\nservers = ["127.0.0.1:{rig.free_port()}"]\n[relay]\ntrusted = ["127.0.0.0/8"]\n'
daemon = load_rig.relay(folder, domains, environment={"SSL_CERT_FILE": str(folder / "ca.pem")}, defaults=silent_server)
smart = rig.free_port()
daemon.config.write_text(daemon.config.read_text().replace(
    "[[certificate]]", f'[[listener]]\nname = "smart"\nbind = ["127.0.0.1:{smart}"]\nrole = "smarthost"\n[[certificate]]', 1))
rig.on_exit(daemon.close, hops.close, lambda: shutil.rmtree(folder, ignore_errors=True))
daemon.start()


def send(*recipients, port=None):
    """Gives the id of the message."""
    client = rig.Client(port or daemon.port)
    client.say("EHLO client.test")
    answer = client.mail("a@sender.example", recipients, message(recipients[0]))
    client.close()
    return re.match(r"250 2\.0\.0 Ok: queued as (\w+)", answer)[1]


def standing(identity):
    return [(r["state"], r["attempts"]) for r in daemon.ask("queue-show", id=identity).get("recipients", [])]


def waits(identity, patience=PATIENCE_SECONDS):
    """Until each recipient who is not settled has failed once."""
    def look():
        found = standing(identity)
        return found and all(state in ("delivered", "bounced") or (state == "waiting" and attempts) for state, attempts in found)
    return wait_for(look, patience, 0.1)


def why(identity):
    code, text, said = load_rig.command("queue", "why", identity, "--json", config=daemon.config)
    return json.loads(text)["why"] if code == 0 else f"exit {code}: {said}"


def asks(kind, identity, recipient, cause, reached=True):
    """The sentence of one message against what it must say."""
    sentence = why(identity)
    domain = recipient.split("@")[1]
    print(f"  --  {kind}:\n      {sentence}", flush=True)
    checks.check(f"{kind}: the message is in that state", reached, str(standing(identity)))
    checks.check(f"{kind}: names the recipient or the destination", domain in sentence)
    checks.matches(f"{kind}: names the cause", sentence, f"(?i){cause}")
    checks.matches(f"{kind}: says when it is tried next, or what it waits for", sentence, f"(?i){NEXT}")
    length = len(sentence.encode())
    checks.check(f"{kind}: at most {SENTENCE_BYTES_MAX} octets", length <= SENTENCE_BYTES_MAX, str(length))
    checks.check(f"{kind}: printable, and one line", sentence.isprintable())


def skipped(kind, why_not):
    say(f"skipped: {kind}: {why_not}")


sent = {name: send(f"b@{name}.test") for name in domains if name not in ("turn", "rate", "good")}
first, second = send("b@turn.test"), None
wait_for(lambda: standing(first) == [("active", 0)], PATIENCE_SECONDS)
second = send("c@turn.test")
nowhere = send("b@unknown.test", port=smart)
several = send("b@deferred.test", "c@deferred.test", "b@refused.test", "b@good.test")

FAILED = {
    "deferred": ("deferred with 450", "450|mailbox is busy"),
    "longwinded": ("deferred with a very long reply", "450|Greylisted"),
    "odd": ("deferred with odd octets in the reply", "451|4\\.3\\.0"),
    "refused": ("connection refused", "refused"),
    "busy": ("421 in the greeting", "421|too many connections"),
    "nostarttls": ("STARTTLS lacking where TLS is required", "starttls|no TLS"),
    "name": ("certificate of another name", "name|other\\.test|mismatch"),
    "expired": ("expired certificate", "expired"),
    "untrusted": ("certificate that nobody vouches for", "trust|unknown issuer|self-signed|authority"),
    "version": ("version below the minimum", "version|TLSv1\\.2"),
}
for name, (kind, cause) in FAILED.items():
    asks(kind, sent[name], f"b@{name}.test", cause, waits(sent[name]))
checks.check("odd octets are escaped once", r"\x5c" not in why(sent["odd"]), why(sent["odd"]))
asks("the name server does not answer", nowhere, "b@unknown.test", "dns|name server|look", waits(nowhere, CONNECT_PATIENCE_SECONDS))
asks("never tried, the destination's only slot is taken", second, "c@turn.test", "turn|slot|before it|has not been tried",
     standing(second) == [("ready", 0)])
active = wait_for(lambda: standing(sent["hanging"]) == [("active", 0)], PATIENCE_SECONDS)
asks("the hop hangs now", sent["hanging"], "b@hanging.test", "being delivered|right now|hanging", active)
reached = waits(several)
# The one that is tried next is named, and which that is says chance.
named = "b@refused.test" if "refused.test" in why(several) else "b@deferred.test"
asks("several recipients with several fates", several, named, "450|mailbox is busy|refused", reached)
checks.matches("several recipients: says how many more wait", why(several), r"\d more|and \d other|\d recipients|\d others")


def held(kind, identity, recipient, *arguments):
    """Holds, and asks why."""
    reason = "the hop is being moved"
    code, _, said = load_rig.command("queue", "hold", *arguments, "--why", reason, "--for", "4h", config=daemon.config)
    if checks.check(f"{kind}: the command is done", code == 0, f"exit {code}: {said}"):
        wait_for(lambda: "held" in [state for state, _ in standing(identity)])
        asks(kind, identity, recipient, f"held|hold.*{reason}", True)
        checks.matches(f"{kind}: gives the operator's reason", why(identity), reason)


waits(sent["heldone"])
waits(sent["heldall"])
held("a message that is held", sent["heldone"], "b@heldone.test", sent["heldone"])
held("a destination that is held", sent["heldall"], "b@heldall.test", "--to-domain", "heldall.test")
if rate:
    spent, later = [send("b@rate.test") for _ in range(5)], send("b@rate.test")
    time.sleep(2)
    asks("a limit of messages an hour", later, "b@rate.test", "rate|an hour|per hour|limit", standing(later) == [("ready", 0)])
else:
    skipped("a limit of messages an hour", "no such key")
# The last: its patience is that of connecting.
asks("connecting times out", sent["silent"], "b@silent.test", "timed? ?out|time-?out|no answer|did not answer",
     waits(sent["silent"], CONNECT_PATIENCE_SECONDS))
checks.check("no panic", "panic" not in daemon.log.read_text())
checks.finish()
