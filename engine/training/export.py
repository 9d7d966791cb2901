"""Trained modules as two bare float ONNX networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import nn

from engine.errors import EngineError
from engine.training.quiet import quiet

OPSET = 20
IR_VERSION = 10


def export_pair(
    encoder: nn.Module, decoder: nn.Module, network_shape: tuple[int, ...]
) -> tuple[bytes, bytes]:
    """Export modules on the CPU as float32 ONNX, any batch size, opset 20, IR version 10.

    The encoder maps `(batch, *network_shape)` to `(batch, *latent_shape)`, the decoder maps that
    back. The bytes hold no names, paths or code of this machine.

    Raises:
        EngineError: torch can't export a module.
    """
    # torch takes an axis of size 1 for constant, so two samples are traced.
    samples = torch.zeros(2, *network_shape)
    with torch.no_grad():
        latents = encoder.eval()(samples)
    return _export(encoder, "encoder", samples), _export(decoder, "decoder", latents)


def torch_latents(encoder: nn.Module, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float latents `(batch, *latent_shape)` of samples `(batch, *network_shape)`."""
    return _run(encoder, batch)


def torch_reconstruction(decoder: nn.Module, latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples `(batch, *network_shape)` from float latents `(batch, *latent_shape)`."""
    return _run(decoder, latents)


@torch.no_grad()
def _run(module: nn.Module, values: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = module.eval()(torch.tensor(values)).numpy()
    return result


def _export(module: nn.Module, name: str, example: torch.Tensor) -> bytes:
    try:
        with quiet("torch.onnx", "torch.export", "onnxscript", "onnx_ir"):
            program: Any = torch.onnx.export(
                module.eval(),
                (example,),
                dynamo=True,
                external_data=False,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # torch raises many types, with long explanations
        reason = next(iter(str(error).split("\n")), "") or type(error).__name__
        raise EngineError(f"the {name} can't be exported to ONNX: {reason}") from error
    return _bare(program.model_proto)


def _bare(model: ModelProto) -> bytes:
    """Strip what torch notes beside the network: stack traces, file names, its own version."""
    _strip(model)
    model.ir_version = IR_VERSION
    model.producer_name = model.producer_version = ""
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _strip(message: Any) -> None:
    """Clear these fields in a protobuf message and in all that it holds."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)
