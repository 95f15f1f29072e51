"""Loop devices, small file systems, and a drive that loses what was not flushed; all taken down again.

Always holds: what was set up here is undone by the stack it was given, in reverse order, also after a failure.
Raises CannotTry where the machine lacks what it takes.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from .report import CannotTry

PATIENCE_SECONDS = 30


@contextlib.contextmanager
def workshop(name):
    """(stack, directory) for one part of a script."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("stopped by a signal"))
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"memkv-{name}-"))
        yield stack, pathlib.Path(directory)


def need(*programs, root=True):
    if root and os.geteuid() != 0:
        raise CannotTry("needs root")
    for program in programs:
        if not shutil.which(program):
            raise CannotTry(f"{program} is not installed")


def command(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotTry(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout.strip()


def sparse_file(path, size_bytes):
    with open(path, "wb") as file:
        file.truncate(size_bytes)
    return path


def loop_device(stack, file, sector_bytes=512):
    """A loop device over `file`, past the page cache; /dev/loopN."""
    need("losetup")
    device = command("losetup", "--find", "--show", "--direct-io=on", "--sector-size", sector_bytes, file)
    stack.callback(lambda: quietly("losetup", "--detach", device))
    return device


def detach(device):
    """Ends a loop device. The kernel does it when the last program that has it open closes it, somebody's look at all
    devices included."""
    command("losetup", "--detach", device)
    backing_file = pathlib.Path(f"/sys/block/{pathlib.Path(device).name}/loop/backing_file")
    end = time.monotonic() + PATIENCE_SECONDS
    while backing_file.exists():
        if time.monotonic() > end:
            raise RuntimeError(f"{device} is held by somebody")
        time.sleep(0.05)


def quietly(*words):
    """Undoing: what is gone already is fine."""
    subprocess.run([str(word) for word in words], capture_output=True)


def file_system(stack, directory, size_bytes):
    """A mounted ext4 of that size, without reserved blocks; its directory."""
    need("losetup", "mkfs.ext4", "mount", "umount")
    image = sparse_file(directory / "ext4.image", size_bytes)
    command("mkfs.ext4", "-q", "-m", "0", image)
    mounted = directory / "mounted"
    mounted.mkdir()
    device = loop_device(stack, image)
    command("mount", device, mounted)
    stack.callback(unmount, mounted)
    return mounted


def unmount(directory):
    """Unmounts; a process that has ended can keep a file open for a moment, until its ring is taken down."""
    end = time.monotonic() + PATIENCE_SECONDS
    while is_mounted(directory) and time.monotonic() < end:
        quietly("umount", directory)
        time.sleep(0.05)


def is_mounted(directory):
    """By the kernel's table: a file system whose server is gone answers no question about itself."""
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    return any(line.split()[1] == str(directory) for line in mounts)


class PowerCutDrive:
    """A block device whose power can be cut: writes reach the image at a flush, and only then.

    memkvd -> /dev/loopN -> file in a FUSE file system (nbdfuse) -> nbdkit with its cache filter -> image.
    With `flushes_work=False` the cache takes flushes and does nothing (cache=unsafe).
    """

    def __init__(self, stack, directory, image):
        need("nbdfuse", "nbdkit", "losetup", "umount")
        if not os.path.exists("/dev/fuse"):
            raise CannotTry("/dev/fuse is missing")
        self.directory, self.image = directory, image
        self.mount = directory / "fuse"
        self.mount.mkdir()
        self.fuse = self.nbdkit = self.device = None
        stack.callback(self.take_down)

    def set_up(self, flushes_work=True):
        """Switches it on; returns the device."""
        mode = "writeback" if flushes_work else "unsafe"
        self.fuse = subprocess.Popen(
            ["nbdfuse", self.mount / "drive", "[", "nbdkit", "--exit-with-parent", "--filter=cache", "file",
             self.image, f"cache={mode}", "]"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": str(self.directory)})
        end = time.monotonic() + PATIENCE_SECONDS
        while not (self.mount / "drive").exists():
            if self.fuse.poll() is not None or time.monotonic() > end:
                raise CannotTry(f"nbdfuse doesn't mount (exit {self.fuse.poll()})")
            time.sleep(0.02)
        children = pathlib.Path(f"/proc/{self.fuse.pid}/task/{self.fuse.pid}/children").read_text().split()
        if len(children) != 1:
            raise CannotTry(f"nbdfuse has children {children}, not one nbdkit")
        self.nbdkit = int(children[0])
        self.device = command("losetup", "--find", "--show", "--direct-io=on", self.mount / "drive")
        return self.device

    def cut_power(self):
        """Everything that was written and not flushed is gone, from one moment to the next."""
        os.kill(self.nbdkit, signal.SIGKILL)
        self.nbdkit = None

    def take_down(self):
        """Removes the device and what is under it. Nobody may have it open."""
        if self.device is not None:
            quietly("losetup", "--detach", self.device)
            self.device = None
        if self.fuse is not None:
            unmount(self.mount)
            self.fuse.terminate()
            self.fuse.wait()
            self.fuse = self.nbdkit = None
