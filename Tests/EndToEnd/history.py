#!/usr/bin/env python3
"""Recorded benchmarks of the real memkvd: what is kept, and what a comparison says of it.

One memkvd against itself must not be called slower; one whose shards burn a tenth more processor time (a library put
before liburing, support/slowdown.c) must be. Finds the programs in $MEMKV_BINARIES. Prints "N passed, N failed".
"""
import json
import pathlib
import shlex
import sqlite3
import subprocess
import tempfile

from support import daemon, report

SMOKE = ("--profile", "smoke", "--store", "memory", "--json")
# Of each kind: one memkvd against itself, a slower one against it.
PAIRS = 3


def bench(database, *arguments):
    """Runs the profile smoke: the reports, one for each program."""
    code, output, errors = daemon.memkv("bench", "run", *SMOKE, "--db", database, *arguments)
    if code != 0:
        raise RuntimeError(f"memkv bench run: exit {code}, {errors}")
    return [json.loads(line) for line in output.splitlines()]


def history(database, *arguments):
    """Exit code, JSON (None without), standard error."""
    code, output, errors = daemon.memkv("history", *arguments, "--json", "--db", database)
    return code, json.loads(output) if output else None, errors


def compare(database, *arguments):
    return history(database, "compare", *arguments)


def slower_memkvd(directory, percent):
    """A program that is memkvd, its shards slower by so many percent of their processor time."""
    library, program = directory / "slowdown.so", directory / "slower-memkvd"
    source = pathlib.Path(__file__).parent / "support/slowdown.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    program.write_text(
        "#!/bin/sh\n"
        f"LD_PRELOAD={shlex.quote(str(library))} SLOWDOWN_PERCENT={percent} "
        f"exec {shlex.quote(str(report.binaries() / 'memkvd'))} \"$@\"\n")
    program.chmod(0o755)
    return program


def sides(database):
    """All runs that were compared with, and all that were compared."""
    numbers = [run["run"] for run in history(database, "list")[1]["runs"]]
    return ",".join(map(str, numbers[::2])), ",".join(map(str, numbers[1::2]))


def brief(comparison):
    return [(line["quantity"], round(line["slowdown"]["estimate"], 3), round(line["slowdown"]["low"], 3),
             round(line["slowdown"]["high"], 3), line["verdict"]) for line in comparison["quantities"]]


def what_is_kept(directory):
    database = directory / "kept.sqlite"
    [result] = bench(database, "--seed", 7)
    report.check("the report names its record", result["recorded_as_run"] == 1, result["recorded_as_run"])
    code, listed, errors = history(database, "list")
    if not report.check("list", code == 0 and [run["run"] for run in listed["runs"]] == [1], errors):
        return
    code, shown, errors = history(database, "show", "1")
    facts = shown["record"]["facts"]
    report.check("show: profile, seed, kind", (facts["scenario"], facts["seed"], facts["kind"]) == ("smoke", 7, "bench"))
    report.check("show: the machine", all(facts["machine"].get(key) for key in ("kernel", "processor", "device")))
    report.check("show: how it was built", facts["program"]["build_kind"] in ("debug", "release")
                 and facts["program"]["toolchain"].startswith("Swift "), facts["program"])
    series = shown["record"]["series"]
    report.check("show: every operation was sampled",
                 {one["subject"].split(",")[0] for one in series} == {"put", "get", "exists"})
    throughput = [one for one in series if one["quantity"] == "throughput"]
    rounds = result["method"]["rounds"]
    report.check("show: a throughput for each round",
                 all([sample["position"] for sample in one["samples"]] == list(range(rounds)) for one in throughput))
    cell = next(cell for cell in result["cells"] if cell["operation"] == "put")
    report.check("the sums are those of the rounds",
                 sum(one["requests"] for one in cell["rounds"]) == cell["requests"]
                 and sum(one["nanoseconds"] for one in cell["rounds"]) == cell["nanoseconds"])
    code, output, errors = daemon.memkv("history", "show", "1", "--db", database)
    report.check("show for people", code == 0 and "server processor time" in output, errors)
    code, output, errors = daemon.memkv("history", "list", "--db", database)
    report.check("list for people", code == 0 and "smoke" in output, errors)


def one_memkvd_against_itself(directory):
    database, memkvd = directory / "same.sqlite", report.binaries() / "memkvd"
    for attempt in range(PAIRS):
        first, second = (one["recorded_as_run"] for one in bench(database, "--memkvd", memkvd, "--against", memkvd))
        code, answer, errors = compare(database, first, second, "--fail-if-slower", 5)
        verdict = answer["comparison"]["verdict"]
        report.check(f"{attempt + 1}: the same is not called slower", code == 0 and verdict != "slower",
                     (verdict, errors, brief(answer["comparison"])))
        report.note(f"{verdict}: {brief(answer['comparison'])}")
    code, answer, errors = compare(database, *sides(database), "--fail-if-slower", 5)
    report.check("all of them together: not slower", code == 0 and answer["comparison"]["verdict"] != "slower",
                 (errors, answer and brief(answer["comparison"])))
    report.check("they were compared in turns", answer["comparison"]["is_paired"])


def a_tenth_slower(directory):
    database, memkvd = directory / "slower.sqlite", report.binaries() / "memkvd"
    slower = slower_memkvd(directory, 10)
    for attempt in range(PAIRS):
        first, second = (one["recorded_as_run"]
                         for one in bench(database, "--memkvd", slower, "--against", memkvd))
        code, answer, errors = compare(database, first, second)
        report.check(f"{attempt + 1}: a tenth more of the server's processor time isn't called faster",
                     code == 0 and answer["comparison"]["verdict"] != "faster", (errors, brief(answer["comparison"])))
        report.note(f"{answer['comparison']['verdict']}: {brief(answer['comparison'])}")
    first, second = sides(database)
    code, answer, errors = compare(database, first, second, "--fail-if-slower", 5)
    cost = next(line for line in answer["comparison"]["quantities"] if line["quantity"] == "server processor time")
    report.check("all of them together: called slower",
                 cost["verdict"] == "slower" and answer["comparison"]["verdict"] == "slower", brief(answer["comparison"]))
    report.check("--fail-if-slower 5 ends with 1", code == 1 and "slower by more than" in errors, (code, errors))
    report.note(f"together: {brief(answer['comparison'])}")
    code, answer, errors = compare(database, second, first, "--fail-if-slower", 5)
    cost = next(line for line in answer["comparison"]["quantities"] if line["quantity"] == "server processor time")
    report.check("the other way round it is faster", cost["verdict"] == "faster", brief(answer["comparison"]))
    code, output, errors = daemon.memkv("history", "compare", first, second, "--db", database)
    report.check("compare for people", code == 0 and "verdict: B is slower" in output, errors)


def two_at_once(directory):
    database = directory / "two.sqlite"
    command = [report.binaries() / "memkv", "bench", "run", *SMOKE, "--db", database]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                env=daemon.clean_environment()) for _ in range(2)]
    results = [(process.communicate(timeout=300)[1], process.returncode) for process in running]
    report.check("two at once, both are recorded", all(code == 0 for _, code in results), results)
    code, listed, errors = history(database, "list")
    report.check("and both are there", code == 0 and len(listed["runs"]) == 2, errors)


def the_standard_place(directory):
    environment = daemon.clean_environment(XDG_STATE_HOME=str(directory / "state"))
    run = [report.binaries() / "memkv", "bench", "run", *SMOKE]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=300)
    place = directory / "state/memkv/history.sqlite"
    report.check("without --db it is the state directory", done.returncode == 0 and place.exists(), done.stderr)
    done = subprocess.run([*run, "--no-record"], env=environment, capture_output=True, text=True, timeout=300)
    runs = sqlite3.connect(place).execute("SELECT count(*) FROM run").fetchone()
    report.check("--no-record leaves none", done.returncode == 0 and runs == (1,), (done.stderr, runs))


def refusals(directory):
    code, _, errors = history(directory / "none.sqlite", "list")
    report.check("no database", code == 2 and "no runs are recorded" in errors, (code, errors))
    newer = directory / "newer.sqlite"
    bench(newer)
    connection = sqlite3.connect(newer)
    connection.execute("INSERT INTO grdb_migrations VALUES ('a later one')")
    connection.commit()
    code, _, errors = history(newer, "list")
    report.check("a newer database", code == 2 and "newer memkv" in errors, (code, errors))
    code, _, errors = daemon.memkv("bench", "run", *SMOKE, "--db", newer)
    report.check("a newer database, before anything is measured", code == 2 and "newer memkv" in errors, (code, errors))
    foreign = directory / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    code, _, errors = history(foreign, "list")
    report.check("another program's database", code == 2 and "another program" in errors, (code, errors))
    text = directory / "text.sqlite"
    text.write_text("no database\n" * 1000)
    code, _, errors = history(text, "list")
    report.check("no database at all", code == 2 and "--db" in errors, (code, errors))
    kept = directory / "kept.sqlite"
    code, _, errors = history(kept, "show", 99)
    report.check("a run that isn't there", code == 1 and "no run 99" in errors, (code, errors))
    code, _, errors = compare(kept, "1", "abcdef0123")
    report.check("a commit without runs", code == 1 and "abcdef0123" in errors, (code, errors))
    code, _, errors = compare(kept, "1", "x")
    report.check("neither a run nor a commit", code == 2, (code, errors))
    code, _, errors = compare(kept, "1", "1", "--fail-if-slower", "-3")
    report.check("a percentage below nothing", code == 2, (code, errors))


with tempfile.TemporaryDirectory(prefix="memkv-history-") as name:
    work = pathlib.Path(name)
    report.run([
        ("what is kept", lambda: what_is_kept(work)),
        ("one memkvd against itself", lambda: one_memkvd_against_itself(work)),
        ("a tenth slower", lambda: a_tenth_slower(work)),
        ("two at once", lambda: two_at_once(work)),
        ("the standard place", lambda: the_standard_place(work)),
        ("refusals", lambda: refusals(work)),
    ])
