"""Explorers: sliders that live in a notebook with a kernel and in the built page without one.

>>> from fromage_edu.explorers import TrustRegions
>>> TrustRegions(depth=30, step=0.1)
TrustRegions(depth=30, step=0.1)
"""

from fromage_edu.explorers.deep_trust import DeepTrust
from fromage_edu.explorers.depth_race import DepthRace
from fromage_edu.explorers.scalar_network import ScalarNetwork
from fromage_edu.explorers.step_geometry import StepGeometry
from fromage_edu.explorers.surrogate_derivation import SurrogateDerivation
from fromage_edu.explorers.trust_regions import TrustRegions
from fromage_edu.explorers.wide_layer import WideLayer

__all__ = [
    "DeepTrust",
    "DepthRace",
    "ScalarNetwork",
    "StepGeometry",
    "SurrogateDerivation",
    "TrustRegions",
    "WideLayer",
]
