"""The table of DANE cases: what each destination publishes, how its hosts behave, what has to come of it, and where that is written.

A case's records are lines "OWNER TYPE DATA" in which names without a dot at the end are below the case's domain and "@" is
the domain. "A 1" is the address of the case's first host. A TLSA record's data names what is hashed: "leaf" and "issuer" of
the first host ("leaf2", "issuer2": of the second), "other" and "other-issuer" (of nobody here), or the octets themselves as
"=HEX". "FAULT WORD" is no record: a question for TLSA records there gets that fault.

Outcomes: "delivered dane" (authenticated by TLSA), "delivered encrypted" (TLS, nobody authenticated), "delivered plaintext",
"deferred REASON|REASON". Sections are of RFC 7672 unless another RFC is named.
"""

import dataclasses

# The reasons that say that DNS gave no answer to be trusted. Which of the two depends on who validates: a resolver that is
# trusted says SERVFAIL, and no more.
DNS = "dns-failure|dnssec-invalid"
# No TLSA record fits the certificate.
MISMATCH = "tlsa-invalid|validation-failure"
DANE, ENCRYPTED, PLAINTEXT = "delivered dane", "delivered encrypted", "delivered plaintext"
STARTTLS = "deferred starttls-not-supported"


@dataclasses.dataclass(frozen=True)
class Host:
    """`chain`: "root" (issued by a root, which is sent), "unsent" (the same, root not sent), "subordinate" (issued by a CA below the
    root; root not sent), "self" (self-signed), "expired" (as root, and over). `names` of the certificate: "@" is the domain,
    "mx" the host below it. `fault`: "" | "no-starttls" | "refuses" (454) | "breaks" (closes in the handshake) | "tls10".
    """

    chain: str = "root"
    names: tuple = ("mx",)
    fault: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    section: str
    expect: str
    tlsa: tuple = ("3 1 1 leaf",)
    records: str = ""
    hosts: tuple = (Host(),)
    broken: tuple = ()
    zone: str = "example."
    keys: str = ""
    route: str = ""
    # What the host must hear as server name where DANE holds: the TLSA base domain.
    base: str = "mx"
    delivers: int = 1
    port: int = 25
    # Names for which nobody may ask the resolver for TLSA records.
    unasked: tuple = ()

    @property
    def domain(self):
        return f"{self.name}.{self.zone}"

    def absolute(self, name):
        name = name.format(name=self.name)
        if name == "@":
            return self.domain
        return name if name.endswith(".") else f"{name}.{self.domain}"

    def lines(self):
        """(owner, type, data) of every record."""
        text = self.records.format(name=self.name) or "@ MX 10 mx\nmx A 1\n"
        for line in text.strip().splitlines():
            owner, kind, data = line.split(None, 2)
            yield self.absolute(owner), kind, data
        if not self.records:
            for data in self.tlsa:
                yield self.absolute("_25._tcp.mx"), "TLSA", data


def deferred(reasons):
    return f"deferred {reasons}"


MX_AND_TWO = "@ MX 10 mx\n@ MX 20 mx2\nmx A 1\nmx2 A 2\n"
OUT = "@ MX 10 mx\nmx CNAME {name}.unsigned.example.\n{name}.unsigned.example. A 1\n"
ACROSS = "@ MX 10 mx\nmx CNAME {name}.signed.example.\n{name}.signed.example. A 1\n"
TWO = (Host(), Host(names=("mx2",)))

RECORDS = [
    # What a record says, and that every usual form of it is understood.
    Case("ee-311", "3.1.1", DANE),
    Case("ee-312", "3.1.1", DANE, ("3 1 2 leaf",)),
    Case("ee-310", "3.1.1", DANE, ("3 1 0 leaf",)),
    Case("ee-301", "3.1.1", DANE, ("3 0 1 leaf",)),
    Case("ee-302", "3.1.1", DANE, ("3 0 2 leaf",)),
    Case("ee-300", "3.1.1", DANE, ("3 0 0 leaf",)),
    Case("ee-311-self-signed", "3.1.1", DANE, hosts=(Host("self"),)),
    Case("ta-211", "3.1.2", DANE, ("2 1 1 issuer",)),
    Case("ta-212", "3.1.2", DANE, ("2 1 2 issuer",)),
    Case("ta-201", "3.1.2", DANE, ("2 0 1 issuer",)),
    Case("ta-202", "3.1.2", DANE, ("2 0 2 issuer",)),
    Case("ta-200", "3.1.2", DANE, ("2 0 0 issuer",)),
    Case("ta-210", "3.1.2", DANE, ("2 1 0 issuer",)),
    Case("ta-200-issuer-not-sent", "RFC 7671 5.2.2", DANE, ("2 0 0 issuer",), hosts=(Host("unsent"),)),
    Case("ta-210-issuer-not-sent", "RFC 7671 5.2.3", DANE, ("2 1 0 issuer",), hosts=(Host("unsent"),)),
    Case("ta-211-issuer-not-sent", "3.1.2, RFC 7671 5.2.2", deferred(MISMATCH), ("2 1 1 issuer",), hosts=(Host("unsent"),)),
    Case("ta-211-subordinate-issuer", "3.1.2", DANE, ("2 1 1 issuer",), hosts=(Host("subordinate"),)),
    Case("ta-201-of-the-leaf-itself", "RFC 7671 5.2", deferred(MISMATCH), ("2 0 1 leaf",), hosts=(Host("self"),)),
    Case("ta-211-other-issuer", "3.1.2", deferred(MISMATCH), ("2 1 1 other-issuer",)),
    # Names and dates: nothing to usage 3, all to usage 2.
    Case("ee-wrong-name", "3.1.1, 3.2.1", DANE, hosts=(Host(names=("wrong.test.",)),)),
    Case("ta-wrong-name", "3.2.2", deferred("certificate-host-mismatch"), ("2 1 1 issuer",), hosts=(Host(names=("wrong.test.",)),)),
    Case("ta-name-of-the-domain", "3.2.2", DANE, ("2 1 1 issuer",), hosts=(Host(names=("@",)),)),
    Case("ta-wildcard-name", "3.2.3", DANE, ("2 1 1 issuer",), hosts=(Host(names=("*",)),)),
    Case("ee-expired", "3.1.1", DANE, hosts=(Host("expired"),)),
    Case("ta-expired", "3.1.2, RFC 7671 5.1, RFC 6698 2.1.1", deferred("certificate-expired"), ("2 1 1 issuer",), hosts=(Host("expired"),)),
    # More than one record: any that matches will do.
    Case("rollover", "RFC 7671 8.1", DANE, ("3 1 1 other", "3 1 1 leaf")),
    Case("rollover-of-the-issuer", "RFC 7671 8.1", DANE, ("2 1 1 other-issuer", "2 1 1 issuer")),
    Case("stalwart2287-either-usage-will-do", "3.1, RFC 7671 8", DANE, ("3 1 1 other", "2 1 1 issuer")),
    Case("stalwart2287-the-other-usage-will-do", "3.1, RFC 7671 8", DANE, ("3 1 1 leaf", "2 1 1 other-issuer")),
    Case("stalwart2287-usage-2-needs-no-public-root", "3.1.2", DANE, ("2 0 1 issuer",), hosts=(Host("subordinate"),)),
    Case("mismatch", "2.2", deferred(MISMATCH), ("3 1 1 other",)),
    Case("mismatch-of-the-certificate", "2.2", deferred(MISMATCH), ("3 0 1 other",)),
    Case("agility-the-stronger-digest-counts", "5, RFC 7671 9", deferred(MISMATCH), ("3 1 1 leaf", "3 1 2 other")),
    Case("agility-goes-by-usage-and-selector", "5, RFC 7671 9", DANE, ("3 1 1 leaf", "3 0 2 other")),
    Case("agility-leaves-full-records", "5, RFC 7671 9", DANE, ("3 1 0 leaf", "3 1 2 other")),
    # Too many for one datagram.
    Case("many-records", "RFC 7671 10.1", DANE, (*(f"3 1 1 ={number:064x}" for number in range(60)), "3 1 1 leaf")),
    Case("tls10-host", "RFC 7671 3", DANE, hosts=(Host(fault="tls10"),)),
    # Records that are published, and that nobody can use: TLS without authentication, and never less.
    Case("unusable-pkix-usages", "3.1.3, 2.2", ENCRYPTED, ("1 1 1 leaf", "0 1 1 issuer")),
    Case("kumomta543-unusable-usages-mean-tls", "3.1.3, 2.2", ENCRYPTED, ("1 0 1 leaf",)),
    Case("unusable-usage", "3.1, 2.2", ENCRYPTED, ("255 1 1 leaf",)),
    Case("maddy292-unusable-selector", "2.2", ENCRYPTED, ("3 7 1 leaf",)),
    Case("unusable-matching", "2.2", ENCRYPTED, ("3 1 9 leaf",)),
    Case("unusable-length", "2.2, RFC 7671 9, RFC 6698 4.1", ENCRYPTED, ("3 1 1 =00112233445566778899aabbccddeeff",)),
    Case("unusable-no-certificate", "2.2", ENCRYPTED, ("3 0 0 =00112233",)),
    Case("unusable-without-starttls", "2.2", STARTTLS, ("1 1 1 leaf",), hosts=(Host(fault="no-starttls"),)),
    Case("unusable-and-handshake-breaks", "2.2", deferred("validation-failure"), ("1 1 1 leaf",), hosts=(Host(fault="breaks"),)),
    Case("unusable-beside-usable", "2.2, RFC 7671 4.1, RFC 6698 4.1", deferred(MISMATCH), ("1 1 1 leaf", "3 1 1 other")),
    Case("usable-beside-unusable", "2.2, RFC 7671 4.1, RFC 6698 4.1", DANE, ("3 1 1 leaf", "1 1 1 other", "3 1 9 other")),
    # Someone on the path takes TLS away.
    Case("stripped", "1.3.1, 2.2", STARTTLS, hosts=(Host(fault="no-starttls"),)),
    Case("starttls-refused", "2.2", deferred("starttls-not-supported|validation-failure"), hosts=(Host(fault="refuses"),)),
    Case("handshake-breaks", "2.2", deferred("validation-failure"), hosts=(Host(fault="breaks"),)),
]

LOOKUPS = [
    # TLSA look-ups that fail are no absence.
    Case("kumomta543-tlsa-servfail-is-no-absence", "2.1.2", deferred(DNS), zone="faulty.example.",
         records="@ MX 10 mx\nmx A 1\n_25._tcp.mx FAULT SERVFAIL"),
    Case("kumomta543-tlsa-timeout-is-no-absence", "2.1.2", deferred(DNS), zone="silent.example.",
         records="@ MX 10 mx\nmx A 1\n_25._tcp.mx FAULT DROP"),
    Case("kumomta543-tlsa-refused-is-no-absence", "2.1.2", deferred(DNS), zone="faulty.example.",
         records="@ MX 10 mx\nmx A 1\n_25._tcp.mx FAULT REFUSED"),
    Case("kumomta543-tlsa-notimp-is-no-absence", "2.1.2", deferred(DNS), zone="faulty.example.",
         records="@ MX 10 mx\nmx A 1\n_25._tcp.mx FAULT NOTIMP"),
    Case("tlsa-behind-a-good-server", "2.2.3", DANE, zone="faulty.example."),
    Case("tlsa-bogus", "2.1.1, 2.1.2", deferred(DNS), broken=(("_25._tcp.mx", "TLSA"),)),
    Case("tlsa-bogus-and-stripped", "2.1.2", deferred(DNS), broken=(("_25._tcp.mx", "TLSA"),), hosts=(Host(fault="no-starttls"),)),
    Case("tlsa-denial-bogus", "2.1.1, 2.1.2", deferred(DNS), zone="denial.example.", broken=(("_25._tcp.mx", "NSEC3"),),
         records="@ MX 10 mx\nmx A 1\n_25._tcp.mx TXT here"),
    Case("kumomta543-nodata-is-absence", "2.2", ENCRYPTED, records="@ MX 10 mx\nmx A 1\n_25._tcp.mx TXT here"),
    Case("kumomta543-nxdomain-is-absence", "2.2", ENCRYPTED, ()),
    Case("absent-without-starttls", "2.2", PLAINTEXT, (), hosts=(Host(fault="no-starttls"),)),
    # MX and address look-ups.
    Case("mx-bogus", "2.1.2, 2.2.1", deferred(DNS), broken=(("@", "MX"),)),
    Case("address-bogus", "2.1.2, 2.2.2", deferred(DNS), broken=(("mx", "A"),)),
    Case("zone-expired", "2.1.2", deferred(DNS), zone="expired.example."),
    Case("zone-misfit", "2.1.2", deferred(DNS), zone="misfit.example."),
    Case("maddy292-a-bogus-denial-of-aaaa-leaves-ipv4", "2.2.2", DANE, zone="denial.example.", broken=(("mx", "NSEC3"),)),
    Case("insecure-mx-secure-host", "2.2.1", DANE, zone="unsigned.example.", base="{name}.signed.example.",
         hosts=(Host(names=("{name}.signed.example.",)),),
         records="@ MX 10 {name}.signed.example.\n{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 2 1 1 issuer"),
    Case("insecure-mx-secure-host-mismatch", "2.2.1", deferred(MISMATCH), zone="unsigned.example.", base="{name}.signed.example.",
         records="@ MX 10 {name}.signed.example.\n{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 3 1 1 other"),
    Case("insecure-mx-proves-no-name-of-the-domain", "3.2.2", deferred("certificate-host-mismatch"), zone="unsigned.example.",
         base="{name}.signed.example.", hosts=(Host(names=("@",)),),
         records="@ MX 10 {name}.signed.example.\n{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 2 1 1 issuer"),
    Case("all-insecure", "2.2", ENCRYPTED, ("3 1 1 other",), zone="unsigned.example.", unasked=("_25._tcp.mx",)),
    Case("all-insecure-without-starttls", "2.2", PLAINTEXT, ("3 1 1 leaf",), zone="unsigned.example.", hosts=(Host(fault="no-starttls"),)),
    Case("secure-mx-insecure-address", "2.2.2", ENCRYPTED, unasked=("_25._tcp.{name}.unsigned.example.",),
         records="@ MX 10 {name}.unsigned.example.\n{name}.unsigned.example. A 1\n_25._tcp.{name}.unsigned.example. TLSA 3 1 1 other"),
    Case("kumomta543-insecure-address-asks-no-tlsa", "2.2.2", ENCRYPTED, unasked=("_25._tcp.{name}.outlook.example.",),
         records="@ MX 10 {name}.outlook.example.\n{name}.outlook.example. A 1\n_25._tcp.{name}.outlook.example. FAULT SERVFAIL"),
    # Aliases.
    Case("cname-into-unsigned", "2.2.2", DANE, records=OUT + "_25._tcp.mx TLSA 3 1 1 leaf"),
    Case("kumomta545-cname-into-unsigned-name-of-the-alias", "2.2.2, 3.2.2", DANE, records=OUT + "_25._tcp.mx TLSA 2 1 1 issuer"),
    Case("cname-into-unsigned-mismatch", "2.2.2", deferred(MISMATCH), records=OUT + "_25._tcp.mx TLSA 3 1 1 other"),
    Case("cname-into-unsigned-stripped", "2.2.2", STARTTLS, records=OUT + "_25._tcp.mx TLSA 3 1 1 leaf", hosts=(Host(fault="no-starttls"),)),
    Case("cname-into-unsigned-no-tlsa", "2.2.2", ENCRYPTED, records=OUT, unasked=("_25._tcp.{name}.unsigned.example.",)),
    Case("cname-into-unsigned-tlsa-at-the-end-only", "2.2.2", ENCRYPTED,
         records=OUT + "_25._tcp.{name}.unsigned.example. TLSA 3 1 1 other", unasked=("_25._tcp.{name}.unsigned.example.",)),
    Case("cname-into-unsigned-tlsa-servfail", "2.1.2, 2.2.2", deferred(DNS), zone="faulty.example.",
         records=OUT + "_25._tcp.mx FAULT SERVFAIL"),
    Case("cname-secure-tlsa-at-the-end", "2.2.3", DANE, base="{name}.signed.example.",
         records=ACROSS + "_25._tcp.{name}.signed.example. TLSA 3 1 1 leaf"),
    Case("kumomta545-cname-secure-tlsa-at-the-start", "2.2.3", DANE, records=ACROSS + "_25._tcp.mx TLSA 3 1 1 leaf"),
    Case("cname-secure-the-end-comes-first", "2.2.3", DANE, base="{name}.signed.example.",
         records=ACROSS + "_25._tcp.{name}.signed.example. TLSA 3 1 1 leaf\n_25._tcp.mx TLSA 3 1 1 other"),
    Case("cname-secure-the-end-decides", "2.2.3", deferred(MISMATCH), base="{name}.signed.example.",
         records=ACROSS + "_25._tcp.{name}.signed.example. TLSA 3 1 1 other\n_25._tcp.mx TLSA 3 1 1 leaf"),
    Case("cname-secure-an-unusable-end-decides", "2.2.3", ENCRYPTED,
         records=ACROSS + "_25._tcp.{name}.signed.example. TLSA 1 1 1 other\n_25._tcp.mx TLSA 3 1 1 other"),
    Case("cname-secure-servfail-at-the-end", "2.1.2, 2.2.3", deferred(DNS),
         records="@ MX 10 mx\nmx CNAME {name}.faulty.example.\n{name}.faulty.example. A 1\n"
                 "_25._tcp.{name}.faulty.example. FAULT SERVFAIL\n_25._tcp.mx TLSA 3 1 1 leaf"),
    Case("cname-secure-within-the-zone", "2.2.3", DANE, base="end",
         records="@ MX 10 mx\nmx CNAME middle\nmiddle CNAME end\nend A 1\n_25._tcp.end TLSA 3 1 1 leaf"),
    Case("cname-secure-name-of-the-end", "3.2.2", DANE, ("2 1 1 issuer",), base="{name}.signed.example.",
         hosts=(Host(names=("{name}.signed.example.",)),), records=ACROSS + "_25._tcp.{name}.signed.example. TLSA 2 1 1 issuer"),
    Case("cname-secure-name-of-the-start", "3.2.2", deferred("certificate-host-mismatch"),
         records=ACROSS + "_25._tcp.{name}.signed.example. TLSA 2 1 1 issuer"),
    Case("cname-out-of-unsigned", "2.2.2", ENCRYPTED,
         records="@ MX 10 {name}.unsigned.example.\n{name}.unsigned.example. CNAME {name}.signed.example.\n"
                 "{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 3 1 1 other"),
    Case("dname-secure", "2.2.3", DANE, ("2 1 1 issuer",), base="mx.{name}.signed.example.", hosts=(Host(names=("mx.{name}.signed.example.",)),),
         records="@ MX 10 mx.sub\nsub DNAME {name}.signed.example.\nmx.{name}.signed.example. A 1\n"
                 "_25._tcp.mx.{name}.signed.example. TLSA 2 1 1 issuer"),
    Case("cname-of-the-records", "2.2.3, RFC 7671 6", DANE, records="@ MX 10 mx\nmx A 1\n_25._tcp.mx CNAME tlsa\ntlsa TLSA 3 1 1 leaf"),
    Case("cname-of-the-records-mismatch", "2.2.3, RFC 7671 6", deferred(MISMATCH),
         records="@ MX 10 mx\nmx A 1\n_25._tcp.mx CNAME {name}.signed.example.\n{name}.signed.example. TLSA 3 1 1 other"),
    Case("cname-of-the-records-into-unsigned", "2.2.3, RFC 7671 6", ENCRYPTED,
         records="@ MX 10 mx\nmx A 1\n_25._tcp.mx CNAME {name}.unsigned.example.\n{name}.unsigned.example. TLSA 3 1 1 other"),
    Case("cname-of-the-domain", "2.2.1", DANE,
         records="@ CNAME real\nreal MX 10 mx\nmx A 1\n_25._tcp.mx TLSA 3 1 1 leaf"),
    Case("cname-of-the-domain-name-of-the-start", "3.2.2", DANE, hosts=(Host(names=("@",)),),
         records="@ CNAME real\nreal MX 10 mx\nmx A 1\n_25._tcp.mx TLSA 2 1 1 issuer"),
    Case("cname-of-the-domain-name-of-the-end", "3.2.2", DANE, hosts=(Host(names=("real",)),),
         records="@ CNAME real\nreal MX 10 mx\nmx A 1\n_25._tcp.mx TLSA 2 1 1 issuer"),
    # Wildcards, and no MX at all.
    Case("wildcard-tlsa", "2.2.3", DANE, records="@ MX 10 mx\nmx A 1\n*._tcp.mx TLSA 3 1 1 leaf"),
    Case("wildcard-tlsa-mismatch", "2.2.3", deferred(MISMATCH), records="@ MX 10 mx\nmx A 1\n*._tcp.mx TLSA 3 1 1 other"),
    Case("wildcard-mx", "2.2.1", DANE, zone="wild.example.", base="mx.wild.example.", hosts=(Host(names=("mx.wild.example.",)),),
         records="*.wild.example. MX 10 mx.wild.example.\nmx.wild.example. A 1\n_25._tcp.mx.wild.example. TLSA 2 1 1 issuer"),
    Case("wildcard-host", "2.2.2, 2.2.3", DANE, records="@ MX 10 mx\n* A 1\n* TLSA 3 1 1 leaf"),
    Case("stalwart2328-no-mx-and-secure", "2.2.2", DANE, base="@", hosts=(Host(names=("@",)),),
         records="@ A 1\n_25._tcp TLSA 2 1 1 issuer"),
    Case("no-mx-and-secure-mismatch", "2.2.2", deferred(MISMATCH), base="@", records="@ A 1\n_25._tcp TLSA 3 1 1 other"),
    Case("no-mx-and-an-alias", "2.2.2, 2.2.3", DANE, base="{name}.signed.example.", hosts=(Host(names=("{name}.signed.example.",)),),
         records="@ CNAME {name}.signed.example.\n{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 2 1 1 issuer"),
    Case("no-mx-and-an-alias-name-of-the-domain", "3.2.2", DANE, base="{name}.signed.example.", hosts=(Host(names=("@",)),),
         records="@ CNAME {name}.signed.example.\n{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 2 1 1 issuer"),
    Case("no-mx-and-insecure", "2.2.2", ENCRYPTED, zone="unsigned.example.", records="@ A 1\n_25._tcp TLSA 3 1 1 other"),
    # Several hosts: one that fails is passed over, and that is no downgrade.
    Case("second-host-fits", "2.2", DANE, hosts=TWO, base="mx2", delivers=2,
         records=MX_AND_TWO + "_25._tcp.mx TLSA 3 1 1 other\n_25._tcp.mx2 TLSA 3 1 1 leaf2"),
    Case("second-host-after-servfail", "2.1.2", DANE, hosts=TWO, base="mx2", delivers=2, zone="faulty.example.",
         records=MX_AND_TWO + "_25._tcp.mx FAULT SERVFAIL\n_25._tcp.mx2 TLSA 3 1 1 leaf2"),
    Case("second-host-after-stripping", "2.2", DANE, hosts=(Host(fault="no-starttls"), Host(names=("mx2",))), base="mx2", delivers=2,
         records=MX_AND_TWO + "_25._tcp.mx TLSA 3 1 1 leaf\n_25._tcp.mx2 TLSA 3 1 1 leaf2"),
    Case("second-host-without-tlsa", "2.2", ENCRYPTED, hosts=TWO, delivers=2, records=MX_AND_TWO + "_25._tcp.mx TLSA 3 1 1 other"),
    Case("second-address-fits", "2.2", DANE, hosts=(Host(), Host()), delivers=2,
         records="@ MX 10 mx\nmx A 1\nmx A 2\n_25._tcp.mx TLSA 3 1 1 leaf2"),
    Case("both-hosts-fail", "2.2", deferred(MISMATCH), hosts=TWO,
         records=MX_AND_TWO + "_25._tcp.mx TLSA 3 1 1 other\n_25._tcp.mx2 TLSA 3 1 1 other"),
    # What the operator wrote.
    Case("required-and-matching", "6", DANE, keys='dane = "required"'),
    Case("required-without-tlsa", "6", deferred("dane-required"), (), keys='dane = "required"'),
    Case("required-and-unusable", "6", deferred("dane-required|tlsa-invalid"), ("1 1 1 leaf",), keys='dane = "required"'),
    Case("required-and-insecure", "6", deferred("dane-required|dnssec-invalid"), ("3 1 1 leaf",), zone="unsigned.example.",
         keys='dane = "required"'),
    Case("required-and-insecure-mx", "6, 2.2.1", deferred("dane-required|dnssec-invalid"), zone="unsigned.example.", keys='dane = "required"',
         records="@ MX 10 {name}.signed.example.\n{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 3 1 1 leaf"),
    Case("off-and-mismatch", "2.2", ENCRYPTED, ("3 1 1 other",), keys='dane = "off"'),
    Case("off-and-servfail", "2.2", ENCRYPTED, zone="faulty.example.", keys='dane = "off"',
         records="@ MX 10 mx\nmx A 1\n_25._tcp.mx FAULT SERVFAIL"),
    Case("tls10-host-below-the-minimum", "RFC 7671 3", deferred("version-below-minimum"), hosts=(Host(fault="tls10"),),
         keys='min_version = "TLSv1.2"'),
    Case("kumomta545-a-written-next-hop-is-secure", "2.2.2", DANE, ("2 1 1 issuer",), route="{name}.signed.example.", zone="unsigned.example.",
         base="{name}.signed.example.", hosts=(Host(names=("{name}.signed.example.",)),),
         records="{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 2 1 1 issuer"),
    Case("kumomta545-a-written-next-hop-mismatch", "2.2.2", deferred(MISMATCH), route="{name}.signed.example.", zone="unsigned.example.",
         base="{name}.signed.example.", records="{name}.signed.example. A 1\n_25._tcp.{name}.signed.example. TLSA 3 1 1 other"),
    Case("a-written-next-hop-at-another-port", "2.2.3", DANE, route="mx", port=2525,
         records="mx A 1\n_25._tcp.mx TLSA 3 1 1 other\n_2525._tcp.mx TLSA 3 1 1 leaf"),
]

CASES = RECORDS + LOOKUPS
