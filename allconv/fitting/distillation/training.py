"""What a converted network is trained with: the difference from its original, and Keras' Adam."""

from __future__ import annotations

from typing import Any

TEMPERATURE = 2.0
"""What values are divided by before the softmax; with 1 and 4 less was gained."""


def trainer_of(teacher: Any, student: Any, ends: list[str]) -> Any:
    """Make a model whose results are each output's losses, and whose loss is the sum of means."""
    import keras

    class Difference(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="difference")
            self.teacher = teacher
            self.student = student
            self.teacher.trainable = False

        def call(self, inputs: Any) -> list[Any]:
            wanted = keras.tree.flatten(self.teacher(inputs, training=False))
            found = keras.tree.flatten(self.student(inputs, training=False))
            return [
                _loss(a, keras.ops.reshape(b, keras.ops.shape(a)), end)
                for a, b, end in zip(found, wanted, ends, strict=True)
            ]

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
        ) -> Any:
            means = [keras.ops.mean(each) for each in y_pred]
            return sum(means[1:], means[0])

    return Difference()


def _loss(found: Any, wanted: Any, end: str) -> Any:
    """Compute the loss of values that are to be others, before the activation that was left out."""
    from keras import ops

    if end != "softmax":
        return ops.square(found - wanted)
    found, wanted = (ops.log_softmax(each / TEMPERATURE) for each in (found, wanted))
    return TEMPERATURE**2 * ops.sum(ops.exp(wanted) * (wanted - found), axis=-1)


def compile_trainer(trainer: Any, learning_rate: float, steps: int) -> None:
    """Give a trainer Keras' Adam, at a rate that falls to zero as half a cosine.

    JAX without `jit` would run each operation by itself; TensorFlow has a graph anyway, and XLA
    would only add the time that it compiles.
    """
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, max(steps, 1))
    jit_compile = keras.backend.backend() == "jax"
    trainer.compile(keras.optimizers.Adam(schedule), jit_compile=jit_compile)
