#!/usr/bin/env python3
"""Reports that are pages: `audit report` and `audit what-if` with --format html, in a browser and on paper.

Over the log of some weeks: the pages have the numbers of the JSON form, load nothing, are clean for axe on a phone, a
tablet and a desk, light and dark, and print well on A4 and Letter: no chart or row is cut, tables begin anew with their
head. tests/browser/report.cjs is the half that stands in the browser. $SHOTS keeps screenshots and PDFs there.

Needs node with the modules of tests/browser (in $NODE_PATH), chromium, pdfinfo and pdftotext.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import rig
import traffic_rig

RECORDS = 12_000
DAYS = 60
# The traffic follows the hours of the day: with one end it is always the same.
UNTIL = "2026-11-23T19:21:25.196959Z"
SPAN = ["--from", "2026-09-20", "--to", "2026-11-23"]
STRICT = ["--domain", "bank.example", "--set", "min_version=TLSv1.3", "--limit", "30"]
SHEETS = ["A4", "Letter"]
BROWSER_SECONDS_MAX = 400
DAY_ROW = re.compile(r"^\s*2026-\d\d-\d\d\s+[\d,]+\s", re.M)

checks = rig.Checks()


def missing():
    """What of all that is needed is not there."""
    programs = [program for program in ("node", "pdfinfo", "pdftotext") if not shutil.which(program)]
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    browser = [] if os.access(chromium, os.X_OK) else [chromium]
    resolve = "require.resolve('playwright-core'); require.resolve('axe-core/axe.min.js')"
    if "node" not in programs and subprocess.run(["node", "-e", resolve], capture_output=True, check=False).returncode:
        browser.append("the modules of tests/browser/package.json in $NODE_PATH")
    return programs + browser


def thousands(number):
    return f"{number:,}"


def write(folder, name, *command):
    """The page of a command in a file, and its answer for programs."""
    page = folder / f"{name}.html"
    config = folder / "log/gatepost.toml"
    code, text, words = traffic_rig.gatepost("audit", *command, *SPAN, "--format", "html", config=config)
    checks.equal(f"{name}: is printed if no file is named", (code, text[:15], words), (0, "<!DOCTYPE html>", ""))
    code, said, words = traffic_rig.gatepost("audit", *command, *SPAN, "--format", "html", "--out", page, config=config)
    checks.equal(f"{name}: is written to a file", (code, said, words), (0, f"Wrote {page}.\n", ""))
    checks.equal(f"{name}: is for its owner's eyes", page.stat().st_mode & 0o777, 0o600)
    code, answer, _ = traffic_rig.gatepost("audit", *command, *SPAN, "--json", config=config)
    checks.equal(f"{name}: has a form for programs", code, 0)
    return page, answer


def pages(folder):
    """The plan for the browser, with the most sheets that each page may take."""
    report, numbers = write(folder, "report", "report")
    total = numbers["inbound"]["total"]
    shows = [f"{thousands(total['messages'])} messages accepted", "gatepost audit verify", "mx1.gatepost.example",
             *(thousands(count) for count in total["version"].values() if count)]
    plan = [{"name": "report", "file": str(report), "shows": shows, "sheets": 6}]
    days, _ = write(folder, "days", "report", "--by", "day", "--direction", "inbound")
    plan.append({"name": "days", "file": str(days), "shows": ["by day"], "sheets": 6})
    strict, answer = write(folder, "what-if", "what-if", *STRICT)
    refused = answer["outcomes"]["newly_refused"]
    checks.check("what-if: somebody would be refused", refused > 0, str(answer["outcomes"]))
    first = answer["groups"][0]
    shows = [f"{thousands(refused)} (", first["sender"], first["rule"], first["example"]["record"]]
    plan.append({"name": "what-if", "file": str(strict), "shows": shows, "sheets": 8})
    partner, numbers = write(folder, "partner", "report", "--partner", first["sender"], "--below")
    shows = [first["sender"], f"{thousands(numbers['inbound']['total']['messages'])} message"]
    plan.append({"name": "partner", "file": str(partner), "shows": shows, "sheets": 6})
    return plan


def sheets(file):
    """The text of each sheet."""
    done = subprocess.run(["pdftotext", "-layout", str(file), "-"], capture_output=True, check=True, timeout=60)
    return done.stdout.decode("utf-8", "replace").split("\f")[:-1]


def on_paper(shots, wanted):
    for sheet in SHEETS:
        file = shots / f"{wanted['name']}-{sheet}.pdf"
        of = f"{wanted['name']} on {sheet}"
        info = subprocess.run(["pdfinfo", str(file)], capture_output=True, check=True, timeout=60).stdout.decode()
        texts = sheets(file)
        checks.matches(f"{of}: the size of the sheet", info, r"\(A4\)" if sheet == "A4" else r"\(letter\)")
        checks.check(f"{of}: the number of sheets", 0 < len(texts) <= wanted["sheets"], f"{len(texts)}")
        checks.equal(f"{of}: none is empty", [place for place, text in enumerate(texts) if len(text.split()) < 12], [])
        numbered = [place for place, text in enumerate(texts, 1) if not re.search(rf"\b{place} ?/ ?{len(texts)}\b", text)]
        checks.equal(f"{of}: each has its number", numbered, [])
        torn = [place for place, text in enumerate(texts) for chart in charts(text) if chart != "whole"]
        checks.equal(f"{of}: captions and scales of charts stand together", torn, [])
        headless = [place for place, text in enumerate(texts)
                    if wanted["name"] == "days" and DAY_ROW.search(text) and "Plaintext" not in text]
        checks.equal(f"{of}: a table that goes on has its head again", headless, [])
    if wanted["name"] == "days":
        long = [text for text in texts if DAY_ROW.search(text)]
        checks.check("there is a table that goes on", len(long) > 1)


def charts(text):
    """Of each caption of a chart on a sheet, if the dates below the drawing are on it as well."""
    for found in re.finditer(r"coloured by TLS version", text):
        ticks = re.search(r"^\s*(20\d\d-\d\d-\d\d\s+){2}20\d\d-\d\d-\d\d\s*$", text[found.end():], re.M)
        yield "whole" if ticks else "torn"


def main():
    lacking = missing()
    if lacking:
        if os.environ.get("CI"):
            checks.check("what the test needs is there", False, ", ".join(lacking))
            checks.finish()
        print(f"SKIPPED  it needs {', '.join(lacking)}")
        return
    folder = rig.scratch("html-report")
    rig.on_exit(lambda: os.environ.get("KEEP") or shutil.rmtree(folder, ignore_errors=True))
    traffic_rig.generate(folder / "log", RECORDS, days=DAYS, until=UNTIL, segment_bytes=2_000_000)
    shots = pathlib.Path(os.environ.get("SHOTS") or folder / "shots")
    plan = pages(folder)
    (folder / "plan.json").write_text(json.dumps(plan))
    script = rig.REPOSITORY / "tests/browser/report.cjs"
    done = subprocess.run(["node", str(script), str(folder / "plan.json"), str(shots)], capture_output=True,
                          timeout=BROWSER_SECONDS_MAX, check=False)
    said = done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
    sys.stdout.write(said)
    checks.equal("the browser has nothing to complain about", done.returncode, 0)
    for wanted in plan:
        if done.returncode == 0:
            on_paper(shots, wanted)
    checks.finish()


main()
