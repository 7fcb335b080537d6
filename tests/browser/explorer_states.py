"""States of the explorers that a hand can reach, the ends of every range among them."""

import itertools
import random

DEPTHS, STEPS = [1, 2, 9, 30, 100, 440, 950, 1000], [0, 0.001, 0.0034, 0.0125, 0.1, 0.123, 0.305, 0.5, 1]


def first_states(count, seed=5):
    """Return the hashes of states that sliders and grips reach."""
    hand = random.Random(seed)
    states = [(1, 1, 0.01, 0.01), (1, 1, 1, 1), (1, 1, 1, -0.5), (1, 1, 0, 0)]
    while len(states) < count:
        sides = (round(hand.uniform(0.1, 4), 2) * hand.choice([1, 1, -1]) for _ in range(2))
        states.append((*sides, *(round(hand.uniform(-6, 6), 2) for _ in range(2))))
    return [
        f"#TrustRegions?depth={hand.choice(DEPTHS)}&step={hand.choice(STEPS)};"
        "ScalarNetwork?a={}&b={}&da={}&db={}".format(*state)
        for state in states
    ]


LAYERS, SIZES = (
    [1, 2, 7, 15, 30, 50],
    ["0", "0.1", "1", "0.001", "1e-9", "0.123,0.02", "0,0.5,0", "0.305", "1e-300"],
)
ANGLES = [0, 0.1, 12.3, 45, 63.4, 63.5, 75, 84, 88.8, 89.9]


def distance_states(count, seed=3):
    """Return the hashes of states of both, the ends of every range among them."""
    hand = random.Random(seed)
    deep = "DeepTrust?depth={}&sizes={}&alignment={}&conditioning={}&layer={}"
    wide = "WideLayer?angle={}&size={}&direction={}"
    return [
        "#"
        + deep.format(
            *(hand.choice(all) for all in (LAYERS, SIZES, [0, 0, 0.45, 1], [1, 1, 3, 100], [1, 15, 50]))
        )
        + ";"
        + wide.format(
            *(hand.choice(all) for all in (ANGLES, [0, 1e-9, 0.01, 0.5, 1], [0, 5, 45, 90, 133, 175, 180]))
        )
        for _ in range(count)
    ]


def surrogate_states(count, seed=7):
    """Return the hashes of states, the ends of every range among them."""
    ends = itertools.product((1, 20), (0.01, 100), (1, 20), (0.001, 10))
    grid = itertools.product(
        (1, 2, 3, 7, 20),
        (0.01, 0.1, 0.123, 1, 1.49, 4.56, 33.3, 100),
        (1, 2, 13, 20),
        (0.001, 0.0123, 0.3, 1, 1.9, 2, 2.01, 2.2, 3, 3.45, 10),
    )
    states = [*ends, *random.Random(seed).sample(list(grid), count)]
    form = "#SurrogateDerivation?depth={}&size={}&moving={}&slope={}"
    return [form.format(*state) for state in states]


CHOICES = {
    "view": [1, 2, 3],
    "lr": [0.001, 0.01, 0.2, 0.37, 0.5, 1],
    "angle": [-180, -90, -45, 0, 37, 84, 89.9, 90, 90, 123.4, 180],
    "grad_norm": [0.05, 0.6, 1, 1.8, 3],
    "weight_norm": [0.2, 1, 2],
    "direction": [-180, -77, 0, 30, 155],
    "steps": [1, 12, 60, 100],
    "matrix": [1, 2, 3, 4],
    "conditioning": [1, 10, 37, 100, 1000],
}


def geometry_states(count, seed=3):
    """Return states, the ends of every range among them."""
    hand = random.Random(seed)
    return [{key: hand.choice(values) for key, values in CHOICES.items()} for _ in range(count)]


def hash_of(state):
    return "#StepGeometry?" + "&".join(f"{key}={value}" for key, value in state.items())


RACES = {
    "depth": [2, 10, 20, 30, 40],
    "optimizer": [1, 2, 3, 4],
    "rate": [1, 2, 3],
    "eps": ["1e-30", "1e-16", "1e-8"],
    "init": [1, 2],
    "epoch": [0, 1, 2, 4, 8, 14, 22, 31, 40, 40, 40],
}


def race_states(count, seed=11):
    """Return states, the ends of every range among them, and runs that leave float32."""
    hand = random.Random(seed)
    broken = {"depth": 10, "optimizer": 1, "rate": 3, "eps": "1e-8", "init": 2, "epoch": 40}
    some = [{key: hand.choice(values) for key, values in RACES.items()} for _ in range(count)]
    return [broken, *some]


def race_hash(state):
    return "#DepthRace?" + "&".join(f"{key}={value}" for key, value in state.items())
