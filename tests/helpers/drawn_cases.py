"""A network, the options to convert it with and what to hold of it, all from the number of a seed.

case = drawn_case(1234567)
model = case.network()
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import keras

from tests.helpers import network_families
from tests.helpers.chance import Chance
from tests.helpers.drawn_networks import network
from tests.helpers.randomized import leaves
from tests.helpers.small_applications import under

FORMATS = ("channels_last", "channels_first")
POLICIES = ("float64", "mixed_float16", "float16", "bfloat16", "mixed_bfloat16")
QUANTIZED = ("int8", "int4", "float8", "lora")


@dataclass(frozen=True)
class Case:
    """What a seed draws."""

    seed: int
    rank: int
    data_format: str
    policy: str
    families: frozenset[str]

    def network(self) -> keras.Model:
        with under(self.policy):
            chance = Chance(self.random("network"), self.rank, self.data_format, self.families)
            model = network(chance)
            # Keras does not take integers and 16 bits together.
            if "quantized" in self.families and "16" not in self.policy:
                quantize(chance, model)
        return model

    def options(self, model: keras.Model) -> dict[str, Any]:
        """Options of `convert`, none of them mostly."""
        random = self.random("options")
        size = tuple(model.inputs[0].shape[2:] if self.is_first else model.inputs[0].shape[1:-1])
        choices = {
            "fold": {"fold_batchnorm": True},
            "input_size": {"input_size": random.choice(["any", size])},
            "lenient": {"strict": False},
            "lean": random.choice(
                [{"pooling": "conv"}, {"pooling": "stride"}, {"head": "classifier"}]
            ),
            "keep": random.choice([{"pooling": "keep"}, {"head": "keep"}]),
        }
        return {
            key: value
            for family, options in choices.items()
            if family in self.families
            for key, value in options.items()
        }

    @property
    def is_first(self) -> bool:
        return self.data_format == "channels_first"

    def random(self, of: str) -> Random:
        return Random(f"{of} {self.seed}")


def drawn_case(seed, allowed=network_families.ALL, ranks=(1, 2, 3), formats=FORMATS):
    """The case of a seed, among those allowed."""
    random = Random(f"case {seed}")
    chosen = network_families.chosen(random, allowed)
    rank = random.choice(ranks)
    # TensorFlow has no pools of float64 in three axes.
    policy = random.choice(POLICIES if rank < 3 else POLICIES[1:])
    return Case(
        seed,
        rank,
        # TensorFlow has to compile a network whose channels come first, which takes a second.
        formats[-1] if random.random() < 0.12 else formats[0],
        policy if "policies" in chosen else "float32",
        chosen,
    )


def quantize(chance, model):
    """Quantize some layers, or fit them by matrices of low rank (LoRA)."""
    mode = chance.one(*QUANTIZED)
    for layer in leaves(model):
        if not isinstance(layer, keras.layers.Dense) or chance.number(1, 3) == 3:
            continue
        if mode != "lora":
            layer.quantize(mode)
        elif layer.kernel_constraint is None:
            layer.enable_lora(1)
            layer.lora_kernel_b.assign(0 * layer.lora_kernel_b + 0.5)
