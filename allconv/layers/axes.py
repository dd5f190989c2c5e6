"""Along which axes of its tensor a layer works, the batch among them.

An image's result must not depend on the others in its batch, and no convolution makes it so; so a
layer along axis 0 stays what it is, and is refused by name.
"""

from __future__ import annotations

from allconv.layers.kinds import Config, couples_channels

AXIS_OF = {
    "BatchNormalization": -1,
    "Concatenate": -1,
    "GroupNormalization": -1,
    "LayerNormalization": -1,
    "Normalization": -1,
    "RMSNormalization": -1,
    "Softmax": -1,
    "UnitNormalization": -1,
}
"""Layers with the setting `axis`, and its default."""


def axes_of(kind: str, config: Config, axes: int) -> tuple[int, ...]:
    """Return the axes that a layer looks along, joins, or has numbers for.

    Args:
        kind: The layer's class name.
        config: Its configuration.
        axes: Number of axes of its tensor, that of the batch included.

    Returns:
        Their numbers, from 0 for the batch on; none for a layer that treats all values alike.

    Example:
        >>> axes_of("Softmax", {"axis": [-1, 1]}, 4)
        (1, 3)
    """
    if kind not in AXIS_OF:
        return (axes - 1,) if couples_channels(kind, config) else ()
    axis = config.get("axis", AXIS_OF[kind])
    listed = [axis] if isinstance(axis, int) else axis or ()
    return tuple(sorted({position % axes for position in listed}))


def along_batch(kind: str, config: Config, axes: int) -> str:
    """Say what is wrong with a layer that works along the batch; "" where it does not."""
    if 0 not in axes_of(kind, config, axes):
        return ""
    return f"it works along axis {config.get('axis')}, on which the images of a batch lie"
