"""What the audit programs stand on: the log of a busy week made by benches/audit_traffic.rs, and questions to the binary.

$AUDIT_TRAFFIC names the generator; default: cargo builds it.
"""

import json
import os
import resource
import shutil
import ssl
import subprocess
import time

import rig
import tls_rig

# Up to here the unoptimised generator, which the tests have built anyway, is fast enough.
UNOPTIMISED_RECORDS_MAX = 500_000


def generate(folder, records, **options):
    """A log of so many records, its key, configuration and truth, in `folder`. Gives the truth."""
    options = {"out": folder, "records": records, **options}
    arguments = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    profile = ["--profile", "dev"] if records <= UNOPTIMISED_RECORDS_MAX else []
    generator = os.environ.get("AUDIT_TRAFFIC")
    command = [generator] if generator else ["cargo", "bench", "--quiet", *profile, "--bench", "audit_traffic", "--"]
    subprocess.run([*command, *arguments], cwd=rig.REPOSITORY, check=True)
    return json.loads((folder / "truth.json").read_text())


def gatepost(*arguments, config=None, timeout=600):
    """Exit code, answer and words of a command. The answer is the JSON object if it is one."""
    configuration = ["--config", str(config)] if config else []
    done = subprocess.run([rig.GATEPOST, *map(str, arguments), *configuration], capture_output=True, timeout=timeout,
                          check=False, env={**os.environ, "NO_COLOR": "1"})
    text = done.stdout.decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = text
    return done.returncode, answer, done.stderr.decode("utf-8", "replace")


def measured(*arguments, config):
    """Seconds of wall time and of CPU, peak memory in MiB, exit code and output of one command."""
    with open(os.devnull, "wb") as nowhere:
        began = time.monotonic()
        process = subprocess.Popen([rig.GATEPOST, *map(str, arguments), "--config", str(config)], stdout=subprocess.PIPE,
                                   stderr=nowhere)
        text = process.stdout.read().decode("utf-8", "replace")
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode, text


def many_files():
    """Sessions by the thousand need as many sockets."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def segments(folder):
    return sorted((folder / "audit").glob("*.jsonl"))


def copy(folder, name):
    """The same log once more, to be tampered with."""
    other = folder.parent / name
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(folder, other)
    return other


def session(port, pair, recipient):
    """A session of the pair's client with the TLS that it has, up to RCPT: version and cipher, and the replies."""
    client = rig.Client(port, source=pair["client"], timeout=60)
    try:
        client.say(f"EHLO {pair['helo']}")
        if pair["version"]:
            starttls(client, pair)
        mail = client.say(f"MAIL FROM:<{pair['from']}>")
        rcpt = client.say(f"RCPT TO:<{recipient}>")
        found = (client.socket.version(), client.socket.cipher()[0]) if pair["version"] else (None, None)
        client.say("QUIT")
        return found, mail, rcpt
    finally:
        client.close()


def starttls(client, pair):
    answer = client.say("STARTTLS")
    if not answer.startswith("220"):
        raise EOFError(answer)
    version = tls_rig.VERSIONS[pair["version"]]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pair["version"] != "TLSv1.3":
        context.set_ciphers(f"{pair['cipher_openssl']}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    client.socket = context.wrap_socket(client.socket, server_hostname="mx1.gatepost.example")
    client.say(f"EHLO {pair['helo']}")
