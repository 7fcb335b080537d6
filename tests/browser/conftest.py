"""A browser for the tests: Chromium with the network blocked, every message and every request on record."""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
MISSING = (
    "no Chromium found: install the package chromium (Debian: apt-get install chromium), "
    "or set CHROME_PATH, or run: .venv/bin/python -m playwright install chromium"
)


def find_chromium(playwright):
    """Return the path of a Chromium, or None: $CHROME_PATH, chromium, google-chrome, playwright's own."""
    for name in (os.environ.get("CHROME_PATH"), "chromium", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    own = playwright.chromium.executable_path
    return own if own and Path(own).exists() else None


@pytest.fixture(scope="session")
def chromium():
    """One browser for the whole session."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            pytest.fail(MISSING, pytrace=False)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def _local(url):
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname == "127.0.0.1"


@pytest.fixture
def open_page(chromium):
    """Open pages at a width and in a theme; at the end nothing may have been said or fetched elsewhere."""
    contexts, complaints = [], []

    def open_(url, width=1280, height=900, theme="light", **options):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, **options
        )
        contexts.append(context)

        def gate(route):
            if _local(route.request.url):
                return route.continue_()
            complaints.append(f"request to {route.request.url}")
            return route.abort()

        context.route("**/*", gate)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))

        def listen(message):
            if message.type in ("warning", "error"):
                complaints.append(f"console {message.type}: {message.text}")

        page.on("console", listen)
        # Pages remember their theme; the first paint already has it.
        remember = f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}');"
        context.add_init_script(f"try {{ {remember} }} catch {{}}")
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing: the tests' output is for failures."""


@pytest.fixture(scope="session")
def serve():
    """Serve folders on 127.0.0.1: `serve(folder) -> url without a slash at the end`."""
    servers = []

    def serve_(folder):
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve_
    for server in servers:
        server.shutdown()
        server.server_close()
