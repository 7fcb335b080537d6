"""Keep only the rules of a stylesheet that some page could match."""

import re

import tinycss2

GROUPS = ("media", "supports", "layer", "container")
FUNCTIONS = re.compile(r":(?:not|is|where|has)\((?:[^()]|\([^()]*\))*\)")
PSEUDO = re.compile(r"::?[-\w]+(?:\([^)]*\))?")
NAME = re.compile(r"[.#]((?:\\.|[-\w])+)")
TAG = re.compile(r"(?:^|[\s>+~])([a-zA-Z][\w-]*)")
VARIABLE = re.compile(
    r"""(?<=[{;])\s*(--[\w-]+)\s*:((?:"[^"]*"|\([^()]*(?:\([^()]*\)[^()]*)*\)|[^;{}"()])*)(;|(?=\}))"""
)


def could_match(selector, words, tags):
    """Say whether each class, id and tag of a selector occurs as a word or tag of some page or script."""
    selector = PSEUDO.sub("", re.sub(r"\[[^\]]*\]", "", FUNCTIONS.sub("", selector)))
    if any(name.replace("\\", "") not in words for name in NAME.findall(selector)):
        return False
    return all(tag.lower() in tags for tag in TAG.findall(NAME.sub("", selector)))


def purge(css, words, tags):
    """Return `css` without rules whose selectors cannot match; comments and spare spaces go too."""
    return _rules(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True), words, tags)


def squeeze(css):
    """Return `css` without comments and spare spaces."""
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)).strip()


def _rules(rules, words, tags):
    out = []
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [s for s in _split(rule.prelude) if could_match(s, words, tags)]
            body = _squeeze(rule.content)
            if selectors and body:
                out.append(",".join(selectors) + "{" + body + "}")
        elif rule.type == "at-rule":
            out.append(_at_rule(rule, words, tags))
    return "".join(out)


def _at_rule(rule, words, tags):
    name = rule.lower_at_keyword
    icons = name == "font-face" and "Awesome" in tinycss2.serialize(rule.content)
    if name in ("charset", "import") or icons:
        return ""  # the icon font comes back later, cut to the icons in use
    if rule.content is None:
        return rule.serialize()
    inner = _squeeze(rule.content)
    if name in GROUPS:
        content = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
        inner = _rules(content, words, tags)
    return f"@{name} {_squeeze(rule.prelude)}{{{inner}}}" if inner else ""


def _split(tokens):
    parts = [[]]
    for token in tokens:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [re.sub(r"\s+", " ", tinycss2.serialize(part).strip()) for part in parts]


def _squeeze(tokens):
    return squeeze(tinycss2.serialize(tokens)).rstrip(";")


def drop_unread_variables(css, other):
    """Drop custom properties that neither `css` nor `other` (pages, scripts) reads, until none is left."""
    elsewhere = set(re.findall(r"--[\w-]+", other))
    while True:
        read = elsewhere | set(re.findall(r"var\(\s*(--[\w-]+)", css))
        kept = VARIABLE.sub(lambda match: match[0] if match[1] in read else "", css)  # noqa: B023
        kept = re.sub(r"[^{}]+\{\s*\}", "", kept)
        if kept == css:
            return css
        css = kept
