"""Cases with DTensors made by hand, gradients included: the sharded step is that of the whole tensors."""

import torch
from processes import case
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from fromage_edu import Fromage
from fromage_edu.optim import sharded

NAN, INF = float("nan"), float("inf")
# Over 2 or 4 processes: even, uneven, a last process with less or nothing, one row for all, a vector.
SHAPES = [(8, 6), (5, 3), (6, 4), (1, 7), (9,)]


def drawn(shapes=SHAPES, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def line(world):
    return init_device_mesh("cpu", (world,))


def parameters(tensors):
    return [nn.Parameter(tensor.clone()) for tensor in tensors]


def spread(tensors, mesh, *placements):
    return [nn.Parameter(distribute_tensor(tensor, mesh, placements)) for tensor in tensors]


def give(params, grads):
    """Set gradients, spread like their parameters; None stays None."""
    for param, grad in zip(params, grads, strict=True):
        if isinstance(param, DTensor) and grad is not None:
            grad = distribute_tensor(grad, param.device_mesh, param.placements)
        param.grad = grad


def whole(tensor):
    """All of a tensor, in every process."""
    tensor = tensor.detach()
    if not isinstance(tensor, DTensor):
        return tensor
    if not tensor.is_complex():
        return tensor.full_tensor()
    # gloo did not always send complex numbers
    pairs, shape = torch.view_as_real(tensor.to_local()), (*tensor.shape, 2)
    mesh, placements, stride = tensor.device_mesh, tensor.placements, torch.empty(shape).stride()
    spread_pairs = DTensor.from_local(pairs, mesh, placements, shape=torch.Size(shape), stride=stride)
    return torch.view_as_complex(spread_pairs.full_tensor())


def assert_close(parts, expected, tolerance=1e-6):
    """Relative difference of each tensor, in norm; a NaN must be met by a NaN."""
    for index, (part, other) in enumerate(zip(parts, expected, strict=True)):
        part, other = whole(part), whole(other)
        assert torch.equal(part.isnan(), other.isnan()), (index, part, other)
        part, other = part.nan_to_num(0), other.nan_to_num(0)
        wide = torch.complex128 if part.is_complex() else torch.float64
        error = (part.to(wide) - other.to(wide)).norm() / other.to(wide).norm().clamp(min=1e-300)
        assert error <= tolerance, f"tensor {index} of shape {tuple(other.shape)}: {error:.2e}"


def race(params, starts, grads_of_steps, tolerance=1e-6, groups=lambda params: params, **options):
    """Step DTensors beside whole copies of them, and compare where they come."""
    copies = parameters(starts)
    sharded_one, plain_one = Fromage(groups(params), **options), Fromage(groups(copies), **options)
    for grads in grads_of_steps:
        give(params, grads)
        give(copies, grads)
        sharded_one.step()
        plain_one.step()
    assert_close(params, copies, tolerance)


def several(shapes=SHAPES, dtype=torch.float32, steps=4):
    return [drawn(shapes, seed, dtype) for seed in range(1, steps + 1)]


# --- Placements -----------------------------------------------------------------------------------------


@case(2, 4)
def rows_columns_and_replicas_step_like_whole_tensors(world, folder):
    mesh, starts = line(world), drawn()
    for placement in (Shard(0), Replicate()):
        race(spread(starts, mesh, placement), starts, several())
    flat = starts[:4]
    race(spread(flat, mesh, Shard(1)), flat, several(SHAPES[:4]))
    scalar = [torch.tensor(2.0)]
    race(spread(scalar, mesh, Replicate()), scalar, several([()]))


@case(4)
def a_mesh_of_two_dimensions_counts_every_entry_once(world, folder):
    mesh, starts = init_device_mesh("cpu", (2, 2)), drawn()[:4]
    for placements in [
        (Shard(0), Shard(1)),
        (Shard(0), Shard(0)),
        (Replicate(), Shard(0)),
        (Shard(1), Replicate()),
        (Replicate(), Replicate()),
    ]:
        params = spread(starts, mesh, *placements)
        race(params, starts, several(SHAPES[:4]), momentum=0.5, p_bound=1.01)


@case(4)
def parameters_on_different_meshes_share_an_optimizer(world, folder):
    starts, both = drawn(), init_device_mesh("cpu", (2, 2), mesh_dim_names=("rows", "columns"))
    meshes = [line(world), both["rows"], both["columns"], both["rows"], line(world)]
    params = [spread([tensor], mesh, Shard(0))[0] for tensor, mesh in zip(starts, meshes, strict=True)]
    race(params, starts, several(), p_bound=1.02)


@case(2, 4)
def replicas_stay_equal_to_the_bit(world, folder):
    mesh = init_device_mesh("cpu", (2, world // 2))
    params = spread(drawn(), mesh, Replicate(), Shard(0))
    optimizer = Fromage(params, lr=0.1, momentum=0.9)
    for grads in several():
        give(params, grads)
        optimizer.step()
    for param in params:
        mine = param.to_local().detach()
        others = [torch.empty_like(mine) for _ in range(2)]
        torch.distributed.all_gather(others, mine, group=mesh.get_group(0))
        assert torch.equal(others[0], others[1])


@case(2, 4)
def a_gradient_placed_otherwise_is_brought_to_its_parameter(world, folder):
    mesh, starts = line(world), drawn()
    for there, here in [(Replicate(), Shard(0)), (Shard(0), Replicate())]:
        params, copies = spread(starts, mesh, here), parameters(starts)
        for param, grad in zip(params, several()[0], strict=True):
            param.grad = distribute_tensor(grad, mesh, [there])
        give(copies, several()[0])
        Fromage(params, lr=0.1).step()
        Fromage(copies, lr=0.1).step()
        assert_close(params, copies)


@case(2, 4)
def partial_gradients_are_added_up_first(world, folder):
    mesh, starts, rank = line(world), drawn(), torch.distributed.get_rank()
    grads = several(steps=world)  # of each process
    for here in (Shard(0), Replicate()):
        params, copies = spread(starts, mesh, here), parameters(starts)
        for index, param in enumerate(params):
            param.grad = DTensor.from_local(grads[rank][index], mesh, [Partial()])
        give(copies, [sum(some) for some in zip(*grads, strict=True)])
        Fromage(params, lr=0.1).step()
        Fromage(copies, lr=0.1).step()
        assert_close(params, copies)


@case(2)
def a_gradient_still_on_its_way_is_waited_for(world, folder):
    from torch.distributed._functional_collectives import all_reduce

    mesh, starts = line(world), drawn([(300, 200)])
    params, copies = spread(starts, mesh, Replicate()), parameters(starts)
    (grad,) = several([(300, 200)])[0]
    params[0].grad = DTensor.from_local(all_reduce(grad, "sum", mesh), mesh, [Replicate()], run_check=False)
    assert type(sharded.local(params[0].grad)) is torch.Tensor
    give(copies, [grad])
    Fromage(params, lr=0.1).step()
    Fromage(copies, lr=0.1).step()
    assert_close(params, copies)


# --- Options --------------------------------------------------------------------------------------------

OPTIONS = {
    "momentum": dict(momentum=0.9),
    "p_bound": dict(p_bound=1.01),
    "momentum_and_p_bound": dict(momentum=0.7, p_bound=1.0),
    "maximize": dict(maximize=True, momentum=0.5, p_bound=1.01),
    "no_norm_correction": dict(norm_correction=False, p_bound=1.1),
    "tensor_lr": dict(lr=torch.tensor(0.03)),
    "tensor_lr_float64": dict(lr=torch.tensor([0.03], dtype=torch.float64), p_bound=1.0),
    "lr_0": dict(lr=0.0, momentum=0.5),
    "lr_3": dict(lr=3.0),
    "foreach": dict(foreach=True, momentum=0.9),
    "no_foreach": dict(foreach=False, p_bound=1.01),
    "capturable": dict(capturable=True, momentum=0.9, p_bound=1.01, lr=torch.tensor(0.02)),
}


@case(2, 4)
def every_option_steps_like_whole_tensors(world, folder):
    mesh, starts = line(world), drawn()
    for name, options in OPTIONS.items():
        try:
            race(spread(starts, mesh, Shard(0)), starts, several(), **{"lr": 0.05, **options})
        except Exception as error:
            raise AssertionError(name) from error


@case(2, 4)
def p_bound_holds_a_norm_that_grows(world, folder):
    starts = drawn()
    params = spread(starts, line(world), Shard(0))
    race(params, starts, [[-tensor for tensor in starts]] * 5, lr=0.3, p_bound=1.25)
    for param, start in zip(params, starts, strict=True):
        torch.testing.assert_close(whole(param).norm(), 1.25 * start.norm())


@case(2, 4)
def dtypes_and_scales_step_like_whole_tensors(world, folder):
    mesh, usual = line(world), [(1, 1)]
    extreme = [*usual, (1e-30, 1e30), (1e30, 1e-36), (1e-36, 1e-36), (1e34, 1e34)]
    for dtype, scales in (
        (torch.float32, extreme),
        (torch.float64, usual),
        (torch.complex64, extreme),
        (torch.complex128, usual),
    ):
        for w_scale, g_scale in scales:
            starts = [w_scale * tensor for tensor in drawn(dtype=dtype)]
            grads = [[g_scale * grad for grad in grads] for grads in several(dtype=dtype, steps=2)]
            for options in ({}, {"momentum": 0.5, "p_bound": 1.001}):
                race(spread(starts, mesh, Shard(0)), starts, grads, **options)


@case(2, 4)
def half_precision_differs_by_one_rounding(world, folder):
    shapes = [(64, 48), (33, 5), (1, 64)]
    for dtype, unit in ((torch.bfloat16, 2**-7), (torch.float16, 2**-10)):
        starts = [100 * tensor for tensor in drawn(shapes, dtype=dtype)]
        for options in (dict(lr=0.1), dict(lr=0.1, momentum=0.5, p_bound=1.01)):
            params, copies = spread(starts, line(world), Shard(0)), parameters(starts)
            give(params, drawn(shapes, 1, dtype))
            give(copies, drawn(shapes, 1, dtype))
            Fromage(params, **options).step()
            Fromage(copies, **options).step()
            for param, copy, start in zip(params, copies, starts, strict=True):
                assert (copy != start).any()
                assert (whole(param) != copy).float().mean() < 0.01
                torch.testing.assert_close(whole(param), copy.detach(), rtol=unit, atol=1e-7)


@case(2, 4)
def float32_weights_take_bfloat16_gradients(world, folder):
    starts, grads = drawn(), drawn(seed=1, dtype=torch.bfloat16)
    params, copies = spread(starts, line(world), Shard(0)), parameters(starts)
    for param, copy, grad in zip(params, copies, grads, strict=True):
        spread_grad = distribute_tensor(grad, param.device_mesh, param.placements)
        if not hasattr(param, "grad_dtype"):
            return  # this torch has no such gradients
        param.grad_dtype = copy.grad_dtype = None
        param.grad, copy.grad = spread_grad, grad
    Fromage(params, lr=0.1).step()
    Fromage(copies, lr=0.1).step()
    assert_close(params, copies)


# --- Zeros, NaN, missing gradients ----------------------------------------------------------------------


@case(2, 4)
def zero_weights_take_a_raw_step_and_zero_gradients_none(world, folder):
    mesh, starts, (first, second, *_) = line(world), drawn(), several()
    zeros = [torch.zeros_like(tensor) for tensor in starts]
    race(spread(zeros, mesh, Shard(0)), zeros, [first, second], lr=0.1, p_bound=1.0)
    params = spread(starts, mesh, Shard(0))
    race(params, starts, [zeros, zeros], lr=0.1, p_bound=1.0)
    for param, start in zip(params, starts, strict=True):
        assert torch.equal(whole(param), start)


@case(2, 4)
def a_part_with_zeros_follows_the_rest_of_its_tensor(world, folder):
    mesh, (start, grad) = line(world), drawn([(8, 3), (8, 3)])
    start[:4] = 0  # all that the first process or two hold
    grad[4:] = 0
    race(spread([start], mesh, Shard(0)), [start], [[grad], [grad]], lr=0.1)
    race(spread([start], mesh, Shard(0)), [start], [[start], [grad]], lr=0.1, momentum=0.5)


@case(2, 4)
def a_nan_on_one_process_is_seen_by_all(world, folder):
    mesh, starts = line(world), drawn()
    for bad in (NAN, INF):
        grads = several()[0]
        grads[0][0, 0] = bad
        for options in ({}, {"p_bound": 1.5}, {"momentum": 0.5}):
            params = spread(starts, mesh, Shard(0))
            race(params, starts, [grads], **options)
            assert params[0].to_local().isnan().all() and params[0].to_local().numel()
            assert not any(param.to_local().isnan().any() for param in params[1:])


@case(2, 4)
def without_gradients_nothing_moves(world, folder):
    mesh, starts = line(world), drawn()
    nothing = [None] * len(starts)
    for options in ({}, {"momentum": 0.5}, {"p_bound": 1.5, "momentum": 0.5}):
        params = spread(starts, mesh, Shard(0))
        race(params, starts, [nothing, several()[0], nothing, several()[1]], **options)
        some = [grad if index % 2 else None for index, grad in enumerate(several()[0])]
        params = spread(starts, mesh, Shard(0))
        race(params, starts, [some, several()[1]], **options)
        params = spread(starts, mesh, Shard(0))
        race(params, starts, [nothing])
        assert all(torch.equal(whole(param), start) for param, start in zip(params, starts, strict=True))


@case(2, 4)
def a_frozen_tensor_stays(world, folder):
    starts = drawn()
    params = spread(starts, line(world), Shard(0))
    params[0].requires_grad_(False)
    race(params, starts, [[None, *several()[0][1:]]], p_bound=1.0)


@case(2, 4)
def a_process_without_a_gradient_keeps_its_part_and_the_others_see_the_whole_norm(world, folder):
    mesh, (start, grad) = line(world), drawn([(8, 3), (8, 3)])
    rows = 8 // world
    (param,) = spread([start], mesh, Shard(0))
    give([param], [grad])
    if torch.distributed.get_rank() == 0:
        param.grad = None
    Fromage([param], lr=0.1, p_bound=2.0).step()
    (copy,) = parameters([start])
    grad[:rows] = 0
    give([copy], [grad])
    Fromage([copy], lr=0.1).step()
    assert torch.equal(whole(param)[:rows], start[:rows])
    assert_close([whole(param)[rows:]], [copy.detach()[rows:]])
