#!/usr/bin/env python3
"""`memkv sim`: runs are recorded, repeated from their record alone, drawn, and made smaller when they fail.

The failure is planted: no flush reaches a drive, in a debug build. Finds the programs in $MEMKV_BINARIES. Prints
"N passed, N failed".
"""
import json
import pathlib
import sqlite3
import tempfile
import xml.etree.ElementTree

from support import daemon, report

DRIVE_OFFLINE = """\
about: "One drive of two goes away & comes back."
store: {drives: 2, drive_size: 16MiB}
clients:
  - {keys: 40, in_flight: 4, value_size: {from: 1B, to: 8KiB}}
duration: 60ms
faults:
  - {kind: drive_offline, at: 20ms, for: 20ms, drive: 1}
minimum: {requests: 10, faults: 1}
bounds: {misses_per_mille: 1000}
"""
POWER_CUT = """\
about: "The power goes, and a drive is slow."
store: {drives: {from: 1, to: 2}, drive_size: 16MiB}
clients:
  - {count: {from: 1, to: 2}, keys: 40, in_flight: 4, value_size: {from: 1B, to: 8KiB}}
  - {keys: 10, in_flight: 1, think: 1ms}
duration: 40ms
faults:
  - {kind: drive_slow, factor: {from: 2, to: 4}}
  - {kind: power_cut, at: {from: 10ms, to: 30ms}, for: 1ms}
minimum: {requests: 10}
bounds: {misses_per_mille: 1000}
"""


def sim(*arguments):
    return daemon.memkv("sim", *arguments)


def a_run_is_recorded_and_repeated(work, database):
    scenario = work / "drive-offline.yaml"
    scenario.write_text(DRIVE_OFFLINE)
    page = work / "page.html"
    code, output, errors = sim("run", scenario, "--seed", 5, "--db", database, "--json", "--html", page)
    if not report.check("a run passes", code == 0, (output, errors)):
        return
    result = json.loads(output)
    report.check("its line has its record's number", result["run"] == 1, result.get("run"))
    code, output, errors = daemon.memkv("history", "show", 1, "--json", "--db", database)
    record = json.loads(output)["record"]
    facts = record["facts"]
    report.check("fingerprint, verdict and text are kept",
                 (facts["fingerprint"], facts["verdict"], facts["scenario_text"])
                 == (result["fingerprint"], "passed", DRIVE_OFFLINE), facts)
    faults = [span for span in record["spans"] if span["lane"] == "fault"]
    report.check("the fault is kept, and how long it lasted",
                 [(one["subject"], one["to_microseconds"] - one["from_microseconds"]) for one in faults]
                 == [("drive 1", 20_000)] and faults[0]["label"].startswith("drive offline"), faults)
    report.check("samples over time are kept", {one["quantity"] for one in record["series"]} >=
                 {"throughput", "time of a request", "queue depth"})
    scenario.unlink()
    code, output, errors = sim("replay", 1, "--db", database, "--json")
    report.check("it is repeated without its file", code == 0 and json.loads(output)["is_same"], (output, errors))
    code, output, errors = sim("replay", 1, "--db", database, "--trace")
    report.check("--trace prints events", code == 0 and output.count("\n") > 1000, errors)
    draws(work, page, database)


def draws(work, page, database):
    text = page.read_text()
    svg = xml.etree.ElementTree.fromstring(text[text.index("<svg"):text.index("</svg>") + 6])
    words = {element.text for element in svg.iter() if element.text}
    report.check("the page shows fault, health, drives and requests",
                 words >= {"Faults struck", "health", "drive 0", "drive 1", "Requests", "Time of a request"}, words)
    report.check("the page needs nothing else", "<script" not in text and "http" not in text)
    again = work / "again.html"
    code, _, errors = daemon.memkv("history", "show", 1, "--html", again, "--db", database)
    report.check("a record is drawn as its run was", code == 0 and again.read_text() == text, errors)


def another_fingerprint_is_a_difference(database):
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE run SET fingerprint = '0000000000000000' WHERE number = 1")
    code, _, errors = sim("replay", 1, "--db", database)
    report.check("another fingerprint ends with 1", code == 1 and "0000000000000000" in errors, (code, errors))


def a_failure_is_made_smaller(work):
    database, scenario = work / "failing.sqlite", work / "power-cut.yaml"
    scenario.write_text(POWER_CUT)
    code, output, errors = sim("run", scenario, "--seed", 2, "--plant", "noFlush", "--db", database)
    if not report.check("a planted failure ends with 1, and its replay is printed",
                        code == 1 and f"memkv sim replay 1 --db {database}" in output, (code, output, errors)):
        return
    code, output, errors = sim("replay", 1, "--db", database)
    report.check("its replay fails the same way", code == 0 and "acknowledged-block-lost" in output, (output, errors))
    small = work / "small.yaml"
    code, _, errors = sim("shrink", 1, "--db", database, "-o", small)
    if not report.check("it is made smaller", code == 0 and small.exists(), (code, errors)):
        return
    report.note(errors.strip())
    text = small.read_text()
    report.check("what doesn't matter is gone", "drive_slow" not in text and text.count("- count") == 1, text)
    code, output, _ = sim("run", small, "--seed", 2, "--db", database)
    report.check("what is left fails the same way", code == 1 and "acknowledged-block-lost" in output, output)
    code, output, errors = sim("shrink", 1, "--db", database)
    report.check("the same again gives the same", code == 0 and output == text, (code, errors))


def refusals(work, database):
    code, _, errors = sim("replay", 77, "--db", database)
    report.check("a run that isn't there", code == 1 and "no run 77" in errors, (code, errors))
    code, _, errors = sim("shrink", 2, "--db", database)
    report.check("a run that isn't there can't shrink", code == 1, (code, errors))
    code, _, errors = sim("run", work / "none.yaml", "--db", database)
    report.check("a scenario that isn't there", code == 2 and "none.yaml" in errors, (code, errors))
    wrong = work / "wrong.yaml"
    wrong.write_text(DRIVE_OFFLINE + "colour: red\n")
    code, _, errors = sim("run", wrong, "--db", database)
    report.check("a key that is unknown, with its line", code == 2 and "wrong.yaml:10" in errors, (code, errors))
    code, output, errors = sim("shrink", 1, "--db", database)
    report.check("a run that passes can't shrink", code == 1 and "fails no more" in errors, (code, errors))
    code, output, errors = sim("list", report.REPOSITORY / "SimScenarios")
    report.check("list", code == 0 and "drive-offline.yaml" in output, errors)


with tempfile.TemporaryDirectory(prefix="memkv-simulation-") as name:
    work = pathlib.Path(name)
    database = work / "runs.sqlite"
    report.run([
        ("a run is recorded and repeated", lambda: a_run_is_recorded_and_repeated(work, database)),
        ("another fingerprint is a difference", lambda: another_fingerprint_is_a_difference(database)),
        ("a failure is made smaller", lambda: a_failure_is_made_smaller(work)),
        ("refusals", lambda: refusals(work, database)),
    ])
