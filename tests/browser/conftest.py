"""A browser for the tests: Chromium with the network blocked, every message and every request on record."""

import contextlib
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tools")]
from chromium import FLAGS, MISSING, find_chromium  # noqa: E402
from explorer_page import page_of  # noqa: E402
from serve import Server  # noqa: E402

from fromage_edu.explorers.base import SHARED  # noqa: E402

LOAD = """async ([text, calls]) => {
  const math = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  return calls.map(([name, ...args]) => math[name](...args));
}"""


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


@pytest.fixture(scope="session")
def serve():
    """Serve folders on 127.0.0.1: `serve(folder) -> url without a slash at the end`."""
    with contextlib.ExitStack() as servers:
        yield lambda folder: servers.enter_context(Server(folder)).address


@pytest.fixture
def show(open_page, tmp_path):
    """Open a page of explorers, from disk."""

    def show_(*widgets, theme="light", hash="", **options):
        path = tmp_path / f"{theme}.html"
        path.write_text(page_of(widgets, theme), encoding="utf-8")
        page = open_page(path.as_uri() + hash, theme=theme, **options)
        ready = "document.querySelectorAll('.explorer[data-ready]').length"
        page.wait_for_function(f"{ready} === {len(widgets)}")
        return page

    return show_


@pytest.fixture
def call(open_page, tmp_path):
    """Evaluate `[name, *arguments]` of the shared JavaScript, many at once."""
    blank = tmp_path / "blank.html"
    blank.write_text("<!doctype html><title>blank</title>", encoding="utf-8")
    page = open_page(blank.as_uri())
    return lambda calls: page.evaluate(LOAD, [SHARED, calls])
