"""Two Soft-RoCE endpoints in the guest, joined by a link that can be cut and disturbed.

    rxe0 on roce0, 10.77.0.1  <== a veth pair ==>  roce1, 10.77.0.2, with rxe1

Both are in one network namespace: the rxe of kernels before 7 receives nothing in another one. The kernel would
deliver what goes from one of its own addresses to another without a link, so rules send what is for an endpoint's
address out of the other endpoint; only what comes in by the link is delivered. This holds for every protocol, TCP
too, and nobody needs to bind a source address. While the link is down there is no other way: the address is
unreachable.
"""
import ipaddress
import json
import pathlib
import re
import subprocess
import time
import typing

MODULES = ["rdma_rxe", "rdma_ucm", "ib_uverbs", "veth", "sch_netem"]
# With 4200 bytes a frame holds RDMA's largest packet, 4096 and its headers.
FRAME_BYTES = 4200
PATIENCE_SECONDS = 120
SETTINGS = {"accept_local": 1, "rp_filter": 0, "arp_ignore": 1, "arp_announce": 2}


class Endpoint(typing.NamedTuple):
    """An RDMA device, its network interface and its address; `table` holds the route to it."""
    device: str
    interface: str
    address: str
    table: int

    def exists(self):
        return self._port().exists()

    def state(self):
        """Of its port, as the kernel calls it, such as ACTIVE or DOWN."""
        return (self._port() / "state").read_text().split()[-1]

    def gid_index(self):
        """Of its RoCE v2 GID with its IPv4 address; None while there is none."""
        for file in (self._port() / "gids").iterdir():
            try:
                # Most of the table is empty; the type of an empty entry can't be read.
                found = ipaddress.IPv6Address(file.read_text().strip())
                kind = (self._port() / "gid_attrs/types" / file.name).read_text().strip()
            except OSError:
                continue
            if str(found.ipv4_mapped) == self.address and kind == "RoCE v2":
                return int(file.name)
        return None

    def ready(self):
        return self.exists() and self.state() == "ACTIVE" and self.gid_index() is not None

    def counter(self, name):
        """What its RDMA device counts, such as completer_retry_err: see hw_counters in sysfs."""
        return int((self._port() / "hw_counters" / name).read_text())

    def sent_bytes(self):
        """What its interface has sent to the link."""
        return int(pathlib.Path(f"/sys/class/net/{self.interface}/statistics/tx_bytes").read_text())

    def _port(self):
        return pathlib.Path(f"/sys/class/infiniband/{self.device}/ports/1")


ENDPOINTS = (Endpoint("rxe0", "roce0", "10.77.0.1", 101), Endpoint("rxe1", "roce1", "10.77.0.2", 102))


class Refused(Exception):
    """The guest's kernel refused something or lacks it; the text says what."""


def missing_modules():
    """Those that the guest's kernel hasn't: every kernel of Debian's has them but the cloud ones."""
    found = subprocess.run(["modprobe", "--dry-run", "-a", *MODULES], capture_output=True, text=True).stderr
    return re.findall(r"Module (\S+) not found", found)


def make():
    """Loads the drivers, makes both endpoints and waits until they are ready."""
    if missing := missing_modules():
        raise Refused(f"the guest's kernel has no module {', '.join(missing)}")
    command("modprobe", "-a", *MODULES)
    first, second = ENDPOINTS
    command("ip", "link", "add", first.interface, "mtu", FRAME_BYTES, "type", "veth",
            "peer", "name", second.interface, "mtu", FRAME_BYTES)
    for endpoint in ENDPOINTS:
        for name, value in SETTINGS.items():
            pathlib.Path(f"/proc/sys/net/ipv4/conf/{endpoint.interface}/{name}").write_text(str(value))
    ip(*[f"address add {endpoint.address}/24 dev {endpoint.interface}" for endpoint in ENDPOINTS],
       *[f"link set {endpoint.interface} up" for endpoint in ENDPOINTS], *routes(), *rules("add"),
       "rule add pref 9 lookup local", "rule del pref 0")
    for endpoint in ENDPOINTS:
        command("rdma", "link", "add", endpoint.device, "type", "rxe", "netdev", endpoint.interface)
    wait("both endpoints are ready", lambda: all(endpoint.ready() for endpoint in ENDPOINTS))


def remove():
    """Removes both endpoints, their link and its rules; waits until they have gone."""
    for endpoint in ENDPOINTS:
        command("rdma", "link", "delete", endpoint.device)
    ip("rule add pref 0 lookup local", "rule del pref 9", *rules("del"), f"link del {ENDPOINTS[0].interface}",
       *[f"route flush table {endpoint.table}" for endpoint in ENDPOINTS])
    wait("both endpoints have gone", lambda: not any(endpoint.exists() for endpoint in ENDPOINTS))


def down(endpoint):
    """Cuts the link at one end, which both ends notice; waits until both ports say so."""
    ip(f"link set {endpoint.interface} down")
    wait("both ports are down", lambda: all(each.state() == "DOWN" for each in ENDPOINTS))


def up(endpoint):
    """Ends `down`, puts back the routes that it took, and waits until both endpoints are ready."""
    ip(f"link set {endpoint.interface} up", *routes())
    wait("both endpoints are ready", lambda: all(each.ready() for each in ENDPOINTS))


def is_broken(endpoint):
    """Whether its queue pair 1, by which all connections are made, has failed: rxe has no way back from that."""
    said = command("rdma", "resource", "show", "qp", "link", f"{endpoint.device}/1")
    return re.search(r"type GSI .*?state ERR", said) is not None


def renew(endpoint):
    """Makes its device anew; whoever has it open must let go by itself."""
    command("rdma", "link", "delete", endpoint.device, timeout=120)
    command("rdma", "link", "add", endpoint.device, "type", "rxe", "netdev", endpoint.interface)
    wait("both endpoints are ready", lambda: all(each.ready() for each in ENDPOINTS))


def impair(loss_percent=0, delay_milliseconds=0, duplicate_percent=0):
    """From now on each direction loses, delays and duplicates so much of what is sent; without any, it's good."""
    wanted = [("loss", loss_percent, "%"), ("delay", delay_milliseconds, "ms"), ("duplicate", duplicate_percent, "%")]
    words = [word for name, amount, unit in wanted if amount for word in (name, f"{amount}{unit}")]
    for endpoint in ENDPOINTS:
        # `replace` would leave out what isn't named, but keep a discipline where none is wanted.
        subprocess.run(["tc", "qdisc", "del", "dev", endpoint.interface, "root"], capture_output=True)
        if words:
            command("tc", "qdisc", "add", "dev", endpoint.interface, "root", "netem", *words)


def lost_frames(endpoint):
    """How many of its frames `impair` has lost so far."""
    [discipline] = json.loads(command("tc", "-s", "-j", "qdisc", "show", "dev", endpoint.interface, "root"))
    return discipline["drops"]


def rules(action):
    """The lookups before the kernel's own addresses: what comes in by the link; what an endpoint says to itself."""
    return [line for number, endpoint in enumerate(ENDPOINTS) for line in (
        f"rule {action} pref {1 + number} iif {endpoint.interface} lookup local",
        f"rule {action} pref {3 + number} from {endpoint.address} to {endpoint.address} lookup local",
        f"rule {action} pref {5 + number} to {endpoint.address} lookup {endpoint.table}")]


def routes():
    """To each endpoint out of the other one; a link that is down takes the better route, and leaves the other."""
    return [line for target, source in zip(ENDPOINTS, reversed(ENDPOINTS)) for line in (
        f"route replace {target.address} dev {source.interface} src {source.address} table {target.table}",
        f"route replace unreachable {target.address} metric 4096 table {target.table}")]


def ip(*lines):
    """One process for many changes."""
    command("ip", "-batch", "-", input="".join(f"{line}\n" for line in lines))


def command(*words, **more):
    """Runs a program; returns what it said. Raises Refused."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise Refused(f"{' '.join(str(word) for word in words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def wait(what, holds):
    """Waits for a state. Raises Refused when it doesn't come."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise Refused(f"waited {PATIENCE_SECONDS} seconds in vain: {what}")
        time.sleep(0.1)
