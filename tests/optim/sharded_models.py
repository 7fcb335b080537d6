"""Cases with models under torch's own ways to shard: the same training as in one process."""

import copy
import unittest
import warnings

import torch
import torch.distributed.checkpoint as dcp
from processes import case
from sharded_lists import Collectives, refused
from sharded_tensors import assert_close, line
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from fromage_edu import Fromage
from fromage_edu.optim import step_in_backward
from fromage_edu.optim.sharded import local

OPTIONS = [
    dict(lr=0.02),
    dict(lr=torch.tensor(0.05), momentum=0.9, p_bound=1.01),
]


class Block(nn.Module):
    """(batch, 8, features): what parallel plans need, and biases that start at 0."""

    def __init__(self, features=6, hidden=12):
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.up = nn.Linear(features, hidden)
        self.down = nn.Linear(hidden, features)
        nn.init.zeros_(self.up.bias)
        nn.init.zeros_(self.down.bias)

    def forward(self, x):
        return self.down(torch.tanh(self.up(self.norm(x))))


def network(hidden=12):
    torch.manual_seed(1)
    return nn.Sequential(Block(6, hidden), Block(6, hidden), nn.Linear(6, 5))


def batch(step, dtype=torch.float32):
    generator = torch.Generator().manual_seed(100 + step)
    return torch.randn(8, 8, 6, generator=generator, dtype=dtype)


def train(model, optimizer, steps, part=slice(None), sequence=slice(None)):
    """Steps on the part of each batch that this process has; the loss is a mean over its entries."""
    for step in steps:
        optimizer.zero_grad()
        model(batch(step)[part, sequence]).square().mean().backward()
        optimizer.step()


def my_part(mesh):
    """The rows of a batch for this process: equal shares along the mesh."""
    share = 8 // mesh.size()
    first = mesh.get_local_rank() * share
    return slice(first, first + share)


def compare(shard, part, sequence=slice(None), **kwargs):
    """Train sharded and whole under each of OPTIONS; `shard` changes a model in place or returns it."""
    for options in OPTIONS:
        alone = network(**kwargs)
        train(alone, Fromage(alone.parameters(), **options), range(4))
        model = shard(network(**kwargs))
        train(model, Fromage(model.parameters(), **options), range(4), part, sequence)
        assert_close(model.parameters(), alone.parameters())


def fully_sharded(model, mesh):
    if not hasattr(torch.cpu.Stream, "record_event"):
        raise unittest.SkipTest("fully_shard of this torch does not run on a CPU")
    for block in model:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def tensor_parallel(model, mesh):
    for block in model[:2]:
        parallelize_module(block, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})
    return model


def sequence_parallel(model, mesh):
    """LayerNorm on a part of each sequence: gradients of its weights are to be added over processes."""
    for block, output in ((model[0], Shard(1)), (model[1], Replicate())):
        plan = {
            "norm": SequenceParallel(),
            "up": ColwiseParallel(input_layouts=Shard(1)),
            "down": RowwiseParallel(output_layouts=output),
        }
        parallelize_module(block, mesh, plan)
    return model


# --- Training -------------------------------------------------------------------------------------------


@case(2, 4)
def distributed_data_parallel_trains_like_one_process(world, folder):
    compare(nn.parallel.DistributedDataParallel, my_part(line(world)))


@case(2, 4)
def fully_sharded_trains_like_one_process(world, folder):
    mesh = line(world)
    for hidden in (12, 3):  # 3 rows: uneven over 2, and one process of 4 has none
        compare(lambda model: fully_sharded(model, mesh), my_part(mesh), hidden=hidden)


@case(2, 4)
def tensor_parallel_trains_like_one_process(world, folder):
    mesh = line(world)
    compare(lambda model: tensor_parallel(model, mesh), slice(None))


@case(2, 4)
def sequence_parallel_adds_up_its_partial_gradients(world, folder):
    mesh, models = line(world), []

    def shard(model):
        models.append(sequence_parallel(model, mesh))
        return models[-1]

    compare(shard, slice(None), my_part(mesh))
    assert any(placement.is_partial() for placement in models[0][0].norm.weight.grad.placements)


@case(4)
def fully_sharded_and_tensor_parallel_train_like_one_process(world, folder):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    part = my_part(mesh["data"])
    for plan in (tensor_parallel, sequence_parallel):
        sequence = my_part(mesh["tensor"]) if plan is sequence_parallel else slice(None)

        def shard(model, plan=plan):
            return fully_sharded(plan(model, mesh["tensor"]), mesh["data"])

        compare(shard, part, sequence)


@case(4)
def hybrid_sharding_trains_like_one_process(world, folder):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicas", "shards"))
    compare(lambda model: fully_sharded(model, mesh), my_part(line(world)))


@case(2, 4)
def a_sharded_model_beside_a_plain_one_trains_like_one_process(world, folder):
    mesh = line(world)

    def shard(model):
        fully_sharded(model[:2], mesh)
        return nn.Sequential(*model[:2], nn.parallel.DistributedDataParallel(model[2]))

    compare(shard, my_part(mesh))


@case(2, 4)
def fully_sharded_crosses_processes_once_a_step(world, folder):
    mesh = line(world)
    for options, count in zip(OPTIONS, (2, 3), strict=True):
        model = fully_sharded(network(), mesh)
        optimizer = Fromage(model.parameters(), **options)
        model(batch(0)).square().mean().backward()
        with Collectives() as collectives:
            optimizer.step()
        assert collectives.seen == [("allreduce_", (len(list(model.parameters())), count))]


# --- Refusals -------------------------------------------------------------------------------------------


@case(2)
def flat_parameters_are_refused(world, folder):
    def wrap(keep):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has been deprecated
            return FullyShardedDataParallel(module, use_orig_params=keep, device_id=torch.device("cpu"))

    for keep in (True, False):
        module = network()
        early = Fromage(module.parameters())
        model = wrap(keep)
        with refused(TypeError, "use torch.distributed.fsdp.fully_shard (FSDP2) instead"):
            Fromage(model.parameters())
        model(batch(0)).square().mean().backward()
        with refused(TypeError, "needs the norm of each layer"):
            Fromage(model.parameters())
        if keep:  # else the optimizer holds tensors that the model no longer has
            with refused(TypeError, "needs the norm of each layer"):
                early.step()


@case(2)
def a_step_in_backward_is_refused_where_gradients_are_combined_later(world, folder):
    mesh = line(world)
    for model in (
        nn.parallel.DistributedDataParallel(network()),
        fully_sharded(network(), mesh),
        tensor_parallel(network(), mesh),
    ):
        with refused(TypeError, "call Fromage(...).step() after backward()"):
            step_in_backward(model)


# --- Checkpoints ----------------------------------------------------------------------------------------

STATES = [
    dict(lr=0.05),
    dict(lr=torch.tensor(0.05), momentum=0.9),
    dict(lr=0.05, p_bound=1.01),
    dict(lr=0.05, momentum=0.9, p_bound=1.01),
]


def grouped(model):
    """Groups of every kind: with p_bound, with momentum, plain."""
    return [
        {"params": model[0].parameters(), "p_bound": 1.01},
        {"params": model[1].parameters(), "momentum": 0.9},
        {"params": model[2].parameters(), "lr": 0.1},
    ]


def states(model, optimizer):
    return {"model": get_model_state_dict(model), "optimizer": get_optimizer_state_dict(model, optimizer)}


def load(model, optimizer, place):
    state = states(model, optimizer)
    dcp.load(state, checkpoint_id=place)
    set_model_state_dict(model, state["model"])
    set_optimizer_state_dict(model, optimizer, state["optimizer"])


def optimizers():
    """Ways to make an optimizer for a model."""
    for options in STATES:
        yield lambda model, options=options: Fromage(model.parameters(), **options)
    yield lambda model: Fromage(grouped(model), lr=0.05)


def blank(model):
    """The same model with other weights, as after another seed."""
    with torch.no_grad():
        for param in model.parameters():
            param.add_(1.0)
    return model


@case(2, 4)
def a_checkpoint_continues_to_the_bit(world, folder):
    mesh = line(world)
    part = my_part(mesh)
    for index, make in enumerate(optimizers()):
        model = fully_sharded(network(), mesh)
        optimizer = make(model)
        train(model, optimizer, range(3), part)
        place = folder / f"checkpoint-{world}-{index}"
        dcp.save(states(model, optimizer), checkpoint_id=place)
        train(model, optimizer, range(3, 6), part)
        other = blank(fully_sharded(network(), mesh))
        resumed = make(other)
        load(other, resumed, place)
        train(other, resumed, range(3, 6), part)
        assert_same_bits(model, other, index)


def assert_same_bits(one, two, what):
    for here, there in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(local(here), local(there)), what


@case(2)
def flattened_and_gathered_states_continue_to_the_bit(world, folder):
    mesh = line(world)
    part = my_part(mesh)
    flat, gathered = (
        StateDictOptions(flatten_optimizer_state_dict=True),
        StateDictOptions(full_state_dict=True),
    )
    for index, make in enumerate(optimizers()):
        for options in (flat, gathered):
            if options is gathered and index == 0:
                continue  # torch raises for an optimizer without state: SGD without momentum fails as well
            model = fully_sharded(network(), mesh)
            optimizer = make(model)
            train(model, optimizer, range(2), part)
            other = fully_sharded(network(), mesh)
            resumed = make(other)
            set_model_state_dict(other, copy.deepcopy(get_model_state_dict(model)))
            state = copy.deepcopy(get_optimizer_state_dict(model, optimizer, options=options))
            set_optimizer_state_dict(other, resumed, state, options=options)
            train(model, optimizer, range(2, 4), part)
            train(other, resumed, range(2, 4), part)
            assert_same_bits(model, other, (index, options))


def resume_and_compare(place, make, shard, part):
    """Continue a checkpoint of three steps; compare with training in one process."""
    alone = network()
    optimizer = make(alone)
    train(alone, optimizer, range(6))
    model = blank(shard(network()))
    resumed = make(model)
    load(model, resumed, place)
    train(model, resumed, range(3, 6), part)
    assert_close(model.parameters(), alone.parameters())
    for one, two in zip(model.parameters(), alone.parameters(), strict=True):
        mine, other = resumed.state[one], optimizer.state[two]
        assert sorted(mine) == sorted(other)
        assert_close(mine.values(), other.values(), 1e-5)


@case(4)
def a_checkpoint_of_two_processes_continues_with_four(world, folder):
    mesh = line(world)
    for index, make in enumerate(optimizers()):
        place = folder / f"checkpoint-2-{index}"
        resume_and_compare(place, make, lambda model: fully_sharded(model, mesh), my_part(mesh))


@case(4)
def a_checkpoint_of_four_parts_continues_with_two(world, folder):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicas", "shards"))
    for index, make in enumerate(optimizers()):
        place = folder / f"checkpoint-4-{index}"
        resume_and_compare(place, make, lambda model: fully_sharded(model, mesh), my_part(line(world)))
