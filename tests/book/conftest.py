"""The machinery under test lives in two folders that are no packages."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "book"), str(ROOT / "tools")]


@pytest.fixture(scope="session")
def root():
    return ROOT
