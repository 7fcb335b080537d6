"""The explorer of two models of trust (F28, the Fromage paper's Figure 1)."""

from fromage_edu.explorers.base import Explorer, Quantity


class TrustRegions(Explorer):
    """How far a gradient can be trusted, by Euclidean and by deep relative trust, at any depth and step size.

    Every layer has weight norm 1, so Euclidean trust reads S = L r² and deep relative trust
    D = (1 + r²)^L − 1.

    Traits:
        depth: number of layers L, 1…1000.
        step: relative size r of the change in every layer, 0…1.

    >>> TrustRegions(depth=100)
    TrustRegions(depth=100, step=0.1)

    Source: Fromage paper, Figure 1 (F28).
    """

    depth = Quantity(30, 1, 1000, whole=True)
    step = Quantity(0.1, 0, 1)

    still_alt = (
        "Two pictures for a network of 30 layers. Left: the loss along a step; around the tangent line at X "
        "the losses still possible are shaded, and the rest is ruled out. The two trusts agree near X, then "
        "deep relative trust rules out far less than Euclidean trust. Right: both trusts against the step "
        "size on logarithmic axes; they agree for small steps, then deep relative trust shoots up."
    )
