"""Writing a torch module as a .pt2 file.

A .pt2 file is a `torch.export` archive: it loads with torch alone, keeps the batch size open, and
is what ExecuTorch and the other torch converters start from. (TorchScript is deprecated, and a
pickled module is code: it would need the same library versions to load, and trust to run.)
"""

from __future__ import annotations

import json
import os

from jaxpose.runtimes import EXTRA_FILE, require


def save_torch(
    module, input_size: tuple[int, int], path: str | os.PathLike, *, metadata: dict
) -> None:
    """Writes a `torch.fx.GraphModule` made by `to_torch` as a .pt2 file."""
    torch = require("torch")
    # Traced with a batch of 2: torch.export would fix a batch of 1.
    example = (torch.zeros(2, 3, *input_size),)
    dynamic = ({0: torch.export.Dim("batch", min=1, max=1 << 16)},)
    program = torch.export.export(module.eval(), example, dynamic_shapes=dynamic)
    torch.export.save(program, os.fspath(path), extra_files={EXTRA_FILE: json.dumps(metadata)})
