"""Scales and shifts, as of BatchNormalization, in the weights of the layer before or behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from allconv.weights import Array, derive


def batchnorm_affine(weights: Mapping[str, Array], epsilon: float) -> tuple[Array, Array]:
    """Write BatchNormalization at inference as `scale * x + shift`, each of shape `(channels,)`.

    `scale = gamma / sqrt(moving_variance + epsilon)`, `shift = beta - moving_mean * scale`
    (Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 2).
    """
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    gamma, beta = weights.get("gamma"), weights.get("beta")
    scale = derive(_batchnorm_scale, variance, epsilon, gamma, shape=variance.shape)
    shift = derive(_batchnorm_shift, mean, scale, beta, shape=mean.shape)
    return scale, shift


def _batchnorm_scale(variance: np.ndarray, epsilon: float, gamma: np.ndarray | None) -> np.ndarray:
    scale = 1 / np.sqrt(variance.astype("float64") + epsilon)
    return np.asarray(scale if gamma is None else scale * gamma)


def _batchnorm_shift(mean: np.ndarray, scale: np.ndarray, beta: np.ndarray | None) -> np.ndarray:
    shift = -mean.astype("float64") * scale
    return np.asarray(shift if beta is None else shift + beta)


def listed(values: Sequence[float]) -> Array:
    """List the numbers of a configuration, one after the other, in float64."""
    return derive(_listed, tuple(values), shape=(len(values),)).in_dtype("float64")


def _listed(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, "float64")


def scaled_rows(kernel: Array, scale: Array) -> Array:
    """Compute `diag(scale) @ kernel`: a Dense kernel whose inputs are scaled first."""
    return derive(_scaled_rows, kernel, scale, shape=kernel.shape)


def _scaled_rows(kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.asarray(kernel * scale[:, None], kernel.dtype)


def shifted_bias(kernel: Array, shift: Array, bias: Array | None) -> Array:
    """Compute `bias + shift @ kernel`: a Dense bias whose inputs are shifted first."""
    return derive(_shifted_bias, kernel, shift, bias, shape=kernel.shape[-1:])


def _shifted_bias(kernel: np.ndarray, shift: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    moved = shift @ kernel.astype("float64")
    return np.asarray(moved if bias is None else moved + bias, kernel.dtype)


def scaled_columns(matrix: Array, scale: Array) -> Array:
    """Compute `matrix @ diag(scale)`: a Dense kernel whose results are scaled."""
    return derive(_scaled_columns, matrix, scale, shape=matrix.shape)


def _scaled_columns(matrix: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.asarray(matrix * scale, matrix.dtype)


def moved_bias(bias: Array | None, scale: Array, shift: Array) -> Array:
    """Compute `scale * bias + shift`: a bias whose results are scaled and shifted."""
    return derive(_moved_bias, bias, scale, shift, shape=shift.shape)


def _moved_bias(bias: np.ndarray | None, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.asarray(shift if bias is None else scale * bias + shift)
