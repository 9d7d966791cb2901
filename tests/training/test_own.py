import copy

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from engine.errors import InvalidInput
from engine.training import export_pair, torch_latents, torch_reconstruction


def make_pair():
    return nn.Sequential(nn.Linear(12, 4), nn.Tanh()), nn.Linear(4, 12)


def test_own_modules_train_as_copies(make_samples, train):
    pair = make_pair()
    before = copy.deepcopy(pair[0].state_dict())
    trained = train(make_samples(100, (12,)), arch=pair, epochs=15, learning_rate=1e-2)
    assert trained.history[-1].validation_loss < 0.5 * trained.history[0].validation_loss
    assert all(torch.equal(before[name], value) for name, value in pair[0].state_dict().items())
    options = trained.record()["options"]
    assert options["architecture"].startswith("own modules ")
    assert options["latent_dim"] is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")
def test_a_pretrained_kind_of_network_trains_and_exports(make_samples, train):
    import diffusers

    torch.manual_seed(0)
    model = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    samples = make_samples(16, (3, 32, 32))
    trained = train(samples, arch=(model.encoder, model.decoder), epochs=1)
    latents = torch_latents(trained.encoder, samples)
    assert latents.ndim == 4
    contents = export_pair(trained.encoder, trained.decoder, (3, 32, 32))
    values = samples[:5]
    for content in contents:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        (values,) = session.run(None, {session.get_inputs()[0].name: values})
    expected = torch_reconstruction(trained.decoder, latents[:5])
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-3)


class Pair(nn.Linear):
    def forward(self, batch):
        return super().forward(batch), batch


class Flat(nn.Linear):
    def forward(self, batch):
        return super().forward(batch).flatten()


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        (nn.Linear(11, 4), nn.Linear(4, 12), r"encoder fails on a batch \(2, 12\): mat1 and mat2"),
        (nn.Linear(12, 4), nn.Linear(5, 12), r"decoder fails on a batch \(2, 4\): mat1 and mat2"),
        (nn.Linear(12, 4), nn.Linear(4, 13), r"decoder returns \(2, 13\) for a batch \(2, 12\)"),
        (Flat(12, 4), nn.Linear(4, 12), r"encoder returns \(8,\) .* \(2, \*latent_shape\)"),
        (Pair(12, 4), nn.Linear(4, 12), "encoder returns a tuple, expected a tensor"),
        (nn.Flatten(), nn.Flatten(), "no weight that can be trained"),
    ],
)
def test_modules_that_do_not_fit_are_refused(encoder, decoder, message, make_samples, train):
    with pytest.raises(InvalidInput, match=message) as caught:
        train(make_samples(20, (12,)), arch=(encoder, decoder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arch", [nn.Linear(3, 3), (nn.Linear(3, 3),), (nn.Linear(3, 3), "deep")])
def test_what_is_no_pair_of_modules_is_refused(arch, make_samples, train):
    with pytest.raises(InvalidInput, match=r"expected a name or a tuple of two torch\.nn\.Module"):
        train(make_samples(20, (3,)), arch=arch)


def test_own_modules_take_no_options(make_samples, train):
    with pytest.raises(InvalidInput, match="options beta: a given encoder and decoder take none"):
        train(make_samples(20, (12,)), arch=make_pair(), arch_options={"beta": 1.0})
