import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import DeviceUnavailable, InvalidInput
from engine.sources import open_source
from engine.training import EpochRecord, Progress, fit, torch_latents


def test_equal_runs_give_equal_results(make_samples, train, weights_of):
    samples = make_samples(80, (1, 6, 6))
    first, again, other = (train(samples, arch="vae", seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(weights_of(first), weights_of(again))
    assert not np.array_equal(weights_of(first), weights_of(other))
    assert json.dumps(first.record()) == json.dumps(again.record())


def test_the_callers_random_state_stays(make_samples, train):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(make_samples(20, (4,)), arch="vae")
    assert torch.equal(torch.rand(3), expected)


def test_the_record_accounts_for_the_run(make_samples, train):
    trained = train(make_samples(50, (4,)), epochs=3)
    record = json.loads(json.dumps(trained.record()))
    assert record["training_samples"] == 45
    assert record["validation_samples"] == len(trained.validation_rows) == 5
    assert record["options"]["epochs"] == 3
    assert record["options"]["learning_rate"] == 0.01
    assert [EpochRecord(**one) for one in record["history"]] == list(trained.history)
    assert record["history"][record["best_epoch"] - 1]["validation_loss"] == min(
        one["validation_loss"] for one in record["history"]
    )


def test_modules_come_back_in_evaluation_mode_on_the_cpu(make_samples, train):
    trained = train(make_samples(50, (4,)))
    for module in (trained.encoder, trained.decoder):
        assert not module.training
        assert all(weight.device.type == "cpu" for weight in module.parameters())


def test_progress_tells_where_training_is(make_samples, train):
    reports = []
    trained = train(make_samples(90, (4,)), batch_size=10, epochs=2, progress=reports.append)
    assert [(one.epoch, one.step) for one in reports] == [
        (epoch, step) for epoch in (1, 2) for step in range(1, 10)
    ]
    assert {(one.epochs, one.steps) for one in reports} == {(2, 9)}
    first, second = trained.history
    assert [one.validation_loss for one in reports] == (
        [None] * 8 + [first.validation_loss] * 9 + [second.validation_loss]
    )
    assert reports[8] == Progress(1, 2, 9, 9, first.train_loss, first.validation_loss)


def test_long_epochs_report_about_a_hundred_times(make_samples, train):
    reports = []
    train(make_samples(300, (4,)), batch_size=1, epochs=1, progress=reports.append)
    assert 90 <= len(reports) <= 101
    assert reports[-1].step == reports[-1].steps == 270


def test_training_stops_when_patience_is_spent(make_samples, train):
    # Noise that no epoch predicts better than the last: validation gets worse from some point on.
    samples = np.random.default_rng(0).random((40, 30), dtype=np.float32)
    trained = train(samples, arch="deep", latent_dim=20, epochs=300, patience=4)
    assert len(trained.history) < 300
    assert len(trained.history) == trained.best_epoch + 4


def test_the_best_weights_are_kept(train):
    samples = np.random.default_rng(0).random((40, 30), dtype=np.float32)
    trained = train(samples, arch="deep", latent_dim=20, epochs=40, patience=40)
    assert trained.best_epoch < 40
    rows = torch.from_numpy(samples[trained.validation_rows])
    with torch.no_grad():
        loss = nn.functional.mse_loss(trained.decoder(trained.encoder(rows)), rows).item()
    assert loss == pytest.approx(trained.history[trained.best_epoch - 1].validation_loss, rel=1e-5)


@pytest.mark.parametrize("arch", ["dense", "conv", "sparse"])
def test_one_sample_and_constant_data_train(arch, make_samples, train):
    one = train(make_samples(1, (1, 8)), arch=arch, epochs=3)
    assert one.validation_rows.tolist() == [0]
    constant = train(np.full((30, 1, 8), 0.4, np.float32), arch=arch, epochs=3)
    assert all(
        math.isfinite(record.validation_loss) for record in (*one.history, *constant.history)
    )


def test_two_samples_train_and_validate_apart(make_samples, train):
    trained = train(make_samples(2, (4,)))
    assert (trained.training_samples, trained.validation_samples) == (1, 1)


def test_values_slightly_outside_the_unit_interval_train_with_bce(make_samples, train):
    samples = make_samples(60, (8,)) * 1.2 - 0.1
    assert math.isfinite(train(samples, loss="bce").history[-1].train_loss)
    pair = (nn.Linear(8, 3), nn.Linear(3, 8))
    assert math.isfinite(train(samples, loss="bce", arch=pair).history[-1].train_loss)


def test_integer_data_are_normalised_batch_by_batch():
    data = np.random.default_rng(0).integers(0, 255, (70, 5, 6, 2), dtype=np.uint8)
    trained = fit(
        open_source(data),
        network_shape=(2, 5, 6),
        to_network=lambda raw: (raw.transpose(0, 3, 1, 2) / 255).astype(np.float32),
        arch="conv",
        latent_dim=4,
        epochs=1,
    )
    latents = torch_latents(trained.encoder, np.zeros((3, 2, 5, 6), np.float32))
    assert latents.shape == (3, 4)


def test_a_loss_that_is_not_finite_is_one_clear_line(make_samples, train):
    samples = make_samples(40, (8,))
    pair = (nn.Linear(8, 3), nn.Linear(3, 8))
    with pytest.raises(InvalidInput, match=r"diverged in epoch \d+: .* lower the learning rate"):
        train(samples, arch=pair, learning_rate=1e30)
    samples[3] = np.nan
    with pytest.raises(InvalidInput, match="look for NaN in the data"):
        train(samples)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"loss": "mae"}, "loss must be mse or bce, got 'mae'"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate must be above 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie between 0 and 1, got 1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message, make_samples, train):
    with pytest.raises(InvalidInput, match=message):
        train(make_samples(20, (4,)), **options)


def test_devices(make_samples):
    def on(device):
        return fit(
            open_source(make_samples(20, (4,))),
            network_shape=(4,),
            to_network=np.float32,
            arch="dense",
            latent_dim=2,
            epochs=1,
            device=device,
        )

    with pytest.raises(InvalidInput, match="device must be auto, cpu or cuda, got 'tpu'"):
        on("tpu")
    if torch.cuda.is_available():
        assert on("cuda").history
    else:
        with pytest.raises(DeviceUnavailable, match="use device cpu or auto"):
            on("cuda")
    assert on("auto").history


def test_records_are_values():
    record = EpochRecord(1, 0.5, 0.25)
    assert replace(record, epoch=2) == EpochRecord(2, 0.5, 0.25)
