"""The oracle, slow, is a file beside the tests."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]
