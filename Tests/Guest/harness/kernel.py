"""The guest's kernel: a stock Debian one, fetched and unpacked, never installed; and its initial file system.

Always holds: a directory of the cache is complete or absent; nothing outside the cache is changed, /etc/apt
included. Once fetched, a kernel is used until its directory is removed.
"""
import fcntl
import gzip
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from .failure import NoGuest

# Where the kernel comes from. Debian 13's is 6.12; trixie-backports has the newest.
SUITE = os.environ.get("MEMKV_GUEST_SUITE", "trixie")
MIRROR = os.environ.get("MEMKV_GUEST_MIRROR", "http://deb.debian.org/debian")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# What the guest loads at start, each with what it depends on. The first line mounts the root.
ROOT_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console", "virtio_rng"]
MODULES = ["nvme", "loop"]

INSIDE = pathlib.Path(__file__).resolve().parent.parent / "inside"


def cache_directory():
    """Named by MEMKV_GUEST_CACHE, else the system's for root and one's own for everybody else."""
    named = os.environ.get("MEMKV_GUEST_CACHE")
    if named:
        return pathlib.Path(named).absolute()
    if os.geteuid() == 0:
        return pathlib.Path("/var/cache/memkv-guest")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "memkv-guest"


class Kernel:
    """`image`, an ELF file that QEMU boots; `modules`, a root for modprobe -d; `release`."""

    def __init__(self, directory):
        self.image = directory / "vmlinux"
        self.modules = directory / "modules"
        self.release = (directory / "release").read_text().strip()
        self.initial = initial_file_system(directory, self.modules, self.release)


def prepare():
    """The kernel, from the cache or from Debian."""
    try:
        cache = cache_directory()
        cache.mkdir(parents=True, exist_ok=True)
        directory = cache / SUITE
        with open(cache / f".lock-{SUITE}", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not directory.exists():
                with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as new:
                    fetch(pathlib.Path(new))
                    os.chmod(new, 0o755)
                    os.rename(new, directory)
                    os.mkdir(new)  # for TemporaryDirectory to remove
            return Kernel(directory)
    except OSError as error:
        raise NoGuest(f"the guest's kernel can't be prepared: {error}") from error


def command(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, **more)
    if done.returncode != 0:
        raise NoGuest(f"{words[0]} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def fetch(directory):
    """Fetches the packages of SUITE's kernel and unpacks them: vmlinux, modules, release."""
    print(f"guest: fetching a kernel of {SUITE} from {MIRROR}, about 110 MB, once", file=sys.stderr, flush=True)
    scratch = directory / "scratch"
    for name in ("lists/partial", "cache/archives/partial", "unpacked"):
        (scratch / name).mkdir(parents=True)
    (scratch / "sources.list").write_text(f"deb [signed-by={KEYRING} arch=amd64] {MIRROR} {SUITE} main\n")
    # An apt of its own, beside the machine's: its own sources, lists and cache.
    own = ["-o", f"Dir::Etc::sourcelist={scratch}/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null",
           "-o", f"Dir::State::lists={scratch}/lists", "-o", f"Dir::Cache={scratch}/cache",
           "-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"]
    command("apt-get", *own, "-q", "-o", "APT::Update::Error-Mode=any", "update")
    depends = command("apt-cache", *own, "depends", "linux-image-amd64").decode()
    found = re.search(r"Depends: linux-image-(\d\S*)$", depends, re.MULTILINE)
    if not found:
        raise NoGuest(f"{SUITE} has no kernel: linux-image-amd64 depends on no linux-image")
    release = found[1]
    packages = [f"linux-image-{release}"]
    # Newer packages are split; the one named after the image then holds nothing.
    split = [f"linux-binary-{release}", f"linux-modules-{release}"]
    if all(name in command("apt-cache", *own, "pkgnames", name).decode().split() for name in split):
        packages = split
    command("apt-get", *own, "-q", "download", *packages, cwd=scratch)
    for package in scratch.glob("*.deb"):
        command("dpkg-deb", "-x", package, scratch / "unpacked")
    modules = first_of(scratch, "unpacked/lib/modules", "unpacked/usr/lib/modules")
    image = first_of(scratch, f"unpacked/boot/vmlinuz-{release}", f"unpacked/usr/lib/modules/{release}/vmlinuz")
    (directory / "vmlinux").write_bytes(uncompressed(image.read_bytes()))
    (directory / "modules/lib").mkdir(parents=True)
    shutil.move(modules, directory / "modules/lib/modules")
    command("depmod", "-b", directory / "modules", release)
    (directory / "release").write_text(release + "\n")
    shutil.rmtree(scratch)


def first_of(directory, *names):
    for name in names:
        if (directory / name).exists():
            return directory / name
    raise NoGuest(f"the kernel's package has none of {', '.join(names)}")


def uncompressed(image):
    """The ELF file in a bzImage (Linux's Documentation/arch/x86/boot.rst: setup_sects, payload_offset, _length).

    QEMU boots it directly, so that nothing is decompressed by an emulated processor.
    """
    if image[0x202:0x206] != b"HdrS":
        raise NoGuest("the kernel is no bzImage")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start:start + length]
    if payload[:6] == b"\xfd7zXZ\0":
        elf = lzma.LZMADecompressor().decompress(payload)
    elif payload[:2] == b"\x1f\x8b":
        elf = gzip.decompress(payload)
    elif payload[:4] == b"\x28\xb5\x2f\xfd":
        # What follows the frame is the length; zstd complains of it after it has given everything.
        elf = subprocess.run(["zstd", "-dqc"], input=payload, capture_output=True).stdout
    else:
        raise NoGuest(f"the kernel is compressed in an unknown way: {payload[:6]!r}")
    if elf[:4] != b"\x7fELF":
        raise NoGuest("the kernel's payload is no ELF file")
    return elf


def initial_file_system(directory, modules, release):
    """The path of an initramfs with the modules above and inside/; made anew when any of them has changed."""
    scripts = {path.name: path.read_bytes() for path in sorted(INSIDE.iterdir())}
    busybox = pathlib.Path("/bin/busybox").read_bytes()
    names = " ".join([*ROOT_MODULES, "-", *MODULES, release]).encode()
    parts = [names, busybox] + [part for name, text in scripts.items() for part in (name.encode(), text)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]
    made = directory / f"initramfs-{digest}"
    if made.exists():
        return made
    with tempfile.TemporaryDirectory(dir=directory, prefix=".initramfs-") as scratch:
        tree = pathlib.Path(scratch) / "tree"
        for name in ("bin", "modules", "inside"):
            (tree / name).mkdir(parents=True)
        programs = {"bin/busybox": busybox, "init": scripts["init"]}
        programs |= {f"inside/{name}": text for name, text in scripts.items()}
        for name, data in programs.items():
            (tree / name).write_bytes(data)
            (tree / name).chmod(0o755)
        seen = set()
        for name, wanted in (("for-root", ROOT_MODULES), ("more", MODULES)):
            order = [known for module in wanted
                     for known in add_module(tree / "modules", modules, release, module, seen)]
            (tree / "modules" / name).write_text("".join(f"{module}\n" for module in order))
        files = "\n".join(sorted(str(path.relative_to(tree)) for path in tree.rglob("*")))
        finished = pathlib.Path(scratch) / "archive"
        finished.write_bytes(command("cpio", "--create", "--format=newc", "--quiet", "--owner=0:0", cwd=tree,
                                     input=files.encode()))
        for old in directory.glob("initramfs-*"):
            old.unlink()
        finished.rename(made)
    return made


def add_module(target, modules, release, name, seen):
    """Unpacks a module and what it depends on into `target`; the names in their order, without those seen.

    A module that is built into the kernel is none.
    """
    listing = command("modprobe", "-d", modules, "-S", release, "--show-depends", name).decode()
    order = []
    for path in re.findall(r"^insmod (\S+)", listing, re.MULTILINE):
        module = pathlib.Path(path)
        stem = module.name.split(".")[0]
        if stem in seen:
            continue
        seen.add(stem)
        order.append(stem)
        data = module.read_bytes()
        if module.suffix == ".xz":
            data = lzma.decompress(data)
        elif module.suffix == ".zst":
            data = command("zstd", "-dqc", module)
        (target / f"{stem}.ko").write_bytes(data)
    return order
