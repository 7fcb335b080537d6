"""The explorer of the surrogate (F20–F22): how good it is, the step it leads to, and what it takes away."""

from fromage_edu.explorers.base import Explorer, Quantity


class SurrogateDerivation(Explorer):
    """From deep relative trust D to its surrogate D′, one layer's step, and the exact problem of two layers.

    D and D′ where some layers of a network change by the same relative size r and the others stay; the
    objective of one layer under D′, −t r + r^(2L)/(2L) with its minimum at r = t^(1/(2L−1)), for a layer of
    slope t = η‖W‖‖g‖; and the objective of two layers of this slope under D itself, whose minimum splits in
    two at t = 2.

    Traits:
        depth: number of layers L, 1…20.
        size: relative size r of each layer that changes, 0.01…100.
        moving: how many layers change, 1…20; no more than the depth count.
        slope: t = η‖W‖‖g‖, the same for all layers, 0.001…10.

    >>> SurrogateDerivation(depth=2, slope=3)
    SurrogateDerivation(depth=2, size=0.1, moving=20, slope=3.0)

    Source: Fromage paper, Definition 4 (F20).
    """

    depth = Quantity(20, 1, 20, whole=True)
    size = Quantity(0.1, 0.01, 100)
    moving = Quantity(20, 1, 20, whole=True)
    slope = Quantity(3.0, 0.001, 10)

    still_alt = (
        "Three pictures. First, for 20 layers that change alike, deep relative trust D and its surrogate on "
        "logarithmic scales: 40 powers of ten apart at a relative size of 0.1, together far beyond the root "
        "of 20. Second, the objective of one layer under the surrogate, a straight slope and a wall: the "
        "minimum lies close to 1. Third, level curves for two layers under D itself, at slope 3: two minima "
        "on a hyperbola, and between them a saddle on the diagonal."
    )
