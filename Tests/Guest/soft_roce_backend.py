"""memkvd with `rdma.soft_roce`: it makes its link, keeps to its own, takes one over, lets go of one, and says what is missing.

Used by softroce.py. Client and server are on one link on one interface, as on a machine without a second one. The
drivers' modules stay loaded; both endpoints are put back at the end.
"""
import json
import os
import pathlib
import resource
import subprocess

from harness import roce
from remote import PATIENCE_SECONDS, Remote
from support import report
from support.daemon import clean_environment

SERVER, CLIENT = roce.ENDPOINTS
MADE = f"memkv_{SERVER.interface}"
LOADER = pathlib.Path("/proc/sys/kernel/modprobe")
FILE_MEBIBYTES, LARGE_MEBIBYTES = 4, 64
NOBODY = 65534


class Backend:
    def __init__(self, stack, directory):
        self.stack, self.directory = stack, directory
        self.remote = None

    def start(self, name, rdma):
        self.remote = Remote(self.stack, self.directory, name, rdma)
        self.remote.daemon.start()

    def problems(self):
        return self.remote.status()["problems"]

    def round_trip(self, name, device):
        """A file in and out by RDMA alone."""
        digest = self.remote.file(name, FILE_MEBIBYTES)
        self.remote.goes_in(name, "rdma", device=device)
        self.remote.comes_out(name, digest, "rdma", device=device)

    # Parts, in their order.

    def module(self):
        """Without the module memkvd says so, and begins by itself once it can be loaded."""
        for endpoint in roce.ENDPOINTS:
            roce.command("rdma", "link", "delete", endpoint.device)
        roce.command("modprobe", "-r", "rdma_rxe")
        loader = LOADER.read_text()
        LOADER.write_text("/bin/false\n")
        try:
            self.start("made", f"soft_roce: {SERVER.interface}")
            report.check("without the module the reason says what to load",
                         self.remote.health()["status"] == "degraded" and "modprobe rdma_rxe" in self.problems()[0],
                         (self.remote.health(), self.problems()))
        finally:
            LOADER.write_text(loader)
        self.remote.wait_for_rdma()
        report.check("memkvd has made its link once the kernel could load the module", links() == [MADE], links())

    def taken_over(self):
        """The link of a memkvd that was killed is the next one's, which removes it."""
        self.remote.daemon.kill()
        report.check("a killed memkvd leaves its link", links() == [MADE], links())
        self.remote.daemon.start()
        self.remote.wait_for_rdma()
        report.check("the next one takes it over", f"took over {MADE}" in self.remote.daemon.log(), self.remote.daemon.log())
        self.round_trip("taken", MADE)

    def removed_and_back(self):
        """Whoever removes the link under a transfer needn't wait for memkvd's end, and memkvd makes another."""
        before = device_index(MADE)
        self.remote.file("removed", LARGE_MEBIBYTES)
        client = self.remote.start_import("removed", "rdma", device=MADE)
        roce.wait("a queue pair is open", lambda: client.poll() is not None or self.remote.status()["active_connections"] > 0)
        report.check("a client transfers", client.poll() is None, client.poll())
        removing = subprocess.Popen(["rdma", "link", "delete", MADE], stderr=subprocess.PIPE, text=True)
        try:
            roce.wait("memkvd has let go", lambda: self.remote.status()["active_connections"] == 0 and not self.remote.health()["rdma_active"])
        finally:
            # It has the device open too, unless it has given up already.
            client.kill()
            client.communicate()
        errors = removing.communicate(timeout=PATIENCE_SECONDS)[1]
        report.check("the removal has ended, and memkvd serves", removing.returncode == 0, errors)
        roce.wait("another link is there", lambda: links() == [MADE] and device_index(MADE) != before)
        self.remote.wait_for_rdma()
        beside = Remote(self.stack, self.directory, "beside", f"soft_roce: {SERVER.interface}")
        beside.daemon.start()
        beside.wait_for_rdma()
        code = self.remote.daemon.terminate()
        report.check("a memkvd that stops leaves the link to another one that uses it", code == 0 and links() == [MADE],
                     (code, links(), self.remote.log()))
        code = beside.daemon.terminate()
        report.check("the last memkvd that stops cleanly removes the link that one of them made",
                     code == 0 and links() == [], (code, links(), beside.log()))

    def somebody_elses(self):
        """A link that was there is used and left; one that comes back under another name is found."""
        for endpoint in roce.ENDPOINTS:
            add(endpoint.device, endpoint.interface)
        self.start("used", f"soft_roce: {SERVER.interface}")
        self.remote.wait_for_rdma()
        report.check("a link that is there is used", links() == [SERVER.device, CLIENT.device], links())
        roce.command("rdma", "link", "delete", CLIENT.device, timeout=PATIENCE_SECONDS)
        report.check("memkvd doesn't keep a device that it doesn't use", links() == [SERVER.device], links())
        code = self.remote.daemon.terminate()
        report.check("and is left where it was", code == 0 and links() == [SERVER.device], (code, links()))
        self.start("interface", f"interface: {SERVER.interface}")
        self.remote.wait_for_rdma()
        roce.command("rdma", "link", "delete", SERVER.device)
        self.remote.wait_for_no_rdma()
        report.check("a device that is gone is named", SERVER.device in self.problems()[0]
                     and self.remote.health()["status"] == "degraded", (self.problems(), self.remote.health()))
        add("rxe7")
        self.remote.wait_for_rdma()
        report.check("nothing is wrong any more", self.problems() == [], self.problems())
        self.round_trip("renamed", "rxe7")
        self.remote.daemon.terminate()

    def without_rights(self):
        """As nobody: locked memory is limited; no link can be made."""
        os.chmod(self.directory, 0o755)
        said = self.as_nobody("locked", f"soft_roce: {SERVER.interface}")
        report.check("a limit of locked memory is named", "limit of locked memory, which is 64 KiB" in said, said)
        roce.command("rdma", "link", "delete", "rxe7")
        said = self.as_nobody("rights", f"soft_roce: {SERVER.interface}")
        report.check("a missing capability is named", "CAP_NET_ADMIN" in said, said)
        for endpoint in roce.ENDPOINTS:
            add(endpoint.device, endpoint.interface)
        roce.wait("both endpoints are ready", lambda: all(each.ready() for each in roce.ENDPOINTS))

    def as_nobody(self, name, rdma):
        """What a memkvd without rights says of RDMA."""
        path, log = Remote(self.stack, self.directory, name, rdma).path, self.directory / f"{name}.log"
        path.chmod(0o644)
        with open(log, "w") as file:
            process = subprocess.Popen([report.binaries() / "memkvd", "--config", path], stderr=file,
                                       stdout=subprocess.DEVNULL, env=clean_environment(), user=NOBODY, group=NOBODY,
                                       extra_groups=[], preexec_fn=limit_locked_memory)
        try:
            roce.wait("memkvd says how RDMA is",
                      lambda: process.poll() is not None or "rdma impaired" in log.read_text())
        finally:
            process.kill()
            process.wait()
        return log.read_text()


def limit_locked_memory():
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 << 10, 64 << 10))


def add(device, interface=SERVER.interface):
    roce.command("rdma", "link", "add", device, "type", "rxe", "netdev", interface)


def links():
    """The names of all RDMA devices."""
    return sorted(each["ifname"] for each in json.loads(roce.command("rdma", "-j", "link")))


def device_index(name):
    return next((each["ifindex"] for each in json.loads(roce.command("rdma", "-j", "link")) if each["ifname"] == name), None)


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    backend = Backend(stack, directory)
    return [("memkvd makes a Soft-RoCE link", backend.module), ("a link left behind", backend.taken_over),
            ("a link that is removed under memkvd", backend.removed_and_back),
            ("somebody else's link", backend.somebody_elses), ("no rights", backend.without_rights)]
