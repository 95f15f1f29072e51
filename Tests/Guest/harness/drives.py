"""Emulated NVMe drives: how QEMU is told of them, and what can be done to them while the guest runs.

Each drive is a controller of its own behind a PCIe port of its own, so that each can be pulled out. Under it:

    NAME        the NVMe controller
    NAME-limits a throttle: how many bytes a second
    NAME-media  what it reads and writes; a fault can be put between it and the file
    NAME-file   OUTPUT/NAME.image, sparse

A flush reaches the image's page cache on the host and no further: the image needn't outlive the host.
"""
import json
import pathlib
import re
import subprocess
import time

from .qmp import Monitor

GUEST_OUTPUT = pathlib.Path("/run/guest/output")
# Where the guest keeps its links to drives by name.
LINKS = pathlib.Path("/dev/guest")
PATIENCE_SECONDS = 120


class Drive:
    """NAME:SIZE:BLOCK, such as a:512M:4096."""

    def __init__(self, text):
        found = re.fullmatch(r"([a-z][a-z0-9]{0,9}):(\d+)([MG]):(512|4096)", text)
        if not found:
            raise ValueError(f"{text!r} is no drive: NAME:SIZE:BLOCK, such as a:512M:4096; NAME is letters and "
                             "digits, SIZE in M or G, BLOCK 512 or 4096")
        self.name = found[1]
        self.size_bytes = int(found[2]) << (20 if found[3] == "M" else 30)
        self.block_bytes = int(found[4])

    def controller(self):
        """The properties of its device."""
        return {"driver": "nvme", "id": self.name, "serial": self.name, "bus": f"{self.name}-port",
                "drive": f"{self.name}-throttle", "max_ioqpairs": 2,
                "logical_block_size": self.block_bytes, "physical_block_size": self.block_bytes}

    def arguments(self, number):
        """QEMU's arguments, with the image relative to its working directory."""
        name = self.name
        file = {"driver": "file", "node-name": f"{name}-file", "filename": f"{name}.image", "discard": "unmap",
                "cache": {"no-flush": True}}
        media = {"driver": "raw", "node-name": f"{name}-media", "file": f"{name}-file", "discard": "unmap"}
        throttle = {"driver": "throttle", "node-name": f"{name}-throttle", "throttle-group": f"{name}-limits",
                    "file": f"{name}-media", "discard": "unmap"}
        words = ["-device", f"pcie-root-port,id={name}-port,chassis={number},slot={number}",
                 "-object", f"throttle-group,id={name}-limits"]
        for node in (file, media, throttle):
            words += ["-blockdev", json.dumps(node)]
        return words + ["-device", json.dumps(self.controller())]


class Drives:
    """The drives of the guest that this program runs in."""

    def __init__(self):
        known = json.loads((GUEST_OUTPUT / "drives").read_text())
        self.known = {drive.name: drive for drive in map(Drive, known)}
        self.monitor = Monitor("/dev/virtio-ports/qmp")

    def path(self, name):
        return LINKS / self.known[name].name

    def unplug(self, name):
        """Asks the guest to let go of a drive and waits until it has gone, whoever has it open."""
        self.monitor.call("device_del", id=self.known[name].name)
        self.monitor.await_event("DEVICE_DELETED", device=name)
        link_drives()

    def plug(self, name):
        """Puts it back, with what it held; waits until it is there."""
        self.monitor.call("device_add", **self.known[name].controller())
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            link_drives()
            if self.path(name).exists():
                return
            if time.monotonic() > end:
                raise RuntimeError(f"drive {name} doesn't come back")
            time.sleep(0.5)

    def fail_reads(self, name, offset_bytes):
        """From now on, the 512 bytes at `offset_bytes` can't be read."""
        fault = {"event": "none", "iotype": "read", "sector": offset_bytes // 512, "errno": 5, "once": False,
                 "immediately": True}
        self.monitor.call("blockdev-add", **{
            "driver": "blkdebug", "node-name": f"{name}-fault", "image": f"{name}-file", "discard": "unmap",
            "inject-error": [fault]})
        self._put_on(name, f"{name}-fault")

    def heal(self, name):
        """Ends `fail_reads`."""
        self._put_on(name, f"{name}-file")
        self.monitor.call("blockdev-del", **{"node-name": f"{name}-fault"})

    def slow_down(self, name, bytes_per_second):
        """0 ends it. What waits already goes at the old speed, so that a drive stays slow for a while after it."""
        self.monitor.call("qom-set", path=f"/objects/{name}-limits", property="limits",
                          value={"bps-total": bytes_per_second})

    def _put_on(self, name, node):
        media = {"driver": "raw", "node-name": f"{name}-media", "file": node, "discard": "unmap"}
        self.monitor.call("blockdev-reopen", options=[media])


def link_drives():
    subprocess.run(["bash", "/run/guest/link-drives"], check=True)
