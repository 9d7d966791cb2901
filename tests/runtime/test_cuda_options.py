"""What onnxruntime is asked for on CUDA; its names are those of the library's documentation."""

import pytest

from engine.runtime.cuda_options import EXACT, CudaOptions

from ..devices import needs_gpu


def test_guarantees_get_full_float32_and_one_algorithm():
    assert EXACT.provider_options() == {
        "use_tf32": "0",
        "prefer_nhwc": "0",
        "cudnn_conv_algo_search": "DEFAULT",
        "enable_cuda_graph": "0",
    }


def test_every_choice_is_passed_on():
    options = CudaOptions(stream=1234, graph=True, nhwc=True).provider_options()
    assert options == {
        "use_tf32": "0",
        "prefer_nhwc": "1",
        "cudnn_conv_algo_search": "DEFAULT",
        "enable_cuda_graph": "1",
        "user_compute_stream": "1234",
    }


@needs_gpu
@pytest.mark.parametrize("choice", [{}, {"graph": True}, {"nhwc": True}])
def test_onnxruntime_takes_them(digits_codec, choice):
    import torch

    from engine.runtime.session import Network

    stream = torch.cuda.Stream()
    options = CudaOptions(stream=stream.cuda_stream, **choice)
    network = Network(digits_codec.files.role("encoder"), "cuda", 1, cuda=options)
    taken = network.session.get_provider_options()["CUDAExecutionProvider"]
    assert options.provider_options().items() <= taken.items()
