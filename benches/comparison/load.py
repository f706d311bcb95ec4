"""The load generator: its sinks, which stay, and its sources, one for each measurement."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE_GRACE_SECONDS = 120


def target():
    """Cargo's target folder."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def build():
    """Builds the generator with the settings of the release build, and says where it is."""
    command = ["cargo", "bench", "--bench", "load", "--no-run", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "load" and message.get("executable"):
            return pathlib.Path(message["executable"])
    raise SystemExit("error: cargo did not say where the load generator is")


class Sink:
    """Takes what the relay passes on. Ends with this program at the latest: its standard input closes."""

    def __init__(self, program, options=()):
        command = [program, "sink", *map(str, options)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = self._read()["port"]

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._read()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("error: a sink has ended")
        return json.loads(line)


def send(program, port, options):
    """Runs a source to its end. `options` are its long options; True stands for one without a value."""
    command = [program, "source", "--to", f"127.0.0.1:{port}"]
    for name, value in options.items():
        if value is not None and value is not False:
            command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    limit = options.get("seconds", 60) + SOURCE_GRACE_SECONDS
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=limit)
    return json.loads(done.stdout)


def make_certificate(folder):
    """A self-signed one for P-256. Both relays and the sink show it, nobody verifies it."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "7", "-subj", "/CN=relay.load.example", "-keyout", key, "-out", chain]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    os.chmod(key, 0o600)
    return chain, key
