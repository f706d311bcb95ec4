"""What the TLS reports (RFC 8460) about the cases tell: the result types of section 4.3, and the policy that they are about."""

import json
import subprocess

import rig

# Asked for by each domain; nobody sends one here.
RECORD = "v=TLSRPTv1; rua=https://reports.test/tlsrpt"
SETTINGS = '[tlsrpt]\norganization = "Sender Test"\ncontact = "tls@sender.test"\n'
HOST_FAULTS = {
    "wrong-name": "certificate-host-mismatch", "name-of-the-domain": "certificate-host-mismatch", "expired": "certificate-expired",
    "self-signed": "certificate-not-trusted", "stripped": "starttls-not-supported", "refused": "starttls-not-supported",
    "broken": "validation-failure", "unlisted": "validation-failure",
}
FETCH, INVALID, CERTIFICATE = "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"
# Case -> result type, None for none. A policy that is tested is there to be reported about.
EXPECTED = {
    "valid": None, "testing-valid": None,
    **{f"enforce-{fault}": word for fault, word in HOST_FAULTS.items()},
    **{f"stalwart-testing-mode-{fault}": word for fault, word in HOST_FAULTS.items()},
    **{f"web-{fault}": FETCH for fault in ("404", "500", "redirect", "drips", "cut", "closes", "refused", "forbidden", "nowhere")},
    **{f"web-{fault}": INVALID for fault in ("too-long", "html", "typeless")},
    **{f"web-{fault}": CERTIFICATE for fault in ("expired", "self-signed", "wrong-name")},
    "no-mode": INVALID, "no-max-age": INVALID, "no-mx": INVALID, "max-age-beyond-a-year": INVALID,
}


def publish(world):
    for case in world.cases:
        world.names.set(f"_smtp._tls.{case.domain}", "TXT", RECORD)


def report(gatepost, case):
    """The report of today about a case's domain, as it would be sent; None if there is none."""
    command = [rig.GATEPOST, "tlsrpt", "show", case.domain.rstrip("."), "--json", "--config", gatepost.daemon.config]
    done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    return json.loads(done.stdout) if done.returncode == 0 else None


def judge(checks, gatepost, cases):
    for case in cases:
        if case.name not in EXPECTED:
            continue
        expected = EXPECTED[case.name]
        # Counts come a second after the session.
        found = rig.wait_for(lambda: report(gatepost, case))
        policies = [policy for policy in (found or {}).get("policies", []) if policy["policy"]["policy-type"] == "sts"]
        results = sorted({detail["result-type"] for policy in policies for detail in policy.get("failure-details", [])})
        checks.equal(f"{case.name} (RFC 8460 4.3): its TLS report", results, [expected] if expected else [])
        checks.equal(f"{case.name} (RFC 8460 4.2): of its policy", [policy["policy"]["policy-domain"] for policy in policies],
                     [case.domain.rstrip(".")])
