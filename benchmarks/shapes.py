"""Shapes of the parameters of real models, layer by layer: an optimizer sees nothing else of a model."""

Shape = tuple[int, ...]


def perceptron(depth: int, width: int) -> list[Shape]:
    """Square weight matrices without biases."""
    return [(width, width)] * depth


def resnet50() -> list[Shape]:
    """ResNet-50 for 1000 classes: convolutions, scale and shift of each normalization, the last layer."""

    def convolution(inputs, outputs, size):
        return [(outputs, inputs, size, size), (outputs,), (outputs,)]

    shapes, inputs = convolution(3, 64, 7), 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            shapes += convolution(inputs, width, 1) + convolution(width, width, 3)
            shapes += convolution(width, 4 * width, 1)
            if block == 0:
                shapes += convolution(inputs, 4 * width, 1)  # the shortcut changes its width
            inputs = 4 * width
    return [*shapes, (1000, inputs), (1000,)]


def bert_base() -> list[Shape]:
    """BERT-base (uncased) with its pooler."""
    width = 768
    norm, square = [(width,), (width,)], [(width, width), (width,)]
    up, down = [(4 * width, width), (4 * width,)], [(width, 4 * width), (width,)]
    layer = 4 * square + norm + up + down + norm
    return [(30522, width), (512, width), (2, width), *norm, *12 * layer, *square]


def gpt2() -> list[Shape]:
    """GPT-2 (small); its output layer shares the embedding's weights."""
    width = 768
    norm = [(width,), (width,)]
    attention = [(width, 3 * width), (3 * width,), (width, width), (width,)]
    dense = [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    return [(50257, width), (1024, width), *12 * (norm + attention + norm + dense), *norm]


SHAPES = {
    "400 of 64×64": perceptron(400, 64),
    "MLP 50×784²": perceptron(50, 784),
    "ResNet-50": resnet50(),
    "BERT-base": bert_base(),
    "GPT-2": gpt2(),
}
