"""Codecs good, bad and useless."""

import math

import numpy as np
from onnx import helper

from engine import Codec
from engine.codec.certificate import read_certificate
from engine.codec.sample_format import SampleFormat
from engine.runtime.packing import pack_networks

from .hostile_samples import of_dtype, smooth

CODECS = ["fitted", "foreign", "random", "garbage", "uncertified", "narrow"]


def any_codec(make_codec, linear_pair, float_network, kind, rng, samples):
    """A codec of one of `CODECS` for samples like these, made of what three fixtures give."""
    shape, dtype = samples.shape[1:], samples.dtype
    usual = of_dtype(smooth(rng, (60, *shape)), dtype)
    latent_dim = int(rng.integers(1, 9))
    bits = int(rng.choice([8, 16]))
    if kind == "fitted":
        return make_codec(usual, latent_dim, bits)
    if kind == "narrow":
        return make_codec(usual, latent_dim, bits, weights="int8")
    if kind == "foreign":  # latents saturate
        middle = usual.mean(dtype="f8")
        return make_codec((middle + (usual - middle) / 50).astype(dtype), latent_dim, bits)
    data_range = (float(usual.min()), float(usual.max()))
    sample = SampleFormat(shape, dtype, shape, data_range)
    encoder, decoder = linear_pair(shape, latent_dim, int(rng.integers(1 << 30)))
    if kind in ("garbage", "uncertified"):
        decoder = nonlinear(float_network, rng, latent_dim, shape, floored=kind != "garbage")
    files = pack_networks(encoder, decoder, sample, usual, bits, training={})
    assert (read_certificate(files) is None) == (kind == "uncertified")
    return Codec(files, "cpu")


def nonlinear(float_network, rng, latent_dim, shape, *, floored):
    """A decoder that returns waves, or steps, that have nothing to do with its samples."""
    elements = math.prod(shape)
    nodes = [
        helper.make_node("MatMul", ["z", "weights"], ["product"]),
        helper.make_node("Floor" if floored else "Sin", ["product"], ["waves"]),
        helper.make_node("Reshape", ["waves", "shape"], ["y"]),
    ]
    weights = rng.normal(0, 1, (latent_dim, elements)).astype("f4")
    constants = {"weights": weights, "shape": np.array([-1, *shape])}
    return float_network(nodes, ("z", (latent_dim,)), ("y", shape), **constants)
