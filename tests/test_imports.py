"""Modules import only downwards, and planning needs neither Keras nor TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

TOP_TO_BOTTOM = """
            errors shapes result
layers      . kinds indexing axes unwritten transposed_shapes map_shapes layer_weights
layers      sequence_shapes layer_shapes ranges costs
            weights graph dtypes
layout      . relabels made_images
kernels     windows dense affine bilinear . fixed
            shape_walk
sizes       . windows fixed_layers field spread_fields receptive_field margins size_arithmetic
sizes       smallest_size image_sizes cell_numbers map_geometry
segmentation . position layer_steps positions
            names output_names strategies
saving      . output_names_in_files
read        setting_values settings
            rule rewrite
rules       lists windows kept_pools activations channels resizing max_steps maximum same_max
rules       max_pool average_pool conv_pool stride_pool constants over_channels flatten
rules       batchnorm reshape vectors dense merge unfold classifier unstrided . installed
            resize
pictures    . colours overlay preprocessing opening entrance folder batches arrays
dense_maps  . strides meeting window finer
read        foreign_files guarded hdf5 json_text archive description layer_tree calls
read        dialects.class_names dialects.setting_objects dialects.keras_1 dialects.old_layers
read        dialects.old_sequential dialects.old_calls dialects.tf_operations dialects
read        layers_of_operations operations scope nested_inputs told_shapes keras_config
read        old_kernels
read        compile_words weights_by_path weights_by_layer file_weights file live .
building    . untrusted recursion keras_layers adapted build compiling freezing provenance
verification . arranged compiled vocabulary inputs logits batches precision sizes copies
verification measure chaos
segmentation scores finer_maps margin upsampled network
            verify
obstacles   problems found causes .
dense_maps  dense_plan pair moved_images
            plan geometry convert segmenter
reporting   . text_table rows totals facts words columns text markdown latex records
            check
reporting   html html.tensor_boxes html.layering html.drawing html.network_drawings
reporting   html.layer_table html.page svg painting
            report
saving      drafts
            save
saving      saved_as_h5
export      . foreign_errors lowering
export      tensorflow tensorflow.traced_layers tensorflow.graph tensorflow.tf2onnx_handlers
export      operations operations.onnx_graph tensorflow.translate
export      comparison comparison.keras_differences comparison.trial_sizes
export      precision precision.sample_inputs options
export      operations.tensor_view operations.graph_writer operations.broadcasting
export      operations.window_operators operations.shape_operators operations.axis_operators
export      operations.operators operations.resize_operators operations.simplifying
export      operations.channels_first operations.kernel_algebra operations.maxima
export      operations.neighbours operations.fusion_rules operations.fusing
export      file file.metadata file.external_data file.model_proto file.draft file.audit
export      comparison.last_activation comparison.sessions tensorflow.recurrent
export      comparison.running comparison.parity
export      precision.float16 precision.float16_twin precision.int8 precision.loss
export      precision.reduced_precision onnx_report tensorflow.process pipeline job
fitting     . agreement calibration models batches
fitting     least_squares least_squares.windows least_squares.tensors least_squares.targets
fitting     least_squares.layers_below least_squares.pairing least_squares.normal_equations
fitting     least_squares.rows least_squares.solve least_squares.batchnorm
fitting     distillation distillation.logit_graph distillation.matrix_products
fitting     distillation.validation distillation.training
losses      over_cells multi_class_mil .
            export_onnx calibrate distill allconv
cli         statuses quiet terminal words messages answers one_command options pictures images
cli         export convert forms looking writing commands program .
            __main__
"""
"""A line for each visit to a room, which it begins with; every module after all that it imports.

The modules of the hall, the package's own folder, are indented; a dot is the room itself.
"""

HALL = " "


def listed(line: str) -> list[str]:
    """The modules of a line."""
    if not line or line.startswith(HALL):
        return line.split()
    room, *names = line.split()
    return [room if name == "." else f"{room}.{name}" for name in names]


ORDER = [module for line in TOP_TO_BOTTOM.splitlines() for module in listed(line)]

PACKAGE = Path(__file__).parents[1] / "allconv"
FRAMEWORKS = {"keras", "tensorflow", "onnx", "tf2onnx", "onnxruntime"}
OF_KERAS = {"losses.multi_class_mil": {"keras"}}
"""Modules of classes that are Keras', which nothing imports before they are asked for."""


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "allconv"


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py")}


class Imports(ast.NodeVisitor):
    """The names that a file imports: at once, and later or for types alone."""

    def __init__(self, path: Path) -> None:
        self.at_once: set[str] = set()
        self.later: set[str] = set()
        self.depth = 0
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    def visit_If(self, node: ast.If) -> None:
        # what is imported for types alone is knowledge all the same, but costs no time
        self.depth += ast.unparse(node.test) == "TYPE_CHECKING"
        self.generic_visit(node)
        self.depth -= ast.unparse(node.test) == "TYPE_CHECKING"

    def visit_Import(self, node: ast.Import) -> None:
        self.add(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.module and not node.level, "imports are absolute"
        self.add(f"{node.module}.{alias.name}" for alias in node.names)

    def add(self, names) -> None:
        (self.later if self.depth else self.at_once).update(names)


def room_of(module: str) -> str:
    """The folder that a module lies in; of one in the hall the module itself."""
    return module.partition(".")[0]


def own_module(name: str) -> str | None:
    """The module of allconv that an imported name is, or lies in; None for others."""
    first, _, inner = name.partition(".")
    if first != "allconv":
        return None
    while inner and inner not in MODULES:
        inner = inner.rpartition(".")[0]
    return inner or "allconv"


def test_the_order_lists_every_module_once():
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_modules_above_it_in_the_order(module):
    imports = Imports(MODULES[module])
    used = {own_module(name) for name in imports.at_once | imports.later} - {None}
    above = set(ORDER[: ORDER.index(module)])
    assert used <= above, f"{module} imports {sorted(used - above)}, which come after it"


def test_no_room_needs_another_that_needs_it():
    needs = {}
    for module in ORDER:
        imports = Imports(MODULES[module])
        used = {own_module(name) for name in imports.at_once | imports.later} - {None}
        needs.setdefault(room_of(module), set()).update(map(room_of, used))
    sorter = TopologicalSorter({room: used - {room} for room, used in needs.items()})
    assert len(list(sorter.static_order())) == len(needs)  # a circle is an error that names it


@pytest.mark.parametrize("module", ORDER)
def test_frameworks_are_imported_inside_functions_only(module):
    firsts = {name.partition(".")[0] for name in Imports(MODULES[module]).at_once}
    assert firsts & FRAMEWORKS == OF_KERAS.get(module, set())


@pytest.mark.parametrize("layer", [name for name in ORDER if name.startswith("rule")])
def test_rules_and_the_engine_never_import_a_framework(layer):
    imports = Imports(MODULES[layer])
    firsts = {name.partition(".")[0] for name in imports.at_once | imports.later}
    assert not firsts & FRAMEWORKS


def test_what_exports_is_imported_when_it_is_asked_for():
    code = "import sys, allconv.cli.commands; print(*sys.modules); allconv.OnnxReport"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in done.stdout.split() if name.startswith("allconv.export.")]


def test_importing_allconv_loads_no_framework():
    modules = ", ".join(f"allconv.{name}" for name in ("graph", "rewrite", "rules", "cli.commands"))
    code = f"import sys, allconv, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "allconv" in loaded
    assert not loaded & FRAMEWORKS
