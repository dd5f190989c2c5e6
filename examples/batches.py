"""The input pipeline: a batch is a function of the seed and of its number, so a run can resume."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

DRAWS_PER_BATCH = 16
"""More random draws than an augmentation layer makes of one batch; batches share none of them."""


def augmentation(mirrored: bool) -> list[layers.Layer]:
    """Shifts of up to 10 % along each axis and, where things may be `mirrored`, flips."""
    shifts = layers.RandomTranslation(0.1, 0.1, fill_mode="nearest")
    return [shifts, layers.RandomFlip("horizontal")] if mirrored else [shifts]


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Return the bytes as float32 from 0 to 1."""
    return pixels.astype("float32") / 255


class Batches(keras.utils.PyDataset):
    """Shuffled batches `(images, labels)`, `steps` to an epoch, pass after pass over the images.

    Keras asks for the batches of one epoch by their numbers; `epoch` says which epoch it is.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int,
        steps: int | None = None,
        seed: int = 0,
        augment: list[layers.Layer] | None = None,
    ) -> None:
        super().__init__()
        self.images, self.labels = images, labels
        self.batch_size = min(batch_size, len(images))
        self.in_a_pass = len(images) // self.batch_size  # the rest of a pass is left out
        self.steps = steps or self.in_a_pass
        self.seed, self.augment, self.epoch = seed, augment or [], 0
        self.orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Return the batches to an epoch."""
        return self.steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch `step` of this epoch: float32 `(batch, ...)` and classes `(batch,)`."""
        number = self.epoch * self.steps + step
        chosen = self.chosen(number)
        images = self.varied(scaled(self.images[chosen]), self.random_states(number))
        return keras.ops.convert_to_numpy(images), self.labels[chosen]

    def chosen(self, number: int) -> np.ndarray:
        """Say which images are in the batch of this number, `(batch,)`."""
        pass_number, place = divmod(number, self.in_a_pass)
        return self.order(pass_number)[place * self.batch_size :][: self.batch_size]

    def order(self, pass_number: int) -> np.ndarray:
        """Draw the order of all images in one pass, `(count,)`."""
        if pass_number not in self.orders:
            random = np.random.default_rng((self.seed, pass_number))
            self.orders = {pass_number: random.permutation(len(self.images))}
        return self.orders[pass_number]

    def random_states(self, number: int) -> np.ndarray:
        """Draw what the augmentation layers use for the batch of this number, `(layers, 2)`."""
        count = len(self.augment)
        streams = [(self.seed * count + place) % 2**32 for place in range(count)]
        states = [(stream, number * DRAWS_PER_BATCH % 2**32) for stream in streams]
        return np.array(states, "uint32").reshape(count, 2)

    def varied(self, images: Any, random_states: Any) -> Any:
        """Run images `(batch, ...)` through the augmentation layers, drawing from these states."""
        for place, layer in enumerate(self.augment):
            layer.generator.state.assign(random_states[place])
            images = layer(images, training=True)
        return images
