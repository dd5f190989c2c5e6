"""Max pools dropped, their strides taken by the convolutions before them (Strided-CNN)."""

from __future__ import annotations

from allconv.graph import Node
from allconv.layers.kinds import IDENTITY_AT_INFERENCE, MAX_POOLS, is_elementwise
from allconv.layout import is_along
from allconv.rule import Match, Outcome, rule
from allconv.rules.windows import known_sizes, zero_padded
from allconv.shapes import same_padding


@rule(layer=MAX_POOLS, keeps="shape")
def max_pool_to_stride(match: Match) -> Outcome:
    """Convolution of stride 1, then MaxPooling  ->  the convolution with the pool's strides.

    Result number i of the pool looks at results `i s - pool_left ...` of the convolution; the
    middle one, `p = (window - 1) // 2 - pool_left` after `i s`, is kept. So the convolution,
    without padding, moves over its input padded by `conv_left - p` before (negative: cropped) and
    by as much behind as leaves the number of results.
    """
    pool = match.node
    passed, conv = _walk(match, match.before(pool))
    strides = tuple(pool.config["strides"])
    if problem := _problem(match, conv, strides):
        return match.skip(problem)
    pads = _pads(match, conv)
    if pads is None:
        wish = ", and the result is to take any" if match.any_size else ""
        return match.skip(
            f"padding 'same' needs a fixed input size, got {match.before(conv).shape}{wish}"
        )
    padded = zero_padded(match, match.before(conv), pads, of=conv)
    tensor = match.again(conv, padded, spec=conv.spec.with_config(strides=strides, padding="valid"))
    for node in reversed(passed):
        tensor = match.again(node, tensor)
    return tensor


def _walk(match: Match, node: Node) -> tuple[list[Node], Node]:
    """Walk up through cell-wise layers whose tensor nothing else takes; list the lowest first."""
    passed = []
    while _is_passable(match, node) and len(match.users(node)) == 1:
        passed.append(node)
        node = match.before(node)
    return passed, node


def _is_passable(match: Match, node: Node) -> bool:
    if len(node.inputs) != 1 or node.kwargs.get("mask") is not None:
        return False
    if node.config.get("noise_shape"):
        return False
    if node.kind == "PReLU":
        spatial = set(match.layout(node).spatial_axes)
        return spatial <= set(node.config.get("shared_axes") or ())
    if node.kind in ("BatchNormalization", "Softmax"):
        return _is_over_channels(match, node)
    return node.kind in IDENTITY_AT_INFERENCE or is_elementwise(node.kind, node.config)


def _is_over_channels(match: Match, node: Node) -> bool:
    return is_along(node.config["axis"], match.layout(node).channel_axis, len(node.shape or ()))


def _problem(match: Match, conv: Node, strides: tuple[int, ...]) -> str:
    """Say why the convolution cannot take the strides, "" where it can."""
    rank = len(strides)
    depthwise = conv.kind in (f"DepthwiseConv{rank}D", f"SeparableConv{rank}D")
    if conv.kind != f"Conv{rank}D" and not depthwise:
        return f"no convolution before it to take its stride, but '{conv.name}' ({conv.kind})"
    if len(match.users(conv)) > 1:
        return f"the result of '{conv.name}' is taken by other layers, too"
    for name in ("strides", "dilation_rate"):
        if any(value != 1 for value in conv.config[name]):
            return f"'{conv.name}' has {name} {tuple(conv.config[name])} already"
    if depthwise and len(set(strides)) > 1:
        return f"'{conv.name}' ({conv.kind}) cannot take unequal strides {strides} on TensorFlow"
    if conv.config["padding"] not in ("valid", "same"):
        return f"'{conv.name}' has padding '{conv.config['padding']}'"
    return ""


def _pads(match: Match, conv: Node) -> list[tuple[int, int]] | None:
    """Return the cells to add, or if negative to crop, before and after the convolution's input."""
    config, same = match.node.config, match.node.config["padding"] == "same"
    kernels, maps = conv.config["kernel_size"], known_sizes(match, conv)
    results = known_sizes(match, match.node)
    pads = []
    for k, window, stride, size, result in zip(
        kernels, config["pool_size"], config["strides"], maps, results, strict=True
    ):
        conv_left, conv_right = (
            ((k - 1) // 2, k // 2) if conv.config["padding"] == "same" else (0, 0)
        )
        if not same:
            pool_left, total = 0, conv_left + conv_right + 1 - window
        elif stride == 1:
            pool_left, total = (window - 1) // 2, conv_left + conv_right
        elif size is None or result is None:
            return None
        else:
            pool_left = same_padding(size, window, stride)[0]
            inputs = size - conv_left - conv_right + k - 1
            total = (result - 1) * stride + k - inputs
        left = conv_left - ((window - 1) // 2 - pool_left)
        pads.append((left, total - left))
    return pads
