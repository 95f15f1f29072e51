"""Two Soft-RoCE endpoints, and between them Debian's own RDMA programs, then memkvd and memkv: data, a link that is cut, a bad link.

Run inside the guest by inside.py. What Debian's programs show is the machinery that MemKV's tests stand on: that traffic
crosses the link, that the link's end is the traffic's end, and that its return is enough. No program polls without
a pause: on two emulated processors it would starve rxe, which does its work in a kernel thread.
"""
import contextlib
import pathlib
import re
import subprocess

import missing
import remote_store
import served
import soft_roce_backend
from harness import roce
from support import report

SERVER, CLIENT = roce.ENDPOINTS
MESSAGE_BYTES = 64 << 10
# Perftest's own number for the connection on which both ends tell each other of their queue pairs.
PERFTEST_PORT = 18515
PATIENCE_SECONDS = 120
LOSS_PERCENT, DELAY_MILLISECONDS, DUPLICATE_PERCENT = 2, 2, 2


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    return [
        ("two Soft-RoCE endpoints", make),
        ("endpoints reach each other", lambda: transfers(directory)),
        *served.parts(stack, directory),
        *missing.parts(stack, directory),
        *remote_store.parts(stack, directory),
        ("the link is cut", cut),
        ("the link has returned", lambda: returned(directory)),
        ("a link that loses, delays and duplicates", lambda: impaired(directory)),
        *soft_roce_backend.parts(stack, directory),
        ("both endpoints are removed", remove),
    ]


def make():
    """Both are there, as the programs of users see them."""
    if missing := roce.missing_modules():
        raise report.CannotTry(f"the guest's kernel has no module {', '.join(missing)}")
    roce.make()
    for endpoint in roce.ENDPOINTS:
        said = device_information(endpoint)
        report.check(f"{endpoint.device}'s port is active and takes packets of 4096 bytes",
                     re.search(r"state:\s+PORT_ACTIVE", said) and re.search(r"active_mtu:\s+4096", said), said)


def device_information(endpoint):
    return roce.command("ibv_devinfo", "-d", endpoint.device)


def transfers(directory):
    """By librdmacm and by verbs alone, in either direction, and over the link."""
    before = [endpoint.sent_bytes() for endpoint in roce.ENDPOINTS]
    ping("rping gets its pings back", directory)
    for program in ("ib_send_bw", "ib_read_bw"):
        bandwidth(program, f"{program} transfers", directory, 64)
    grown = [endpoint.sent_bytes() - was for endpoint, was in zip(roce.ENDPOINTS, before)]
    report.check("the data has crossed the link in both directions", min(grown) > 64 * MESSAGE_BYTES, grown)


def cut():
    """Nothing gets through while it's down, everything does after."""
    roce.down(SERVER)
    for endpoint in roce.ENDPOINTS:
        said = device_information(endpoint)
        report.check(f"{endpoint.device}'s port is down", re.search(r"state:\s+PORT_DOWN", said), said)
    done = subprocess.run(["rping", "-c", "-a", SERVER.address, "-C", "1"], capture_output=True, text=True,
                          timeout=PATIENCE_SECONDS)
    report.check("while it is down there's no way", done.returncode != 0 and "ADDR_ERROR" in done.stdout + done.stderr,
                 f"exit {done.returncode}, {done.stdout}{done.stderr}")
    roce.up(SERVER)


def returned(directory):
    """Nobody has to be told."""
    ping("rping gets its pings back after the link's return", directory)
    bandwidth("ib_read_bw", "ib_read_bw transfers after the link's return", directory, 16)


def impaired(directory):
    """RDMA's reliable connections repair what the link does to them."""
    counters = [(CLIENT, "completer_retry_err"), (SERVER, "rcvd_seq_err"), (SERVER, "duplicate_request")]
    before = [endpoint.counter(name) for endpoint, name in counters]
    roce.impair(LOSS_PERCENT, DELAY_MILLISECONDS, DUPLICATE_PERCENT)
    try:
        bandwidth("ib_send_bw", f"ib_send_bw survives {LOSS_PERCENT} % loss, delay and duplicates", directory, 64)
        lost = [roce.lost_frames(endpoint) for endpoint in roce.ENDPOINTS]
        ping("rping survives them", directory)
    finally:
        roce.impair()
    grown = [endpoint.counter(name) - was for (endpoint, name), was in zip(counters, before)]
    report.check("frames were lost", lost[1] > 0, lost)
    report.check("rxe saw losses or duplicates and sent again", sum(grown) > 0, grown)
    report.note(f"lost frames {lost}; " + ", ".join(f"{name} {count}" for (_, name), count in zip(counters, grown)))
    ping("rping gets its pings back from the good link", directory)


def remove():
    """The guest is as it was."""
    roce.remove()
    report.check("no RDMA device is left", roce.command("rdma", "link") == "", roce.command("rdma", "link"))
    left = sorted(path.name for path in pathlib.Path("/sys/class/net").iterdir())
    report.check("no interface is left but the loopback one", left == ["lo"], left)
    rules = roce.command("ip", "rule").splitlines()
    report.check("no rule is left but the kernel's own three", len(rules) == 3, rules)


def ping(what, directory):
    """Five pings: each is a write of the server's and a read, over a connection made by librdmacm."""
    with ping_server(directory) as server:
        client = start(directory / "client", "rping", "-c", "-a", SERVER.address, "-S", 4096, "-C", 5, "-V")
        verdict = finish(client), finish(server)
    report.check(what, verdict == (0, 0), f"exits {verdict}: " + both(directory))


def ping_server(directory):
    return running(directory / "server", connections_accepted, "rping", "-s", "-a", SERVER.address, "-S", 4096, "-V")


def bandwidth(program, what, directory, messages):
    """`messages` of 64 KiB by a program of perftest's."""
    with running(directory / "server", lambda: listening(PERFTEST_PORT),
                 *bandwidth_words(SERVER, program, messages)) as server:
        client = start(directory / "client", *bandwidth_words(CLIENT, program, messages), SERVER.address)
        verdict = finish(client), finish(server)
    said = text_of(directory / "client")
    line = re.search(rf"^\s*{MESSAGE_BYTES}\s+{messages}\s.*$", said, re.MULTILINE)
    report.check(what, verdict == (0, 0) and line, f"exits {verdict}: " + both(directory))


def bandwidth_words(endpoint, program, messages):
    """With -e it sleeps until there is something to do; ib_write_bw can't, and so isn't used."""
    return [program, "-e", "-F", "-d", endpoint.device, "-x", endpoint.gid_index(), "-s", MESSAGE_BYTES,
            "-n", messages, "-t", 8, "-p", PERFTEST_PORT]


def connections_accepted():
    """Whether somebody listens by librdmacm."""
    return "LISTEN" in roce.command("rdma", "resource", "show", "cm_id")


def listening(port):
    """Whether somebody listens there, for TCP."""
    lines = [line.split() for name in ("tcp", "tcp6")
             for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return any(words[1].endswith(f":{port:04X}") and words[3] == "0A" for words in lines)


@contextlib.contextmanager
def running(output, ready, *words):
    """A server that has got ready; it is gone afterwards, and what it listened on too."""
    server = start(output, *words)
    try:
        roce.wait(f"{words[0]} listens", lambda: server.poll() is not None or ready())
        if server.poll() is not None:
            raise RuntimeError(f"{words[0]} ended with {server.returncode}: {text_of(output)}")
        yield server
    finally:
        server.kill()
        server.wait()
        roce.wait(f"{words[0]} listens no longer", lambda: not ready())


def start(output, *words):
    with open(output, "w") as file:
        return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=file,
                                stderr=subprocess.STDOUT)


def finish(process):
    """Its exit status; None when it came to no end and was killed."""
    try:
        return process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def text_of(path):
    return path.read_text(errors="replace")


def both(directory):
    return f"{text_of(directory / 'client')}\nserver: {text_of(directory / 'server')}"
