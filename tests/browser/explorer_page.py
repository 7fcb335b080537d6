"""Explorers on a page, as the tests meet them: how to open, move and read them."""

import math
import random
import re
from fractions import Fraction

import pytest
import torch

from fromage_edu.bounds import functional_bound, operator_bound, restricted_bound, scalar_bound
from fromage_edu.explorers.base import standalone_page
from fromage_edu.trust import deep_relative_trust

#: What no reader should meet; DeepTrust and WideLayer may speak of the null space.
BAD = re.compile(r"NaN|Infinity|undefined|null\b(?! space)|\d[eE][+-]?\d")


def page_of(widgets, theme="light"):
    """A standalone page with something around the explorers."""
    text = standalone_page(*widgets, theme=theme)
    text = text.replace("<main>", '<main><h1 id="top">Explorers</h1><p><a href="#end">to the end</a></p>')
    text = text.replace("</head>", "<style>a { color: inherit }</style></head>")
    return text.replace("</main>", '<p style="height: 900px" id="end">The end.</p></main>')


def go(page, hash):
    """Give the page another hash, and wait until it is drawn."""
    page.evaluate(
        """(hash) => new Promise((done) => {
          if (location.hash === hash) return done();
          // Heard at once: the host writes the address a while after a change, and must not do so in between.
          history.replaceState(null, "", hash);
          dispatchEvent(new HashChangeEvent("hashchange"));
          requestAnimationFrame(() => requestAnimationFrame(done));
        })""",
        hash,
    )


def swipe(page, x, y, dx, dy):
    """Put a finger down at (x, y) and draw it along."""
    session = page.context.new_cdp_session(page)

    def touch(kind, points):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", [{"x": x, "y": y}])
    for i in range(1, 9):
        touch("touchMove", [{"x": x + dx * i / 8, "y": y + dy * i / 8}])
        page.wait_for_timeout(16)
    touch("touchEnd", [])
    page.wait_for_timeout(200)


def check_finger(page, name, number, along, beside):
    """A finger drawn `along` from a picture's grip moves that alone; `beside` it, it scrolls the page.

    Returns what the URL said after the drag.
    """
    page.locator(".fx-view:visible").scroll_into_view_if_needed()
    box = page.locator(grip(number, name=name)).bounding_box()
    assert min(box["width"], box["height"]) > 43.9
    scrolled = page.evaluate("scrollY")
    swipe(page, box["x"] + 22, box["y"] + 22, *along)
    after = state_of(page, name)
    assert page.evaluate("scrollY") == scrolled
    picture = page.locator(".fx-view:visible > svg").bounding_box()
    swipe(page, picture["x"] + beside[0], picture["y"] + beside[1], 0, -150)
    assert state_of(page, name) == after and page.evaluate("scrollY") > scrolled
    for control in page.locator(".fx button:visible, .fx input:visible").all():
        assert control.bounding_box()["height"] >= 44
    return after


def frame_times(page, key):
    """Milliseconds of sixty redraws while one slider moves, the page's layout included, sorted."""
    return page.evaluate(
        f"""async () => {{
          const input = document.querySelector('input[data-key={key}]'), times = [];
          const next = window.requestAnimationFrame.bind(window);
          window.requestAnimationFrame = (draw) => next((now) => {{
            const start = performance.now();
            draw(now);
            document.body.getBoundingClientRect();
            times.push(performance.now() - start);
          }});
          for (let i = 0; i < 60; i++) {{
            input.value = i % (+input.max + 1);
            input.dispatchEvent(new Event('input', {{ bubbles: true }}));
            await new Promise((done) => next(() => next(done)));
          }}
          return times.sort((x, y) => x - y);
        }}"""
    )


def settle(page):
    """Wait until presets have glided and the picture is drawn."""
    page.wait_for_timeout(350)


def state_of(page, name):
    """What the URL says about an explorer: the exact state."""
    # A timer set after the host's own rings after it.
    page.evaluate("new Promise((done) => setTimeout(done, 260))")
    part = re.search(re.escape(name) + r"\?([^;]*)", page.evaluate("location.hash"))
    if not part:
        return None
    pairs = re.findall(r"(\w+)=([^&;]+)", part[1])
    return {
        key: [float(one) for one in text.split(",")] if key == "sizes" else float(text) for key, text in pairs
    }


def value_of(text):
    """The number in a text such as 1,645 % or −1.7 × 10³³."""
    text = text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−\u00a0", "0123456789-- ")).replace(",", "")
    found = re.search(r"(-?\d+(?:\.\d+)?)(?: × 10(-?\d+))?( %)?", text)
    return float(found[1]) * 10.0 ** int(found[2] or 0) / (100 if found[3] else 1)


def rows_of(page, name):
    """The values of the formula's rows, once the state is drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return [value_of(text) for text in page.locator(f".explorer-{name} .fx-row .fx-value").all_inner_texts()]


def conclusion_of(page, name):
    return page.locator(f".explorer-{name} .fx-conclusion").inner_text().replace("\u00a0", " ")


def near(shown, exact):
    """Three digits are shown, two where a power of ten is; a percentage has one a hundred times earlier."""
    return shown == pytest.approx(exact, rel=0.04 if abs(exact) >= 9_995 or abs(exact) < 1e-4 else 0.006)


def check_trust(page, depth, step):
    """The numbers and the sentence of TrustRegions against the library."""
    depth = int(depth)
    deep, flat = deep_relative_trust([step] * depth).item(), depth * step**2
    chain = math.expm1(depth * math.log1p(step))
    for shown, exact in zip(rows_of(page, "TrustRegions"), (deep, flat, chain), strict=True):
        assert near(shown, exact), (depth, step)
    sentence = conclusion_of(page, "TrustRegions")
    if step == 0:
        assert sentence == "Without a step nothing moves, and both trusts read 0."
    elif depth == 1:
        assert near(value_of(sentence.split("r² = ")[1]), deep)
    else:
        assert near(value_of(sentence.split("a linear chain grows by ")[1]), chain)
        assert near(value_of(sentence.split("Deep relative trust reads ")[1]), deep)
        assert near(value_of(sentence.split("Euclidean trust ")[1]), flat)
        assert chain**2 <= deep * (2.0**depth - 1) * (1 + 1e-9) if chain < 1e150 else True


def evaluated(formula):
    """The exact value of a formula as it is printed: 3[(1 + 0.01²)(1 + (−0.5)²) − 1]."""
    text = re.sub(r"\s+", "", formula.replace("\u00a0", "")).replace(",", "").replace("−", "-")
    text = re.sub(r"×10([⁻⁰¹²³⁴-⁹]+)", lambda match: f"*10**({digits_of(match[1])})", text)
    text = text.translate(str.maketrans("[]", "()")).replace("²", "**2")
    text = re.sub(r"(\d|\))\(", r"\1*(", text)
    text = re.sub(r"(?<![\w.*])(\d+(?:\.\d+)?)", r"F('\1')", text.replace("10**", "TEN**"))
    return float(eval(text, {"F": Fraction, "TEN": Fraction(10)}))


def digits_of(raised):
    return raised.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-"))


def check_formulas(page, measured, bound):
    """What is written beside the values has those values, and = stands only where nothing is rounded."""
    formulas = page.locator(".explorer-ScalarNetwork .fx-formula > span:last-child").all_text_contents()
    for formula, exact in zip(formulas, (measured, bound), strict=True):
        sign, found = formula[0], evaluated(formula[1:])
        assert found == pytest.approx(exact, rel=0.004, abs=1e-11 * bound), formula
        assert sign == "≈" or found == pytest.approx(exact, rel=1e-8, abs=1e-20 * bound), formula
    title = page.locator(".explorer-ScalarNetwork figcaption").first.text_content()
    parts, sign, total = re.fullmatch(r"The area a·b changes by (.*) ([=≈]) (.*)\u00a0%", title).groups()
    found, total = evaluated(parts), evaluated(total)
    # The most digits are seven: what cancels beyond them is not seen.
    assert found == pytest.approx(total, rel=0.007, abs=3e-4 * bound**0.5), title
    assert sign == "≈" or found == pytest.approx(total, rel=1e-9), title


def check_scalar(page, a, b, da, db):
    """The numbers and the sentence of ScalarNetwork against the library."""
    both = scalar_bound(a, b, da, db)
    measured, bound = both.measured.item(), both.bound.item()
    shown = rows_of(page, "ScalarNetwork")
    assert near(shown[1], bound)
    assert near(shown[0], measured) or abs(shown[0] - measured) < 1e-12 * bound
    check_formulas(page, measured, bound)
    sentence = conclusion_of(page, "ScalarNetwork")
    if da == db == 0:
        assert sentence == "Nothing moves: both sides are 0."
    elif "meets the bound" in sentence:
        assert (da, db) == pytest.approx((a, b), rel=1e-8)
    elif "cancel" in sentence:
        assert measured < 1e-4 * bound and measured < 0.005**2
    else:
        assert near(value_of(sentence.split("squared this is ")[1]), measured)
        assert near(value_of(sentence.split(" of the bound ")[0].rsplit(", ", 1)[1]), measured / bound)


def drag(page, selector, to, start=None):
    """Press in the middle of an element (or at `start`), move by `to`, release."""
    box = page.locator(selector).bounding_box()
    x, y = start or (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(1, 6):
        page.mouse.move(x + to[0] * i / 5, y + to[1] * i / 5)
    page.mouse.up()


def grip(view, number=0, name="ScalarNetwork"):
    return f".explorer-{name} .fx-view:nth-child({view}) .fx-grip >> nth={number}"


HEIGHTS = """async ([states, tabs]) => {
  const next = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const all = [];
  for (const state of states) {
    location.hash = state;
    for (let tab = 0; tab < tabs; tab++) {
      for (const place of document.querySelectorAll(".fx-tabs[aria-label=Picture]"))
        place.querySelectorAll("button")[tab]?.click();
      await next();
      const height = (kind) =>
        [...document.querySelectorAll(kind)].map((one) => one.getBoundingClientRect().height);
      all.push([state, ...height(".explorer"), ...height(".fx")]);
    }
  }
  return all;
}"""


def check_heights(page, states, tabs):
    """No state of the URL and no tab needs another height than is kept before the script runs."""
    bare = page.evaluate(
        """() => [...document.querySelectorAll('.explorer')].map((place) => {
          const copy = place.cloneNode(false);
          place.after(copy);
          const { height } = copy.getBoundingClientRect();
          copy.remove();
          return height;
        })"""
    )
    count = len(bare)
    for state, *heights in page.evaluate(HEIGHTS, [states, tabs]):
        assert heights[:count] == pytest.approx(bare, abs=0.5), state
        # Space that is kept for nothing is a gap.
        pairs = zip(heights[:count], heights[count:], strict=True)
        assert max(heights[:count]) > 0 and all(kept - used < 1 for kept, used in pairs), state


LABELS = """async (states) => {
  const next = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const faults = [];
  for (const state of states) {
    location.hash = state;
    await next();
    for (const svg of document.querySelectorAll(".fx-view > svg")) {
      if (!svg.clientWidth) continue;
      const frame = svg.getBoundingClientRect();
      const texts = [...svg.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()]);
      for (const [text, box] of texts) {
        const out = Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top,
          box.bottom - frame.bottom);
        if (out > 1) faults.push(`${state}: "${text.textContent}" is cut off by ${out.toFixed(1)} px`);
      }
      for (const [i, [text, one]] of texts.entries())
        for (const [other, two] of texts.slice(i + 1)) {
          const wide = Math.min(one.right, two.right) - Math.max(one.left, two.left);
          const high = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
          if (wide > 3 && high > 6)
            faults.push(`${state}: "${text.textContent}" over "${other.textContent}"`);
        }
    }
  }
  return faults;
}"""


def faults_of_labels(page, states):
    """Labels of the pictures that are cut off or stand over one another, in words."""
    return page.evaluate(LABELS, states)


def check_deep(page, depth, sizes, alignment=0.0, conditioning=1.0, layer=15):
    """The numbers and the sentence of DeepTrust against the library."""
    depth = int(depth)
    full = (list(sizes) + [sizes[-1]] * depth)[:depth]
    full = [size if size >= 1e-12 else 0.0 for size in full]
    flat, deep = math.fsum(size**2 for size in full), deep_relative_trust(full).item()
    chain = math.expm1(math.fsum(math.log1p(size) for size in full))
    shown = rows_of(page, "DeepTrust")
    for value, exact in zip(shown, (flat, deep, chain), strict=False):
        assert near(value, exact), (depth, sizes)
    sentence = conclusion_of(page, "DeepTrust")
    if not any(full):
        assert shown[3] == 0 and sentence.startswith("No layer changes: every distance is 0")
        return
    assert shown[3] > 0
    theorem, operator = sentence.split("Theorem 1 lies ")[1].split("above the measured square, X1 ")
    if alignment == 1:
        assert near(shown[3], chain)
    if alignment == 1 and conditioning == 1:
        assert operator == "meets it."
    measured = 2 * math.log10(shown[3])
    constant = depth * math.log10(2 * 8 * conditioning**2) + math.log10(deep)
    assert value_of(theorem) == pytest.approx(constant - measured, abs=0.11)
    assert operator == "meets it." or 0 <= value_of(operator) <= value_of(theorem)
    if sum(size > 0 for size in full) > 1:
        assert near(value_of(sentence.split("S = ")[1]), flat) and near(
            value_of(sentence.split("D = ")[1]), deep
        )
        assert ("right on average" in sentence) == (alignment == 0 and conditioning == 1)
    else:
        assert sentence.startswith("Only one layer changes")


def check_wide(page, angle, size, direction):
    """The numbers and the sentence of WideLayer against the library."""
    size = size if size >= 1e-12 else 0.0
    at, to = math.radians(angle), math.radians(direction)
    x = torch.tensor([math.cos(at), math.sin(at)], dtype=torch.float64)
    before = [torch.tensor([[1.0, 0.0]], dtype=torch.float64)]
    after = [before[0] + size * torch.tensor([[math.cos(to), math.sin(to)]], dtype=torch.float64)]
    theorem = functional_bound(before, after, x, as_printed=True)
    repair, operator = restricted_bound(before, after, x).bound.item(), operator_bound(before, after, x)
    operator = (operator.bound / x[0].abs()).item() ** 2
    measured, allowed = theorem.measured.item(), theorem.bound.item()
    for value, exact in zip(rows_of(page, "WideLayer"), (measured, allowed, repair, operator), strict=True):
        assert near(value, exact) or exact < 1e-20 > value, (angle, size, direction)
    sentence = conclusion_of(page, "WideLayer")
    if size == 0:
        assert sentence.startswith("W does not change")
        return
    assert near(value_of(sentence.split("squared change ")[1]), measured) or measured < 1e-20
    assert near(value_of(sentence.split("Theorem 1 allows, ")[1]), allowed)
    assert ("the theorem fails" in sentence) == (measured > allowed * (1 + 1e-9))
    if "Turn x beyond" in sentence:
        limit = math.radians(value_of(sentence.split("Turn x beyond ")[1]) + 0.06)
        assert math.cos(limit - to) ** 2 > 4 * math.cos(limit) ** 2
    assert near(value_of(sentence.split("its bound ")[1]), repair)
    assert (
        near(value_of(sentence.split("so does X1, ")[1]), operator)
        and measured <= min(operator, repair) * 1.001
    )


def check_glide(show, explorer, drawn, preset):
    """A preset moves what the script `drawn` reads at once where motion is reduced, else step by step."""
    for motion, glides in (("no-preference", True), ("reduce", False)):
        page = show(explorer(), reduced_motion=motion)
        after = page.evaluate(
            f"""async () => {{
              document.querySelectorAll('.fx-presets button')[{preset}].click();
              await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
              return {drawn};
            }}"""
        )
        settle(page)
        assert (after != page.evaluate(drawn)) == glides


def drag_at_random(page, name, check, turns=90):
    """A careless hand: no error, no strange number, and every number is the library's."""
    hand = random.Random(0)
    for turn in range(turns):
        kind = hand.random()
        # Another picture has other grips and sliders: count what is there now.
        what = ".fx-grip" if kind < 0.6 else "input" if kind < 0.85 else ".fx button"
        seen = page.locator(f"{what}:visible")
        chosen = seen.nth(hand.randrange(seen.count()))
        if kind < 0.6:
            box = chosen.bounding_box()
            start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            drag(page, ".fx", (hand.uniform(-300, 300), hand.uniform(-300, 300)), start)
        elif kind < 0.85:
            chosen.press(hand.choice(["Home", "End", "PageUp", "PageDown", "ArrowLeft", "ArrowRight"]))
        else:
            chosen.click()
            settle(page)
        if turn % 5 == 0 and (state := state_of(page, name)):
            check(page, **state)
        text = page.evaluate(f"document.querySelector('.explorer-{name}').innerHTML")
        assert not BAD.search(re.sub(r"#\w+", "", text)), BAD.search(text)
