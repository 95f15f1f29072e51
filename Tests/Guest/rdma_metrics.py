"""The RDMA metrics of a memkvd that runs: each goes from zero to a number that follows from what was done.

What is done: clients of Tests/RDMATests that do right and wrong, and a link that is switched off. Whatever says how
RDMA is - health, status, metrics, `memkv admin` - is compared.
"""

from harness import roce
from remote import CLIENT, SERVER, start_tests
from support import report
from support.metrics import NEEDS_RDMA, Moves

# What StrangerTests.swift does to memkvd, until it holds its two connections, by metric and labels.
STRANGERS = {
    ("memkv_rdma_errors_total", ""): 3,
    ("memkv_rdma_read_latency_us", ""): 1,
    ("memkv_rdma_write_latency_us", ""): 1,
    ("memkv_rdma_connections_active", ""): 2,
    ("memkv_sessions_active", ""): 2,
    ("memkv_sessions_total", ""): 6,
    ("memkv_refusals_total", "refused_greetings"): 1,
    ("memkv_refusals_total", "forged_greetings"): 1,
    ("memkv_authentication_failures_total", ""): 1,
    ("memkv_invalid_requests_total", ""): 1,
}


class RDMAMetrics:
    """Of one memkvd, from its start on."""

    def __init__(self, remote):
        self.remote, self.moves = remote, Moves()

    def look(self):
        return self.moves.look(self.remote.daemon)

    def strangers(self):
        """Tests/RDMATests, by the program that `swift test` would run: transport and clients in one process between both
        endpoints; and clients of this memkvd, two of which stay until they have been counted."""
        held = self.remote.directory / "held"
        held.touch()
        before = self.look()
        tests = start_tests("RDMATests", MEMKV_TEST_RDMA=f"server={SERVER.device} client={CLIENT.device},{CLIENT.address}",
                            MEMKV_TEST_RDMA_SERVER=self.remote.server, MEMKV_TEST_RDMA_HELD=str(held))
        try:
            self.await_figures(before, STRANGERS, tests)
            self.alike("with two clients", connections=2)
        finally:
            held.unlink()
            said, _ = tests.communicate()
        report.check("values travel both ways, and whatever is wrong ends one request or one queue pair",
                     tests.returncode == 0 and all(f"Suite {name} passed" in said for name in (
                         "QueuePairTests", "StrangerTests")), f"exit {tests.returncode}\n{said}")
        after = STRANGERS | {("memkv_rdma_write_latency_us", ""): 2, ("memkv_rdma_connections_active", ""): 0,
                             ("memkv_sessions_active", ""): 0}
        self.await_figures(before, after, None)
        report.check("nothing of theirs is left", self.look().sum("memkv_slabs_allocated") == 0,
                     self.look().sum("memkv_slabs_allocated"))

    def await_figures(self, before, figures, process):
        """Waits until the metrics have grown by these figures, as long as `process` runs."""
        def grown():
            now = self.look()
            return {(name, reason): now.sum(name, **labels(name, reason)) - before.sum(name, **labels(name, reason))
                    for name, reason in figures}
        try:
            roce.wait("memkvd has counted it all", lambda: grown() == figures or process and process.poll() is not None)
        except roce.Refused:
            pass
        found = grown()
        report.check("each RDMA metric has moved by what was done", found == figures,
                     {each: (found[each], figures[each]) for each in figures if found[each] != figures[each]})

    def alike(self, what, is_active=True, problem="", connections=0):
        """Health, status, metrics and `memkv admin` say the same of a server at rest."""
        remote, now = self.remote, self.look()
        health, status, word = remote.health(), remote.status(), "healthy" if is_active else "degraded"
        report.check(f"{what}: health, status and metrics say {word}, RDMA {'' if is_active else 'not '}active",
                     (health["status"], health["rdma_active"], status["active"], now.sum("memkv_rdma_active"))
                     == (word, is_active, is_active, is_active)
                     and now.sum("memkv_health", status=word) == now.sum("memkv_health") == 1
                     and bool(status["problems"]) == bool(problem) and problem in "".join(status["problems"]),
                     (health, status, now.of("memkv_rdma_active"), now.of("memkv_health")))
        report.check(f"{what}: status and metrics say {connections} connections",
                     status["active_connections"] == now.sum("memkv_rdma_connections_active") == connections,
                     (status, now.of("memkv_rdma_connections_active")))
        code, said = remote.admin("status")
        row = next((line.split(None, 1)[1] for line in said.splitlines() if line.startswith("rdma")), "")
        report.check(f"{what}: so does memkv admin status", code == 0 and problem in row and row.startswith(
            f"{'' if is_active else 'not '}active, {connections} connections"), f"{code} {said}")
        code, said = remote.admin("health")
        report.check(f"{what}: and memkv admin health", code == (not is_active) and word in said, f"{code} {said}")

    def complete(self):
        """All of them have been seen at zero and elsewhere."""
        missing = {name: self.moves.seen.get(name) for name in NEEDS_RDMA if self.moves.seen.get(name) != [True, True]}
        report.check("every RDMA metric of the contract has been zero and has moved", NEEDS_RDMA and not missing, missing)


def labels(name, reason):
    """Of these metrics, those of RDMA."""
    if name.startswith("memkv_rdma") or name == "memkv_invalid_requests_total":
        return {}
    return {"transport": "rdma"} | ({"reason": reason} if reason else {})
