"""How onnxruntime runs a network on CUDA."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CudaOptions:
    """Choices of onnxruntime's CUDA execution provider; the default is what guarantees need.

    Args of the dataclass:
        stream: address of the CUDA stream to queue everything on; 0 for one of onnxruntime's own.
        graph: whether the first run is captured, and later ones replay it as a whole. They must be
            on the same thread and over the same memory, and every node must run on CUDA.
        nhwc: whether convolutions may see channels last; never for a guaranteed decoder.

    https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
    """

    stream: int = 0
    graph: bool = False
    nhwc: bool = False

    def provider_options(self) -> dict[str, str]:
        """As onnxruntime takes them."""
        options = {
            "use_tf32": "0",  # as coarse as float16, at half its speed: that is what encoders have
            "prefer_nhwc": str(int(self.nhwc)),
            # One algorithm of convolution: a search for the fastest may end differently.
            "cudnn_conv_algo_search": "DEFAULT",
            "enable_cuda_graph": str(int(self.graph)),
        }
        return options | ({"user_compute_stream": str(self.stream)} if self.stream else {})


EXACT = CudaOptions()
"""Full float32, and one algorithm of convolution."""
