"""The explorer of one step, many steps, and the singular values that they move (F24, F26, F27)."""

from fromage_edu.explorers.base import Explorer, Quantity


class StepGeometry(Explorer):
    """What a step of SGD, of equation (4), of Fromage and of Muon does to a weight W, in three views.

    View 1 is one step in the plane of W and g; view 2 many steps, each gradient at the same angle to the W
    that it meets; view 3 the singular values of a matrix before and after, and Mirsky's bound on the change.

    Traits:
        view: 1, 2 or 3.
        lr: η, the relative size of a step, 0.001…1.
        angle: from W to g, in degrees, −180…180; 90 where the loss ignores the scale of W.
        grad_norm: ‖g‖ in view 1, 0.05…3.
        weight_norm: ‖W‖ in view 1, 0.2…2.
        direction: of W in the plane, in degrees, −180…180; no number depends on it.
        steps: how many in view 2, 1…100.
        matrix: the gradient in view 3: 1 noise, 2 rank one, 3 along W, 4 the weakest direction of W alone.
        conditioning: condition number of W in view 3, 1…1000.

    >>> StepGeometry(view=2, lr=0.1).steps
    12

    Source: Fromage paper, equation (4), inset and Theorem 3 (F24).
    """

    parts = ("step_pictures", "step_geometry")

    view = Quantity(1, 1, 3, whole=True)
    lr = Quantity(0.5, 0.001, 1)
    angle = Quantity(90.0, -180, 180)
    grad_norm = Quantity(0.6, 0.05, 3)
    weight_norm = Quantity(1.0, 0.2, 2)
    direction = Quantity(30.0, -180, 180)
    steps = Quantity(12, 1, 100, whole=True)
    matrix = Quantity(1, 1, 4, whole=True)
    conditioning = Quantity(10.0, 1, 1000)

    still_alt = (
        "Three pictures. First, the plane with W on a circle around the origin and g at a right angle to it: "
        "the steps of SGD and of equation (4) leave the circle, Fromage's ends on it. Second, twelve such "
        "steps: equation (4) spirals outwards, Fromage goes around the circle. Third, four singular values "
        "before and after a step of Fromage and a polar step, with the used parts of Mirsky's budget."
    )
