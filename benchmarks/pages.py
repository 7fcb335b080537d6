"""The built pages on a slow phone, and a slider under the thumb: `python -m benchmarks.pages`.

Needs the built book. Chromium's processor is slowed four times and its network set to a slow mobile line
(1.6 Mbit/s, 150 ms), as Lighthouse does. A frame is the time from a slider's input event to the end of the
drawing and layout it causes, on the processor as it is.
"""

import statistics

from playwright.sync_api import sync_playwright

from benchmarks.results import keep
from tools.chromium import FLAGS, MISSING, find_chromium
from tools.serve import SITE, Server

ROUNDS = 5
MOVES = 60
PAINT = """() => new Promise((done) => {
  let largest = 0, shift = 0;
  new PerformanceObserver((list) => { for (const e of list.getEntries()) largest = e.startTime; })
    .observe({ type: "largest-contentful-paint", buffered: true });
  new PerformanceObserver((list) => { for (const e of list.getEntries()) shift += e.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done({ largest, shift,
    first: performance.getEntriesByName("first-contentful-paint")[0].startTime }), 500);
})"""
DRAG = """([input, moves]) => {
  const low = Number(input.min), high = Number(input.max), times = [];
  for (let i = 0; i <= moves; i++) {
    input.value = low + (high - low) * i / moves;
    const start = performance.now();
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.getBoundingClientRect();  // the layout belongs to the frame
    times.push(performance.now() - start);
  }
  return times;
}"""


def open_slow(browser, url: str) -> dict:
    """Load one page on the slow phone; kilobytes as they travel, seconds of paint, layout shift."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    tools = context.new_cdp_session(page)
    tools.send("Network.enable")
    line = {"offline": False, "latency": 150, "downloadThroughput": 204_800, "uploadThroughput": 96_000}
    tools.send("Network.emulateNetworkConditions", line)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    sizes = []
    tools.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(url, wait_until="load")
    measured = page.evaluate(PAINT)
    context.close()
    return {"requests": len(sizes), "kB": sum(sizes) / 1000, **measured}


def frames(browser, url: str) -> list[float]:
    """Milliseconds of each frame while every slider of the page is dragged from end to end."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    page.wait_for_selector(".explorer[data-ready]")
    times = []
    for slider in page.query_selector_all(".explorer input[type=range]"):
        times += page.evaluate(DRAG, [slider, MOVES])
    page.close()
    return times


def measure(browser, address: str, name: str) -> dict:
    """Measure one page."""
    url = f"{address}/{name}"
    loads = [open_slow(browser, url) for _ in range(ROUNDS)]
    row = {
        "page": name,
        "requests": loads[0]["requests"],
        "kB": round(loads[0]["kB"], 1),
        "first paint s": round(statistics.median(load["first"] for load in loads) / 1000, 2),
        "largest paint s": round(statistics.median(load["largest"] for load in loads) / 1000, 2),
        "layout shift": round(max(load["shift"] for load in loads), 4),
    }
    times = frames(browser, url) if "data-model" in (SITE / name).read_text(encoding="utf-8") else []
    row["frame ms, median"] = round(statistics.median(times), 2) if times else "-"
    row["frame ms, worst"] = round(max(times), 2) if times else "-"
    return row


def main() -> None:
    """Measure every chapter and keep the rows."""
    pages = sorted(
        path.relative_to(SITE).as_posix()
        for path in SITE.rglob("*.html")
        if "_static" not in path.parts and path.name not in ("genindex.html", "search.html", "index.html")
    )
    if not pages:
        raise SystemExit("there is no built book yet: make book")
    with sync_playwright() as playwright, Server() as server:
        path = find_chromium(playwright)
        if path is None:
            raise SystemExit(MISSING)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        keep("pages", [measure(browser, server.address, name) for name in pages])
        browser.close()


if __name__ == "__main__":
    main()
