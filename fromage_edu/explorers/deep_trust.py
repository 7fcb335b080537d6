"""The explorer of deep relative trust (F3): what the relative sizes of all layers compound to."""

from fromage_edu.explorers.base import Explorer, Quantities, Quantity


class DeepTrust(Explorer):
    """What relative changes r_l of the layers add up to, compound to, and do to a linear network.

    Euclidean sum S = Σ r_l², deep relative trust D = ∏(1 + r_l²) − 1 with S ≤ D ≤ e^S − 1, and ∏(1 + r_l) − 1
    if all layers grow together; beside them a fixed linear network of width 8, whose output is measured for
    one input, with X1 and Theorem 1, which bound it. Where `sizes` ends, its last entry goes on; a number
    stands for all layers, and sizes below 1e-12 count as 0.

    Traits:
        depth: number of layers L, 1…50.
        sizes: relative sizes r_1, r_2, … of the changes, each 0…1.
        layer: which layer the second pair of sliders holds, 1…50.
        alignment: of each change with its layer's weights, 0 (random, at right angles) … 1 (along them).
        conditioning: condition number κ of every layer, 1…100.

    >>> DeepTrust(sizes=[1, 0.01])
    DeepTrust(depth=30, sizes=(1.0, 0.01), layer=15, alignment=0.0, conditioning=1.0)

    Source: Fromage paper, Definition 2 (F3).
    """

    depth = Quantity(30, 1, 50, whole=True)
    sizes = Quantities((0.1,), 0, 1, most=50)
    layer = Quantity(15, 1, 50, whole=True)
    alignment = Quantity(0.0, 0, 1)
    conditioning = Quantity(1.0, 1, 100)

    still_alt = (
        "Two pictures for a network of 30 layers that each change by 10 %. Left: the sum of squares, deep "
        "relative trust and the squared change that is measured stay together, below one half; if all layers "
        "grow together, the change leaves the picture after a few layers. Right, on a logarithmic scale "
        "against depth: at depth 30 Theorem 1 lies 36 decades above what is measured, the bound X1 only five."
    )
