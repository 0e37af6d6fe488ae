"""Graphs in OpenVINO, which computes in bfloat16 where the processor does. Needs the extra ``openvino``.

A number in bfloat16 has 8 bits of precision, as many as a pixel, and processors with AMX or AVX-512 BF16
multiply several times as many of them as of float32. That does for what a network makes of pictures, not for
the pictures: the bicubic enlargement, to which the network adds, and what a reference shows beyond its
reduced version, a small difference of large values, are computed in float32 by a graph of their own
(`_exact`). Where the processor has no bfloat16, everything is float32.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

import numpy as np

from hime.files import temporary_folder
from hime.pictures.arrays import FloatArray
from hime.restoring.card import WEIGHTS

ENGINE = "OpenVINO"
EXACT = "exact"
"""The input of a graph that something was taken out of, to be computed in float32."""
_TELEMETRY = "openvino_telemetry"


def is_installed() -> bool:
    """Whether OpenVINO is there."""
    return importlib.util.find_spec("openvino") is not None


@functools.cache
def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16, as OpenVINO sees it."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoGraph:
    """A graph of an exported model, by the seam of `hime.restoring.graphs.Graph`.

    May be run by several threads; one runs at a time.

    Args:
        graph: the content of an ONNX file; whose weights are in a file `WEIGHTS` beside it.
        weights: what that holds, float32.
        threads: of the processor.

    Raises:
        ModuleNotFoundError: OpenVINO is not installed.
        RuntimeError: it cannot load the graph.
    """

    def __init__(self, graph: bytes, weights: bytes, threads: int) -> None:
        model = _read(graph, weights)
        self.inputs = [_signature(port) for port in model.inputs]
        self.outputs = [_signature(port) for port in model.outputs]
        self._names = [port.any_name for port in model.outputs]
        self._lock = threading.Lock()
        self._exact = None
        if has_bfloat16() and (value := _exact(model)) is not None:
            model, exact = _taken_out(model, value)
            self._exact = _compiled(exact, "f32", threads)
        self._request = _compiled(model, "bf16" if has_bfloat16() else "f32", threads)

    def run(self, inputs: dict[str, FloatArray]) -> list[FloatArray]:
        """What the graph gives, in the order of its outputs.

        Raises:
            RuntimeError: it stops, or gives no numbers at all.
        """
        with self._lock:
            if self._exact is not None:
                needed = {port.any_name: inputs[port.any_name] for port in self._exact.model_inputs}
                inputs = {**inputs, EXACT: self._exact.infer(needed, share_inputs=True)[0]}
            # Where it stops amid a graph it does not always say so: what the last run gave is there again.
            for tensor in self._request.output_tensors:
                tensor.data.fill(np.nan)
            found = self._request.infer(inputs, share_inputs=True)
            outputs = [found[name] for name in self._names]
        if any(values.size and np.isnan(values).all() for values in outputs):
            raise RuntimeError("without a result")
        return outputs


@functools.cache
def _openvino() -> ModuleType:
    """The package, without what it would tell its makers: at the import alone it sends them an event unless
    its package for that is missing.
    """
    silenced = _TELEMETRY not in sys.modules
    if silenced:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        if silenced:
            del sys.modules[_TELEMETRY]


@functools.cache
def _core() -> Any:
    core = _openvino().Core()
    core.set_property({"ENABLE_MMAP": False})  # the files it reads are gone before it is done
    return core


def _read(graph: bytes, weights: bytes) -> Any:
    """An ONNX graph as OpenVINO has it; weights beside a graph it takes from a file only."""
    with temporary_folder() as folder:
        file = folder / "graph.onnx"
        file.write_bytes(graph)
        (folder / WEIGHTS).write_bytes(weights)
        return _core().read_model(file)


def _signature(port: Any) -> tuple[str, str]:
    """Name and type of an input or output, as ONNX Runtime tells them."""
    is_float = port.element_type == _openvino().Type.f32
    return port.any_name, "tensor(float)" if is_float else str(port.element_type)


def _compiled(model: Any, precision: str, threads: int) -> Any:
    """The model ready to run one picture after another."""
    properties = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the cores are not ours alone
    }
    return _core().compile_model(model, "CPU", properties).create_infer_request()


def _exact(model: Any) -> Any:
    """What in a graph bfloat16 is not exact enough for; None if there is no such value.

    Of a graph that gives ``hr``: the headshot's enlargement, of the two terms of the last sum the one that
    depends on ``lr`` alone. Of one that gives features: the difference of the references and their reduced
    versions, the only one there is.
    """
    restored = [result for result in model.get_results() if "hr" in result.input_value(0).get_names()]
    if not restored:
        ov = _openvino()
        differences = [
            op.output(0)
            for op in model.get_ordered_ops()
            if op.get_type_name() == "Subtract" and op.get_element_type() == ov.Type.f32
        ]
        return differences[0] if len(differences) == 1 else None
    node = restored[0]
    while node is not None and node.get_type_name() != "Add":  # what comes after the sum: limits
        before = [value.get_node() for value in node.input_values()]
        node = next((each for each in before if each.get_type_name() != "Constant"), None)
    if node is None:
        return None
    needed = [_needed(value.get_node()) for value in node.input_values()]
    if sorted(needed, key=len) != [{"lr"}, {"lr", "features"}]:
        return None
    return node.input_value(needed.index({"lr"}))


def _taken_out(model: Any, value: Any) -> tuple[Any, Any]:
    """A graph with one of its values as an input, `EXACT`, and a graph that gives the value."""
    ov = _openvino()
    parameters = model.get_parameters()
    needed = _needed(value.get_node())
    own = [each for each in parameters if each.output(0).get_names() & needed]
    exact = ov.Model([value], own).clone()
    given = ov.op.Parameter(ov.Type.f32, value.get_partial_shape())
    given.output(0).set_names({EXACT})
    for reader in value.get_target_inputs():
        reader.replace_source_output(given.output(0))
    return ov.Model(model.get_results(), [*parameters, given]), exact


def _needed(node: Any) -> set[str]:
    """Names of the graph's inputs that a node depends on."""
    seen, left, names = set(), [node], set()
    while left:
        node = left.pop()
        if node.get_friendly_name() in seen:  # of its own in a graph
            continue
        seen.add(node.get_friendly_name())
        if node.get_type_name() == "Parameter":
            names |= node.output(0).get_names()
        left.extend(value.get_node() for value in node.input_values())
    return names
