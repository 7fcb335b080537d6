"""The live lab: train a deep network in the notebook, with buttons and sliders.

The explorers replay; the lab trains, so it needs a kernel.

>>> from fromage_edu.lab import DepthLab
>>> DepthLab(depth=30)
DepthLab: run this cell in Jupyter or Colab to train networks here
"""

from fromage_edu.lab.depth_lab import DepthLab
from fromage_edu.lab.session import Record, Session, Setting

__all__ = ["DepthLab", "Record", "Session", "Setting"]
