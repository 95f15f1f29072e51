"""Counts what was checked and says it: one line for each check, then "N passed, N failed".

Always holds: a script that was stopped by an exception has failed; what could not be tried is a line
"SKIPPED reason", which Scripts/test counts as failed where CI=true.
"""
import argparse
import os
import pathlib
import sys
import traceback

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
passed, failed = 0, 0


class CannotTry(Exception):
    """Something that this machine lacks; its text says what."""


def check(what, condition, detail=""):
    """Prints and counts one check; returns whether it held."""
    global passed, failed
    if condition:
        passed += 1
        print(f"ok      {what}", flush=True)
    else:
        failed += 1
        print(f"FAILED  {what}: {detail}", flush=True)
    return bool(condition)


def note(text):
    print(f"        {text}", flush=True)


def binaries():
    """The directory of memkvd and memkv: MEMKV_BIN, else what Scripts/test says, else what was built."""
    named = os.environ.get("MEMKV_BIN") or os.environ.get("MEMKV_BINARIES")
    if named:
        directory = pathlib.Path(named).absolute()
    else:
        release = REPOSITORY / ".build/release"
        directory = release if (release / "memkvd").exists() else REPOSITORY / ".build/debug"
    for name in ("memkvd", "memkv"):
        if not (directory / name).exists():
            sys.exit(f"{directory / name} is missing: run `make build`, or set MEMKV_BIN")
    return directory


def arguments(description, seed, **more):
    """Reads the command line: --seed, and an option for each of `more`: name=(default, help)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=seed, help=f"repeats a run ({seed})")
    for name, (default, text) in more.items():
        flag = "--" + name.replace("_", "-")
        if default is False:
            parser.add_argument(flag, action="store_true", help=text)
        else:
            parser.add_argument(flag, type=type(default), default=default, help=f"{text} ({default})")
    options = parser.parse_args()
    print(f"seed {options.seed}, programs in {binaries()}", flush=True)
    return options


def run(parts):
    """Runs the parts, (name, function) each, whatever becomes of the others; ends the process."""
    global failed
    skipped = 0
    for name, function in parts:
        print(f"-- {name}", flush=True)
        try:
            function()
        except CannotTry as reason:
            skipped += 1
            print(f"SKIPPED {name}: {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {name} was stopped by an exception", flush=True)
            traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    broken = failed + (skipped if os.environ.get("CI") == "true" else 0)
    sys.exit(1 if broken else 0)
