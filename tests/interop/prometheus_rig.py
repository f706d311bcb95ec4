"""What the monitoring is tried with: the demo as a process, and a Prometheus of Debian that scrapes it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

import rig

CONFIG = rig.REPOSITORY / "config/prometheus"
START_SECONDS = 120
STOP_SECONDS = 30
SCRAPE = "1s"


class Demo:
    """`gatepost demo`, which stays up; what it prints is kept."""

    def __init__(self):
        self.text, self.is_up = "", threading.Event()
        self.process = subprocess.Popen([rig.GATEPOST, "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        if not self.is_up.wait(START_SECONDS) or self.process.poll() is not None:
            raise SystemExit(f"the demo is not up:\n{self.text[-3000:]}")
        self.metrics = self.told(r"http://(127\.0\.0\.1:\d+)/metrics")
        self.config = self.told(r"GATEPOST_CONFIG=(\S+)")
        listeners = re.findall(r'name = "(\w+)"\nbind = \["127\.0\.0\.1:(\d+)"\]', open(self.config).read())
        self.ports = {name: int(port) for name, port in listeners}

    def read(self):
        for line in self.process.stdout:
            self.text += line
            if line.startswith("Ctrl-C stops"):
                self.is_up.set()
        self.is_up.set()

    def told(self, pattern):
        found = re.search(pattern, self.text)
        if not found:
            raise SystemExit(f"the demo does not tell /{pattern}/:\n{self.text[-3000:]}")
        return found[1]

    def exposition(self):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=30) as page:
            return page.read().decode()

    def command(self, *arguments):
        """Exit code and output of a command that is asked about the demo."""
        environment = {**os.environ, "GATEPOST_CONFIG": self.config, "NO_COLOR": "1"}
        done = subprocess.run([rig.GATEPOST, *arguments], env=environment, capture_output=True, text=True, timeout=120,
                              check=False)
        return done.returncode, done.stdout + done.stderr

    def mail(self, recipient, tls=None, listener="mx", source="127.0.0.1"):
        """One message over a connection of its own. `tls` is a version of `ssl`; None: plaintext. Gives the reply."""
        client = rig.Client(self.ports[listener], source=source)
        try:
            client.say("EHLO client.test")
            if tls:
                client.starttls(minimum_version=tls, maximum_version=tls)
                client.say("EHLO client.test")
            return client.mail("a@sender.example", [recipient], rig.message(recipient))
        finally:
            client.close()

    def broken_handshake(self):
        client = rig.Client(self.ports["mx"])
        client.say("EHLO client.test")
        client.say("STARTTLS")
        client.send(b"this is no hello\r\n")
        client.rest()
        client.close()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Prometheus:
    """With the example configuration, but for the target and the intervals."""

    def __init__(self, folder, target):
        self.folder = folder / "prometheus"
        shutil.copytree(CONFIG, self.folder)
        text = (self.folder / "prometheus.yml").read_text()
        for written, instead in [("127.0.0.1:9725", target), ("scrape_interval: 15s", f"scrape_interval: {SCRAPE}"),
                                 ("evaluation_interval: 15s", f"evaluation_interval: {SCRAPE}")]:
            if written not in text:
                raise SystemExit(f"prometheus.yml has no {written!r}")
            # The address stands in a comment too.
            text = text.replace(written, instead)
        (self.folder / "prometheus.yml").write_text(text)
        self.address, self.log = f"127.0.0.1:{rig.free_port()}", self.folder / "log"
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
             f"--web.listen-address={self.address}"], stdout=subprocess.DEVNULL, stderr=self.log.open("wb"))
        if not rig.wait_for(self.is_ready, START_SECONDS, 0.2):
            raise SystemExit(f"Prometheus does not start:\n{self.log.read_text()[-3000:]}")

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as page:
                return page.status == 200
        except OSError:
            return False

    def ask(self, what, **arguments):
        """An answer of the API: the data, or a text that says what was wrong."""
        question = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(arguments, doseq=True)}"
        try:
            with urllib.request.urlopen(question, timeout=30) as page:
                return json.loads(page.read())["data"]
        except urllib.error.HTTPError as error:
            return error.read().decode("utf-8", "replace")
        except (OSError, socket.timeout) as error:
            return str(error)

    def values(self, query):
        """The values of an instant query; None if it was refused."""
        answer = self.ask("query", query=query)
        return None if isinstance(answer, str) else [float(one["value"][1]) for one in answer["result"]]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def promtool(*arguments, cwd=CONFIG, text=None):
    """Exit code and output."""
    done = subprocess.run(["promtool", *map(str, arguments)], cwd=cwd, input=text, capture_output=True, text=True,
                          timeout=400, check=False)
    return done.returncode, done.stdout + done.stderr
