"""One emulated machine: started, awaited, ended.

Always holds: QEMU ends with `run`, whatever happens; the host's files are read-only for the guest, but for the
output directory.
"""
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys

from .failure import NoGuest

PROGRAM = "qemu-system-x86_64"
# What the guest may take beside its command, to boot and to end: ten times what it takes on an idle machine.
GUEST_SECONDS = 120

# Everything of QEMU's most capable processor but what its emulation does slowly (the string instructions) and what
# the kernel needn't have (five-level page tables).
PROCESSOR = "max,-erms,-fsrm,-la57"
# clearcpuid: the kernel's allocator has once crashed right behind an emulated cmpxchg16b. Programs may use it, and
# Swift's runtime does.
KERNEL_WORDS = ("console=ttyS0 loglevel=4 panic=-1 oops=panic mitigations=off nokaslr audit=0 cryptomgr.notests "
                "clearcpuid=cx16 tsc=reliable no_timer_check rcupdate.rcu_expedited=1 random.trust_cpu=on "
                "nmi_watchdog=0")
# Paths that are the guest's own, so that what the host has there can't be seen.
HIDDEN = ("/dev", "/proc", "/run", "/sys")
SOCKETS = ("monitor.socket", "guest.socket")


class Died(Exception):
    """The guest ended without saying how its command did."""


class TimedOut(Exception):
    """The guest wasn't done in time, and was ended."""


class Machine:
    """A guest to be: what it runs on and what is kept of it."""

    def __init__(self, kernel, output, drives=(), memory_mebibytes=2048, processors=2):
        self.kernel, self.output, self.drives = kernel, pathlib.Path(output), list(drives)
        self.memory_mebibytes, self.processors = memory_mebibytes, processors

    def run(self, command, time_limit, working_directory):
        """Boots, runs `command`, a list of words, and ends; what it prints goes to standard output.

        Returns its exit status, which is 124 when it was ended after `time_limit` seconds. Raises Died, TimedOut
        when the guest doesn't come to an end, NoGuest.
        """
        if shutil.which(PROGRAM) is None:
            raise NoGuest(f"{PROGRAM} is not installed")
        for path in (working_directory, self.kernel.modules):
            if any(pathlib.Path(path).is_relative_to(hidden) for hidden in HIDDEN):
                raise NoGuest(f"{path} can't be seen in the guest, which has its own {', '.join(HIDDEN)}")
        self._prepare(command, time_limit, working_directory)
        try:
            self._run(time_limit)
        finally:
            for leftover in [*map(self._image, self.drives), *map(self.output.joinpath, SOCKETS)]:
                leftover.unlink(missing_ok=True)
        try:
            return int((self.output / "status").read_text())
        except FileNotFoundError:
            raise Died from None

    def last_words(self, lines=25):
        """The end of the console and of what QEMU complained of."""
        text = []
        for name in ("console", "machine-errors"):
            file = self.output / name
            if file.exists():
                text += file.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(text)

    def _image(self, drive):
        return self.output / f"{drive.name}.image"

    def _prepare(self, command, time_limit, working_directory):
        for name in ("status", "dmesg", "console", "machine-errors", *SOCKETS):
            (self.output / name).unlink(missing_ok=True)
        for drive in self.drives:
            with open(self._image(drive), "wb") as image:
                image.truncate(drive.size_bytes)
        texts = [f"{drive.name}:{drive.size_bytes >> 20}M:{drive.block_bytes}" for drive in self.drives]
        (self.output / "drives").write_text(json.dumps(texts))
        (self.output / "environment").write_text(
            f"time_limit={time_limit}\nmodules={shlex.quote(str(self.kernel.modules))}\n"
            f"drives={shlex.quote(' '.join(drive.name for drive in self.drives))}\n"
            "export GUEST=1 GUEST_OUTPUT=/run/guest/output\n")
        (self.output / "command").write_text(
            f"cd {shlex.quote(str(working_directory))} || exit\nexec {shlex.join(command)}\n")

    def _words(self):
        share = "local,security_model=none,multidevs=remap"
        words = [
            PROGRAM, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-machine", "q35,usb=off,smbus=off,sata=off,vmport=off", "-accel", "tcg,thread=multi",
            "-cpu", PROCESSOR, "-smp", str(self.processors), "-m", str(self.memory_mebibytes),
            "-kernel", str(self.kernel.image), "-initrd", str(self.kernel.initial), "-append", KERNEL_WORDS,
            "-serial", "file:console", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
            "-device", "virtio-rng-pci",
            "-fsdev", f"{share},id=root,path=/,readonly=on", "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
            "-fsdev", f"{share},id=output,path=.", "-device", "virtio-9p-pci,fsdev=output,mount_tag=output",
            "-device", "virtio-serial-pci",
            "-chardev", "stdio,id=output,signal=off", "-device", "virtserialport,chardev=output,name=output",
            # One monitor for the host; another one for the guest, by a socket whose two ends are QEMU's own.
            "-chardev", "socket,id=host,path=monitor.socket,server=on,wait=off", "-mon", "chardev=host,mode=control",
            "-chardev", "socket,id=guest,path=guest.socket,server=on,wait=off", "-mon", "chardev=guest,mode=control",
            "-chardev", "socket,id=port,path=guest.socket", "-device", "virtserialport,chardev=port,name=qmp",
        ]
        for number, drive in enumerate(self.drives, 1):
            words += drive.arguments(number)
        return words

    def _run(self, time_limit):
        sys.stdout.flush()
        with open(self.output / "machine-errors", "wb") as errors:
            # Its standard input never ends: at an end QEMU would close the port that the guest writes to.
            machine = subprocess.Popen(self._words(), cwd=self.output, stdin=subprocess.PIPE, stderr=errors,
                                       start_new_session=True)
            try:
                machine.wait(time_limit + GUEST_SECONDS)
            except subprocess.TimeoutExpired:
                raise TimedOut from None
            finally:
                if machine.poll() is None:
                    os.kill(machine.pid, signal.SIGKILL)
                machine.wait()
                machine.stdin.close()
