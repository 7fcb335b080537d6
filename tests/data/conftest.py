"""Small data sets in the true formats, and a server on this machine that can fail in every way."""

import contextlib
import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy
import pytest

from fromage_edu.data import downloaded


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site, start = self.server.site, 0
        asked = self.headers.get("Range")
        site.requests.append((self.path, asked))
        content = site.files.get(self.path)
        if site.status or content is None:
            self.send_error(site.status or 404)
            return
        if asked and site.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if site.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + site.cuts.pop(0) if site.cuts else len(content)
        # Whoever downloads may be gone.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[start:end])
            self.wfile.flush()
            if end < len(content):
                site.stall.wait(60)

    def log_message(self, *_):
        pass


class Site:
    """What the server holds and how it fails; `cuts` says after how many bytes each next answer ends."""

    def __init__(self):
        self.files, self.requests, self.cuts = {}, [], []
        self.status, self.ranges, self.lengths = None, True, True
        self.stall = threading.Event()
        self.stall.set()  # a cut closes the connection at once; cleared, it stays open
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.site = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/"

    def put(self, file, content, mirrors=("a/",)):
        """Serve the content, and return the record of a published file changed to fit."""
        for mirror in mirrors:
            self.files[f"/{mirror}{file.name}"] = content
        places = tuple(self.address + mirror for mirror in mirrors)
        digest = hashlib.sha256(content).hexdigest()
        return dataclasses.replace(file, size=len(content), sha256=digest, mirrors=places)

    def stop(self):
        self.stall.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The cache, which no test has outside its own folder."""
    monkeypatch.setenv("FROMAGE_EDU_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def idx(values):
    head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(head + values.tobytes())


@pytest.fixture
def tiny_mnist(site, monkeypatch):
    """600 and 100 noise images at two mirrors; returns (images, labels) by part."""
    random = numpy.random.default_rng(0)
    made, files = {}, {}
    for part, count in (("train", 600), ("test", 100)):
        images = random.integers(0, 256, (count, 28, 28), dtype=numpy.uint8)
        labels = random.integers(0, 10, count, dtype=numpy.uint8)
        made[part] = images, labels
        contents = [idx(values) for values in made[part]]
        pairs = zip(downloaded.MNIST[part], contents, strict=True)
        files[part] = tuple(site.put(file, content, ("a/", "b/")) for file, content in pairs)
    monkeypatch.setattr(downloaded, "MNIST", files)
    return made


def archive(members):
    """Pack (name, content) and (name, TarInfo type, link) as a .tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content, *link in members:
            info = tarfile.TarInfo(name)
            if link:
                info.type, info.linkname = content, link[0]
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def pack():
    return archive


@pytest.fixture
def tiny_cifar(site, monkeypatch):
    """Six batches of 40 noise images; returns the rows, a label and 3072 pixels each, in order."""
    random = numpy.random.default_rng(1)
    rows = random.integers(0, 256, (240, 3073), dtype=numpy.uint8)
    rows[:, 0] %= 10
    rows[:, 1:1025] //= 2  # the three colors differ in mean and spread
    batches = [(name, batch.tobytes()) for name, batch in zip(NAMES, rows.reshape(6, 40, 3073), strict=True)]
    # As in the published archive: other files beside, in another order.
    content = archive([("cifar-10-batches-bin/readme.html", b"<html>"), *reversed(batches)])
    monkeypatch.setattr(downloaded, "CIFAR10", site.put(downloaded.CIFAR10, content))
    return rows


NAMES = [f"cifar-10-batches-bin/{n}.bin" for n in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]]
