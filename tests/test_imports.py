"""Modules import only downwards, and planning needs neither Keras nor TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TOP_TO_BOTTOM = """
errors
shapes transposed_shapes
layers layers.kinds layers.indexing layers.axes layers.unwritten layers.map_shapes
layers.layer_weights
layers.sequence_shapes
layers.layer_shapes layers.ranges layers.costs
weights graph dtypes layout relabels kernels shape_walk one_size field spread_fields receptive_field
fitting_sizes image_sizes fixed_kernels names output_names
strategies output_names_in_files
read.setting_forms read.settings
rule lists rewrite input_size
rules.windows rules.activations rules.channels rules.resizing rules.max_steps rules.maximum
rules.same_max
rules.max_pool rules.average_pool
rules.conv_pool rules.stride_pool rules.constants
rules.over_channels rules.flatten rules.batchnorm rules.reshape rules.vectors rules.dense
rules.merge rules.unfold rules.classifier rules rules.installed
obstacles
read.guarded read.hdf5 read.json_text read.archive
read.description read.layer_tree read.calls
read.dialects.class_names read.dialects.setting_objects read.dialects.keras_1
read.dialects.old_layers read.dialects.old_sequential read.dialects.old_calls
read.dialects.tf_operations read.dialects read.layers_of_operations read.operations
read.scope read.nested_inputs read.keras_config read.old_kernels read.weights_by_path
read.weights_by_layer read.file_weights read.file read.live read
untrusted recursion keras_layers adapted build compiling freezing
verification verification.arranged verification.compiled verification.vocabulary
verification.inputs verification.logits verification.precision verification.sizes
verification.copies verification.measure verification.chaos verify
provenance convert geometry
reporting reporting.text_table reporting.report_rows reporting.report_words
reporting.report_text
reporting.slabs reporting.layering reporting.drawing reporting.network_drawings
reporting.layer_table reporting.report_html report
check
drafts save saved_as_h5
export export.others_words export.lowering export.traced_layers export.tensorflow_graph
export.tf2onnx_handlers export.onnx_graph export.through_tf2onnx
export.keras_differences export.trial_sizes export.image_folder export.sample_inputs export.form
export.tensor_view export.graph_writer export.broadcasting export.window_operators
export.shape_operators export.axis_operators export.operators export.resize_operators
export.simplifying export.channels_first export.kernel_algebra export.maxima export.fusing
export.metadata export.external_data export.model_proto export.draft export.audit
export.sessions export.recurrent export.running export.parity
export.float16 export.float16_errors export.int8 export.precision_loss export.reduced_precision
export.onnx_report export.tensorflow_process
export.pipeline export_job
fitting fitting.agreement fitting.calibration fitting.models fitting.batches fitting.windows
fitting.tensors fitting.goals fitting.below fitting.pairing
fitting.normal_equations fitting.rows fitting.solve fitting.norms
fitting.logit_graph fitting.whole_maps fitting.held_back fitting.training
calibrate distill
allconv
quiet terminal cli_messages cli_options cli_calibrate cli_export cli_convert cli program __main__
"""
"""Every module after all that it imports, in the order in which they are best read."""

ORDER = TOP_TO_BOTTOM.split()

PACKAGE = Path(__file__).parents[1] / "allconv"
FRAMEWORKS = {"keras", "tensorflow", "onnx", "tf2onnx", "onnxruntime"}


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "allconv"


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py")}


class Imports(ast.NodeVisitor):
    """The names that a file imports, when it is imported itself and later; not those for types."""

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
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.add(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.module and not node.level, "imports are absolute"
        self.add(f"{node.module}.{alias.name}" for alias in node.names)

    def add(self, names) -> None:
        (self.later if self.depth else self.at_once).update(names)


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


@pytest.mark.parametrize("module", ORDER)
def test_frameworks_are_imported_inside_functions_only(module):
    firsts = {name.partition(".")[0] for name in Imports(MODULES[module]).at_once}
    assert not firsts & FRAMEWORKS


@pytest.mark.parametrize("layer", [name for name in ORDER if name.startswith("rule")])
def test_rules_and_the_engine_never_import_a_framework(layer):
    imports = Imports(MODULES[layer])
    firsts = {name.partition(".")[0] for name in imports.at_once | imports.later}
    assert not firsts & FRAMEWORKS


def test_what_exports_is_imported_when_it_is_asked_for():
    code = "import sys, allconv.cli; print(*sys.modules); allconv.export_onnx, allconv.OnnxReport"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in done.stdout.split() if name.startswith("allconv.export")]


def test_importing_allconv_loads_no_framework():
    modules = ", ".join(f"allconv.{name}" for name in ("graph", "rewrite", "rules", "cli"))
    code = f"import sys, allconv, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "allconv" in loaded
    assert not loaded & FRAMEWORKS
