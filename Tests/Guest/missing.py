"""What is missing costs RDMA and nothing else, and is said: a memkvd without its device, and one without RDMA.

Used by softroce.py.
"""
from remote import Remote
from support import report


def device(stack, directory):
    """A device that isn't there."""
    remote = Remote(stack, directory, "nodevice", "device: rxe9")
    remote.daemon.start()
    health, status = remote.health(), remote.status()
    report.check("health says degraded, and status why",
                 health["status"] == "degraded" and not health["rdma_active"]
                 and "no RDMA device rxe9; there are: rxe0, rxe1" in status["problems"][0], (health, status))
    digest = remote.file("small", 1)
    remote.goes_in("small", "auto")
    remote.comes_out("small", digest, "auto")
    code, said = remote.memkv("rdma", "exists", "a", timeout=5)
    report.check("those that insist on RDMA are told why not", code not in (0, 1) and "rxe9" in said, (code, said))
    remote.ends()


def rdma(stack, directory):
    """A memkvd to which RDMA was never given."""
    remote = Remote(stack, directory, "plain", None)
    remote.daemon.start()
    code, said = remote.memkv("rdma", "exists", "a")
    report.check("a server without RDMA says so", code not in (0, 1) and "no RDMA" in said, f"{code} {said}")
    code, said = remote.memkv("auto", "exists", "a")
    report.check("with auto it serves by TCP", code == 1, f"{code} {said}")
    report.check("which is healthy", remote.health()["status"] == "healthy", remote.health())
    remote.ends()


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    return [("a device that isn't there", lambda: device(stack, directory)),
            ("a server without RDMA", lambda: rdma(stack, directory))]
