"""Small ONNX networks with seeded weights, so that every run of the tests has the same ones.

`picture_network` is shaped like a MobileNet: a strided convolution, blocks of depthwise and pointwise
convolutions with batch normalization and ReLU6, a global average pool and a linear layer.
`vector_network` is two linear layers. From the command line: `make_model.py FOLDER` writes
`pictures.onnx` and `vectors.onnx` there.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Newest operator set that tract is tested against, and the oldest file format that carries it.
OPSET, IR_VERSION = 17, 8


class _Network:
    """Nodes and weights while a graph is put together."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def weight(self, *shape: int, scale: float) -> str:
        return self.constant(self.random.normal(0, scale, shape))

    def constant(self, values) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes) -> str:
        output = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(self, x: str, channels_in: int, channels_out: int, kernel: int, stride: int = 1,
                    group: int = 1) -> str:
        """Convolution, batch normalization and ReLU6."""
        per_group = channels_in // group
        weight = self.weight(channels_out, per_group, kernel, kernel, scale=(2 / (per_group * kernel**2)) ** 0.5)
        pad = kernel // 2
        x = self.node("Conv", x, weight, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=group)
        mean, bias = (self.weight(channels_out, scale=0.1) for _ in range(2))
        scale, variance = (self.constant(self.random.uniform(0.5, 1.5, channels_out)) for _ in range(2))
        x = self.node("BatchNormalization", x, scale, bias, mean, variance)
        return self.node("Clip", x, self.constant(0), self.constant(6))

    def save(self, path: Path, inputs: dict, outputs: dict) -> Path:
        def infos(tensors):
            return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items()]

        graph = helper.make_graph(self.nodes, "network", infos(inputs), infos(outputs), self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))
        return path


def picture_network(path: Path, seed: int = 7, size: int | str = 64, batch: int | str = "N", length: int = 16) -> Path:
    """Pictures `batch` x 3 x `size` x `size` to `embedding`, `batch` x `length`, and its softmax `scores`."""
    network = _Network(seed)
    x = network.convolution("pixels", 3, 8, kernel=3, stride=2)
    channels = 8
    for stride in (1, 2, 2):
        x = network.convolution(x, channels, channels, kernel=3, stride=stride, group=channels)
        x = network.convolution(x, channels, channels * 2, kernel=1)
        channels *= 2
    x = network.node("Flatten", network.node("GlobalAveragePool", x))
    linear = network.weight(length, channels, scale=channels**-0.5), network.weight(length, scale=0.1)
    network.node("Gemm", x, *linear, output="embedding", transB=1)
    network.node("Softmax", "embedding", output="scores", axis=1)
    outputs = {"embedding": [batch, length], "scores": [batch, length]}
    return network.save(path, {"pixels": [batch, 3, size, size]}, outputs)


def vector_network(path: Path, seed: int = 7, width: int = 16, length: int = 4, batch: int | str = "N") -> Path:
    """Vectors `batch` x `width` to `y`, `batch` x `length`."""
    network = _Network(seed)
    hidden = network.weight(32, width, scale=width**-0.5), network.weight(32, scale=0.1)
    x = network.node("Relu", network.node("Gemm", "x", *hidden, transB=1))
    network.node("Gemm", x, network.weight(length, 32, scale=32**-0.5), network.weight(length, scale=0.1),
                 output="y", transB=1)
    return network.save(path, {"x": [batch, width]}, {"y": [batch, length]})


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(picture_network(folder / "pictures.onnx"))
    print(vector_network(folder / "vectors.onnx"))
