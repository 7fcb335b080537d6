"""The folder on the path, since its tests share an oracle, and the mark that ties a test to a rule."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def pytest_configure(config):
    config.addinivalue_line("markers", "rule(name): the test holds Fromage to this rule of rules.py")
