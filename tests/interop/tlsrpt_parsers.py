#!/usr/bin/env python3
"""Reads TLS reports with software of others: `tlsrpt_parsers.py [--key NAME=TXT]... FILE...`

A FILE is a mail as it was received (`.eml`) or a bare report (`.json.gz`, `.json`). Each must be taken by parsedmarc,
and by Python's own parsers as RFC 8460 has it. A mail must also have a DKIM signature that dkimpy verifies with the TXT
record given as `--key`, by the domain of the report's contact. Prints a line for each file; ends with 1 if one fails.

Needs `parsedmarc` and `dkimpy` from PyPI.
"""

import argparse
import email
import email.policy
import gzip
import json
import pathlib
import re
import sys

import dkim
import parsedmarc

RESULT_TYPES = {
    "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
    "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
    "sts-policy-invalid", "sts-webpki-invalid",
}
# RFC 8460 sections 3 and 5.3, and what keeps a signed report from being changed.
SIGNED = {"from", "to", "subject", "date", "message-id", "tls-report-domain", "tls-report-submitter", "content-type"}
FILE_NAME = re.compile(r"([a-z0-9._-]+)!([a-z0-9._-]+)!(\d+)!(\d+)(![A-Za-z0-9]+)?\.json\.gz")
SUBJECT = re.compile(r"Report Domain: (\S+) Submitter: (\S+) Report-ID: <([^@<>\s]+@[^@<>\s]+)>")


def check_report(content):
    """The JSON text by sections 4.3 and 4.4."""
    report = json.loads(content)
    assert set(report) == {"organization-name", "date-range", "contact-info", "report-id", "policies"}, set(report)
    start, end = (report["date-range"][key] for key in ("start-datetime", "end-datetime"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", start) and end == start[:10] + "T23:59:59Z", (start, end)
    assert report["policies"], "a report about nothing"
    for entry in report["policies"]:
        policy, summary, details = entry["policy"], entry["summary"], entry["failure-details"]
        assert policy["policy-type"] in ("tlsa", "sts", "no-policy-found"), policy
        assert all(isinstance(line, str) for line in policy["policy-string"]), policy
        assert isinstance(policy.get("mx-host", []), list), policy
        assert all(detail["result-type"] in RESULT_TYPES for detail in details), details
        failed = sum(detail["failed-session-count"] for detail in details)
        assert failed == summary["total-failure-session-count"], entry
        for detail in details:
            assert detail["result-type"] != "validation-failure" or detail.get("failure-reason-code"), detail
    return report


def check_parsed(report, results):
    """What parsedmarc made of it is what is in it."""
    assert results["report_type"] == "smtp_tls", results
    parsed = results["report"]
    assert parsed["report_id"] == report["report-id"] and parsed["contact_info"] == report["contact-info"], parsed
    counts = [
        (entry["policy"]["policy-domain"], *entry["summary"].values(), len(entry["failure-details"]))
        for entry in report["policies"]
    ]
    keys = ("policy_domain", "successful_session_count", "failed_session_count", "failure_details")
    found = [(*(one[key] for key in keys[:3]), len(one[keys[3]])) for one in parsed["policies"]]
    assert counts == found, (counts, found)


def check_mail(raw, keys):
    """The mail by section 5.3. Gives the report in it."""
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert not mail.defects, mail.defects
    kind = (mail.get_content_type(), mail.get_param("report-type"))
    assert kind == ("multipart/report", "tlsrpt"), mail["Content-Type"]
    text, file = mail.iter_parts()
    assert text.get_content_type() == "text/plain" and file.get_content_type() == "application/tlsrpt+gzip"
    content = gzip.decompress(file.get_content())
    report = check_report(content)
    submitter = report["contact-info"].rpartition("@")[2]
    domain, named, report_id = SUBJECT.fullmatch(mail["Subject"]).groups()
    assert (domain, named) == (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]), mail["Subject"]
    assert named == submitter and report_id == report["report-id"], mail["Subject"]
    assert FILE_NAME.fullmatch(file.get_filename()).groups()[:2] == (submitter, domain), file.get_filename()
    assert mail["TLS-Required"].lower() == "no", mail["TLS-Required"]
    check_signature(raw, mail, submitter, keys)
    return report


def verifies(raw, keys):
    """Whether the first signature holds, and which domain made it."""
    verifier = dkim.DKIM(raw, tlsrpt=True)
    try:
        holds = verifier.verify(dnsfunc=lambda name, timeout=5: keys[name.decode().rstrip(".")].encode())
    except dkim.ValidationError:
        holds = False
    return holds, (verifier.domain or b"").decode()


def check_signature(raw, mail, submitter, keys):
    assert verifies(raw, keys) == (True, submitter), verifies(raw, keys)
    tags = dict(tag.strip().split("=", 1) for tag in mail["DKIM-Signature"].split(";"))
    assert "l" not in tags, "the signature covers a part of the body only"
    names = {name.strip().lower() for name in tags["h"].split(":")}
    assert SIGNED <= names, SIGNED - names
    services = re.search(r"\bs=([^;]*)", keys[f"{tags['s']}._domainkey.{tags['d']}"])
    assert services is None or {"tlsrpt", "*"} & set(services[1].strip().split(":")), "the key is not for reports"
    # A change of the content, and of a field that is signed, must break it.
    for old, new in ((b"aggregate", b"altered"), (b"\nTLS-Report-Domain: ", b"\nTLS-Report-Domain: x.")):
        assert old in raw and not verifies(raw.replace(old, new), keys)[0], new


def check(path, keys):
    raw = path.read_bytes()
    if path.suffix == ".eml":
        report = check_mail(raw, keys)
        results = parsedmarc.parse_report_email(raw, offline=True)
    else:
        report = check_report(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        results = parsedmarc.parse_report_file(raw, offline=True)
    check_parsed(report, results)
    return f"{len(report['policies'])} policies"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--key", action="append", default=[], metavar="NAME=TXT", help="a DKIM record, by its name")
    arguments.add_argument("file", nargs="+", type=pathlib.Path)
    given = arguments.parse_args()
    keys = dict(key.split("=", 1) for key in given.key)
    failed = False
    for path in given.file:
        try:
            print(f"ok    {path.name}: {check(path, keys)}")
        except Exception as error:
            failed = True
            print(f"FAIL  {path.name}: {type(error).__name__}: {error}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
