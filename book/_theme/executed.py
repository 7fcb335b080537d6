"""Give Sphinx the notebooks with fresh outputs: what is stale is run before anything is read.

The committed notebooks are slim (no images, no widget state), and Sphinx itself cannot see that a change in
the library makes a page stale. So each notebook has a key (see `tools/execution.py`), and a page is read
again when its notebook's key has changed since the last build.
"""

import json
import sys
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.util import logging

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

import execution  # noqa: E402  (lives in tools/, which is no package)

LOG = logging.getLogger(__name__)


def run_stale(app, env, added, changed, removed):
    """Run stale notebooks; return the pages to read again."""
    paths = {}
    for docname in sorted(env.found_docs):
        path = Path(env.doc2path(docname))
        if path.suffix == ".ipynb":
            paths[docname] = path
    keys = execution.keys_of(paths.values())
    try:
        execution.run(keys, say=LOG.info)
    except execution.NotebookFailed as error:
        raise ExtensionError(str(error)) from None
    app.notebook_keys = {docname: keys[path] for docname, path in paths.items()}
    known = getattr(env, "notebook_keys", {})
    return [docname for docname, key in app.notebook_keys.items() if known.get(docname) != key]


def put_outputs(app, docname, source):
    """Replace the text of a notebook by that of its executed copy."""
    key = app.notebook_keys.get(docname)
    if key is None:
        return
    path = app.env.doc2path(docname)
    source[0] = json.dumps(execution.fill(path, execution.load(key)))
    known = app.env.__dict__.setdefault("notebook_keys", {})
    known[docname] = key


def setup(app):
    """Connect to the two moments at which Sphinx decides what to read, and reads it."""
    app.connect("env-get-outdated", run_stale)
    app.connect("source-read", put_outputs)
