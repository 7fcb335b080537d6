"""What the package promises as a whole: light to import, layered, pinned, documented."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import is_dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import fromage_edu

PACKAGE = Path(fromage_edu.__file__).parent
ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# From the top of the house down: a room imports from rooms above it only.
ROOMS = """
    trust optim curvature networks tangent_kernel spectra bounds data figures training recorded experiments
    explorers lab exercises cli
""".split()
# Those that exist, be they files or packages.
ROOMS_OF_TORCH = [f"fromage_edu.{room}" for room in ROOMS[:10] if find_spec(f"fromage_edu.{room}")]
LIGHT = ["fromage_edu", *ROOMS_OF_TORCH, "fromage_edu.exercises"]


def fresh_python(code):
    """Output of `code` in a new interpreter, away from the sources and with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def room_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_rooms(path):
    """Rooms that a module imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}:{node.lineno} imports relatively; name the room"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = (name.split(".") for name in names)
    return {part[1] for part in parts if part[0] == "fromage_edu" and len(part) > 1 and part[1] in ROOMS}


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def test_importing_the_package_imports_nothing_heavier_than_torch():
    code = "import sys, torch, numpy; before = set(sys.modules)\n"
    code += "".join(f"import {name}\n" for name in LIGHT)
    code += "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    new = set(fresh_python(code).split())
    # What is left must be the standard library, torch or numpy.
    assert new - set(sys.stdlib_module_names) - {"torch", "numpy"} <= {"fromage_edu"}


def test_importing_prints_nothing_and_reads_no_random_numbers():
    code = (
        "import torch; s = torch.get_rng_state(); import fromage_edu; assert s.equal(torch.get_rng_state())"
    )
    assert fresh_python(code) == ""


def test_public_names():
    assert fromage_edu.Fromage is fromage_edu.optim.Fromage
    assert all(hasattr(fromage_edu, name) for name in fromage_edu.__all__)


def test_versions_agree():
    assert Version(fromage_edu.__version__) == Version(metadata.version("fromage-edu"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_from_rooms_above(path):
    room = room_of(path)
    assert room in ROOMS, f"{room} has no place in the table of rooms"
    below = [other for other in imported_rooms(path) if ROOMS.index(other) > ROOMS.index(room)]
    assert not below, f"{path.name} imports from {below}, below it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_reads_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450


def public_things(rooms):
    """Functions and classes that `__all__` names, in rooms and, where these are packages, in their files."""
    found = {}
    for path in MODULES:
        name = ".".join(("fromage_edu", *path.relative_to(PACKAGE).with_suffix("").parts))
        # The checks of chapters have a form and tests of their own.
        if not name.startswith(tuple(rooms)) or path.stem.startswith("chapter_"):
            continue
        module = import_module(name.removesuffix(".__init__"))
        for public in getattr(module, "__all__", ()):
            thing = getattr(module, public)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                found[thing] = pytest.param(thing, id=f"{thing.__module__}.{public}")
    return list(found.values())


def section(text, title):
    """The indented lines below `title:` in a docstring."""
    found = re.search(rf"^{title}:\n((?: +.*\n|\n)+)", text + "\n", re.M)
    return found[1] if found else ""


EVERYWHERE = public_things(["fromage_edu."])


@pytest.mark.parametrize("thing", EVERYWHERE)
def test_public_names_are_documented(thing):
    text = inspect.getdoc(thing)
    first = text.splitlines()[0]
    assert first.endswith(".") and len(first) <= 120
    for source in re.findall(r"Source:.*", text):
        assert re.fullmatch(r"Source: (Fromage paper|\w+ supplement), .+ \([FWRX]\d+\)\.", source)


@pytest.mark.parametrize("thing", [each for each in EVERYWHERE if inspect.isfunction(each.values[0])])
def test_functions_say_what_they_take_return_and_raise(thing):
    text, inner = inspect.getdoc(thing), inspect.unwrap(thing)
    arguments = section(text, "Args")
    assert [name for name in inspect.signature(thing).parameters if f"    {name}: " not in arguments] == []
    assert section(text, "Returns") or inspect.isgeneratorfunction(inner), "say what it returns"
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(inner))).body
    raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    assert section(text, "Raises") or not raised, "say what it raises"


@pytest.mark.parametrize("thing", public_things(LIGHT[1:]))
def test_light_rooms_give_an_example_of_every_name(thing):
    holds_results = inspect.isclass(thing) and (issubclass(thing, tuple) or is_dataclass(thing))
    assert holds_results or ">>> " in inspect.getdoc(thing), "give an example that runs"


def test_the_style_is_kept():
    command = [sys.executable, "-m", "ruff", "check", "."]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


# --- requirements.lock ----------------------------------------------------------------------------------

PINS = [line for line in LOCK if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("word", ["+cpu", "nvidia", "cuda", "file:", "--", " @ ", "://", "sha256"])
def test_the_lock_holds_no(word):
    assert [line for line in PINS if word in line] == []


@pytest.mark.parametrize("line", PINS, ids=lambda line: line.split()[0])
def test_every_line_of_the_lock_is_an_exact_pin_of_a_final_release(line):
    (pin,) = Requirement(line).specifier
    assert pin.operator == "==" and "*" not in pin.version
    version = Version(pin.version)
    assert version.local is None and not version.is_prerelease


def requirements():
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(text for group in extras.values() for text in group)]:
        if not text.startswith("fromage-edu"):
            yield text


@pytest.mark.parametrize("text", sorted(set(requirements())))
def test_the_lock_satisfies_what_the_project_asks_for(text):
    wanted = Requirement(text)
    pins = [pin for pin in map(Requirement, PINS) if pin.name.lower() == wanted.name.lower()]
    assert pins, f"{wanted.name} is not in requirements.lock"
    for pin in pins:
        (exact,) = pin.specifier
        assert wanted.specifier.contains(exact.version)


def test_the_core_asks_for_ranges_of_torch_and_numpy_only():
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == {"torch", "numpy"}
    assert not any("==" in str(Requirement(text).specifier) for text in requirements())


def test_torch_is_the_one_that_numbers_in_the_book_come_from():
    assert "torch==2.13.0" in [line.partition(" ;")[0].strip() for line in PINS]
