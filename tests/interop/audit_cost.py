#!/usr/bin/env python3
"""What it costs to ask the audit log, by hand: seconds, records a second and peak memory on a log of 5,000,000 records.

`audit_cost.py [FOLDER]`: a folder that benches/audit_traffic.rs has filled, else one is made for $RECORDS records. The log
is read once before, so that what is measured is not the disk.
"""

import os
import pathlib
import sys

import rig
import traffic_rig

RECORDS = int(os.environ.get("RECORDS", 5_000_000))
READ_BYTES = 1 << 22
COMMANDS = {
    "verify": ["audit", "verify"],
    "what-if, one domain": ["audit", "what-if", "--domain", "bank.example", "--set", "min_version=TLSv1.2", "--since", "30d"],
    "what-if, everybody": ["audit", "what-if", "--set", "min_version=TLSv1.2", "--since", "30d"],
    "what-if, outbound": ["audit", "what-if", "--direction", "outbound", "--set", "tls=verify", "--since", "30d"],
    "report": ["audit", "report", "--since", "30d"],
}

checks = rig.Checks()
if len(sys.argv) > 1:
    folder = pathlib.Path(sys.argv[1])
else:
    folder = rig.scratch("audit-cost") / "week"
    traffic_rig.generate(folder, RECORDS)
lines, octets = 0, 0
for segment in traffic_rig.segments(folder):
    with segment.open("rb") as file:
        while piece := file.read(READ_BYTES):
            lines, octets = lines + piece.count(b"\n"), octets + len(piece)
print(f"{lines:,} records, {octets / 1e9:.2f} GB, {len(traffic_rig.segments(folder))} segments, {os.cpu_count()} cores\n")
print(f'{"":22}{"seconds":>10}{"CPU s":>10}{"records/s":>14}{"MB/s":>9}{"peak MiB":>11}')
for name, command in COMMANDS.items():
    wall, cpu, peak, code, text = traffic_rig.measured(*command, config=folder / "gatepost.toml")
    if checks.check(f"{name} answers", code == 0, text[-300:]):
        print(f"{name:22}{wall:>10.2f}{cpu:>10.2f}{lines / wall:>14,.0f}{octets / 1e6 / wall:>9.0f}{peak:>11.0f}", flush=True)
checks.finish()
