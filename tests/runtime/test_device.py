import os
import subprocess
import sys

import pytest

from engine import DeviceUnavailable, InvalidInput
from engine.runtime.device import available_cores, cuda_problem, resolve_device

WITHOUT_CUDA = pytest.mark.skipif(cuda_problem() is None, reason="this machine has CUDA")


def run(program, **variables):
    environment = os.environ | variables
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_the_cpu_is_always_there():
    assert resolve_device("cpu") == "cpu"
    assert 1 <= available_cores() <= os.cpu_count()


@WITHOUT_CUDA
def test_cuda_is_never_replaced_by_something_else():
    with pytest.raises(DeviceUnavailable, match=r"^--device cuda: .+; use --device cpu or auto$"):
        resolve_device("cuda")
    found = run(
        "import engine, engine.runtime.device\n"
        "try:\n"
        "    engine.runtime.device.resolve_device('cuda')\n"
        "except engine.DeviceUnavailable as error:\n"
        "    print(error)\n",
    )
    assert found.stderr == ""
    assert len(found.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", ["gpu", "CUDA", "cuda:0", ""])
def test_unknown_devices_are_refused(name):
    with pytest.raises(InvalidInput, match=f"device must be auto, cpu or cuda, got '{name}'"):
        resolve_device(name)


@WITHOUT_CUDA
def test_auto_takes_the_cpu_without_a_word():
    found = run("from engine.runtime.device import resolve_device as r; print(r('auto'))")
    assert (found.stdout, found.stderr) == ("cpu\n", "")


@WITHOUT_CUDA
def test_libraries_stay_silent_when_a_session_does_not_come_up():
    program = "from engine.runtime.session import probe_cuda_session\nprint(probe_cuda_session())\n"
    found = run(program)
    assert found.stderr == ""
    assert found.stdout.startswith("onnxruntime could not start CUDA (it needs CUDA and cuDNN")
    assert len(found.stdout.splitlines()) == 1


def test_hidden_gpus_are_not_there():
    found = run(
        "from engine.runtime.device import cuda_problem as c; print(c())", CUDA_VISIBLE_DEVICES=""
    )
    assert (found.stdout, found.stderr) == ("no NVIDIA driver with a GPU on this machine\n", "")
