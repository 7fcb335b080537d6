"""Downloads that break off, lie, or find no room: no half file is ever taken for a whole one."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fromage_edu.data import cifar10, downloaded, mnist
from fromage_edu.data.cache import File, cache_folder, fetch

CONTENT = bytes(range(256)) * 4096  # 1 MiB
MIB = len(CONTENT)
LOST = 1 << 16  # of what arrived before a break, at most this much is asked for again


@pytest.fixture
def file(site):
    return site.put(File("letters.bin", 0, "", ()), CONTENT)


def starts(site):
    """Where each request began."""
    return [int((asked or "bytes=0-").removeprefix("bytes=").removesuffix("-")) for _, asked in site.requests]


def left(folder):
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_file_is_downloaded_once(file, site, folder):
    assert fetch(file, folder) == folder / "letters.bin" == fetch(file, folder)
    assert left(folder) == {"letters.bin": MIB} and starts(site) == [0]


def test_a_broken_connection_is_taken_up_again_where_it_broke(file, site, folder):
    site.cuts = [300_000, 500_000]
    assert fetch(file, folder).read_bytes() == CONTENT
    assert len(site.requests) == 3 and left(folder) == {"letters.bin": MIB}
    _, second, third = starts(site)
    assert 300_000 - LOST <= second <= 300_000 and 800_000 - 2 * LOST <= third <= 800_000


@pytest.mark.parametrize("lengths", [True, False])
def test_an_interrupted_download_is_continued_by_the_next_call(file, site, folder, lengths):
    site.lengths, site.cuts = lengths, [400_000, 0]
    with pytest.raises(ConnectionError, match="was not downloaded"):
        fetch(file, folder)
    ((name, have),) = left(folder).items()
    assert name == "letters.bin.part" and 400_000 - LOST <= have <= 400_000
    assert fetch(file, folder).read_bytes() == CONTENT
    assert starts(site)[-1] == have and left(folder) == {"letters.bin": MIB}


def test_a_killed_process_leaves_what_the_next_continues(file, site, folder):
    site.stall.clear()
    site.cuts = [700_000]
    code = (
        "from pathlib import Path; from fromage_edu.data.cache import *; "
        f"fetch({file!r}, Path({str(folder)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    part, deadline = folder / "letters.bin.part", time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 700_000 - LOST) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.wait()
    assert not (folder / "letters.bin").exists()
    site.stall.set()
    assert fetch(file, folder).read_bytes() == CONTENT
    assert starts(site)[-1] >= 700_000 - LOST


def test_a_server_that_cannot_continue_sends_all_again(file, site, folder):
    site.ranges, site.cuts = False, [400_000]
    assert fetch(file, folder).read_bytes() == CONTENT
    assert len(site.requests) == 2


@pytest.mark.parametrize("have", [0, 1000, MIB - 1, MIB, MIB + 1])
def test_a_part_of_something_else_is_thrown_away(file, site, folder, have):
    folder.mkdir()
    (folder / "letters.bin.part").write_bytes(b"?" * have)
    assert fetch(file, folder).read_bytes() == CONTENT
    assert left(folder) == {"letters.bin": MIB}


def test_two_at_a_time_download_once(file, site, folder):
    site.stall.clear()
    site.cuts = [MIB - 1]
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetch(file, folder))) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    site.stall.set()
    for thread in threads:
        thread.join()
    assert found == [folder / "letters.bin"] * 3 and starts(site).count(0) == 1
    assert left(folder) == {"letters.bin": MIB}


def test_a_wrong_checksum(file, site, folder):
    site.files["/a/letters.bin"] = CONTENT[::-1]
    with pytest.raises(ConnectionError, match=r"/a/letters.bin: not the published file \(its SHA"):
        fetch(file, folder)
    assert left(folder) == {}


@pytest.mark.parametrize("wrong", [CONTENT[::-1], CONTENT[:-1], CONTENT * 2, b"<html>log in first</html>"])
@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("have", [0, 500_000])
def test_the_second_mirror_helps_where_the_first_is_wrong(site, folder, wrong, lengths, have):
    file = site.put(File("letters.bin", 0, "", ()), CONTENT, ("a/", "b/"))
    site.files["/a/letters.bin"], site.lengths = wrong, lengths
    folder.mkdir()
    if have:
        (folder / "letters.bin.part").write_bytes(CONTENT[:have])
    assert fetch(file, folder).read_bytes() == CONTENT
    assert left(folder) == {"letters.bin": MIB}


def test_a_length_that_is_not_the_files(file, site, folder):
    site.files["/a/letters.bin"] = b"<html>log in first</html>"
    with pytest.raises(ConnectionError, match="it sends 25 bytes instead of 1,048,576"):
        fetch(file, folder)
    site.lengths, site.files["/a/letters.bin"] = False, CONTENT * 2
    with pytest.raises(ConnectionError, match="it sends more than 1,048,576 bytes"):
        fetch(file, folder)
    assert "letters.bin" not in left(folder)


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_server_that_refuses(file, site, folder, status):
    site.status = status
    with pytest.raises(ConnectionError, match=f"/a/letters.bin: the server answers {status}"):
        fetch(file, folder)


@pytest.mark.parametrize("load", [mnist, cifar10])
def test_offline_it_says_so_and_names_what_needs_no_network(tiny_mnist, tiny_cifar, site, folder, load):
    site.stop()
    with pytest.raises(ConnectionError) as caught:
        load()
    said = str(caught.value)
    name = {mnist: "train-images-idx3-ubyte.gz", cifar10: "cifar-10-binary.tar.gz"}[load]
    assert said.startswith(f"{folder / name} was not downloaded:\n  {site.address}a/{name}: ConnectionError")
    assert "mnist_5k() after pip install 'fromage-edu[mnist5k]'" in said and "put the file there" in said
    assert left(folder) == {}


def test_once_downloaded_it_needs_no_network(tiny_mnist, site, folder):
    first = mnist()
    site.stop()
    assert mnist().x_train.equal(first.x_train)


def test_a_damaged_file_is_downloaded_again(file, site, folder):
    path = fetch(file, folder)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetch(file, folder).read_bytes() == CONTENT
    path.write_bytes(b"")
    assert fetch(file, folder).read_bytes() == CONTENT and len(site.requests) == 3


def test_a_damaged_file_without_a_network(file, site, folder):
    path = fetch(file, folder)
    path.write_bytes(CONTENT[:-1])
    site.stop()
    with pytest.raises(ConnectionError, match=re.escape(f"{path} is damaged, and was not downloaded again")):
        fetch(file, folder)


def seen(folder):
    return {path.name: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]}


def test_a_folder_that_cannot_be_written_serves_what_it_holds(tiny_mnist, site, folder):
    first = mnist()
    for path in folder.glob("*.lock"):
        path.unlink()
    folder.chmod(0o555)
    before = seen(folder)
    assert mnist().x_test.equal(first.x_test) and seen(folder) == before
    folder.chmod(0o755)


def test_a_folder_that_cannot_be_written_and_lacks_the_file(file, folder):
    folder.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"cannot keep letters.bin in .* or the environment variable FR"):
        fetch(file, folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_that_lacks_the_file(file, folder):
    folder.mkdir(mode=0o555)
    with pytest.raises(OSError, match="FROMAGE_EDU_DATA"):
        fetch(file, folder)
    folder.chmod(0o755)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(file, folder):
    folder.mkdir()
    (folder / "letters.bin.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"cannot keep letters.bin in .*No space left on device"):
        fetch(file, folder)


def test_the_folder_is_what_is_given_or_the_variable_or_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("FROMAGE_EDU_DATA", raising=False)
    assert cache_folder(None).name == "fromage-edu"
    monkeypatch.setenv("FROMAGE_EDU_DATA", "~/images")
    assert cache_folder(None) == tmp_path / "images"
    assert cache_folder(tmp_path / "here") == tmp_path / "here"
    assert cache_folder("here") == Path.cwd() / "here"


def test_the_folder_given_is_where_the_files_go(tiny_cifar, tmp_path):
    cifar10(folder=tmp_path / "mine")
    assert "cifar-10-binary.tar.gz" in left(tmp_path / "mine")
    content = (tmp_path / "mine" / "cifar-10-binary.tar.gz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == downloaded.CIFAR10.sha256


@pytest.mark.parametrize("load", [mnist, cifar10])
@pytest.mark.parametrize("package", ["pooch", "tqdm"])
def test_without_what_downloads_need_it_says_what_to_install(load, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    message = (
        f"{load.__name__}() needs {package}, which is not installed: pip install 'fromage-edu[experiments]'"
    )
    with pytest.raises(ImportError, match=re.escape(message)):
        load()
