"""The metrics of a server, read as Prometheus reads them, and the table of what there must be.

Always holds: the table (Tests/EndToEnd/monitoring/metrics.csv) was typed from the monitoring contract, not from the code.
"""
import csv
import pathlib
import re

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "monitoring"
SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
BEYOND = "Beyond the contract"


def table():
    """Rows by metric name: part, type, labels (a set)."""
    with open(FOLDER / "metrics.csv", newline="") as file:
        return {row["name"]: (row["part"], row["type"], set(filter(None, row["labels"].split("+"))))
                for row in csv.DictReader(file)}


# Zero on a machine without an RDMA device: Tests/Guest/rdma_metrics.py moves them.
NEEDS_RDMA = {name for name, (part, _, _) in table().items() if part == "RDMA Transport"}


class Exposition:
    """One answer of /v1/metrics."""

    def __init__(self, text):
        self.text = text
        self.types, self.helps, self.samples = {}, {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.types[name] = kind
            elif line.startswith("# HELP "):
                _, _, name, words = line.split(" ", 3)
                self.helps[name] = words
            else:
                name, labels, value = SAMPLE.match(line).groups()
                self.samples[name, tuple(LABEL.findall(labels or ""))] = float(value)

    def of(self, name):
        """{labels: value} of a family; of a histogram, its counts."""
        name += "_count" if self.types.get(name) == "histogram" else ""
        return {labels: value for (sample, labels), value in self.samples.items() if sample == name}

    def labels(self, name):
        """Names of the labels of a family."""
        return {label for labels in self.of(name) for label, _ in labels}

    def sum(self, name, **labels):
        """A family's value, summed over all samples with these labels."""
        return sum(value for found, value in self.of(name).items() if labels.items() <= dict(found).items())

    def total(self, name):
        """What a histogram's values add up to."""
        return sum(value for (sample, _), value in self.samples.items() if sample == name + "_sum")


class Moves:
    """Which metrics have been seen at zero and elsewhere."""

    def __init__(self):
        self.seen = {}

    def look(self, daemon):
        """The metrics now; remembers which are zero."""
        now = Exposition(daemon.admin("/v1/metrics")[1])
        for name in now.types:
            zero, other = self.seen.setdefault(name, [False, False])
            values = now.of(name).values()
            self.seen[name] = [zero or 0 in values, other or any(values)]
        return now

    def moved(self):
        return {name for name, (_, other) in self.seen.items() if other}
