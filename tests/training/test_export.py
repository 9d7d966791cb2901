import logging
import re
import subprocess
import sys
import warnings

import onnx
import pytest
import torch
from torch import nn

from engine.errors import EngineError
from engine.training import ARCHITECTURES, export_pair


@pytest.fixture(scope="module")
def exported():
    torch.manual_seed(0)
    model = ARCHITECTURES["conv"]((1, 12, 9), 4)
    return export_pair(model.encoder, model.decoder, (1, 12, 9))


def test_exported_networks_tell_nothing_of_this_machine(exported):
    for content in exported:
        model = onnx.load_model_from_string(content)
        assert (model.ir_version, model.producer_name, model.producer_version) == (10, "", "")
        assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
        assert not re.search(rb"\.py|File \"|torch|/[a-z]{3,}", _without_weights(model))


def _without_weights(model):
    for weight in model.graph.initializer:
        weight.ClearField("raw_data")
    return model.SerializeToString()


def test_exported_networks_are_float_with_a_free_batch(exported):
    shapes = []
    for content in exported:
        model = onnx.load_model_from_string(content)
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
            sizes = value.type.tensor_type.shape.dim
            assert sizes[0].dim_param == "batch"
            shapes.append(tuple(size.dim_value for size in sizes[1:]))
    assert shapes == [(1, 12, 9), (4,), (4,), (1, 12, 9)]


def test_export_is_deterministic_and_leaves_the_callers_settings_alone(exported):
    filters, level = list(warnings.filters), logging.getLogger("torch.onnx").level
    torch.manual_seed(0)
    model = ARCHITECTURES["conv"]((1, 12, 9), 4)
    assert export_pair(model.encoder, model.decoder, (1, 12, 9)) == exported
    assert list(warnings.filters) == filters
    assert logging.getLogger("torch.onnx").level == level


def test_export_prints_nothing():
    script = (
        "from torch import nn\n"
        "from engine.training import export_pair\n"
        "export_pair(nn.Linear(4, 2), nn.Linear(2, 4), (4,))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert (result.stdout, result.stderr) == (b"", b"")


class Untraceable(nn.Module):
    def forward(self, batch):
        return batch * float(str(batch.sum().item()))


def test_what_can_not_be_exported_is_one_clear_line():
    with pytest.raises(EngineError, match="the encoder can't be exported to ONNX: ") as caught:
        export_pair(Untraceable(), nn.Identity(), (4,))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 60
