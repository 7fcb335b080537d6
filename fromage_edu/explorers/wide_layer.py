"""The explorer of a layer that is wider than tall (A2, A3): where Theorem 1 fails and its repair holds."""

from fromage_edu.explorers.base import Explorer, Quantity


class WideLayer(Explorer):
    """One layer W = [1 0] and an input x that turns towards its null space, where f(x) = Wx vanishes.

    The squared relative change of f against what Theorem 1 allows, against the same with the ratio
    τ(x) = ‖W‖‖x‖/‖Wx‖ of this input in place of the condition number, and against X1.

    Traits:
        angle: between x and the row space of W, in degrees, 0…89.9; at 90 f(x) would be 0.
        size: of ΔW, relative to W, 0…1.
        direction: of ΔW, in degrees, 0…180; 90 points along the null space.

    >>> WideLayer(angle=0)
    WideLayer(angle=0.0, size=0.5, direction=90.0)

    Source: Fromage paper, Theorem 1 (F12).
    """

    angle = Quantity(84.0, 0, 89.9)
    size = Quantity(0.5, 0, 1)
    direction = Quantity(90.0, 0, 180)

    still_alt = (
        "Two pictures of the layer W = [1 0]. Left: the plane with W along the row space, its change ΔW "
        "along the null space, an input x at 84 degrees, and bars that show f(x) grow several times. "
        "Right: the squared relative change against the angle of x; beyond 63 degrees it is above the flat "
        "line of Theorem 1, while the repaired bound and X1 rise with it and stay above."
    )
