"""Every test runs on one thread, with the same random numbers and the same examples each time."""

import os

import hypothesis
import pytest
import torch

if not torch.cuda.is_available():  # before Triton is imported: the GPU kernels then run in its interpreter
    os.environ["TRITON_INTERPRET"] = "1"

import fromage_edu  # noqa: F401  Before doctests are collected, or each would import its module anew.

# Derandomized: a failure is seen by everybody. No deadline: a busy machine is no bug.
hypothesis.settings.register_profile("fromage", derandomize=True, deadline=None, max_examples=60)
hypothesis.settings.load_profile("fromage")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Also for fixtures of a module, made before those of a test: on a busy core two threads spin."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _repeatable():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)
