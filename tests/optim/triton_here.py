"""The Triton kernels where they run, on a GPU or interpreted; elsewhere what imports this is skipped."""

import importlib.metadata

import pytest
import torch

kernels = pytest.importorskip("fromage_edu.optim.kernels", reason="Triton is for Linux", exc_type=ImportError)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TRITON = tuple(map(int, importlib.metadata.version("triton").split(".")[:2]))
NUMPY = tuple(map(int, importlib.metadata.version("numpy").split(".")[:2]))
if TRITON < (3, 3) and NUMPY >= (2, 4) and DEVICE == "cpu":
    pytest.skip("Triton's interpreter before 3.3 cannot loop with numpy 2.4", allow_module_level=True)
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
# The interpreter before 3.3 makes numbers of arrays with one element.
conversions = pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")
