"""Cheaper encoders of a codec: which there are, and how they are made.

A guarantee is made against the decoder, so an encoder may be approximated freely. What a store
keeps is the float32 encoder; its latents may come from another.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.codec.files import ENCODER, CodecFiles
from engine.errors import InvalidInput
from engine.runtime.codec import Codec
from engine.runtime.half_encoder import half_encoder
from engine.runtime.integer_encoder import integer_encoder

EncoderName = Literal["float32", "int8", "float16"]
OFFERED: dict[str, tuple[EncoderName, ...]] = {"cpu": ("int8",), "cuda": ("float16",)}
"""The cheaper encoders by device: onnxruntime has no fast kernels for the others there."""

CALIBRATION_SAMPLES = 512


@dataclass(frozen=True)
class EncoderChoice:
    """The encoder to use, and what was measured of it against the float32 one.

    `psnr_loss_db` is how much lower the PSNR of held-out samples is, `speed_up` how many times as
    many samples it encodes per second; `content` is the graph, None where it is the codec's own.
    """

    name: EncoderName
    psnr_loss_db: float = 0.0
    speed_up: float = 1.0
    content: bytes | None = None

    @property
    def identity(self) -> dict[str, str]:
        """Names the graph, JSON-able: its kind, and its digest where it isn't the codec's own."""
        if self.content is None:
            return {"name": self.name}
        return {"name": self.name, "sha256": hashlib.sha256(self.content).hexdigest()}

    def apply(self, codec: Codec) -> Codec:
        """`codec` with this encoder."""
        return codec if self.content is None else codec.with_encoder(self.name, self.content)


def make_variant(files: CodecFiles, name: EncoderName, samples: NDArray[Any]) -> bytes | None:
    """The encoder `name` of a codec: raw samples and step in, integer latents out.

    `samples` `(n, *sample_shape)` calibrate it; the same ones give the same bytes on machines of
    one type. None where the network has nothing that it could make cheaper.

    Raises:
        CorruptCodec: there is no encoder, or it is damaged.
        InvalidInput: there is no such variant, or no sample.
    """
    content = files.role(ENCODER)
    if name == "float32":
        return content
    if name == "float16":
        return half_encoder(content)
    if name != "int8":
        raise InvalidInput(f"the encoder must be auto, float32, int8 or float16, got {name!r}")
    if not len(samples):
        raise InvalidInput("an int8 encoder is calibrated on samples, found none")
    return integer_encoder(content, samples)


def named_encoder(codec: Codec, name: EncoderName, samples: NDArray[Any]) -> EncoderChoice | None:
    """The cheaper encoder `name` as `choose_encoder` would make it of the same samples."""
    content = make_variant(codec.files, name, spread(samples[::2], CALIBRATION_SAMPLES))
    return None if content is None else EncoderChoice(name, content=content)


def spread(samples: NDArray[Any], count: int) -> NDArray[Any]:
    """At most `count` of the samples, from all of them."""
    return np.ascontiguousarray(samples[:: math.ceil(len(samples) / count)])
