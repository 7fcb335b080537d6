"""The data that chapters and experiments train on: real images, split, scaled, the same every time.

`digits` and `mnist_5k` come with packages and need no network; `mnist` and `cifar10` are downloaded once. All
return `Images`. `packaged` and `downloaded` hold them, `cache` keeps downloads, `samples` splits and scales.
"""

from fromage_edu.data.downloaded import cifar10, mnist
from fromage_edu.data.packaged import digits, mnist_5k
from fromage_edu.data.samples import Images

__all__ = ["Images", "cifar10", "digits", "mnist", "mnist_5k"]
