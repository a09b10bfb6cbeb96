"""Writing a torch module as a .pt2 file.

A .pt2 file is a `torch.export` archive. It loads with torch alone, has a dynamic batch size, and is
the input of ExecuTorch and other converters. TorchScript is deprecated, and a pickled module is
code that needs the same library versions and must be trusted.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from jaxpose.runtimes import require
from jaxpose.runtimes.torch_file import EXTRA_FILE


def save_torch(
    module, input_size: tuple[int, int], path: str | os.PathLike, *, metadata: dict
) -> None:
    """Writes a `torch.fx.GraphModule` made by `to_torch` as a .pt2 file."""
    torch = require("torch")
    # A batch of 2, because torch.export makes a batch of 1 static.
    example = (torch.zeros(2, 3, *input_size),)
    dynamic = ({0: torch.export.Dim("batch", min=1, max=1 << 16)},)
    program = torch.export.export(module.eval(), example, dynamic_shapes=dynamic)
    # In memory first: on a full disk, torch ends the process.
    archive = io.BytesIO()
    torch.export.save(program, archive, extra_files={EXTRA_FILE: json.dumps(metadata)})
    Path(path).write_bytes(archive.getvalue())
