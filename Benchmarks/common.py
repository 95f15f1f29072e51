"""What the scripts of this folder share: programs, servers, facts of the machine, intervals."""

import json
import os
import platform
import random
import signal
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def program(name, folder=None):
    """Path of a built program; ends the script with what to type when it isn't there."""
    path = os.path.join(folder or os.path.join(ROOT, ".build", "release"), name)
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is not built; run: swift build -c release --product {name}")
    return path


# A key for the servers of a measurement, and how far sessions with it are authenticated: what comes
# into the configuration's network section, what engine-benchmark gets on its standard input and its
# command line.
KEY = "5e" * 32
AUTHENTICATION = {
    "off": ("", None, []),
    "frames": (f", auth_key: '{KEY}'", KEY + "\n", ["--key-from-input"]),
    "payloads": (f", auth_key: '{KEY}', payload_mac: true", KEY + "\n", ["--key-from-input"]),
}


def run_json(*command, text_in=None):
    """Runs a program that prints one line of JSON, and returns it."""
    done = subprocess.run(command, capture_output=True, text=True, input=text_in)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stderr}")
    return json.loads(done.stdout)


def quantile(ordered, share):
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values):
    return quantile(sorted(values), 0.5)


def bootstrap_median(values, rounds=10_000, seed=1):
    """The 95 % percentile-bootstrap interval of the median (Efron 1979)."""
    generator = random.Random(seed)
    medians = sorted(median(generator.choices(values, k=len(values))) for _ in range(rounds))
    return quantile(medians, 0.025), quantile(medians, 0.975)


def load():
    with open("/proc/loadavg") as file:
        return file.read().split()[0]


def machine():
    """One line: kernel, processor, memory, load."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as file:
        kibibytes = int(file.readline().split()[1])
    return (f"Linux {platform.release()}, {os.cpu_count()} x {model}, "
            f"{kibibytes / 2**20:.0f} GiB, load {load()}")


class Server:
    """A memkvd on a loopback port, from its start to its end.

    `storage` is the configuration's section of that name; `data` a directory for a store in one file;
    `network` is added to that section.
    """

    def __init__(self, memkvd, directory, port, storage, data=None, environment=None, network=""):
        self.port = port
        config = os.path.join(directory, "memkvd.yaml")
        with open(config, "w") as file:
            file.write(f"network: {{ address: 127.0.0.1:{port}{network} }}\n"
                       f"storage: {storage}\n")
        self.log_path = os.path.join(directory, "memkvd.log")
        log = open(self.log_path, "w")
        began = time.monotonic()
        command = [memkvd, "--config", config] + (["--data", data] if data else [])
        self.process = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL,
                                        env={**os.environ, **(environment or {})})
        while "msg=ready" not in self.log():
            if self.process.poll() is not None or time.monotonic() - began > 120:
                self.process.kill()
                sys.exit(f"memkvd did not get ready:\n{self.log()}")
            time.sleep(0.002)
        self.ready_seconds = time.monotonic() - began

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def load(self, tool, kind, authentication="off", **options):
        """Runs `engine-benchmark throughput` against it; what it prints."""
        _, key, flags = AUTHENTICATION[authentication]
        command = [tool, "throughput", "--server", self.address, "--kind", kind]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        return run_json(*command, *flags, text_in=key)

    def log(self):
        with open(self.log_path) as file:
            return file.read()

    def field(self, message, name):
        """A field of the last log line with that message."""
        lines = [line for line in self.log().splitlines() if f"msg={message}" in line
                 or f'msg="{message}"' in line]
        for word in lines[-1].split():
            if word.startswith(name + "="):
                return word.split("=", 1)[1]
        sys.exit(f"the log has no {name} in: {lines}")

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        sys.exit("no VmRSS")

    def fill_percent(self):
        """Bytes in use, of those usable."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port + 1}/v1/status") as answer:
            storage = json.load(answer)["storage"]
        return 100 * storage["used_bytes_total"] / storage["usable_bytes_total"]

    def processor_seconds(self, threads="shard-"):
        """Of the threads whose names begin so, together; "" for all of them."""
        tasks = f"/proc/{self.process.pid}/task"
        spent = []
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/comm") as file:
                if not file.read().startswith(threads):
                    continue
            with open(f"{tasks}/{task}/schedstat") as file:
                spent.append(int(file.read().split()[0]))
        if not spent:
            sys.exit(f"memkvd has no thread {threads!r}")
        return sum(spent) / 1e9

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            sys.exit(f"memkvd ended with {self.process.returncode}:\n{self.log()}")

    def kill(self):
        self.process.kill()
        self.process.wait()
