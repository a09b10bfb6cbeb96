"""Exported files of a network of four layers, for tests of what is done with files."""

import flax.linen as nn

from jaxpose import export, layers, skeletons, tasks
from jaxpose.config import default_config
from tests.helpers.networks import initialized

SIZE = (32, 32)


class Tiny(nn.Module):
    """[B,H,W,3] -> [B,H/4,W/4,17], with every kind of thing that training touches."""

    num_keypoints: int = 17

    @nn.compact
    def __call__(self, x, train=False):
        norm = layers.BatchNorm
        x = layers.ConvNormAct(8, 3, 2, norm=norm, name="stem")(x, train)
        x = layers.ConvNormAct(8, 3, 4, groups=8, norm=norm, name="depthwise")(x, train)
        x = layers.ConvTranspose(8, depthwise=True, name="up")(x)
        return layers.ConvNormAct(self.num_keypoints, act=None, name="final")(x)


def write(path, name="tiny", size=SIZE, **options):
    """Writes the network in the format of the suffix; `name` is the model in the metadata."""
    model = Tiny()
    variables = initialized(model, size)
    config = default_config(tasks.topdown.SETTINGS, task="topdown")
    precision = options.get("precision", "fp32")
    metadata = export.describe(
        name, tasks.topdown, config, skeletons.COCO, size, precision=precision
    )
    if path.suffix == ".pt2":
        export.save_torch(export.to_torch(model, variables, size), size, path, metadata=metadata)
        return path
    writers = {".onnx": export.to_onnx, ".tflite": export.to_litert, ".param": export.to_ncnn}
    writers[path.suffix](model, variables, size, path, metadata=metadata, **options)
    return path
