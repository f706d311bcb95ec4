"""Domains of unlike strictness that have their mail host in common: what one of them permits must not carry the other's mail.

Connections are kept open for a few seconds after a message, so each order of messages is sent quickly.
"""

import itertools

import sts_cases
from rig import message
from sts_cases import GOOD, SELF_SIGNED, Case, Host
from sts_world import outcome, recipient

PLAIN = Host(fault="no-starttls")
KINDS = {"self-signed": SELF_SIGNED, "plaintext": PLAIN, "good": GOOD}


def cases_of(kind, host):
    """The domain that owns the host, and those that share it."""
    owner = Case(f"shared-{kind}", "5", "", (host,), txt=())
    shared = {"mx": (f"mx.{owner.domain}",), "hosts": ()}
    policy = {"policy": f"enforce mx.{owner.domain}"}
    written = f'tls = "verify"\nmatch = ["mx.{owner.domain.rstrip(".")}"]'
    return [owner, Case(f"lax-{kind}", "5", "", txt=(), **shared), Case(f"sts-{kind}", "5", "", **policy, **shared),
            Case(f"written-{kind}", "5", "", txt=(), keys=written, **shared)]


CASES = [case for kind, host in KINDS.items() for case in cases_of(kind, host)]
LAX = {"self-signed": sts_cases.ENCRYPTED, "plaintext": sts_cases.PLAINTEXT}
STRICT = {"self-signed": sts_cases.UNTRUSTED, "plaintext": "deferred starttls-not-supported"}
# Of recipients: each message has its own.
NUMBERS = itertools.count(1)
ORDERS = ["lax strict lax", "strict lax strict", "lax lax strict strict lax"]


def run(checks, gatepost):
    cases = {case.name: case for case in CASES}
    for kind in LAX:
        for strict in ("sts", "written"):
            for order in ORDERS:
                what = f"kumomta484 {strict} beside lax at one {kind} host, {order}"
                names = [strict if word == "strict" else "lax" for word in order.split()]
                refusing(checks, gatepost, what, [cases[f"{name}-{kind}"] for name in names], kind)
            together(checks, gatepost, f"kumomta484 {strict} and lax in one message at one {kind} host",
                     [cases[f"lax-{kind}"], cases[f"{strict}-{kind}"]], kind)
    for strict in ("sts", "written"):
        what = f"kumomta484 {strict} beside lax at one good host"
        accepting(checks, gatepost, what, [cases[f"{name}-good"] for name in ("lax", strict, "lax", strict)])


def in_turn(gatepost, cases):
    """Each message once the one before has come to its end: the recipients and the outcomes."""
    marks, ends = [], []
    for case in cases:
        mark = f"b{next(NUMBERS)}"
        marks.append(mark)
        gatepost.send([case], mark)
        ends.append(outcome(gatepost.settled([case], mark)[case.name]))
    return [recipient(case, mark) for case, mark in zip(cases, marks)], ends


def refusing(checks, gatepost, what, cases, kind):
    host = gatepost.world.hosts[f"shared-{kind}"][0]
    addresses, ends = in_turn(gatepost, cases)
    is_lax = [case.name.startswith("lax") for case in cases]
    checks.equal(f"{what}: outcomes", ends, [(LAX if lax else STRICT)[kind] for lax in is_lax])
    checks.equal(f"{what}: the strict one's mail was not even begun", [host.heard_of(address) for address in addresses], [int(lax) for lax in is_lax])


def together(checks, gatepost, what, cases, kind):
    """Recipients of one message."""
    mark, client = f"b{next(NUMBERS)}", gatepost.session()
    addresses = [recipient(case, mark) for case in cases]
    client.mail("a@sender.test", addresses, message(addresses[0]))
    client.close()
    ends = [outcome(gatepost.settled([case], mark)[case.name]) for case in cases]
    checks.equal(f"{what}: outcomes", ends, [LAX[kind], STRICT[kind]])
    heard = [gatepost.world.hosts[f"shared-{kind}"][0].heard_of(address) for address in addresses]
    checks.equal(f"{what}: the strict one's mail was not even begun", heard, [1, 0])


def accepting(checks, gatepost, what, cases):
    """That connections are indeed kept, so that the rest shows something: here the host is good enough for both."""
    host = gatepost.world.hosts["shared-good"][0]
    before = host.connections
    addresses, ends = in_turn(gatepost, cases)
    checks.check(f"{what}: all is delivered", all(end.startswith("delivered") for end in ends), str(ends))
    by = [entry["connection"] for address in addresses for entry in host.for_recipient(address)]
    checks.equal(f"{what}: one connection carries all", (len(by), len(set(by)), host.connections - before <= 1), (len(cases), 1, True))
