"""Cases with lists of DTensors made by hand: groups, state, messages between processes, refusals."""

from contextlib import contextmanager

import torch
from processes import case
from sharded_tensors import assert_close, drawn, give, line, parameters, race, several, spread, whole
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.utils._python_dispatch import TorchDispatchMode

from fromage_edu import Fromage
from fromage_edu.optim import sharded


class Collectives(TorchDispatchMode):
    """Writes down each operation that crosses processes, with the number of elements."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented
        if func.namespace in ("c10d", "_c10d_functional"):
            first = args[0] if isinstance(args[0], torch.Tensor) else args[0][0]
            self.seen.append((func.overloadpacket.__name__, tuple(first.shape)))
        return func(*args, **(kwargs or {}))


@contextmanager
def refused(kind, words):
    try:
        yield
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused: {words}")


# --- Groups and mixed lists -----------------------------------------------------------------------------


def mixed(tensors, mesh):
    """Tensors, every second one spread."""
    pairs = zip(parameters(tensors), spread(tensors, mesh, Shard(0)), strict=True)
    return [pair[index % 2] for index, pair in enumerate(pairs)]


@case(2, 4)
def lists_of_tensors_and_dtensors_step_together(world, folder):
    mesh, starts = line(world), drawn()
    for options in ({}, {"momentum": 0.9, "p_bound": 1.01}):
        race(mixed(starts, mesh), starts, several(), **options)
        race(mixed(starts, mesh), starts, several(), groups=in_groups, **options)


def in_groups(params):
    return [
        {"params": params[:1], "lr": 0.1},
        {"params": params[1:3], "p_bound": 1.0},
        {"params": params[3:], "momentum": 0.5, "norm_correction": False, "maximize": True},
    ]


@case(2, 4)
def a_tensor_that_lives_elsewhere_is_left_to_others(world, folder):
    starts, meshes = drawn([(4, 3), (8, 6)]), [DeviceMesh("cpu", [0]), line(world)]
    params = [spread([tensor], mesh, Shard(0))[0] for tensor, mesh in zip(starts, meshes, strict=True)]
    copies = parameters(starts)
    for some in (params, copies):
        give(some, several([(4, 3), (8, 6)])[0])
        Fromage(some, momentum=0.5, p_bound=2.0).step()
    here = torch.distributed.get_rank() == 0
    assert_close(params if here else params[1:], copies if here else copies[1:])


@case(2, 4)
def groups_have_their_own_options(world, folder):
    mesh, starts = line(world), drawn()
    race(spread(starts, mesh, Shard(0)), starts, several(), groups=in_groups)


@case(2, 4)
def a_group_can_be_added_later(world, folder):
    mesh, starts = line(world), drawn()
    params, copies = spread(starts, mesh, Shard(0)), parameters(starts)
    optimizers = Fromage(params[:2], lr=0.1), Fromage(copies[:2], lr=0.1)
    for step, grads in enumerate(several()):
        for optimizer, some in zip(optimizers, (params, copies), strict=True):
            if step == 1:
                optimizer.add_param_group({"params": some[2:], "momentum": 0.5, "p_bound": 1.02})
            give(some, grads)
            optimizer.step()
        assert_close(params, copies)


@case(2, 4)
def a_state_dict_continues_to_the_bit(world, folder):
    starts, grads = drawn(dtype=torch.bfloat16), several(dtype=torch.bfloat16)
    results = []
    for resumed in (False, True):
        params = spread(starts, line(world), Shard(0))
        optimizer = Fromage(params, lr=0.1, momentum=0.9, p_bound=1.05)
        for step, some in enumerate(grads):
            if resumed and step == 2:
                state = optimizer.state_dict()
                optimizer = Fromage(params, lr=0.5, momentum=0.9, p_bound=1.05)
                optimizer.load_state_dict(state)
            give(params, some)
            optimizer.step()
        results.append([whole(param) for param in params])
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


# --- What crosses processes, what is noticed, what is refused -------------------------------------------


@case(2, 4)
def a_step_crosses_processes_once_with_two_or_three_numbers_a_tensor(world, folder):
    for options, count in [({"momentum": 0.5}, 2), ({"p_bound": 1.1}, 3)]:
        params = spread(drawn(), line(world), Shard(0))
        give(params, several()[0])
        optimizer = Fromage(params, **options)
        for _ in range(2):
            with Collectives() as collectives:
                optimizer.step()
            assert collectives.seen == [("allreduce_", (len(params), count))]


@case(2, 4)
def replicas_need_no_reduction(world, folder):
    params = spread(drawn(), line(world), Replicate())
    give(params, several()[0])
    optimizer = Fromage(params, momentum=0.5, p_bound=1.1)
    with Collectives() as collectives:
        optimizer.step()
    assert collectives.seen == []


@case(2, 4)
def a_graph_from_before_the_step_is_noticed(world, folder):
    (param,) = spread(drawn([(8, 6)]), line(world), Shard(0))
    loss = (param * param).sum()
    give([param], several([(8, 6)])[0])
    Fromage([param]).step()
    with refused(RuntimeError, "modified by an inplace operation"):
        loss.backward()


@case(2)
def what_cannot_work_is_refused_with_a_way_out(world, folder):
    mesh = line(world)
    (param,) = spread(drawn([(8, 6)]), mesh, Shard(0))
    with refused(ValueError, "differentiable=True does not work with DTensors: leave it False"):
        Fromage([param], differentiable=True)
    partial = nn.Parameter(DTensor.from_local(torch.ones(3), mesh, [Partial()]))
    with refused(TypeError, "redistribute it to Shard or Replicate"):
        Fromage([partial])
    optimizer = Fromage([param])
    param.grad = torch.ones(8, 6)
    with refused(TypeError, "spread it like the parameter, with torch.distributed.tensor.distribute_tensor"):
        optimizer.step()
    give([param], several([(8, 6)])[0])
    optimizer.param_groups[0]["p_bound"] = 1.0
    with refused(RuntimeError, "p_bound was set to 1.0 after its group was added"):
        optimizer.step()


@case(2)
def local_parts_share_memory_with_their_tensor(world, folder):
    (param,) = spread(drawn([(8, 6)]), line(world), Shard(0))
    sharded.local(param.detach()).fill_(3.0)
    assert (whole(param) == 3).all()
