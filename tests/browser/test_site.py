"""The built site: what a reader with a browser, and nothing else, gets. Needs `make book` first."""

import gzip
import html
import importlib.util
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe

from fromage_edu import explorers

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
CONTENTS = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [CONTENTS["root"], *(entry["file"] for part in CONTENTS["parts"] for entry in part["chapters"])]
PAGES = [f"{name}.html" for name in [*CHAPTERS, "search"]]
WIDE = 1280
VIEWS = [(theme, width) for theme in ("light", "dark") for width in (390, WIDE)]
LARGEST = 200_000  # bytes of a page: HTML, CSS, JavaScript and fonts, compressed

each_page = pytest.mark.parametrize("name", PAGES)
each_view = pytest.mark.parametrize(("theme", "width"), VIEWS)


@pytest.fixture(scope="session")
def site():
    """The address of the built site, served compressed on 127.0.0.1."""
    if not (SITE / "index.html").exists():
        pytest.fail("there is no built book yet: run make book", pytrace=False)
    place = importlib.util.spec_from_file_location("serve", ROOT / "tools" / "serve.py")
    serve = importlib.util.module_from_spec(place)
    place.loader.exec_module(serve)
    with serve.Server(SITE) as server:
        yield server.address


def settle(page):
    """Wait until every explorer is drawn and nothing more is fetched."""
    page.wait_for_load_state("load")
    page.wait_for_function("!document.querySelector('.explorer[data-model]:not([data-ready])')")


def text_of(name):
    return (SITE / name).read_text(encoding="utf-8")


# ---- files -----------------------------------------------------------------------------------


def test_the_site_holds_the_pages_of_the_contents_and_no_other():
    found = {path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")}
    assert {name for name in found if not name.startswith("_static")} == {*PAGES, "index.html"}


@each_page
def test_every_link_leads_somewhere_and_every_resource_is_the_sites_own(name):
    text = text_of(name)
    ids = {name: set(re.findall(r'\bid="([^"]*)"', text))}
    links = re.findall(r'<a\b[^>]*\bhref="([^"]*)"', text)
    resources = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]*)"', text)
    resources += re.findall(r'<link rel="(?:stylesheet|icon|preload)"[^>]*\bhref="([^"]*)"', text)
    assert not [url for url in resources if urlsplit(url).scheme or url.startswith("//")]
    for url in map(html.unescape, [*links, *resources]):
        if urlsplit(url).scheme:
            continue
        path, anchor = urldefrag(urljoin(name, url))
        path = unquote(path.split("?")[0]) or name
        assert (SITE / path).is_file(), f"{name} links to {url}"
        if anchor and path.endswith(".html") and "?" not in anchor:
            known = ids.setdefault(path, set(re.findall(r'\bid="([^"]*)"', text_of(path))))
            assert unquote(anchor) in known or anchor.startswith(tuple(explorers.__all__)), url


@each_page
def test_every_picture_says_what_it_shows(name):
    article = text_of(name).partition('<article class="bd-article">')[2].partition("</article>")[0]
    for tag in re.findall(r"<img\b[^>]*>", article):
        alt, src = (html.unescape(re.search(f'{key}="([^"]*)"', tag)[1]) for key in ("alt", "src"))
        assert len(alt) >= 15 and alt != src and not src.endswith(alt), tag
        assert " width=" in tag or "width:" in tag, f"without a size, the page jumps: {tag}"


@each_page
def test_a_page_has_a_title_a_language_and_no_math_engine(name):
    text = text_of(name)
    assert re.search(r'<html[^>]* lang="en"', text) and re.search(r"<title>[^<]{5,}</title>", text)
    assert text.count("<h1") in (1, 2)  # the second is the title on paper
    loaded = " ".join(re.findall(r"<(?:script|link)\b[^>]*>", text))
    assert not re.search(r"mathjax|katex|require|thebe", loaded, re.IGNORECASE)


def test_chapters_tell_other_sites_what_they_are():
    for name in CHAPTERS:
        text = text_of(f"{name}.html")
        assert 'property="og:title"' in text and 'property="og:description"' in text, name


# ---- pages -----------------------------------------------------------------------------------


@each_page
@each_view
def test_a_page_is_quiet_fits_and_is_accessible(name, theme, width, site, open_page):
    page = open_page(f"{site}/{name}", width=width, theme=theme)
    settle(page)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.evaluate("document.querySelectorAll('.toggle-hidden button').forEach((b) => b.click())")
    page.wait_for_timeout(600)  # what unfolds fades in, and half-faded text has no contrast
    assert not violations(page, width)


#: What a phone shows and a wide screen does not, or the other way round.
FRAME = ["#pst-header", "#pst-primary-sidebar", ".bd-header-article", "#pst-secondary-sidebar"]


def violations(page, width):
    """What axe finds. Contrast takes most of its time: of the text, which is the same, at one width only."""
    everywhere = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": width == WIDE}}}
    found = Axe().run(page, options=everywhere).response["violations"]
    if width != WIDE:
        contrast = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}
        frame = [[part] for part in FRAME if page.locator(part).count()]
        found += Axe().run(page, context={"include": frame}, options=contrast).response["violations"]
    return [(v["id"], v["help"], [node["html"][:160] for node in v["nodes"][:3]]) for v in found]


@each_page
def test_a_page_is_light(name, site, open_page):
    fetched = set()
    page = open_page("about:blank")
    page.on("request", lambda request: fetched.add((request.resource_type, request.url)))
    page.goto(f"{site}/{name}")
    settle(page)
    kinds = {"document", "stylesheet", "script", "font"}
    files = {urlsplit(url).path for kind, url in fetched if kind in kinds and url.startswith(site)}
    weights = {path: len(gzip.compress((SITE / path.lstrip("/")).read_bytes(), 6)) for path in files}
    assert sum(weights.values()) <= LARGEST, weights


@pytest.mark.parametrize("name", [f"{chapter}.html" for chapter in CHAPTERS])
def test_every_character_of_a_formula_is_drawn_in_the_books_font(name, site, open_page):
    page = open_page(f"{site}/{name}")
    settle(page)
    tokens = page.evaluate(
        """() => {
          const seen = new Set(), out = [];
          for (const token of document.querySelectorAll('math :is(mi, mn, mo, mtext)')) {
            const key = token.localName + token.textContent;
            if (!token.textContent.trim() || seen.has(key)) continue;
            if (!token.getClientRects().length) continue;
            seen.add(key);
            token.dataset.probe = out.push(token.textContent);
          }
          return out;
        }"""
    )
    probe = page.context.new_cdp_session(page)
    probe.send("DOM.enable")
    probe.send("CSS.enable")
    root = probe.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    nodes = probe.send("DOM.querySelectorAll", {"nodeId": root, "selector": "math [data-probe]"})["nodeIds"]
    assert len(nodes) == len(tokens)
    strange = {}
    for token, node in zip(tokens, nodes, strict=True):
        fonts = probe.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        if any(not font["isCustomFont"] for font in fonts):
            strange[token] = [font["familyName"] for font in fonts]
    assert not strange


def test_a_wide_formula_scrolls_within_itself_and_by_keyboard(site, open_page):
    for chapter in CHAPTERS:
        page = open_page(f"{site}/{chapter}.html", width=390)
        settle(page)
        page.wait_for_timeout(100)
        lost = page.evaluate(
            """() => [...document.querySelectorAll('.formula')]
              .filter((f) => f.clientWidth && f.scrollWidth > f.clientWidth + 1 && f.tabIndex !== 0)
              .map((f) => f.textContent)"""
        )
        assert not lost, chapter


def test_a_wide_table_keeps_its_caption_and_the_heads_of_its_rows(site, open_page):
    page = open_page(f"{site}/reference/optimizer.html", width=390)
    settle(page)
    table = page.locator("table.benchmark").first
    lefts = """table => ["caption", "tbody th", "tbody td"].map(
      (name) => table.querySelector(name).getBoundingClientRect().left)"""
    assert table.locator("caption").bounding_box()["width"] <= 390
    caption, head, number = table.evaluate(lefts)
    table.evaluate("table => (table.parentElement.scrollLeft = 120)")
    assert table.evaluate(lefts) == pytest.approx([caption, head, number - 120], abs=1)
    color = "table => getComputedStyle(table.querySelector('tbody th')).backgroundColor"
    assert table.evaluate(color) != "rgba(0, 0, 0, 0)", "what scrolls behind a head would shine through"


def test_the_entry_page_leads_to_the_first_chapter(site, open_page):
    page = open_page(f"{site}/index.html")
    page.wait_for_url(f"**/{CHAPTERS[0]}.html")
    assert page.locator("h1").last.is_visible()


# ---- the frame -------------------------------------------------------------------------------


def test_search_by_keyboard_finds_a_chapter(site, open_page):
    page = open_page(f"{site}/{CHAPTERS[1]}.html")
    settle(page)
    page.keyboard.press("Control+k")
    page.keyboard.type("trust")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=trust*")
    page.locator("#search-results li a").first.wait_for()
    page.wait_for_load_state("networkidle")


def test_the_theme_button_changes_the_theme(site, open_page):
    page = open_page(f"{site}/{CHAPTERS[1]}.html")
    settle(page)
    seen = set()
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2


def test_the_download_menu_opens_by_mouse_and_keyboard(site, open_page):
    page = open_page(f"{site}/{CHAPTERS[1]}.html")
    settle(page)
    menu = page.locator(".dropdown-download-buttons .dropdown-menu")
    page.locator(".dropdown-download-buttons > button").click()
    assert menu.is_visible()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.classList.contains('dropdown-item')")
    page.keyboard.press("Escape")
    page.mouse.move(5, 500)
    menu.wait_for(state="hidden")


def test_code_can_be_copied(site, open_page):
    page = open_page(f"{site}/{CHAPTERS[1]}.html")
    settle(page)
    assert page.locator("button.copybtn").count() > 3


def test_on_a_phone_the_contents_open_and_close(site, open_page):
    page = open_page(f"{site}/{CHAPTERS[1]}.html", width=390, height=800)
    settle(page)
    page.locator("button.primary-toggle").click()
    link = page.locator("dialog .bd-links a, .bd-sidebar-primary .bd-links a").first
    link.wait_for(state="visible")
    page.keyboard.press("Escape")
    link.wait_for(state="hidden")


# ---- with less -------------------------------------------------------------------------------


@each_page
def test_a_page_works_from_disk(name, open_page):
    page = open_page((SITE / name).as_uri())
    settle(page)
    assert page.locator("h1").last.is_visible()


def test_search_works_from_disk(open_page):
    page = open_page((SITE / "search.html").as_uri() + "?q=trust")
    page.locator("#search-results li a").first.wait_for()
    page.wait_for_timeout(300)  # excerpts would be fetched now, and refused


def test_without_scripts_a_still_stands_in(site, open_page):
    page = open_page(f"{site}/{CHAPTERS[0]}.html", java_script_enabled=False)
    still = page.locator(".explorer .explorer-still").first
    still.scroll_into_view_if_needed()
    assert still.is_visible()


def test_a_still_fits_a_phone(site, open_page):
    page = open_page(f"{site}/{CHAPTERS[0]}.html", width=390, java_script_enabled=False)
    still = page.locator(".explorer .explorer-still").first
    still.scroll_into_view_if_needed()
    assert still.evaluate("image => image.currentSrc").endswith("-narrow.svg")


def test_on_paper_explorers_stand_as_they_were_left(site, open_page):
    page = open_page(f"{site}/{CHAPTERS[0]}.html")
    settle(page)
    page.emulate_media(media="print")
    assert page.locator(".explorer svg").first.is_visible()
    assert page.locator(".explorer input").first.is_hidden()
    assert page.locator(".bd-sidebar-primary").is_hidden()
