"""From a command to its exit status: packages, kernel, machine, a second try."""
import contextlib
import pathlib
import platform
import subprocess
import sys
import tempfile

from . import kernel
from .failure import NoGuest
from .machine import Died, Machine, TimedOut

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
TIMED_OUT, DIED = 124, 125
PACKAGES = ["qemu-system-x86", "busybox-static", "cpio", "kmod", "zstd", "iproute2", "debian-archive-keyring"]
# What programs need to use an RDMA device, and programs to try one with.
RDMA_PACKAGES = ["ibverbs-providers", "librdmacm1", "ibverbs-utils", "rdmacm-utils", "perftest"]


def prepare(more_packages=()):
    """Installs what is missing and fetches the kernel; returns it. Raises NoGuest."""
    if platform.machine() != "x86_64":
        raise NoGuest(f"the guest is an x86-64 machine and its programs are this one's, of {platform.machine()}")
    # What it says of its work mustn't be taken for the command's output.
    done = subprocess.run([REPOSITORY / "Scripts/ensure-packages", *PACKAGES, *more_packages],
                          stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise NoGuest(done.stderr.strip())
    return kernel.prepare()


def run(command, drives=(), time_limit=300, memory_mebibytes=2048, output=None, packages=()):
    """Runs `command` in a guest, in the directory that it is in here; returns its exit status.

    TIMED_OUT when that took too long, DIED when the guest died twice: emulation breaks a kernel now and then, so
    one that died is booted once more. `output` is made when it isn't there; without one nothing is kept.
    `packages` are Debian's that the command needs here, for it to find there.
    """
    prepared = prepare(packages)
    with contextlib.ExitStack() as stack:
        if output is None:
            output = stack.enter_context(tempfile.TemporaryDirectory(prefix="memkv-guest-", dir="/var/tmp"))
        output = pathlib.Path(output).absolute()
        output.mkdir(parents=True, exist_ok=True)
        machine = Machine(prepared, output, drives, memory_mebibytes)
        for attempt in ("first", "second"):
            try:
                return machine.run(command, time_limit, pathlib.Path.cwd())
            except TimedOut:
                complain("it came to no end", machine)
                return TIMED_OUT
            except Died:
                complain(f"the {attempt} one died", machine)
        return DIED


def complain(text, machine):
    print(f"guest: {text}; its last words:\n{machine.last_words()}", file=sys.stderr, flush=True)
