"""The link under a memkvd that runs: lost while nobody uses it, without an address, cut and bad under transfers.

Always holds: nothing is restarted; what a client was told is compared with what comes out afterwards.
"""
from harness import roce
from remote import SERVER, finished
from support import report
from support.content import sha256

SMALL_MEBIBYTES, LARGE_MEBIBYTES = 4, 64
LOSS_PERCENT, DELAY_MILLISECONDS, DUPLICATE_PERCENT = 1, 1, 1
# A client whose link was cut waits so long for what it has asked for by RDMA.
CUT_PATIENCE_SECONDS = 10
# To cut the link under a transfer without breaking rxe.
ATTEMPTS = 3


class Broken(Exception):
    """A device can't be used any more for what rxe lacks."""


def expect_whole():
    """What has failed isn't the device's fault."""
    if any(roce.is_broken(endpoint) for endpoint in roce.ENDPOINTS):
        raise Broken


class Link:
    def __init__(self, remote, metrics):
        self.remote, self.metrics = remote, metrics
        self.cuts = 0

    def lost(self):
        """RDMA is lost, and comes back; TCP carries on, and everything says so."""
        remote = self.remote
        process = remote.daemon.process
        digest = remote.file("meanwhile", SMALL_MEBIBYTES)
        self.metrics.alike("before")
        roce.down(SERVER)
        try:
            remote.wait_for_no_rdma()
            self.metrics.alike("with the link down", False, f"the port of RDMA device {SERVER.device} isn't active")
            remote.goes_in("meanwhile", "auto")
            code, said = remote.memkv("rdma", "exists", "a", timeout=5)
            report.check("who insists on RDMA is told why not", code not in (0, 1) and said, f"{code} {said}")
        finally:
            roce.up(SERVER)
        self.is_well()
        self.metrics.alike("after the link's return")
        remote.comes_out("meanwhile", digest, "rdma")
        report.check("nothing was restarted", remote.daemon.process is process and process.poll() is None)

    def is_well(self):
        roce.wait("memkvd is healthy", lambda: self.remote.health()["status"] == "healthy")

    def without_address(self):
        """A device without an address can't be reached, though its port is active."""
        family = f"/proc/sys/net/ipv6/conf/{SERVER.interface}/disable_ipv6"
        with open(family, "w") as file:
            file.write("1")
        roce.ip(f"address del {SERVER.address}/24 dev {SERVER.interface}")
        try:
            reason = f"{SERVER.device} has no RoCE v2 address"
            roce.wait("the reason is told", lambda: reason in "".join(self.remote.status()["problems"]))
            health = self.remote.health()
            report.check("a device that has lost its address isn't active, though its port is",
                         (health["status"], health["rdma_active"], SERVER.state()) == ("degraded", False, "ACTIVE"),
                         (health, SERVER.state()))
        finally:
            roce.ip(f"address add {SERVER.address}/24 dev {SERVER.interface}")
            with open(family, "w") as file:
                file.write("0")
            roce.up(SERVER)
        self.is_well()
        code, said = self.remote.memkv("rdma", "exists", "a")
        report.check("clients come by RDMA again when it is back", code == 1, f"{code} {said} {self.remote.log()}")

    def cut(self):
        """Under an import, which goes on by TCP and, with the link, by RDMA; then under an export by RDMA alone."""
        name, digest = self.unless_broken(self.cut_under_import)
        self.unless_broken(lambda: self.cut_under_export(name, digest))

    def unless_broken(self, part):
        """Once more when the cut has broken a device for good (Docs/rdma.md): nobody comes back by it then, so it is
        made anew."""
        for _ in range(ATTEMPTS - 1):
            try:
                return part()
            except Broken:
                for endpoint in roce.ENDPOINTS:
                    if roce.is_broken(endpoint):
                        report.note(f"the cut has broken {endpoint.device}, which is made anew")
                        roce.renew(endpoint)
                self.is_well()
        return part()

    def cut_under_import(self):
        """The file that went in, and its SHA-256."""
        remote = self.remote
        # Another one in each attempt: what is there already doesn't travel.
        self.cuts += 1
        name = f"cut{self.cuts}"
        digest = remote.file(name, LARGE_MEBIBYTES)
        client = remote.start_import(name, "auto", timeout=CUT_PATIENCE_SECONDS)
        fetched = remote.transferred()[0]
        self.run_until(client, "values come by RDMA", lambda: remote.transferred()[0] >= fetched + 4)
        # TCP is slowed down, so that it isn't done before RDMA is back.
        roce.command("tc", "qdisc", "add", "dev", "lo", "root", "netem", "rate", "10mbit")
        try:
            roce.down(SERVER)
            try:
                stored = self.stored()
                self.run_until(client, "it goes on by TCP", lambda: self.stored() >= stored + 4)
            finally:
                roce.up(SERVER)
            fetched = remote.transferred()[0]
            self.run_until(client, "and by RDMA again after the link's return",
                           lambda: remote.transferred()[0] > fetched)
        finally:
            roce.command("tc", "qdisc", "del", "dev", "lo", "root")
        code, said = finished(client)
        report.check("the import whose link was cut has ended well", code == 0, f"exit {code}: {said} {remote.log()}")
        remote.comes_out(name, digest, "tcp")
        return name, digest

    def cut_under_export(self, name, digest):
        """By RDMA alone: the client has to wait, and must not end while its endpoint is down (Docs/guest.md)."""
        remote = self.remote
        copy = remote.directory / "cut.copy"
        client = remote.start_memkv("rdma", "export", remote.manifest(name), "-o", copy)
        brought = remote.transferred()[1]
        self.run_until(client, "values leave by RDMA", lambda: remote.transferred()[1] >= brought + 4)
        roce.down(SERVER)
        try:
            remote.wait_for_no_rdma()
        finally:
            roce.up(SERVER)
        code, said = finished(client)
        if code != 0:
            expect_whole()
        report.check("the export whose link was cut has its SHA-256", code == 0 and sha256(copy) == digest,
                     f"exit {code}: {said} {remote.log()}")
        copy.unlink(missing_ok=True)
        self.is_well()
        roce.wait("no queue pair is left", lambda: remote.status()["active_connections"] == 0)

    def stored(self):
        return self.remote.metrics().sum("memkv_write_bytes_total") / (1 << 20)

    def run_until(self, client, what, holds):
        """Checks that a client is still at work when something holds."""
        roce.wait(what, lambda: client.poll() is not None or holds())
        if client.poll() is not None:
            expect_whole()
        if not report.check(what, client.poll() is None, client.poll()):
            raise RuntimeError(f"the client has ended: {finished(client)}, {self.remote.log()}")

    def bad(self):
        """A link that loses, delays and duplicates costs time and nothing else."""
        remote = self.remote
        digest = remote.file("bad", SMALL_MEBIBYTES)
        before = remote.transferred()
        roce.impair(LOSS_PERCENT, DELAY_MILLISECONDS, DUPLICATE_PERCENT)
        try:
            remote.goes_in("bad", "rdma")
            remote.comes_out("bad", digest, "rdma")
            lost = [roce.lost_frames(endpoint) for endpoint in roce.ENDPOINTS]
        finally:
            roce.impair()
        grown = [now - was for now, was in zip(remote.transferred(), before)]
        report.check("all of it by RDMA, over a link that lost frames", min(grown) >= SMALL_MEBIBYTES and min(lost) > 0,
                     f"{grown} values, {lost} frames lost")
        report.note(f"frames lost: {lost}")
        roce.wait("no request and no queue pair is left", lambda: remote.status()["active_connections"] == 0
                  and remote.metrics().sum("memkv_operations_in_progress") == 0)
