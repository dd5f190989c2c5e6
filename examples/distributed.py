"""Data-parallel training by the frameworks' own means: every device takes a share of each batch.

On TensorFlow that is `tf.distribute.MirroredStrategy`, on JAX `keras.distribution.DataParallel`.
A machine without two GPUs counts as two CPU devices, to show that it works; it is no faster.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras
from refusal import Refusal

DEVICES = 2

Scope = Callable[[], AbstractContextManager[Any]]


def scope_of_devices() -> Scope:
    """Return what a model is made, compiled and trained in; call it before anything is computed.

    Raises:
        Refusal: Keras runs on a backend that has no such means.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return on_tensorflow()
    if backend == "jax":
        return on_jax()
    raise Refusal(
        f"--distribute needs Keras on TensorFlow or JAX, and this is {backend}: set KERAS_BACKEND"
    )


def on_tensorflow() -> Scope:
    """Return the scope of a MirroredStrategy over all GPUs, or over two logical CPU devices."""
    import tensorflow as tf

    if len(tf.config.list_physical_devices("GPU")) >= DEVICES:
        return tf.distribute.MirroredStrategy().scope
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        devices = [tf.config.LogicalDeviceConfiguration()] * DEVICES
        tf.config.set_logical_device_configuration(cpu, devices)
    except RuntimeError as error:  # TensorFlow has counted its devices already
        if len(tf.config.list_logical_devices("CPU")) < DEVICES:
            raise Refusal(f"--distribute has to come first in a process: {error}") from error
    return tf.distribute.MirroredStrategy([f"CPU:{place}" for place in range(DEVICES)]).scope


def on_jax() -> Scope:
    """Return the scope of a DataParallel over all GPUs, or over two CPU devices."""
    import jax

    try:
        jax.config.update("jax_num_cpu_devices", DEVICES)
    except RuntimeError as error:  # JAX has counted its devices already
        if jax.device_count() < DEVICES:
            raise Refusal(f"--distribute has to come first in a process: {error}") from error
    devices = keras.distribution.list_devices()
    if len(devices) < DEVICES:
        devices = keras.distribution.list_devices("cpu")
    return keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False).scope
