"""The graphs of an exported model, open on a device: by ONNX Runtime, or by `hime.restoring.openvino`."""

from __future__ import annotations

from typing import Protocol

import onnxruntime

from hime.pictures.arrays import FloatArray
from hime.restoring.card import WEIGHTS
from hime.restoring.devices import OPENVINO, check_used, configure, providers
from hime.restoring.openvino import OpenVinoGraph


class Graph(Protocol):
    """A graph that can be run.

    Attributes:
        inputs: name and type of each, as ONNX Runtime tells them.
        outputs: likewise.
    """

    inputs: list[tuple[str, str]]
    outputs: list[tuple[str, str]]

    def run(self, inputs: dict[str, FloatArray]) -> list[FloatArray]:
        """What the graph gives, in the order of its outputs."""
        ...


def open_graph(graph: bytes, weights: bytes, threads: int, device: str, *, spinning: bool) -> Graph:
    """A graph on one of `hime.restoring.devices.DEVICES`.

    Args:
        graph: the content of an ONNX file; whose weights are in a file `WEIGHTS` beside it.
        weights: what that holds, float32.
        threads: of the processor.
        device: where to run it.
        spinning: whether its threads wait awake between two operators, where that can be chosen.

    Raises:
        HimeError: the device is not installed, or cannot be started.
        Exception: of whatever kind its engine raises, where that cannot load the graph.
    """
    if device == OPENVINO:
        return OpenVinoGraph(graph, weights, threads)
    return OnnxRuntimeGraph(graph, weights, threads, device, spinning=spinning)


class OnnxRuntimeGraph:
    """A graph in ONNX Runtime; the arguments are those of `open_graph`. May be run by several threads."""

    def __init__(self, graph: bytes, weights: bytes, threads: int, device: str, *, spinning: bool) -> None:
        asked = providers(device)
        options = onnxruntime.SessionOptions()
        options.add_external_initializers_from_files_in_memory([WEIGHTS], [weights], [len(weights)])
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 4  # what goes wrong comes as an exception, and is told once
        configure(options, device)
        self._session = onnxruntime.InferenceSession(graph, options, providers=asked)
        check_used(self._session, device)
        self.inputs = [(each.name, each.type) for each in self._session.get_inputs()]
        self.outputs = [(each.name, each.type) for each in self._session.get_outputs()]

    def run(self, inputs: dict[str, FloatArray]) -> list[FloatArray]:
        """What the graph gives, in the order of its outputs."""
        outputs: list[FloatArray] = self._session.run(None, inputs)
        return outputs
