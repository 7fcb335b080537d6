"""The directive `still`: an explorer's picture, with the words that its class has for it."""

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

STILLS = Path(__file__).parent / "stills"


class Still(SphinxDirective):
    """`:::{still} TrustRegions` places the picture of `fromage_edu.explorers.TrustRegions`."""

    required_arguments = 1

    def run(self):
        """Return the image; its alt text is the class's own."""
        import fromage_edu.explorers

        name = self.arguments[0]
        explorer = getattr(fromage_edu.explorers, name, None)
        path = STILLS / f"{name}.svg"
        if explorer is None or not path.exists():
            raise self.error(f"no explorer {name} with a still: run make stills")
        self.env.note_dependency(path)
        return [nodes.image(uri=f"/_theme/stills/{path.name}", alt=explorer.still_alt)]


def setup(app):
    """Offer the directive."""
    app.add_directive("still", Still)
