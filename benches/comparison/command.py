"""The command line of `benches/compare`: what is run in which order, and what is written."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import signal
import tempfile

from . import cells, load, report
from .measure import Rig, settle, wait_for_quiet
from .relays import Gatepost, Postfix, PostfixTuned, Surroundings, routes

SECONDS = 3.0
QUICK_SECONDS = 1.0
REPETITIONS = 3
START_SETTLE_SECONDS_MAX = 3


def main(description):
    arguments = parse(description)
    # So that an end from outside stops the relays, too.
    signal.signal(signal.SIGTERM, lambda *_: exit(3))
    program = arguments.load or load.build()
    if not arguments.gatepost.exists():
        raise SystemExit(f"error: there is no {arguments.gatepost}: cargo build --release")
    Gatepost.program = arguments.gatepost.resolve()
    kinds = [Gatepost] if arguments.alone else [Gatepost, Postfix, PostfixTuned]
    if not arguments.alone and (lacking := Postfix.lacks()):
        if not arguments.quick:
            raise SystemExit(f"error: {lacking}; --alone runs Gatepost only")
        print(f"note: {lacking}; Gatepost runs alone")
        kinds = [Gatepost]
    out = arguments.out or pathlib.Path(tempfile.mkdtemp(prefix="gatepost-compare-"))
    out.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(arguments, program, kinds, out)
    comparison.run()
    report.write(out, comparison.results, comparison.curves)
    print(f"\n{(out / 'report.md').read_text()}\nwritten to {out}")
    return comparison.verdict()


def parse(description):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benches/compare"
    )
    add = parser.add_argument
    add("--gatepost", type=pathlib.Path, default=load.target() / "release/gatepost", help="the program to measure")
    add("--load", type=pathlib.Path, help="the load generator; default: it is built")
    add("--out", type=pathlib.Path, help="the folder to write into; default: a new one")
    add("--alone", action="store_true", help="without Postfix")
    add("--quick", action="store_true", help="one short repetition of few cells; without a Postfix, Gatepost alone")
    add("--curves", action="store_true", help="measure the growth curves as well")
    add("--only", choices=["table", *cells.CURVES], action="append", help="only these; may be given several times")
    add("--cell", default="", metavar="WORDS", help="of the table only the cells with these words in their name")
    add("--repetitions", type=int, help=f"how often each is measured in turn; default: {REPETITIONS}")
    add("--seconds", type=float, help=f"how long each load lasts; default: {SECONDS:g}")
    add("--wait", type=float, default=0, metavar="S", help="before each load wait at most so long for a quiet machine")
    add("--backlog-max", type=int, default=10_000, metavar="N", help="the end of that curve; default: 10000")
    add("--destinations-max", type=int, default=10_000, metavar="N", help="the end of that curve; default: 10000")
    add("--sink", default="", metavar="OPTIONS", help="options of the sinks, such as '--delay-ms 50'")
    arguments = parser.parse_args()
    arguments.repetitions = arguments.repetitions or (1 if arguments.quick else REPETITIONS)
    arguments.seconds = arguments.seconds or (QUICK_SECONDS if arguments.quick else SECONDS)
    return arguments


class Comparison:
    """All measurements of one call."""

    def __init__(self, arguments, program, kinds, out):
        self.arguments, self.program, self.kinds, self.out = arguments, program, kinds, out
        self.results = []
        wanted = arguments.only or (["table", *cells.CURVES] if arguments.curves else ["table"])
        table = cells.QUICK if arguments.quick else cells.TABLE
        self.table = [cell for cell in table if "table" in wanted and arguments.cell in cell.label]
        found = cells.curves(arguments.backlog_max, arguments.destinations_max)
        self.curves = [curve for curve in found if curve.name in wanted]

    def run(self):
        with tempfile.TemporaryDirectory(prefix="gatepost-compare-relays-") as scratch:
            self.scratch = pathlib.Path(scratch)
            self.scratch.chmod(0o755)
            self.chain, self.key = load.make_certificate(self.scratch)
            self.rig = Rig(self.program, self.chain, self.key, self.arguments.sink.split())
            try:
                for repetition in range(self.arguments.repetitions):
                    # Each comes first once, so that what the machine does meanwhile meets all alike.
                    turn = repetition % len(self.kinds)
                    order = self.kinds[turn:] + self.kinds[:turn]
                    for curve in ([None] if self.table else []) + self.curves:
                        for kind in order:
                            self.with_relay(kind, curve, repetition)
            finally:
                self.rig.stop()

    def with_relay(self, kind, curve, repetition):
        """The table or a curve with a fresh relay: the last one left a queue or had other routes."""
        destinations = max(cell.destinations for cell in curve.cells) if curve else 1
        hops = routes(self.rig.plain.port, self.rig.tls.port, destinations if destinations > 1 else 0)
        relay = kind(self.scratch / kind.name, Surroundings(self.chain, self.key, hops))
        try:
            relay.start()
            settle(relay, START_SETTLE_SECONDS_MAX)
            idle = relay.account.memory()
            self.rig.warm_up(relay)
            note = {"repetition": repetition, "host": platform.node(), "cores": os.cpu_count()}
            if curve:
                self.measure_curve(relay, curve, note)
            else:
                self.measure_table(relay, note, idle)
        finally:
            relay.stop()

    def measure_table(self, relay, note, idle):
        for cell in self.table:
            self.keep(self.measure(relay, cell), note, series="table")
        used = self.rig.measure_memory(relay, cells.MEMORY, self.arguments.seconds)
        self.keep(used, note, series="memory", memory_idle=idle)

    def measure_curve(self, relay, curve, note):
        queued = 0
        for cell in curve.cells:
            more = {"series": curve.name, "place": cell.at}
            if cell.backlog > queued:
                more["fill"] = self.rig.fill(relay, cell.backlog - queued)
                queued = cell.backlog
            self.keep(self.measure(relay, cell), note, **more)

    def measure(self, relay, cell):
        wait_for_quiet(relay, self.arguments.wait)
        return self.rig.measure(relay, cell, self.arguments.seconds)

    def keep(self, figures, note, **more):
        figures = figures | note | more | {"at": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")}
        self.results.append(figures)
        with (self.out / "raw.jsonl").open("a") as raw:
            raw.write(json.dumps(figures) + "\n")
        print(report.line(figures), flush=True)

    def verdict(self):
        """0 if every message that was accepted arrived, once."""
        bad = [result for result in self.results if result["lost"] or result["doubled"]]
        for result in bad:
            print(f"FAIL {result['relay']}, {result['cell']}: {result['lost']} lost, {result['doubled']} doubled")
        return 1 if bad or not self.results else 0
