"""Sharded training equals training in one process: 2 and 4 gloo processes run the cases of two files.

`sharded_tensors.py` has DTensors made by hand, `sharded_models.py` models under torch's own ways to shard.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this torch has no gloo", allow_module_level=True)
if not hasattr(pytest.importorskip("torch.distributed.fsdp"), "fully_shard"):
    pytest.skip("this torch has no fully_shard", allow_module_level=True)

import processes  # noqa: E402
import sharded_models  # noqa: E402, F401  Importing it registers the cases of both files.

from fromage_edu import Fromage  # noqa: E402


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Number of processes → what they wrote; 4 come after 2, whose checkpoints they read."""
    folder = tmp_path_factory.mktemp("sharded")
    return {world: processes.run("sharded_models", world, folder) for world in (2, 4)}


@pytest.mark.rule("DTensor")
@pytest.mark.parametrize(
    ("world", "name"), [(world, name) for name, (worlds, _) in processes.CASES.items() for world in worlds]
)
def test_in_several_processes(results, world, name):
    errors = results[world].get(name, [])
    if len(errors) < world:
        errors = [*errors, f"finished by {len(errors)} of {world} processes", *results[world]["log"]]
    elif all(error.startswith(processes.SKIPPED) for error in errors):
        pytest.skip(errors[0])
    if any(errors):
        pytest.fail("\n\n".join(f"{place}: {error}" for place, error in enumerate(errors)), pytrace=False)


def test_import_leaves_dtensor_alone():
    """It costs a second, and torch.optim imports it early enough, with the first optimizer."""
    code = "import sys, fromage_edu; print('torch.distributed.tensor' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("options", [{"momentum": 0.5}, {"p_bound": 2.0}, {"momentum": 0.5, "p_bound": 2.0}])
def test_saved_state_apart_from_its_tensor_is_a_number(options):
    """A distributed checkpoint raises "Device mismatch" for more than that; meta stands in for a GPU."""
    weight = torch.nn.Parameter(torch.empty(3, device="meta"))
    weight.grad = torch.empty_like(weight)
    optimizer = Fromage([weight], **options)
    optimizer.step()
    (entry,) = optimizer.state_dict()["state"].values()
    assert entry and all(value.dim() == 0 or value.is_meta for value in entry.values())
