"""Builds the ONNX graph of a saved network; neither Keras nor its backend is imported.

The graph maps decibels to scores. It has the layout of the arithmetic on a processor (clips,
channels, mel, frame), no dropout, and every batch normalisation is part of the layer before it.
`overlap.training.inference.shares` converts the scores to probabilities.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import h5py
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from overlap.training.trusted import CONFIG, WEIGHTS

OPSET: Final = 17
IR_VERSION: Final = 8
"""Versions that ONNX Runtime reads since 1.14."""
INPUT, OUTPUT = "decibels", "scores"
MOST_CLIPS: Final = 32
"""Clips at once; more are no faster for any network."""
LAYER_BYTES: Final = 2**22
"""Size of a layer's output that the processor's cache still holds for the next layer."""
HEADS: Final = ("Softmax", "SubsetShares")
"""Layers that convert scores to probabilities."""

Weights = Mapping[str, Sequence[NDArray[np.float32]]]


class UnsupportedNetworkError(Exception):
    """A network has a layer or a precision that no graph is built for."""


@dataclass(frozen=True)
class Graph:
    """The graph of a network."""

    content: bytes
    """The ONNX model, from (clips, mel, frame, resolution) float16 to (clips, words) float32."""
    subset: int | None
    """Words per clip of a head over sets (`overlap.training.subset`); None: softmax."""
    clips_at_once: int
    """Clips for which it is fastest."""


def build_graph(saved: bytes) -> Graph:
    """Build the graph of a saved network.

    Args:
        saved: Content of a `.keras` file that `check_trusted` accepts.

    Raises:
        UnsupportedNetworkError: The network is not one of `overlap.training.network` in float32.
    """
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        layers = json.loads(archive.read(CONFIG))["config"]["layers"]
        weights = _weights(archive.read(WEIGHTS))
    try:
        builder = _Builder(weights)
        for layer in layers:
            builder.add(layer)
        return builder.finished()
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnsupportedNetworkError(f"{type(error).__name__}: {error}") from None


def _weights(content: bytes) -> dict[str, list[NDArray[np.float32]]]:
    """Return the weights of every layer by the layer's name."""
    found: dict[str, list[NDArray[np.float32]]] = {}
    with h5py.File(io.BytesIO(content), "r") as file:
        for group in file.get("layers", {}).values():
            variables = group.get("vars")
            if variables is not None and len(variables):
                name = str(variables.attrs["name"])
                found[name] = [variables[str(i)][()] for i in range(len(variables))]
    return found


@dataclass
class _Layer:
    """A linear layer that is not part of the graph yet: a batch normalisation may follow."""

    kind: str
    source: str
    kernel: NDArray[np.float64]
    """(height, width, in, out) or (in, out)."""
    bias: NDArray[np.float64]


@dataclass
class _Builder:
    """Adds the layers of a network one by one, in an order in which inputs come first."""

    weights: Weights
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    waiting: dict[str, _Layer] = field(default_factory=dict)
    """Linear layers by the name of their output."""
    names: dict[str, str] = field(default_factory=dict)
    """The value in the graph that each layer of the network outputs."""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape of each layer's output as Keras arranges it, without clips."""
    head: tuple[str, int | None] | None = None
    shape: tuple[int, ...] = ()

    def add(self, layer: Mapping[str, Any]) -> None:
        """Add a layer, given its part of the network's configuration."""
        kind, name, config = layer["class_name"], layer["config"]["name"], layer["config"]
        if self.head is not None:
            raise UnsupportedNetworkError("there is a layer after the head")
        if kind == "InputLayer":
            self.shape = tuple(config["batch_shape"][1:])
            self.names[name], self.shapes[name] = INPUT, self.shape
            return
        if _precision(config) != "float32":
            raise UnsupportedNetworkError(f"{name} computes in {_precision(config)}")
        sources = _sources(layer)
        self.shapes[name] = self.shapes[sources[0]]
        method = getattr(self, f"_{kind}", None)
        if kind in HEADS:
            self.head = sources[0], int(config["k"]) if kind == "SubsetShares" else None
        elif method is None:
            raise UnsupportedNetworkError(f"{name} is a {kind}")
        else:
            method(name, config, sources)

    def finished(self) -> Graph:
        """Return the graph of all layers."""
        if self.head is None:
            raise UnsupportedNetworkError("there is no head")
        source, subset = self.head
        self._node("Identity", [self._value(source)], OUTPUT)
        graph = helper.make_graph(
            self.nodes,
            "overlap",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT16, ["clips", *self.shape])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["clips", None])],
            self.constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="overlap"
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return Graph(model.SerializeToString(), subset, self._clips_at_once())

    def _clips_at_once(self) -> int:
        largest = max(4 * int(np.prod(shape)) for shape in self.shapes.values())
        return max(1, min(MOST_CLIPS, LAYER_BYTES // largest))

    # One method per class of layer, named like it.

    def _Normalise(self, name: str, config: Mapping[str, Any], sources: list[str]) -> None:  # noqa: N802
        floor, mean, std = (
            np.array(config[key], np.float32)[:, None, None]
            for key in ("floor_db", "mean_db", "std_db")
        )
        turned = self._node("Transpose", [self._value(sources[0])], perm=[0, 3, 1, 2])
        numbers = self._node("Cast", [turned], to=TensorProto.FLOAT)
        kept = self._node("Max", [numbers, self._constant(floor)])
        centred = self._node("Sub", [kept, self._constant(mean)])
        self.names[name] = self._node("Div", [centred, self._constant(std)])

    def _Conv2D(self, name: str, config: Mapping[str, Any], sources: list[str]) -> None:  # noqa: N802
        if (config["padding"], *config["strides"], config["activation"]) != (
            "same",
            1,
            1,
            "linear",
        ):
            raise UnsupportedNetworkError(f"{name} has another padding, stride or activation")
        self._linear("Conv", name, sources)

    def _Dense(self, name: str, config: Mapping[str, Any], sources: list[str]) -> None:  # noqa: N802
        if config["activation"] != "linear":
            raise UnsupportedNetworkError(f"{name} has an activation")
        self._linear("Gemm", name, sources)

    def _linear(self, kind: str, name: str, sources: list[str]) -> None:
        kernel, bias = (array.astype(np.float64) for array in self.weights[name])
        self.waiting[name] = _Layer(kind, self._value(sources[0]), kernel, bias)
        self.shapes[name] = (*self.shapes[name][:-1], kernel.shape[-1])

    def _BatchNormalization(  # noqa: N802
        self, name: str, config: Mapping[str, Any], sources: list[str]
    ) -> None:
        layer = self.waiting.pop(sources[0])  # nothing else uses its output
        gamma, beta, mean, variance = (array.astype(np.float64) for array in self.weights[name])
        scale = gamma / np.sqrt(variance + config["epsilon"])
        bias = (layer.bias - mean) * scale + beta
        self.waiting[name] = _Layer(layer.kind, layer.source, layer.kernel * scale, bias)

    def _Activation(self, name: str, config: Mapping[str, Any], sources: list[str]) -> None:  # noqa: N802
        if config["activation"] != "mish":
            raise UnsupportedNetworkError(f"{name} is {config['activation']}")
        # x tanh(softplus(x)) = x n / (n + 2) with n = e (e + 2), e = exp(x): ONNX Runtime computes
        # its softplus value by value. Above 20 the fraction is 1.
        value, two = self._value(sources[0]), self._number(2)
        exponential = self._node("Exp", [self._node("Min", [value, self._number(20)])])
        n = self._node("Mul", [exponential, self._node("Add", [exponential, two])])
        fraction = self._node("Div", [n, self._node("Add", [n, two])])
        self.names[name] = self._node("Mul", [value, fraction])

    def _Add(self, name: str, _config: Mapping[str, Any], sources: list[str]) -> None:  # noqa: N802
        self.names[name] = self._node("Add", [self._value(source) for source in sources])

    def _AveragePooling2D(  # noqa: N802
        self, name: str, config: Mapping[str, Any], sources: list[str]
    ) -> None:
        size = [*config["pool_size"]]
        if config["padding"] != "valid" or [*config["strides"]] != size:
            raise UnsupportedNetworkError(f"{name} has another padding or stride")
        value = self._value(sources[0])
        self.names[name] = self._node("AveragePool", [value], kernel_shape=size, strides=size)
        height, width, channels = self.shapes[name]
        self.shapes[name] = (height // size[0], width // size[1], channels)

    def _Dropout(self, name: str, _config: Mapping[str, Any], sources: list[str]) -> None:  # noqa: N802
        self.names[name] = self._value(sources[0])

    def _Flatten(self, name: str, _config: Mapping[str, Any], sources: list[str]) -> None:  # noqa: N802
        turned = self._node("Transpose", [self._value(sources[0])], perm=[0, 2, 3, 1])
        self.names[name] = self._node("Flatten", [turned])
        self.shapes[name] = (int(np.prod(self.shapes[name])),)

    def _value(self, layer: str) -> str:
        """Return the value that a layer outputs; a linear layer becomes part of the graph."""
        if layer in self.waiting:
            made = self.waiting.pop(layer)
            bias = self._constant(made.bias.astype(np.float32))
            if made.kind == "Conv":
                kernel = made.kernel.transpose(3, 2, 0, 1)
                inputs = [made.source, self._constant(kernel.astype(np.float32)), bias]
                self.names[layer] = self._node("Conv", inputs, auto_pad="SAME_UPPER")
            else:
                inputs = [made.source, self._constant(made.kernel.astype(np.float32)), bias]
                self.names[layer] = self._node("Gemm", inputs)
        return self.names[layer]

    def _node(self, kind: str, inputs: list[str], output: str = "", **options: Any) -> str:  # noqa: ANN401
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    def _constant(self, value: NDArray[np.float32]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _number(self, value: float) -> str:
        return self._constant(np.array(value, np.float32))


def _precision(config: Mapping[str, Any]) -> str:
    policy = config["dtype"]
    return str(policy if isinstance(policy, str) else policy["config"]["name"])


def _sources(layer: Mapping[str, Any]) -> list[str]:
    """Return the layers whose outputs a layer takes."""
    (node,) = layer["inbound_nodes"]
    (argument,) = node["args"]
    tensors = argument if isinstance(argument, list) else [argument]
    return [tensor["config"]["keras_history"][0] for tensor in tensors]
