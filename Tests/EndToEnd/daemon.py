#!/usr/bin/env python3
"""memkvd as its operator meets it: start, admin endpoint, stop, and every refusal with its exit code.

Finds the program in $MEMKV_BINARIES. Prints "N passed, N failed".
"""
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

MEMKVD = pathlib.Path(os.environ["MEMKV_BINARIES"]) / "memkvd"
PATIENCE_SECONDS = 60
results = {"passed": 0, "failed": 0}
work = tempfile.TemporaryDirectory(prefix="memkvd-test-")
root = pathlib.Path(work.name)


def check(what, condition, detail=""):
    results["passed" if condition else "failed"] += 1
    if not condition:
        print(f"FAILED {what}: {detail}")


def free_ports():
    """A data port whose neighbours are free too, below those that the kernel hands out by itself: who asks whether
    somebody listens on one of those may be connected with himself."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in (port - 1, port, port + 1):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port


def write(name, text):
    path = root / name
    path.write_text(text)
    return path


def environment(**extra):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MEMKVD_")}
    return clean | extra


def run(*arguments, **extra):
    """Runs memkvd where it should end by itself; returns its exit code, output and errors."""
    done = subprocess.run([MEMKVD, *map(str, arguments)], capture_output=True, text=True,
                          timeout=PATIENCE_SECONDS, env=environment(**extra))
    return done.returncode, done.stdout, done.stderr


def refused(what, code, sentence, *arguments, **extra):
    got, _, errors = run(*arguments, **extra)
    check(what, got == code and sentence in errors, f"exit {got}, {errors!r}")


def get(port, path, method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{port + 1}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def raw(port, path, method):
    """(HTTP status, the header Allow, the body) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port + 1, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Allow"), answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def serving(*arguments, port, **extra):
    """A memkvd that is ready."""
    log = open(root / f"log-{port}", "w+")
    process = subprocess.Popen([MEMKVD, *map(str, arguments)], stdout=subprocess.PIPE,
                               stderr=log, text=True, env=environment(**extra))
    process.log = lambda: pathlib.Path(log.name).read_text()
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while get(port, "/v1/ready") != (200, "ok"):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"not ready (exit {process.poll()}): {process.log()}")
            time.sleep(0.02)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        log.close()


def stops(what, process, number):
    process.send_signal(number)
    try:
        code = process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        code = "still running"
    log = process.log()
    check(what, code == 0 and "msg=draining" in log and "msg=stopped" in log, f"{code}: {log}")


def lifecycle():
    port = free_ports()
    store = root / "a directory/store"
    arguments = ["--data", store, "--listen", f"127.0.0.1:{port}"]
    with serving(*arguments, port=port) as process:
        names = sorted(p.name for p in store.iterdir())
        check("a store is made", names == ["drive-0.memkv"], names)
        code, body = get(port, "/v1/health")
        health = {"status": "healthy", "rdma_active": False, "drives_online": 1,
                  "drives_offline": 0, "drives_total": 1}
        check("health", (code, json.loads(body)) == (200, health), body)
        code, body = get(port, "/v1/status")
        status = json.loads(body)
        check("status has the contract's keys",
              list(status) == ["memory", "storage", "rdma", "blocks_total", "blocks_persisted",
                               "uptime_seconds"], body)
        devices = status["storage"]["devices"]
        check("status names the drive",
              [d["path"] for d in devices] == [str(store / "drive-0.memkv")], body)
        device = devices[0]
        check("status counts the drive's bytes",
              device["raw_capacity_bytes"] == (store / "drive-0.memkv").stat().st_size
              and device["usable_bytes"] > 0
              and device["usable_bytes"] + device["metadata_bytes"]
              == device["raw_capacity_bytes"], body)
        check("an unknown path", get(port, "/v1/nothing")[0] == 404)
        for path in ("/v1/health", "/v1/ready", "/v1/status"):
            code, allowed, body = raw(port, path, "POST")
            check(f"POST {path} is not allowed", (code, allowed, body) == (405, "GET, HEAD", b""), (code, allowed))
            code, _, body = raw(port, path, "HEAD")
            check(f"HEAD {path} is GET without a body", (code, body) == (200, b""), (code, body))
        check("HEAD elsewhere", raw(port, "/v1/nothing", "HEAD")[0] == 404)
        with open(f"/proc/{process.pid}/net/tcp") as table:
            mine = [line.split()[1] for line in table if line.split()[3] == "0A"]
            ports = [f"0100007F:{number:04X}" for number in (port, port + 1)]
            check("both ports are on the loopback", all(p in mine for p in ports), mine)

        other = free_ports()
        refused("a data port in use", 4, f"data port 127.0.0.1:{port} is in use",
                "--data", root / "other", "--listen", f"127.0.0.1:{port}")
        check("nothing is made for a port in use", not (root / "other").exists())
        refused("a drive in use", 3, "is in use: another memkvd",
                "--data", store, "--listen", f"127.0.0.1:{other}")
        refused("an admin port in use", 4, f"admin port 127.0.0.1:{port} is in use",
                "--data", root / "below", "--listen", f"127.0.0.1:{port - 1}")
        stops("SIGTERM", process, signal.SIGTERM)
        said = process.stdout.read()
        check("a person is told what to type",
              "import" in said and "Ctrl-C" in said and str(port) in said, said)
    with serving(*arguments, port=port) as process:
        check("a store is made once", "store made" not in process.log(), process.log())
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        stops("SIGINT, and again", process, signal.SIGINT)
    return store


def configuration_file(store):
    port = free_ports()
    config = write("good.yaml", f"""
network: {{ address: "127.0.0.1:{port}" }}
memory: {{ block_size: 1 MiB, max_size: 64 MiB }}
storage:
  mode: file
  drives:
    - media: "{store}/drive-0.memkv"
""")
    with serving("--config", config, port=port) as process:
        _, body = get(port, "/v1/status")
        memory = json.loads(body)["memory"]
        check("the file's memory", memory["total_bytes"] == 64 << 20
              and memory["slabs_total"] == 64, body)
        stops("a configured server", process, signal.SIGTERM)
    listen = free_ports()
    with serving(port=listen, MEMKVD_CONFIG=str(config),
                 MEMKVD_LISTEN=f"127.0.0.1:{listen}") as process:
        check("the environment beats the file", get(port, "/v1/ready")[0] == 0)
        stops("a server by its environment", process, signal.SIGTERM)
    memory = write("memory.yaml", "storage: { mode: memory, max_size: 1 GiB }")
    with serving("--config", memory, "--listen", f"127.0.0.1:{listen}", port=listen) as process:
        stops("a store in memory", process, signal.SIGTERM)


def soft_roce():
    """What can't be had costs RDMA alone, and the reason says what to do."""
    reasons = {"nothere0": "no network interface nothere0; there are: "}
    if not pathlib.Path("/sys/class/infiniband").exists():
        reasons["lo"] = "modprobe rdma_rxe"
    for interface, reason in reasons.items():
        port = free_ports()
        config = write("roce.yaml", f"""
network: {{ address: "127.0.0.1:{port}" }}
storage: {{ mode: memory, max_size: 1 GiB }}
rdma: {{ soft_roce: {interface} }}
""")
        with serving("--config", config, port=port) as process:
            health, status = (json.loads(get(port, path)[1]) for path in ("/v1/health", "/v1/status"))
            check(f"Soft-RoCE on {interface} can't be had", health["status"] == "degraded"
                  and not health["rdma_active"] and reason in status["rdma"]["problems"][0], (health, status["rdma"]))
            stops("a server that wanted Soft-RoCE", process, signal.SIGTERM)
            check("the log says why", "rdma impaired" in process.log() and reason in process.log(), process.log())


def refusals(store):
    code, said, _ = run("--version")
    check("--version", code == 0 and said.strip() != "", said)
    code, said, _ = run("--help")
    check("--help", code == 0 and "--data" in said, said)
    refused("an unknown flag", 2, "--bad", "--bad")
    refused("an unknown log level", 2, "loud", "--data", store, "--log-level", "loud")
    refused("no store", 2, "no drives: give --data DIR")
    refused("an address for everybody", 2, "0.0.0.0 can be reached by others and there is no key",
            "--data", store, "--listen", "0.0.0.0:9900")
    refused("no such file", 2, "--config: can't open", "--config", root / "none.yaml")
    wrong = write("wrong.yaml", "network:\n  address: 127.0.0.1:9900\nstorage:\n  blok_size: 1\n")
    refused("an unknown key", 2, f"{wrong}:4: storage.blok_size: unknown key; "
            "did you mean storage.block_size?", "--config", wrong)
    refused("the file from the environment", 2, f"{wrong}:4:", MEMKVD_CONFIG=str(wrong))
    wrong = write("auth.yaml", "network: { auth_key: 00 }\n")
    refused("a key that is none", 2, f"{wrong}:1: network.auth_key: a key is 64 hexadecimal digits",
            "--config", wrong)
    wrong = write("tls.yaml", "network: { tls_cert: a.pem }\n")
    refused("a certificate without its key", 2, "network.tls_cert: a certificate without its key",
            "--config", wrong)
    wrong = write("tls.yaml", "network: { tls_cert: a.pem, tls_key: a.key }\n")
    refused("a certificate that isn't there", 2, "a.pem and a.key can't be used", "--config", wrong,
            "--data", store)
    wrong = write("rdma.yaml", "rdma: { device: mlx5_0 }\n")
    refused("RDMA without drives", 2, "no drives", "--config", wrong)
    wrong = write("rdma.yaml", "rdma: { device: mlx5_0, num_worker_threads: 8 }\n")
    refused("a key that isn't built", 2, "rdma.num_worker_threads: not built in this version", "--config", wrong)
    wrong = write("rdma.yaml", "storage: { mode: memory, max_size: 1 GiB }\n"
                                "rdma: { device: mlx5_0, soft_roce: eth0 }\n")
    refused("two ways to a device", 2, "rdma.device: give one device, a list", "--config", wrong)
    wrong.write_bytes(b"network: \xff\n")
    refused("a file that is no text", 2, "is not UTF-8", "--config", wrong)

    port = free_ports()
    absent = write("absent.yaml", f"""
network: {{ address: "127.0.0.1:{port}" }}
storage: {{ mode: file, drives: [ {{ media: "{root}/no-such-drive" }} ] }}
""")
    refused("no drive is there", 3, f"{root}/no-such-drive (No such file", "--config", absent)
    zeros = root / "zeros"
    with open(zeros, "wb") as file:
        file.truncate(1 << 30)
    blank = write("blank.yaml", f"""
network: {{ address: "127.0.0.1:{port}" }}
storage: {{ mode: file, drives: [ {{ media: "{zeros}" }} ] }}
""")
    refused("a drive without a store", 3, f"{zeros} carries no MemKV store", "--config", blank)
    other = write("other.yaml", f"""
network: {{ address: "127.0.0.1:{port}" }}
storage: {{ mode: file, block_size: 2 MiB, drives: [ {{ media: "{store}/drive-0.memkv" }} ] }}
""")
    refused("a store of another block size", 3, "was made with storage.block_size",
            "--config", other)
    file = write("file.yaml", f"""
network: {{ address: "127.0.0.1:{port}" }}
storage: {{ mode: direct, drives: [ {{ media: "{zeros}" }} ] }}
""")
    refused("a file as a device", 3, "is not a block device", "--config", file)


try:
    made = lifecycle()
    configuration_file(made)
    soft_roce()
    refusals(made)
except Exception as error:  # whatever stops the script is a failure, not an end without a result
    check("the script", False, repr(error))
finally:
    work.cleanup()
print(f"{results['passed']} passed, {results['failed']} failed")
sys.exit(1 if results["failed"] else 0)
