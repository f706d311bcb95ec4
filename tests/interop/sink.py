#!/usr/bin/env python3
"""A next hop for shell scripts: `sink.py PORT FOLDER [CHAIN KEY]` keeps each message as N.eml and its envelope as N.json."""

import json
import pathlib
import sys
import threading

from rig import Sink

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(exist_ok=True)
lock, count = threading.Lock(), 0


def keep(entry):
    global count
    with lock:
        count += 1
        number = count
    (folder / f"{number}.eml").write_bytes(entry["data"])
    # Whoever looks for it finds it whole.
    envelope = folder / f"{number}.new"
    envelope.write_text(json.dumps({k: entry[k] for k in ("from", "to", "tls", "session")}))
    envelope.rename(folder / f"{number}.json")
    return "250 2.0.0 Ok"


Sink(tls=sys.argv[3:5] or None, data=keep, port=port)
threading.Event().wait()
