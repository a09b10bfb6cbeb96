"""Named operators: what the models are written on.

Images are NHWC, kernels HWIO, padding is explicit and symmetric as PyTorch's ``padding=``. float32
and bfloat16 work; a result has the dtype of its input, sums are taken in float32 where it matters.
See `jaxpose.ops.named` for the names and for the choice of implementation.
"""

from jaxpose.ops.conv import (
    conv,
    conv_transpose,
    depthwise_conv,
    depthwise_conv_transpose,
    grouped_conv,
)
from jaxpose.ops.dynamic import dynamic_conv, spatial_softmax
from jaxpose.ops.named import (
    IMPLEMENTATIONS,
    NAMES,
    get_implementation,
    implementation,
    parse,
    set_implementation,
)
from jaxpose.ops.norm import batch_norm, batch_norm_train
from jaxpose.ops.pointwise import (
    activation,
    channel_conv1d,
    channel_max,
    channel_mean,
    channel_shuffle,
)
from jaxpose.ops.pool import (
    RESIZE_METHODS,
    adaptive_avg_pool,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    max_pool,
    resize,
)

__all__ = [
    "IMPLEMENTATIONS",
    "NAMES",
    "RESIZE_METHODS",
    "activation",
    "adaptive_avg_pool",
    "avg_pool",
    "batch_norm",
    "batch_norm_train",
    "channel_conv1d",
    "channel_max",
    "channel_mean",
    "channel_shuffle",
    "conv",
    "conv_transpose",
    "depthwise_conv",
    "depthwise_conv_transpose",
    "dynamic_conv",
    "get_implementation",
    "global_avg_pool",
    "global_max_pool",
    "grouped_conv",
    "implementation",
    "max_pool",
    "parse",
    "resize",
    "set_implementation",
    "spatial_softmax",
]
