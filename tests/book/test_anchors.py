"""Plain links reach labels and terms; the pictures of explorers come with their words."""

from types import SimpleNamespace

import pytest
from _theme import anchors, stills
from docutils import nodes
from docutils.parsers.rst import DirectiveError

from fromage_edu import explorers


def page_with(*ids):
    page = nodes.section()
    page += [nodes.paragraph("", f"The text at {name}.", ids=[name]) for name in ids]
    return page


def offered(page, known):
    env = SimpleNamespace(docname="page", metadata={"page": known})
    anchors.offer_ids(SimpleNamespace(env=env), page)
    return known["myst_slugs"]


def test_every_id_of_a_page_can_be_linked():
    slugs = offered(page_with("thm-F12", "term-bound"), {})
    assert slugs == {"thm-F12": (0, "thm-F12", "The text at thm-F12."),
                     "term-bound": (0, "term-bound", "The text at term-bound.")}


def test_what_headings_offer_stays():
    heading = (3, "id1", "A heading")
    assert offered(page_with("a-heading"), {"myst_slugs": {"a-heading": heading}}) == {"a-heading": heading}


def still(name):
    state = SimpleNamespace(document=SimpleNamespace(settings=SimpleNamespace(env=FakeEnvironment())))
    machine = SimpleNamespace(reporter=None)
    return stills.Still("still", [name], {}, [], 1, 0, "", state, machine)


class FakeEnvironment:
    """Takes note of nothing."""

    def note_dependency(self, path):
        """A still that changes makes its page stale."""


@pytest.mark.parametrize("name", explorers.__all__)
def test_a_still_has_the_words_of_its_class(name):
    (image,) = still(name).run()
    assert image["alt"] == getattr(explorers, name).still_alt
    assert image["uri"] == f"/_theme/stills/{name}.svg"


def test_a_still_of_nothing_is_an_error():
    with pytest.raises(DirectiveError) as caught:
        still("Nobody").run()
    assert caught.value.msg == "no explorer Nobody with a still: run make stills"
