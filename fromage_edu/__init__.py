"""How far can you trust a gradient? The library of an interactive book, and the Fromage optimizer.

>>> import torch
>>> from fromage_edu import Fromage
>>> model = torch.nn.Linear(3, 1)
>>> optimizer = Fromage(model.parameters(), lr=0.01)
"""

from fromage_edu import bounds, data, figures, networks, optim, spectra, training, trust
from fromage_edu.optim import Fromage

__version__ = "0.1.0"
__all__ = ["Fromage", "bounds", "data", "figures", "networks", "optim", "spectra", "training", "trust"]
