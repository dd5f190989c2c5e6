"""Where a description is being read: in which model within models, and what that says of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from allconv.errors import ModelError
from allconv.graph import Node, Spec
from allconv.layers.kinds import activation_layer
from allconv.read.calls import Calls, calls_of
from allconv.read.layer_tree import Path, kind_of, name_of
from allconv.read.operations import as_layer
from allconv.weights import Array

MOST_CALLS = 20_000
"""Models within models can make a graph of any size of a few words."""


class Source(Protocol):
    """Where the parts of a model lie that its description does not hold."""

    def settings(self, kind: str, config: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the settings of a layer, checked where they are not to be trusted."""

    def weights(self, path: Path) -> Mapping[str, Array]:
        """Return the weights of the layer at a path of names, outermost model first."""

    def layer(self, path: Path) -> Any:
        """Return the live layer at that path, or None where there is only a file."""

    def shape_wanted(self) -> str:
        """Say what to do about a model that does not say the shape of its input."""

    def has_own_activation(self, path: Path) -> bool:
        """Tell whether the activation there is the user's own, even if by a name of Keras'."""


@dataclass(frozen=True)
class Scope:
    """The model being read: where it lies and what its calls hand down to its layers."""

    source: Source
    path: Path = ()
    trainable: bool = True
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    data_format: str = "channels_last"
    specs: dict[Path, Spec] = field(default_factory=dict)
    calls: dict[Path, Calls] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def inside(self, data: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Scope:
        """Return the scope of a nested model."""
        path = (*self.path, name_of(data))
        trainable = self.trainable and bool(data["config"].get("trainable", True))
        return replace(self, path=path, trainable=trainable, kwargs={**self.kwargs, **kwargs})

    def spec(self, data: Mapping[str, Any]) -> Spec:
        """Return the layer that `data` describes; the same one at every call."""
        path = (*self.path, name_of(data))
        if path not in self.specs:
            self.specs[path] = self._read_spec(path, data)
        return self.specs[path]

    def called(
        self, spec: Spec, inputs: Sequence[Node], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Spec:
        """Return the layer that a call of an operation is, one for all such calls; else itself."""
        found = as_layer(spec, inputs, args, kwargs)
        if found is None:
            return spec
        return self.added(found[0], spec.name, found[1])

    def added(
        self, kind: str, name: str, config: Mapping[str, Any], module: str = "keras.layers"
    ) -> Spec:
        """Add a layer that the description does not have, the same one wherever it is alike."""
        path = (*self.path, name, kind, repr(config))
        if path not in self.specs:
            where = f"{self.where(name)} ({kind})"
            settings = self.source.settings(kind, {"name": name, **config}, where)
            self.specs[path] = Spec(kind, name, settings, module=module, inside=self.path)
        return self.specs[path]

    def calls_of(self, config: Mapping[str, Any]) -> Calls:
        """Read the calls in this model's description, once however often it is called itself."""
        if self.path not in self.calls:
            self.calls[self.path] = calls_of(config, self.where)
        return self.calls[self.path]

    def count(self, calls: int) -> None:
        """Count calls of layers that are going to be read.

        Raises:
            ModelError: They are more than any model has.
        """
        self.counts["calls"] += calls
        if self.counts["calls"] > MOST_CALLS:
            raise ModelError(
                f"{self.where()}: more than {MOST_CALLS:,} calls of layers, those in nested models "
                "counted at each call of these; no network is as large"
            )

    def where(self, name: str = "") -> str:
        """Say where a layer is, in the words of errors; by default where the model itself is."""
        path = "/".join((*self.path, name) if name else self.path)
        return f"layer '{path}'" if path else "the model"

    def _read_spec(self, path: Path, data: Mapping[str, Any]) -> Spec:
        kind, source = kind_of(data), self.source
        config = source.settings(kind, data["config"], f"{self.where(path[-1])} ({kind})")
        if not self.trainable and "trainable" in config:
            config["trainable"] = False
        if isinstance(config.get("activation"), str) and source.has_own_activation(path):
            config["activation"] = {"class_name": "function", "config": config["activation"]}
        if inner := activation_layer(config.get("activation")):
            where = f"{self.where(path[-1])} ({kind}), its activation ({inner})"
            written = config["activation"]
            settings = source.settings(inner, written["config"], where)
            config["activation"] = {**written, "config": settings}
        module = data.get("module") or "keras.layers"
        weights, layer = source.weights(path), source.layer(path)
        return Spec(kind, path[-1], config, weights, module, layer, inside=self.path)
