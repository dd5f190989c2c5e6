"""Epochs as one program on the device, in JAX: no Python between the steps.

A GPU is done with a step of a small network long before Python has fetched the next batch, varied
it and called the step. Here the images lie in the memory of the device, and one call goes through
all steps of an epoch (`jax.lax.scan`). What a step does is Keras' own `train_step`, on the batches
of `Batches`, so the same is learnt as batch by batch.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from batches import Batches, scaled
from refusal import Refusal

State = Any  # of Keras' JAX trainer: lists of values of variables
Epoch = dict[str, Any]


def refuse_other_backends() -> None:
    """Raise an error where Keras does not run on JAX.

    Raises:
        Refusal: It does not.
    """
    backend = keras.backend.backend()
    if backend != "jax":
        raise Refusal(
            f"--whole-epochs needs Keras on JAX, and this is {backend}: set KERAS_BACKEND=jax"
        )


class WholeEpochs(Batches):
    """The batches of an epoch as one: their images' numbers, and all images on the device."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        import jax.numpy as jnp

        self.on_device = {"images": jnp.asarray(self.images), "labels": jnp.asarray(self.labels)}

    def __len__(self) -> int:
        """Return what Keras takes for the batches of an epoch."""
        return 1

    def __getitem__(self, step: int) -> tuple[Epoch]:
        """Return the present epoch: `chosen` (steps, batch), `random_states` (steps, layers, 2)."""
        numbers = range(self.epoch * self.steps, (self.epoch + 1) * self.steps)
        chosen = np.stack([self.chosen(number) for number in numbers]).astype("int32")
        states = np.stack([self.random_states(number) for number in numbers])
        return ({"chosen": chosen, "random_states": states, **self.on_device},)


def train_by_epochs(model: keras.Model, epochs: WholeEpochs) -> None:
    """Let `model`, compiled, take an epoch of `epochs` in each step of its `fit`."""
    train_on_batch = model.train_step

    def train_step(state: State, data: tuple[Epoch]) -> tuple[dict[str, Any], State]:
        import jax

        (epoch,) = data

        def step(state: State, drawn: tuple[Any, Any]) -> tuple[State, dict[str, Any]]:
            chosen, random_states = drawn
            with keras.StatelessScope():  # the layers' states are values of this program
                images = epochs.varied(scaled(epoch["images"][chosen]), random_states)
            logs, state = train_on_batch(state, (images, epoch["labels"][chosen]))
            return state, logs

        state, logs = jax.lax.scan(step, state, (epoch["chosen"], epoch["random_states"]))
        return {name: values[-1] for name, values in logs.items()}, state

    # Keras builds what is missing by a batch of the data, and would take an epoch for one.
    model.evaluate(scaled(epochs.images[:1]), epochs.labels[:1], verbose=0)
    model.train_step = train_step
