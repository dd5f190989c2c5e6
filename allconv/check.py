"""`check`: the shape of every layer's output at an image size, and the layers that do not fit."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allconv.errors import ConversionError
from allconv.graph import ITEM, Graph
from allconv.read import read_with_problems
from allconv.read.file import ModelFile
from allconv.reporting.text_table import (
    WIDTH,
    Column,
    Page,
    Styled,
    paragraph,
    printable,
    shape_words,
    table,
)
from allconv.result import Result, html_table
from allconv.shape_walk import Problem, at_any_size, at_size, shapes_at, size_words
from allconv.shapes import Shape
from allconv.sizes.image_sizes import ImageSizes, resized_sizes

if TYPE_CHECKING:
    import keras

COLUMNS = (
    Column("#", right=True),
    Column("layer", fit="elide"),
    Column("class", fit="elide"),
    Column("output"),
)


@dataclass(frozen=True)
class CheckedCall:
    """One call of a layer and the shape it gives, None where a problem leaves it unknown."""

    layer: str
    kind: str
    output_shape: Shape | None


@dataclass(frozen=True)
class ShapeCheck(Result):
    """The shapes of a model at one image size; true in a condition only if all layers fit.

    Attributes:
        model: The model's name.
        input_size: The size that was asked for; None for the model's own.
        rows: Every call of a layer, in order.
        problems: The layers that do not fit, each once; layers behind them are not judged.
        frozen_by: Names of the layers whose weights fit one image size only.
        takes: The image sizes that fit; None if all layers fit already, or no other size fits.
    """

    model: str
    input_size: tuple[int, ...] | None
    rows: tuple[CheckedCall, ...]
    problems: tuple[Problem, ...]
    frozen_by: tuple[str, ...]
    takes: ImageSizes | None = None

    @property
    def passed(self) -> bool | None:
        """Whether all layers fit; None if the shapes of some are unknown and all others fit."""
        if self.problems:
            return False
        return None if self.unknown else True

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the layers whose shapes are unknown: on them nothing can be said."""
        return tuple(dict.fromkeys(row.layer for row in self.rows if row.output_shape is None))

    def __bool__(self) -> bool:
        return self.passed is True

    def __str__(self) -> str:
        return self.to_text()

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain data, ready for `json.dumps`."""
        return {**super().to_dict(), "passed": self.passed, "unknown": list(self.unknown)}

    def _repr_html_(self) -> str:
        heads = [column.title for column in COLUMNS]
        rows = [
            [cell.text for cell in self._cells(position, row)]
            for position, row in enumerate(self.rows, 1)
        ]
        said = "\n".join(self._conclusions(Page()))
        return f"{html_table(heads, rows)}\n<pre>{html.escape(said)}</pre>"

    def to_text(self, width: int = WIDTH, color: bool = False, whole: bool = False) -> str:
        """Write the check on lines of `width` characters; `print` shows 80, without colours.

        With `whole` no name is cut, however wide the table gets.
        """
        page = Page(width, color, whole)
        rows = [self._cells(position, row) for position, row in enumerate(self.rows, 1)]
        return "\n".join([table(COLUMNS, rows, page=page), "", *self._conclusions(page)])

    def _cells(self, position: int, row: CheckedCall) -> list[Styled]:
        fits = all(row.layer != problem.layer for problem in self.problems)
        words = [str(position), row.layer, row.kind, shape_words(row.output_shape)]
        return [Styled(word, "" if fits else "warning") for word in words]

    def _conclusions(self, page: Page) -> Iterator[str]:
        size = f" at {size_words(self.input_size)}" if self.input_size else ""
        if not self.problems:
            layers = "all layers of known shapes" if self.unknown else "all layers"
            yield printable(f"{self.model}: {layers} fit{size}")
        else:
            count = len(self.problems)
            layers = "1 layer does" if count == 1 else f"{count} layers do"
            yield page.paint(printable(f"{self.model}: {layers} not fit{size}"), "warning")
        for problem in self.problems:
            yield paragraph(str(problem), "  ", "    ", page=page)
        if self.takes and self.input_size:
            yield paragraph(f"{self.takes.words_for(self.input_size)}", page=page)
        if self.unknown and not self.problems:
            unknown = f"not judged, their shapes are unknown: {', '.join(self.unknown)}"
            yield paragraph(unknown, page=page)
        if self.frozen_by and not self.problems:
            yield paragraph(f"frozen to this size by: {', '.join(self.frozen_by)}", page=page)


def check(
    model: keras.Model | str | os.PathLike[str] | ModelFile,
    *,
    input_size: Sequence[int] | None = None,
) -> ShapeCheck:
    """Work out the shape of every layer's output by allconv's own arithmetic; nothing is run.

    The weights in a file are held against the shapes that its layers need; no value is read.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file.
        input_size: `(height, width)` of the images, by default the model's own; `(length,)` for a
            1D model, `(depth, height, width)` for a 3D one. All inputs with as many axes take it.

    Returns:
        The shapes, and every layer where a map vanishes, weights do not fit or are not in the file,
        inputs of a merge disagree, or a Dense behind a Flatten freezes the size.

    Raises:
        FileError: The file is no model file, or damaged.
        ModelError: The model is not built, empty or subclassed.
        OptionError: The size is none, or no input of the model has as many axes.
        ShapeError: The layers of a file do not fit even at the model's own size.

    Example:
        >>> import allconv, keras
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 5)])
        >>> print(allconv.check(model, input_size=(4, 4)).problems[0])
        conv2d (Conv2D): a window of 5 does not fit a map of 4
    """
    graph, misfits = read_with_problems(model)
    resized = {} if input_size is None else at_size(graph, input_size)
    shapes, problems = shapes_at(graph, resized)
    problems = tuple({problem.layer: problem for problem in (*problems, *misfits)}.values())
    rows = [
        CheckedCall(node.name, node.kind, shape)
        for node, shape in shapes.items()
        if node.kind != ITEM
    ]
    frozen_by = [problem.layer for problem in shapes_at(graph, at_any_size(graph))[1]]
    size = tuple(input_size) if input_size else None
    takes = _taken(graph) if size and problems and not frozen_by else None
    return ShapeCheck(graph.name, size, tuple(rows), problems, tuple(frozen_by), takes)


def _taken(graph: Graph) -> ImageSizes | None:
    try:
        return resized_sizes(graph)
    except ConversionError:  # no size fits, or a layer is not known well enough
        return None
