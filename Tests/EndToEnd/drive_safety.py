#!/usr/bin/env python3
"""What `memkv setup` spares, and who may have a drive.

A drive that carries anything is formatted with --force only; one that is mounted, used as swap, part of another
device, or served is never formatted. One drive has one user, under whatever names. The configuration that setup
prints is one that memkvd takes as it is.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.daemon import Daemon, clean_environment, configuration, free_port, memkv, memkvd_to_its_end, setup
from support.drives import command, detach, file_system, loop_device, need, quietly, sparse_file, unmount, workshop

SIZE = 96 << 20
USAGE, DRIVE_REFUSED, REFUSED = 2, 3, 4

options = report.arguments(__doc__.splitlines()[0], 20261127)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def spared(what, code, sentence, drives, *more, images=()):
    """setup refuses, in these words, and prints and changes nothing."""
    before = [sha256(image) for image in images]
    got, output, errors = memkv("setup", *more, "--drives", *drives)
    report.check(f"{what}: exit {code}, {sentence!r}", got == code and sentence in errors and not output
                 and [sha256(image) for image in images] == before, f"exit {got}, {errors}{output}")


def listed(*paths):
    _, output, _ = memkv("drive", "list", "--json", *paths)
    return json.loads(output)["drives"]


def serves(stack, directory, what, config):
    """memkvd takes the configuration that setup printed, unchanged but for the port that this test may use."""
    port = free_port()
    daemon = Daemon(stack, directory, port, "--config", config, "--listen", f"127.0.0.1:{port}")
    daemon.start()
    connection = wire.Connection(port)
    statuses = connection.put(bytes(32), b"value"), connection.get(bytes(32))
    connection.close()
    report.check(f"{what}: memkvd serves the printed configuration", statuses == ("ok", ("ok", b"value")), statuses)
    return daemon


def devices():
    need("losetup", "mkfs.ext4", "mkswap", "swapon", "sfdisk")
    with workshop("devices") as (stack, directory):
        image = sparse_file(directory / "image", SIZE)
        device = loop_device(stack, image)
        config = directory / "config.yaml"

        def forced(what):
            code, output, errors = memkv("setup", "--force", "--drives", device)
            left = listed(device)[0]
            report.check(f"{what}: --force formats it, and no other signature is left", code == 0
                         and left["content"] == "store" and subprocess.run(
                             ["blkid", "-p", device], capture_output=True).returncode == 2, (errors, left))
            config.write_text(output)
            command("dd", "if=/dev/zero", f"of={device}", "bs=1M", "count=4", "conv=fsync")

        command("mkfs.ext4", "-q", "-L", "precious", device)
        seen = listed(device)[0]
        report.check("drive list names the file system", seen["content"] == "foreign" and [
            (s["usage"], s["type"], s["label"]) for s in seen["signatures"]] == [("filesystem", "ext4", "precious")]
            and seen["size_bytes"] == SIZE and seen["logical_block_bytes"] == 512, seen)
        spared("a file system", REFUSED, "a file system (ext4) labelled precious", [device], images=[image])
        spared("a file system, kept", REFUSED, "a file system", [device], "--idempotent", images=[image])
        mounted = directory / "mounted"
        mounted.mkdir()
        command("mount", device, mounted)
        spared("mounted, even with --force", REFUSED, f"{device} is mounted on {mounted}", [device], "--force")
        seen = listed(device)[0]
        report.check("drive list tells the mount", seen["used_by"] == [f"{device} is mounted on {mounted}"]
                     and seen["in_use"], seen)
        other = loop_device(stack, sparse_file(directory / "blank", SIZE))
        spared("one mounted of two", REFUSED, "is mounted on", [other, device], "--force",
               images=[directory / "blank"])
        got, errors = memkvd_to_its_end(
            "--config", configuration(directory, free_port(), [device], "direct", name="mounted.yaml"))
        report.check("memkvd doesn't serve what is mounted", got == DRIVE_REFUSED and "in use" in errors, errors)
        unmount(mounted)
        spared("the file of a loop device", REFUSED, f"{image} is part of {device}", [image], "--max-size",
               "96 MiB", "--force", images=[image])
        forced("a file system")

        subprocess.run(["sfdisk", "-q", device], input="label: gpt\n,16M\n,\n", text=True, capture_output=True)
        spared("a partition table", REFUSED, "a partition table (gpt)", [device], images=[image])
        command("addpart", device, 1, 2048, 65536)
        stack.callback(lambda: quietly("delpart", device, 1))
        number = pathlib.Path(f"/sys/class/block/{pathlib.Path(device).name}p1/dev").read_text().split(":")
        partition = directory / "partition"
        os.mknod(partition, 0o600 | 0o060000, os.makedev(int(number[0]), int(number[1])))
        command("mkfs.ext4", "-q", partition)
        command("mount", partition, mounted)
        spared("a mounted partition", REFUSED, f"p1 is mounted on {mounted}", [device], "--force")
        unmount(mounted)
        command("delpart", device, 1)
        forced("a partition table")

        command("mkswap", device)
        spared("swap", REFUSED, "swap", [device], images=[image])
        command("swapon", device)
        stack.callback(lambda: quietly("swapoff", device))
        spared("swap in use, even with --force", REFUSED, f"{device} is used as swap", [device], "--force")
        command("swapoff", device)
        forced("swap")

        # A file system whose signature isn't where the superblocks go.
        command("dd", "if=/dev/zero", f"of={device}", "bs=1M", "conv=fsync", "count=96")
        with open(device, "r+b") as raw:
            raw.seek(32769)
            raw.write(b"CD001")
            raw.seek(32768)
            raw.write(b"\x01CD001\x01")
            raw.seek(34816)
            raw.write(b"\xffCD001\x01")
        spared("a signature beside the superblocks", REFUSED, "iso9660", [device], images=[image])
        forced("a signature beside the superblocks")


def one_user():
    need("losetup")
    with workshop("one-user") as (stack, directory):
        image = sparse_file(directory / "image", SIZE)
        device = loop_device(stack, image)
        code, output, errors = memkv("setup", "--drives", device)
        config = directory / "printed.yaml"
        config.write_text(output)
        daemon = serves(stack, directory, "a block device", config)
        alias = directory / "alias"
        os.mknod(alias, 0o600 | 0o060000, os.stat(device).st_rdev)
        for name in (device, alias):
            got, errors = memkvd_to_its_end("--config", configuration(directory, free_port(), [name], "direct",
                                                                      name="second.yaml"))
            report.check(f"a second memkvd on {name}: exit 3", got == DRIVE_REFUSED and "in use" in errors, errors)
            spared(f"served, as {name}, even with --force", REFUSED, "in use", [name], "--force")
            code, output, _ = memkv("drive", "check", name)
            report.check(f"drive check of {name}, served: exit 4", code == REFUSED and "in use" in output, output)
        seen = listed(device)[0]
        report.check("drive list sees the store that is served", seen["content"] == "store" and seen["in_use"]
                     and seen["store"]["members"] == 1 and seen["store"]["usable_bytes"] > 0, seen)
        daemon.kill()
        got, errors = memkvd_to_its_end("--config", configuration(directory, free_port(), [device, alias], "direct",
                                                                  name="twice.yaml"))
        report.check("one device under two names: exit 2", got == USAGE and "are one drive" in errors, errors)
        spared("one device under two names", USAGE, "is named twice", [device, alias], "--force")

        file = directory / "file"
        setup(file, max_size="96 MiB")
        hard, soft = directory / "hard", directory / "soft"
        os.link(file, hard)
        soft.symlink_to(file)
        port = free_port()
        daemon = Daemon(stack, directory, port, "--config", configuration(directory, port, [file]))
        daemon.start()
        for name in (hard, soft):
            got, errors = memkvd_to_its_end("--config", configuration(directory, free_port(), [name],
                                                                      name="second.yaml"))
            report.check(f"a second memkvd on a {name.name} link: exit 3", got == DRIVE_REFUSED
                         and "in use" in errors, errors)
            spared(f"served, by a {name.name} link, even with --force", REFUSED, "in use", [name], "--max-size",
                   "96 MiB", "--force")
        daemon.kill()
        for name in (hard, soft):
            got, errors = memkvd_to_its_end("--config", configuration(directory, free_port(), [file, name],
                                                                      name="twice.yaml"))
            report.check(f"a file and its {name.name} link: exit 2", got == USAGE and "are one drive" in errors,
                         errors)


def beneath():
    """A loop device that lies on what somebody uses, or whose own file or device somebody uses."""
    need("losetup", "mkfs.ext4", "mount", "sfdisk", "addpart")
    with workshop("beneath") as (stack, directory):
        def second(what, name, mode):
            got, errors = memkvd_to_its_end("--config", configuration(directory, free_port(), [name], mode,
                                                                      name="second.yaml"))
            report.check(f"{what}: memkvd exits with 3", got == DRIVE_REFUSED and "in use" in errors, (got, errors))
            code, output, _ = memkv("drive", "check", name)
            report.check(f"{what}: drive check exits with 4", code == REFUSED and "in use" in output, output)

        image = sparse_file(directory / "image", SIZE)
        lower = loop_device(stack, image)
        upper = loop_device(stack, lower)
        command("mkfs.ext4", "-q", lower)
        mounted = directory / "mounted"
        mounted.mkdir()
        command("mount", lower, mounted)
        stack.callback(unmount, mounted)
        spared("a device over a mounted one", REFUSED, "in use", [upper], "--force", images=[image])
        report.check("drive list sees that it is in use", listed(upper)[0]["in_use"], listed(upper))
        unmount(mounted)

        # From below it is seen by the kernel's tables, whether anybody uses it or not.
        spared("a device under another", REFUSED, f"{lower} is part of {upper}", [lower], "--force")
        detach(upper)
        code, output, errors = memkv("setup", "--force", "--drives", lower)
        report.check("the lower device alone is formatted", code == 0, errors)
        config = directory / "printed.yaml"
        config.write_text(output)
        daemon = serves(stack, directory, "a device with another over it", config)
        upper = loop_device(stack, lower)
        spared("a device over a served one", REFUSED, "in use", [upper], "--force")
        second("a device over a served one", upper, "direct")
        second("the file under a served device", image, "file")
        report.check("drive list sees that the upper one is in use", listed(upper)[0]["in_use"], listed(upper))
        daemon.kill()

        file = directory / "file"
        setup(file, max_size="96 MiB")
        over = loop_device(stack, file)
        port = free_port()
        daemon = Daemon(stack, directory, port, "--config", configuration(directory, port, [file], name="file.yaml"))
        daemon.start()
        spared("a device over a served file", REFUSED, "in use", [over], "--force")
        second("a device over a served file", over, "direct")
        daemon.kill()

        subprocess.run(["sfdisk", "-q", over], input="label: gpt\n,40M\n,40M\n", text=True, capture_output=True)
        halves = []
        for number in (1, 2):
            known = pathlib.Path(f"/sys/class/block/{pathlib.Path(over).name}p{number}/dev")
            # A loop device that was made to be scanned has them by itself.
            if not known.exists():
                command("addpart", over, number, 2048 + (number - 1) * 81920, 81920)
            stack.callback(quietly, "delpart", over, number)
            name = known.read_text().split(":")
            halves.append(directory / f"half-{number}")
            os.mknod(halves[-1], 0o600 | 0o060000, os.makedev(int(name[0]), int(name[1])))
        code, output, errors = memkv("setup", "--force", "--drives", *halves)
        report.check("two partitions of a loop device make a store", code == 0, errors)
        config.write_text(output)
        serves(stack, directory, "two partitions of a loop device", config).kill()


def the_readme():
    """Drives in the order and with the words of the README."""
    with workshop("readme") as (stack, directory):
        drives = [loop_device(stack, sparse_file(directory / f"image-{n}", SIZE)) for n in range(2)]
        report.check("drive list finds both, empty", {d["path"]: d["content"] for d in listed()}.items()
                     >= dict.fromkeys(drives, "empty").items(), listed())
        code, output, errors = memkv("setup", "--drives", *drives)
        config = directory / "memkvd.yaml"
        config.write_text(output)
        daemon = serves(stack, directory, "two block devices", config)
        code, output, errors = memkv("--server", f"127.0.0.1:{daemon.port}", "admin", "status")
        report.check("admin status shows both online", code == 0 and all(
            any(drive in line and "online" in line for line in output.splitlines()) for drive in drives), output)
        report.check("SIGTERM ends it with 0", daemon.terminate() == 0, daemon.log())
        code, output, _ = memkv("drive", "check", "--payloads", *drives)
        report.check("both are clean", code == 0, output)


def names():
    with workshop("names") as (_, directory):
        dangling, plain = directory / "dangling", directory / "new"
        dangling.symlink_to("new")
        sub = directory / "sub"
        sub.mkdir()
        for what, pair in (("a link to a file that isn't there yet", (dangling, plain)),
                           ("a detour", (plain, sub / ".." / "new")), ("the same words", (plain, plain))):
            spared(f"{what}, and that file", USAGE, "is named twice", pair, "--max-size", "96 MiB")
        report.check("nothing was made", sorted(p.name for p in directory.iterdir()) == ["dangling", "sub"])
        composed = directory / unicodedata.normalize("NFC", "Müller")
        decomposed = directory / unicodedata.normalize("NFD", "Müller")
        code, output, errors = memkv("setup", "--max-size", "96 MiB", "--drives", composed, decomposed)
        report.check("names that only look alike are two drives", code == 0 and composed.exists()
                     and decomposed.exists() and not os.path.samefile(composed, decomposed), errors)
        config = directory / "config.yaml"
        config.write_text(output)
        code, output, _ = memkv("drive", "check", composed, decomposed)
        report.check("both are clean", code == 0, output)


def files():
    with workshop("files") as (stack, directory):
        drive = directory / "drive"
        size = ["--max-size", "96 MiB"]
        code, printed, errors = memkv("setup", *size, "--drives", drive)
        report.check("setup makes a file, YAML on stdout, sentences on stderr", code == 0
                     and printed.startswith("network:") and "formatted" in errors, errors)
        config = directory / "printed.yaml"
        config.write_text(printed)
        serves(stack, directory, "a file", config).kill()
        before = sha256(drive)
        code, again, errors = memkv("setup", *size, "--idempotent", "--drives", drive)
        report.check("--idempotent prints the same and changes nothing", (code, again) == (0, printed)
                     and sha256(drive) == before, errors)
        relative = subprocess.run([report.binaries() / "memkv", "setup", *size, "--idempotent", "--drives", "drive"],
                                  cwd=directory, capture_output=True, text=True, env=clean_environment())
        report.check("a relative path is printed whole", relative.stdout == printed, relative)
        spared("a store", REFUSED, "carries a store already", [drive], *size, images=[drive])
        spared("a store of another size", REFUSED, "size 96 MiB", [drive], "--max-size", "64 MiB", "--idempotent",
               images=[drive])
        spared("a store and a new file", REFUSED, "carries a store", [drive, directory / "more"], *size,
               "--idempotent", images=[drive])
        pair = [directory / "left", directory / "right"]
        setup(*pair, max_size="96 MiB")
        spared("half of a store", REFUSED, "one of 2 drives", pair[:1], *size, "--idempotent", images=pair)

        small = sparse_file(directory / "small", 4 << 20)
        spared("a blank file that is too small", REFUSED, "is a file of 4 MiB", [small], *size, images=[small])
        spared("too small a size", REFUSED, "too few", [directory / "tiny"], "--max-size", "4 MiB")
        report.check("… and no file is left", not (directory / "tiny").exists())
        data = directory / "data"
        data.write_bytes(bytes(5 << 20) + b"precious" + bytes(100))
        spared("a file with data far behind its start", REFUSED, "data that is no MemKV store", [data], *size,
               images=[data])
        code, _, errors = memkv("setup", *size, "--force", "--drives", small, data)
        report.check("--force makes both anew", code == 0 and all(p.stat().st_size == SIZE for p in (small, data)),
                     errors)
        code, output, _ = memkv("drive", "check", small, data)
        report.check("both are clean", code == 0, output)

        spared("no such directory", USAGE, "No such file", [directory / "no" / "drive"], *size)
        spared("a directory", USAGE, "is a directory", [directory], *size)
        spared("a character device", USAGE, "neither a file nor", ["/dev/null"], *size)
        spared("no size", USAGE, "--max-size", [directory / "unsized"])
        spared("an odd size", USAGE, "multiple of 4 KiB", [directory / "odd"], "--max-size", "100000001")


def soft_roce():
    """An interface is checked before any drive is touched; the configuration serves, with RDMA or without."""
    with workshop("soft-roce") as (stack, directory):
        drive = directory / "drive"
        making = ("setup", "--max-size", "96 MiB", "--drives", drive, "--soft-roce")
        code, output, errors = memkv(*making, "nothere0")
        report.check("setup refuses an interface that isn't there, and nothing is made", code == USAGE and output == ""
                     and "no network interface nothere0; there are: " in errors and not drive.exists(), (code, errors))
        code, output, errors = memkv(*making, "lo", "--rdma", "mlx5_0")
        report.check("setup refuses both a device and an interface", code != 0 and not drive.exists(), (code, errors))
        code, output, errors = memkv(*making, "lo")
        report.check("setup prints the interface", code == 0 and output.endswith("rdma:\n  soft_roce: lo\n"),
                     (code, output, errors))
        config = directory / "printed.yaml"
        config.write_text(output)
        serves(stack, directory, "for Soft-RoCE", config).terminate()


def unheard():
    """An answer that can't be written is no success, and nothing is formatted for it."""
    program = report.binaries() / "memkv"
    with workshop("unheard") as (_, directory):
        drive = directory / "drive"

        def shell(redirection, *arguments):
            line = " ".join(map(str, (program, *arguments))) + " " + redirection
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=clean_environment())
            return done.returncode, done.stderr

        making = ("setup", "--max-size", "96MiB", "--drives", drive)
        for redirection in (">/dev/full", ">&-", "<&- >&-", "<&- >&- 2>&-"):
            code, errors = shell(redirection, *making)
            report.check(f"setup {redirection}: exit 2, nothing made", code == USAGE and not drive.exists()
                         and ("2>" in redirection or "standard output" in errors), (code, errors))
        code, errors = shell("2>&-", *making)
        report.check("setup 2>&- formats and prints", code == 0 and drive.exists(), (code, errors))
        for redirection in (">/dev/full", ">&-"):
            for arguments in (("drive", "check", drive), ("drive", "check", "--json", drive),
                              ("drive", "list", drive), ("bench", "list")):
                code, errors = shell(redirection, *arguments)
                report.check(f"{' '.join(map(str, arguments[:2]))} {redirection}: exit 2", code == USAGE
                             and "standard output" in errors, (code, errors))


def no_room():
    need("losetup", "mkfs.ext4", "mount")
    with workshop("no-room") as (stack, directory):
        mounted = file_system(stack, directory, 16 << 20)
        drive = mounted / "drive"
        drive.touch()
        # Journal and index of a drive of that size need more than the file system has.
        spared("a file system without room", REFUSED, "more room than there is", [drive], "--max-size", "64 GiB")
        report.check("the empty file is empty again", drive.stat().st_size == 0)
        drive.unlink()
        spared("a file system without room", REFUSED, "more room than there is", [drive], "--max-size", "64 GiB")
        report.check("the file is gone again", not drive.exists())


report.run([
    ("block devices that carry something", devices),
    ("one drive, one user", one_user),
    ("one drive, one user, under loop devices too", beneath),
    ("two drives as in the README", the_readme),
    ("names of files that aren't there yet", names),
    ("files", files),
    ("a configuration with Soft-RoCE", soft_roce),
    ("a file system without room", no_room),
    ("answers that nobody hears", unheard),
])
