"""Cut fonts down to the characters that the book uses."""

import html
import importlib.util
import io
import logging
import re
import unicodedata
from base64 import b64encode
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

logging.getLogger("fontTools").setLevel(logging.WARNING)
# What explorers write into live formulas, whatever the pages hold: digits, operators, brackets, √, ∏.
ALWAYS = "0123456789.,+−-×·/=≈≠<>≤≥()[]{}|‖√∏∑∞′⁄%…⋯ "
MATH_FEATURES = ["ssty", "dtls", "flac"]
# Operators that are there for the layout and the screen reader and have no shape.
INVISIBLE = "\u2061\u2062\u2063\u2064\u200b\u200d\ufe00\ufe01"
# First and last letter of an alphabet, and where its italics begin.
ALPHABETS = {"az": 0x1D44E, "AZ": 0x1D434, "αω": 0x1D6FC, "ΑΩ": 0x1D6E2}
# Italic Greek that does not lie in the alphabet's order.
ITALIC_VARIANTS = dict(zip("∂ϵϑϰϕϱϖ", range(0x1D715, 0x1D71C), strict=True))


def cut(source, characters, features=()):
    """Return the WOFF2 bytes of the font file `source` with only `characters` (and what they are made of)."""
    options = subset.Options()
    options.flavor = "woff2"
    options.layout_features = list(features)
    options.hinting = False
    options.desubroutinize = True
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 13, 14]  # names and license
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=[ord(character) for character in characters])
    buffer = io.BytesIO()
    with subset.load_font(str(source), options) as font:
        cutter.subset(font)
        if "MATH" in font:
            narrow_roots(font)
        subset.save_font(font, buffer, options)
    return buffer.getvalue()


def narrow_roots(font):
    """Give the tall forms of √ the width of the small one.

    Chromium keeps room for the widest form beside every root: √v was followed by a gap.
    """
    root = font.getBestCmap().get(ord("√"))
    variants = font["MATH"].table.MathVariants
    if root is None or root not in variants.VertGlyphCoverage.glyphs:
        return
    forms = variants.VertGlyphConstruction[variants.VertGlyphCoverage.glyphs.index(root)]
    names = {record.VariantGlyph for record in forms.MathGlyphVariantRecord}
    names |= {part.glyph for part in forms.GlyphAssembly.PartRecords}
    width = font["hmtx"][root][0]
    for name in names - {root}:
        advance, bearing = font["hmtx"][name]
        glyph = font["glyf"][name]
        glyph.coordinates.scale((width / advance, 1))
        glyph.coordinates.toInt()
        glyph.recalcBounds(font["glyf"])
        font["hmtx"][name] = (width, round(bearing * width / advance))


def italic(letter):
    """Return the character with which a browser draws `<mi>letter</mi>`."""
    code = ord(letter)
    if letter == "h":
        return "\u210e"
    for (first, last), start in ALPHABETS.items():
        if first <= letter <= last:
            return chr(start + code - ord(first))
    return chr(ITALIC_VARIANTS.get(letter, code))


def math_characters(pages):
    """Return every character that the formulas of these pages are drawn with."""
    characters = set(ALWAYS)
    for page in pages:
        for formula in re.findall(r"<math\b.*?</math>", page, re.DOTALL):
            text = html.unescape(re.sub(r"<[^>]+>", "", formula))
            characters.update(text)
            characters.update(map(italic, re.findall(r"(?<=<mi>)[^<](?=</mi>)", html.unescape(formula))))
    return {c for c in characters if c not in INVISIBLE and not (c.isspace() and c != " ")}


def missing(source, characters):
    """Return those of `characters` that the font file `source` cannot draw, readable in a message."""
    with TTFont(str(source)) as font:
        drawn = font.getBestCmap()
    lost = sorted(c for c in characters if ord(c) not in drawn)
    return [f"{c} (U+{ord(c):04X} {unicodedata.name(c, '?')})" for c in lost]


def math_font():
    """Return the path of STIX Two Math (SIL Open Font License), which the package ziamath brings along."""
    package = importlib.util.find_spec("ziamath").origin  # found, not imported: only the file is of use
    return Path(package).parent / "fonts" / "STIXTwoMath-Regular.ttf"


def face(family, data, **descriptors):
    """Return an `@font-face` rule that carries the font: it is there at the first layout, no page jumps."""
    rules = "".join(f"{name.replace('_', '-')}:{value};" for name, value in descriptors.items())
    source = f"url(data:font/woff2;base64,{b64encode(data).decode()})"
    return f'@font-face{{font-family:"{family}";{rules}src:{source}}}'
