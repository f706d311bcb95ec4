"""The table of MTA-STS cases: what each domain publishes, how its hosts behave, what has to come of it, and where that is written.

Names without a dot at the end are below the case's domain, and "@" is the domain. A domain's hosts are "mx", "mx2" and so on, in
the order of preference.

Outcomes: "delivered webpki" and "delivered dane" (authenticated), "delivered encrypted" (TLS, nobody authenticated), "delivered
plaintext", "deferred REASON", "bounced REASON". Sections are of RFC 8461 unless another RFC is named.
"""

import dataclasses

WEBPKI, DANE, ENCRYPTED, PLAINTEXT = "delivered webpki", "delivered dane", "delivered encrypted", "delivered plaintext"
MISMATCH, UNTRUSTED = "deferred certificate-host-mismatch", "deferred certificate-not-trusted"
RECORD = "v=STSv1; id=1;"
ID_MAX = "x" * 32
# What a record shows of the policy that was in force for the host.
ENFORCED, UNLISTED = {"enforced": True, "lists_host": True}, {"enforced": True, "lists_host": False}
TESTED, TESTED_UNLISTED = {"enforced": False, "lists_host": True}, {"enforced": False, "lists_host": False}
UNSIGNED, SIGNED = "sts.test.", "secure.test."


@dataclasses.dataclass(frozen=True)
class Host:
    """`chain` and `fault` as in dane_cases.Host; also the fault "tls11". `names` of the certificate: "mx" is the first host."""

    chain: str = "root"
    names: tuple = ("mx",)
    fault: str = ""
    offers: tuple = ()


GOOD, SELF_SIGNED = Host(), Host("self")


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    section: str
    expect: str
    hosts: tuple = (GOOD,)
    # Mode and patterns; or the lines of a text, with "{domain}" in it; or None: nobody serves one.
    policy: str | None = "enforce mx"
    text: str = ""
    txt: tuple = (RECORD,)
    # As in sts_web.FAULTS; "refused": nobody listens; "forbidden": at an address that must not be connected to; "nowhere": no address.
    web: str = ""
    # What the record shows of a policy; None: nothing.
    known: dict | None = None
    # What the log says of the domain's policy.
    told: str = ""
    zone: str = UNSIGNED
    keys: str = ""
    route: str = ""
    tlsa: tuple = ()
    delivers: int = 1
    # MX records, where they are not those of the hosts.
    mx: tuple = ()
    # More records: "OWNER TYPE DATA".
    records: str = ""
    # "OWNER TYPE" that the name server fails at.
    broken: tuple = ()
    # How it is sent: "" | "requiretls" | "tls-required-no".
    asks: str = ""
    sender: str = "a@sender.test"

    @property
    def domain(self):
        return f"{self.name}.{self.zone}"

    def absolute(self, name):
        if name == "@":
            return self.domain
        return name if name.endswith(".") else f"{name}.{self.domain}"

    def host_names(self):
        return [f"mx{number}" if number > 1 else "mx" for number in range(1, len(self.hosts) + 1)]

    def site(self):
        """The text of the policy, None if there is none."""
        if self.text:
            return self.text.format(domain=self.domain.rstrip("."))
        if self.policy is None:
            return None
        mode, *patterns = self.policy.split()
        return policy_text(mode, [self.pattern(pattern) for pattern in patterns])

    def pattern(self, name):
        """As policies write it: no dot at the end."""
        return self.domain.rstrip(".").join(name.split("@")) if "@" in name else self.absolute(name).rstrip(".")


def policy_text(mode, patterns, max_age=604800, end="\n"):
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in patterns), f"max_age: {max_age}"]
    return "".join(line + end for line in lines)


# What may be wrong with a host: (name, section, host, reason that a mode of enforce keeps the mail by, what comes of it without).
WRONG = [
    ("wrong-name", "4.2", Host(names=("mx.elsewhere.test.",)), "certificate-host-mismatch", ENCRYPTED),
    ("name-of-the-domain", "4.2", Host(names=("@",)), "certificate-host-mismatch", WEBPKI),
    ("expired", "4.2", Host("expired"), "certificate-expired", ENCRYPTED),
    ("self-signed", "4.2", SELF_SIGNED, "certificate-not-trusted", ENCRYPTED),
    ("tls10", "7.2", Host(fault="tls10"), "version-below-minimum", WEBPKI),
    ("tls11", "7.2", Host(fault="tls11"), "version-below-minimum", WEBPKI),
    ("stripped", "4", Host(fault="no-starttls"), "starttls-not-supported", PLAINTEXT),
    ("refused", "4", Host(fault="refuses"), "starttls-not-supported", PLAINTEXT),
    ("broken", "4", Host(fault="breaks"), "validation-failure", PLAINTEXT),
]

MODES = [
    Case("valid", "4, 5", WEBPKI, known=ENFORCED),
    *(Case(f"enforce-{name}", f"5, {section}", f"deferred {reason}", (host,), known=ENFORCED) for name, section, host, reason, _ in WRONG),
    Case("enforce-unlisted", "4.1, 5", "deferred validation-failure", policy="enforce mx9", known=UNLISTED),
    Case("testing-valid", "5", WEBPKI, policy="testing mx", known=TESTED),
    *(Case(f"stalwart-testing-mode-{name}", f"5, {section}", outcome, (host,), "testing mx", known=TESTED)
      for name, section, host, _, outcome in WRONG),
    Case("stalwart-testing-mode-unlisted", "5, 4.1", ENCRYPTED, policy="testing mx9", known=TESTED_UNLISTED),
    Case("none-stripped", "5", PLAINTEXT, (Host(fault="no-starttls"),), "none"),
    Case("none-self-signed", "5, 8.3", ENCRYPTED, (SELF_SIGNED,), "none mx"),
    Case("off", "5", ENCRYPTED, (SELF_SIGNED,), keys='mta_sts = "off"'),
]

HOSTS = [
    # Which hosts a policy means.
    Case("second-host-is-listed", "4.1, 5.1", WEBPKI, (GOOD, Host(names=("mx2",))), "enforce mx2", known=ENFORCED, delivers=2),
    Case("second-host-is-good", "5.1", WEBPKI, (Host("self"), Host(names=("mx2",))), "enforce mx mx2", known=ENFORCED, delivers=2),
    Case("both-hosts-fail", "5.1", UNTRUSTED, (SELF_SIGNED, Host("self", ("mx2",))), "enforce mx mx2", known=ENFORCED),
    Case("wildcard", "4.1", WEBPKI, policy="enforce *.@", known=ENFORCED),
    Case("wildcard-is-one-label", "4.1", "deferred validation-failure", (Host(names=("a.b",)),), "enforce *.@", mx=("a.b",), records="a.b A 1",
         known=UNLISTED),
    Case("wildcard-is-not-the-domain", "4.1", "deferred validation-failure", (Host(names=("@",)),), "enforce *.@", mx=("@",), records="@ A 1",
         known=UNLISTED),
    Case("any-case", "4.1", WEBPKI, text="version: STSv1\nmode: enforce\nmx: MX.{domain}\nmax_age: 86400\n", known=ENFORCED),
    Case("wildcard-certificate", "4.2", WEBPKI, (Host(names=("*.@",)),), known=ENFORCED),
    Case("alias-counts-by-its-own-name", "4.1", WEBPKI, (), mx=("alias",), policy="enforce alias", records="alias CNAME mx.valid-alias.sts.test.",
         known=ENFORCED),
    Case("valid-alias", "4.2", MISMATCH, (Host(names=("alias.alias-counts-by-its-own-name.sts.test.",)),), known=ENFORCED),
    Case("stalwart-no-mx-and-listed", "4.1", WEBPKI, (Host(names=("@",)),), policy="enforce @", mx=("none",), records="@ A 1", known=ENFORCED),
    Case("no-mx-and-unlisted", "4.1", "deferred validation-failure", (Host(names=("@",)),), mx=("none",), records="@ A 1", known=UNLISTED),
    # A smart host is a policy domain of its own.
    Case("smart-host", "3.4", WEBPKI, (Host(names=("@",)),), policy="enforce @", mx=("none",), records="@ A 1", known=ENFORCED,
         route="@"),
    Case("smart-host-self-signed", "3.4", UNTRUSTED, (Host("self", ("@",)),), policy="enforce @", mx=("none",), records="@ A 1", known=ENFORCED,
         route="@"),
    Case("smart-host-unlisted", "3.4, 4.1", "deferred validation-failure", (Host(names=("@",)),), mx=("none",), records="@ A 1", known=UNLISTED,
         route="@"),
    Case("not-the-domain-behind-a-smart-host", "3.4", ENCRYPTED, (SELF_SIGNED,), records="hop A 1", policy="enforce mx9", route="hop"),
]

PUBLISHED = [
    # The record.
    Case("no-record", "3.1", ENCRYPTED, (SELF_SIGNED,), txt=()),
    Case("two-records", "3.1", ENCRYPTED, (SELF_SIGNED,), txt=(RECORD, "v=STSv1; id=2;")),
    Case("malformed-record", "3.1", ENCRYPTED, (SELF_SIGNED,), txt=("v=STSv1; id=a-b;",)),
    Case("record-without-id", "3.1", ENCRYPTED, (SELF_SIGNED,), txt=("v=STSv1;",)),
    Case("record-servfail", "3.1, 3.3", ENCRYPTED, (SELF_SIGNED,), broken=("_mta-sts TXT",)),
    Case("other-version", "3.1", ENCRYPTED, (SELF_SIGNED,), txt=("v=STSv2; id=1;",)),
    Case("foreign-records-beside", "3.1", UNTRUSTED, (SELF_SIGNED,), txt=("v=spf1 -all", RECORD, "x"), known=ENFORCED),
    Case("longest-id-and-extension", "3.1", UNTRUSTED, (SELF_SIGNED,), txt=(f"v=STSv1; id={ID_MAX}; x.y_z=a,b",), known=ENFORCED),
    Case("record-and-host-by-alias", "8.2", UNTRUSTED, (SELF_SIGNED,), txt=(), known=ENFORCED,
         records="_mta-sts CNAME _mta-sts.no-policy-at-all.sts.test."),
    Case("no-policy-at-all", "3.3", ENCRYPTED, (SELF_SIGNED,), web="nowhere", told="addresses of the web server"),
    # The text.
    Case("lines-end-with-cr-lf", "3.2", UNTRUSTED, (SELF_SIGNED,), known=ENFORCED,
         text="version: STSv1\r\nmode: enforce\r\nmx: mx.{domain}\r\nmax_age: 86400\r\n"),
    Case("unknown-field", "3.2", UNTRUSTED, (SELF_SIGNED,), known=ENFORCED,
         text="version: STSv1\nmode: enforce\nnew: thing\nmx: mx.{domain}\nmax_age: 86400\n"),
    Case("first-of-two-modes", "3.2", UNTRUSTED, (SELF_SIGNED,), known=ENFORCED,
         text="version: STSv1\nmode: enforce\nmode: none\nmx: mx.{domain}\nmax_age: 86400\n"),
    Case("no-mode", "3.2", ENCRYPTED, (SELF_SIGNED,), text="version: STSv1\nmx: mx.{domain}\nmax_age: 86400\n", told="no `mode`"),
    Case("no-max-age", "3.2", ENCRYPTED, (SELF_SIGNED,), text="version: STSv1\nmode: enforce\nmx: mx.{domain}\n", told="no `max_age`"),
    Case("no-mx", "3.2", ENCRYPTED, (SELF_SIGNED,), text="version: STSv1\nmode: enforce\nmax_age: 86400\n", told="no `mx`"),
    Case("max-age-beyond-a-year", "3.2", ENCRYPTED, (SELF_SIGNED,), told="max_age",
         text="version: STSv1\nmode: enforce\nmx: mx.{domain}\nmax_age: 31557601\n"),
    # The web server. Without a policy mail goes as if there were none, and the log tells of it.
    Case("media-type-with-charset", "3.2", UNTRUSTED, (SELF_SIGNED,), web="charset", known=ENFORCED),
    *(Case(f"web-{fault}", f"3.3{more}", ENCRYPTED, (SELF_SIGNED,), web=fault, told=told) for fault, more, told in [
        ("404", "", "status 404"), ("500", "", "status 500"), ("redirect", "", "redirects"), ("too-long", "", "longer than 65536"),
        ("drips", "", "not answered in time"), ("html", ", 3.2", "text/html"), ("typeless", ", 3.2", "not served as text/plain"),
        ("cut", "", "ends early"), ("closes", "", "ends early"), ("expired", "", "certificate is not valid"),
        ("self-signed", "", "certificate is not valid"), ("wrong-name", "", "certificate is not valid"),
        ("refused", "", "cannot connect"), ("forbidden", "", "no address that may be connected to"),
        ("nowhere", "", "cannot be looked up"),
    ]),
]

FIT, UNFIT = ("3 1 1 leaf",), ("3 1 1 other",)
PRECEDENCE = [
    # What DANE fails is not saved by a policy (section 2). What DANE proves needs none: no RFC says so, it is our own decision.
    Case("dane-before-unlisted", "2 (our own)", DANE, (SELF_SIGNED,), "enforce mx9", zone=SIGNED, tlsa=FIT, known=UNLISTED),
    Case("dane-before-self-signed", "2 (our own)", DANE, (SELF_SIGNED,), zone=SIGNED, tlsa=FIT, known=ENFORCED),
    Case("dane-fails-beside-valid", "2", "deferred tlsa-invalid", zone=SIGNED, tlsa=UNFIT, known=ENFORCED),
    Case("dane-fails-beside-testing", "2", "deferred tlsa-invalid", policy="testing mx", zone=SIGNED, tlsa=UNFIT, known=TESTED),
    Case("dane-unusable-beside-valid", "2", WEBPKI, zone=SIGNED, tlsa=("1 1 1 leaf",), known=ENFORCED),
    Case("dane-unusable-beside-self-signed", "2", UNTRUSTED, (SELF_SIGNED,), zone=SIGNED, tlsa=("1 1 1 leaf",), known=ENFORCED),
    Case("unsigned-tlsa-beside-valid", "2", WEBPKI, tlsa=UNFIT, known=ENFORCED),
    Case("unsigned-tlsa-beside-self-signed", "2", UNTRUSTED, (SELF_SIGNED,), tlsa=FIT, known=ENFORCED),
    Case("signed-without-tlsa", "2", UNTRUSTED, (SELF_SIGNED,), zone=SIGNED, known=ENFORCED),
    Case("dane-after-sts-failed", "2", DANE, (SELF_SIGNED,), zone=SIGNED, tlsa=FIT, web="404", told="status 404"),
]

DEMANDS = {"txt": (), "asks": "requiretls", "sender": "a@home.test"}
OFFERS = {"offers": ("REQUIRETLS",)}
WAIVES = {"asks": "tls-required-no", "keys": 'tls_required_no = "honour"'}
REQUIRETLS = [
    # Whoever can cut off STARTTLS can say this as well.
    Case("turned-away-before-tls", "8461 5", "deferred remote-refused", (Host(fault="turns-away"),), known=ENFORCED),
    Case("turned-away-and-written", "contract 3.3", "deferred remote-refused", (Host(fault="turns-away"),), txt=(), keys='tls = "encrypt"'),
    Case("turned-away-of-nobody-in-particular", "RFC 5321 3.1", "bounced remote-refused", (Host(fault="turns-away"),), txt=()),
    Case("demand-dane", "RFC 8689 4.2.1", DANE, (Host("self", **OFFERS),), zone=SIGNED, tlsa=FIT, **DEMANDS),
    Case("demand-secure-mx", "RFC 8689 4.2.1", WEBPKI, (Host(**OFFERS),), zone=SIGNED, **DEMANDS),
    Case("demand-secure-mx-self-signed", "RFC 8689 4.2.1", "bounced certificate-not-trusted", (Host("self", **OFFERS),), zone=SIGNED, **DEMANDS),
    Case("demand-sts", "RFC 8689 4.2.1", WEBPKI, (Host(**OFFERS),), known=ENFORCED, **{**DEMANDS, "txt": (RECORD,)}),
    Case("demand-testing-sts", "RFC 8689 4.2.1", WEBPKI, (Host(**OFFERS),), "testing mx", known=TESTED, **{**DEMANDS, "txt": (RECORD,)}),
    Case("demand-insecure-name-of-the-domain", "RFC 8689 4.2.1", WEBPKI, (Host(names=("@",), **OFFERS),), **DEMANDS),
    Case("demand-insecure-name-of-the-host", "RFC 8689 4.2.1", "bounced certificate-host-mismatch", (Host(**OFFERS),), **DEMANDS),
    Case("demand-stripped", "RFC 8689 4.2.1", "bounced requiretls-not-supported", (Host(fault="no-starttls", **OFFERS),), zone=SIGNED, **DEMANDS),
    Case("demand-stripped-and-written", "RFC 8689 4.2.1", "deferred starttls-not-supported",
         (Host(fault="no-starttls", **OFFERS),), zone=SIGNED, keys='tls = "encrypt"', **DEMANDS),
    Case("demand-lacking", "RFC 8689 4.2.1, 5", "bounced requiretls-not-supported", zone=SIGNED, **DEMANDS),
    Case("demand-lacking-bare-sender", "RFC 8689 5", "bounced requiretls-not-supported", zone=SIGNED, **{**DEMANDS, "sender": "a@bare.test"}),
    Case("demand-lacking-strange-sender", "RFC 8689 5", "bounced requiretls-not-supported", zone=SIGNED,
         **{**DEMANDS, "sender": "a@stranger.test"}),
    Case("demand-second-host", "RFC 8689 4.2.1", WEBPKI, (GOOD, Host(names=("mx2",), **OFFERS)), zone=SIGNED, delivers=2, **DEMANDS),
    # TLS-Required: No
    Case("waived-self-signed", "RFC 8689 3, 4.2.2", ENCRYPTED, (SELF_SIGNED,), **WAIVES),
    Case("waived-stripped", "RFC 8689 3, 4.2.2", PLAINTEXT, (Host(fault="no-starttls"),), **WAIVES),
    Case("waived-dane", "RFC 8689 3, 4.2.2", ENCRYPTED, (SELF_SIGNED,), zone=SIGNED, tlsa=UNFIT, **WAIVES),
    Case("waived-and-written", "RFC 8689 3, 4.2.2", UNTRUSTED, (Host("self", ("@",)),),
         **{**WAIVES, "keys": 'tls_required_no = "honour"\ntls = "verify"\nmatch = ["domain"]'}),
    Case("not-waived-self-signed", "RFC 8689 3, 4.2.2", UNTRUSTED, (SELF_SIGNED,), known=ENFORCED, asks="tls-required-no",
         keys='tls_required_no = "ignore"'),
    Case("not-waived-by-default", "RFC 8689 3, 4.2.2", UNTRUSTED, (SELF_SIGNED,), known=ENFORCED, asks="tls-required-no"),
]

CASES = MODES + HOSTS + PUBLISHED + PRECEDENCE + REQUIRETLS
