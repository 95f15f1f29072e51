"""Drives that can be made sick and well again while they are in use: files over nbdkit, by way of FUSE.

Always holds: what was set up here is undone by the stack it was given. A drive is well when it is made.
"""
import os
import pathlib
import subprocess
import time

from .drives import PATIENCE_SECONDS, loop_device, need, quietly, sparse_file, unmount
from .report import CannotTry


class SickDrive:
    """A file whose server is nbdkit, with `arguments`; itself, or a loop device over it, is the drive."""

    def __init__(self, stack, directory, name, arguments, image, is_device):
        need("nbdfuse", "nbdkit", "umount")
        if not os.path.exists("/dev/fuse"):
            raise CannotTry("/dev/fuse is missing")
        self.image = image
        self.switch = directory / f"{name}.switch"
        mount = directory / f"{name}.fuse"
        mount.mkdir()
        words = [word.format(image=self.image, switch=self.switch) for word in arguments]
        fuse = subprocess.Popen(
            ["nbdfuse", mount / "drive", "[", "nbdkit", "--exit-with-parent", *words, "]"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": str(directory)})
        stack.callback(self.end, fuse, mount)
        end = time.monotonic() + PATIENCE_SECONDS
        while not (mount / "drive").exists():
            if fuse.poll() is not None or time.monotonic() > end:
                raise CannotTry(f"nbdfuse doesn't mount (exit {fuse.poll()})")
            time.sleep(0.02)
        self.path = loop_device(stack, mount / "drive") if is_device else str(mount / "drive")

    def end(self, fuse, mount):
        # A flush that still hangs would keep everything above it.
        self.get_well()
        unmount(mount)
        quietly("umount", "--lazy", mount)
        fuse.terminate()
        try:
            fuse.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            fuse.kill()
            fuse.wait()

    def get_well(self):
        pathlib.Path(self.switch).unlink(missing_ok=True)


class FailingDrive(SickDrive):
    """Answers everything with EIO while it is ill."""

    def __init__(self, stack, directory, name, size_bytes):
        super().__init__(
            stack, directory, name,
            ["--filter=error", "file", "{image}", "error=EIO", "error-rate=100%", "error-file={switch}"],
            sparse_file(directory / f"{name}.image", size_bytes), is_device=True)

    def fall_ill(self):
        self.switch.touch()


class SlowDrive(SickDrive):
    """Moves few bytes a second while it is ill."""

    WELL = "100G"

    def __init__(self, stack, directory, name, size_bytes, ill="300k"):
        self.ill = ill
        (directory / f"{name}.switch").write_text(self.WELL)
        super().__init__(
            stack, directory, name, ["--filter=rate", "file", "{image}", "rate-file={switch}"],
            sparse_file(directory / f"{name}.image", size_bytes), is_device=True)

    def fall_ill(self):
        self.switch.write_text(self.ill)

    def get_well(self):
        self.switch.write_text(self.WELL)


class StallingDrive(SickDrive):
    """Doesn't finish a flush while it is ill; reads and writes go on. A file, since a loop device would keep reads
    behind a flush. `image` is to be formatted before: each operation costs the plugin a process or two."""

    def __init__(self, stack, directory, name, image):
        super().__init__(
            stack, directory, name,
            ["eval", "get_size=stat -Lc %s '{image}'", "thread_model=echo parallel",
             "pread=dd if='{image}' skip=$4 count=$3 iflag=count_bytes,skip_bytes status=none",
             "pwrite=dd of='{image}' seek=$4 conv=notrunc oflag=seek_bytes status=none",
             "can_write=exit 0", "can_flush=exit 0",
             "flush=while [ -e '{switch}' ]; do sleep 0.1; done; sync '{image}'"],
            image, is_device=False)

    def fall_ill(self):
        self.switch.touch()
