import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import InvalidInput, StorageError
from engine.training import checkpoint as module
from engine.training.checkpoint import Checkpoint

OPTIONS = {"epochs": 3, "batch_size": 10}


def interrupt_at(epoch, step):
    """A progress callback that presses Ctrl-C, as it were."""

    def progress(report):
        if (report.epoch, report.step) == (epoch, step):
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("moment", [(1, 1), (2, 5), (2, 9), (3, 4), (3, 9)])
@pytest.mark.parametrize("arch", ["dense", "vae"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    arch, moment, make_samples, train, weights_of, tmp_path
):
    samples = make_samples(100, (12,))
    whole = train(samples, arch=arch, **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        train(samples, arch=arch, checkpoint=tmp_path, progress=interrupt_at(*moment), **OPTIONS)
    resumed = train(samples, arch=arch, checkpoint=tmp_path, **OPTIONS)
    assert resumed.record() == whole.record()
    np.testing.assert_array_equal(weights_of(resumed), weights_of(whole))


def test_a_run_interrupted_again_and_again_equals_an_uninterrupted_one(
    make_samples, train, weights_of, tmp_path
):
    samples = make_samples(60, (1, 9))
    options = {"arch": "denoising", "epochs": 3}
    for step in range(1, 7):
        with pytest.raises(KeyboardInterrupt):
            train(samples, checkpoint=tmp_path, progress=interrupt_at(2, step), **options)
    resumed = train(samples, checkpoint=tmp_path, **options)
    np.testing.assert_array_equal(weights_of(resumed), weights_of(train(samples, **options)))


def test_own_modules_with_dropout_and_batch_norm_resume(make_samples, train, weights_of, tmp_path):
    def pair():
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(12, 6), nn.BatchNorm1d(6), nn.Dropout(0.2)), nn.Linear(6, 12)

    samples = make_samples(100, (12,))
    with pytest.raises(KeyboardInterrupt):
        train(samples, arch=pair(), checkpoint=tmp_path, progress=interrupt_at(2, 3), **OPTIONS)
    resumed = train(samples, arch=pair(), checkpoint=tmp_path, **OPTIONS)
    np.testing.assert_array_equal(
        weights_of(resumed), weights_of(train(samples, arch=pair(), **OPTIONS))
    )


def test_ctrl_c_at_any_moment_resumes_exactly(make_samples, train, weights_of, tmp_path):
    np.save(tmp_path / "samples.npy", make_samples(200, (20,)))
    script = textwrap.dedent(
        """
        import sys
        import numpy as np
        from engine.sources import open_source
        from engine.training import fit
        from pathlib import Path

        folder = Path(sys.argv[1])
        with open_source(folder / "samples.npy") as source:
            fit(
                source,
                network_shape=(20,),
                to_network=np.float32,
                arch="denoising",
                latent_dim=3,
                epochs=100,
                patience=100,
                device="cpu",
                checkpoint=folder / "state",
                progress=lambda progress: print(progress.epoch, flush=True),
            )
        """
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode != 0 and b"KeyboardInterrupt" in errors
    options = {"arch": "denoising", "epochs": 100, "patience": 100, "batch_size": 64}
    samples = np.load(tmp_path / "samples.npy")
    resumed = train(samples, checkpoint=tmp_path / "state", **options)
    np.testing.assert_array_equal(weights_of(resumed), weights_of(train(samples, **options)))


def test_an_ended_run_returns_at_once(make_samples, train, weights_of, tmp_path):
    samples, reports = make_samples(60, (12,)), []
    first = train(samples, checkpoint=tmp_path, **OPTIONS)
    again = train(samples, checkpoint=tmp_path, progress=reports.append, **OPTIONS)
    assert reports == []
    assert again.record() == first.record()
    np.testing.assert_array_equal(weights_of(again), weights_of(first))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 4}, "epochs 3, now 4"),
        ({"learning_rate": 0.5}, "learning_rate 0.01, now 0.5"),
        ({"arch": "deep"}, "architecture dense, now deep"),
        ({"seed": 1, "latent_dim": 4}, "latent_dim 3, now 4; seed 0, now 1"),
    ],
)
def test_other_options_are_refused(change, message, make_samples, train, tmp_path):
    samples = make_samples(60, (12,))
    train(samples, checkpoint=tmp_path, **OPTIONS)
    with pytest.raises(InvalidInput, match=message + ".*delete the folder to start anew"):
        train(samples, checkpoint=tmp_path, **OPTIONS | change)


def test_other_data_are_refused(make_samples, train, tmp_path):
    samples = make_samples(60, (12,))
    train(samples, checkpoint=tmp_path, **OPTIONS)
    for other, message in (
        (make_samples(61, (12,)), r"data of shape \[60, 12\], now \[61, 12\]"),
        (samples.astype(np.float64), "data of dtype float32, now float64"),
        (make_samples(60, (12,), seed=1), "data with digest"),
    ):
        with pytest.raises(InvalidInput, match=message):
            train(other, checkpoint=tmp_path, **OPTIONS)


def test_own_modules_of_another_structure_are_refused(make_samples, train, tmp_path):
    samples = make_samples(60, (12,))
    train(samples, arch=(nn.Linear(12, 4), nn.Linear(4, 12)), checkpoint=tmp_path)
    with pytest.raises(InvalidInput, match=r"architecture own modules .*, now own modules "):
        train(samples, arch=(nn.Linear(12, 5), nn.Linear(5, 12)), checkpoint=tmp_path)


@pytest.mark.parametrize("damage", ["truncate", "replace"])
def test_damaged_checkpoints_are_refused(damage, make_samples, train, tmp_path):
    samples = make_samples(60, (12,))
    train(samples, checkpoint=tmp_path, **OPTIONS)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "truncate" else b"what is this?")
    with pytest.raises(InvalidInput, match="not a checkpoint, or damaged: delete the folder"):
        train(samples, checkpoint=tmp_path, **OPTIONS)


def test_a_folder_that_can_not_be_written_is_a_storage_error(make_samples, train, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="checkpoint can't be saved"):
        train(make_samples(60, (12,)), checkpoint=tmp_path / "file" / "state", **OPTIONS)


def test_a_checkpoint_is_one_file_of_tensors_and_json(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state", {"epochs": 3, "shape": (2, 3)})
    assert checkpoint.load() is None
    weights = torch.arange(3.0)
    checkpoint.save({"a": weights, "tied": weights}, {"step": 7})
    tensors, position = checkpoint.load()
    assert position == {"step": 7}
    assert torch.equal(tensors["a"], weights) and torch.equal(tensors["tied"], weights)
    (path,) = (tmp_path / "state").iterdir()
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]
    assert json.loads(header["run"]) == {"epochs": 3, "shape": [2, 3]}


def test_long_epochs_are_saved_on_the_way(make_samples, train, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.training.loop.SAVE_EVERY_S", 0)
    saved = []

    def progress(report):
        if (tmp_path / module.FILE).exists():
            saved.append((report.epoch, report.step))

    train(make_samples(100, (12,)), checkpoint=tmp_path, progress=progress, **OPTIONS)
    assert saved[0] == (1, 2)
