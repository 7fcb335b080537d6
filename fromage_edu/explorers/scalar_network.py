"""The explorer of the two-layer scalar network (F11)."""

from fromage_edu.explorers.base import Explorer, Quantity


class ScalarNetwork(Explorer):
    """The network f(x) = a·b·x, its change when a and b change, and the bound on it, term by term.

    With u = Δa/a and v = Δb/b: (u + v + uv)² ≤ 3[(1 + u²)(1 + v²) − 1].

    Traits:
        a, b: the two weights, at least 0.001 away from 0.
        da, db: their changes Δa and Δb.

    >>> ScalarNetwork(a=2, b=-1, da=0.5)
    ScalarNetwork(a=2.0, b=-1.0, da=0.5, db=0.2)

    Source: Fromage paper, Section 3 and Appendix (F11).
    """

    a = Quantity(2.0, -1000, 1000, smallest=0.001)
    b = Quantity(1.0, -1000, 1000, smallest=0.001)
    da = Quantity(1.0, -1000, 1000)
    db = Quantity(0.2, -1000, 1000)

    still_alt = (
        "Left: a rectangle with sides a and b, grown by a strip of width Δa, a strip of height Δb and the "
        "small corner where both meet. Right: a map over the relative changes u and v of how much of the "
        "bound the measured change uses, with the present point, the curve where the two changes cancel, "
        "and the one place u = v = 1 where the bound is met."
    )
