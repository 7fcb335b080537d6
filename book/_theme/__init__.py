"""The book's Sphinx extension: light pages that need no network, no kernel and no math engine.

`executed` puts fresh outputs into the notebooks that Sphinx reads, `formulas` turns LaTeX into MathML,
`explorers` places the sliders and `stills` their pictures, `anchors` lets plain links reach every id,
`repairs` mends names, roles and sizes, and `bundle` writes one stylesheet and one script with only what the
built pages use. `address` adds what depends on where the book will live, `benchmarks` makes tables of what
was measured.
"""

import hashlib
from pathlib import Path

from . import address, anchors, benchmarks, bundle, executed, explorers, formulas, repairs, stills

HERE = Path(__file__).parent
EXPLORERS = HERE.parents[1] / "fromage_edu" / "explorers"


def look(app, config):
    """Make every page stale when this extension, or what it takes from the explorers, changes."""
    digest = hashlib.sha256()
    for folder in (HERE, EXPLORERS):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.name.encode() + path.read_bytes())
    config.book_look = digest.hexdigest()


def setup(app):
    """Connect the parts; Sphinx calls this."""
    app.add_config_value("book_look", "", "html", [str])
    app.connect("config-inited", look)
    for part in (address, benchmarks, executed, formulas, anchors, explorers, stills, repairs, bundle):
        part.setup(app)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
