"""Training of the exported network in PyTorch: channels_last, Adam, the same objective and batch.

With bfloat16, the network runs under automatic mixed precision (AMP), the loss in float32. On a
GPU, cuDNN chooses its algorithms by measurement, Adam is fused, and products of float32 may use
TF32, as in JAX.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from jaxpose import export, geometry, models
from jaxpose.benchmark.training_step import Contestant
from jaxpose.benchmark.workload import Workload
from jaxpose.runtimes import require
from jaxpose.tasks.torch_losses import nchw


def torch_device(platform: str) -> str:
    """The torch device of the same chip as JAX's.

    Args:
      platform: of JAX's devices: "cpu", "gpu" or "tpu".

    Raises:
      ValueError: this torch cannot use it.
      ImportError: torch is not installed.
    """
    torch = require("torch")
    if platform == "cpu":
        return "cpu"
    if platform == "gpu" and torch.cuda.is_available():
        return "cuda"
    raise ValueError(f"torch {torch.__version__} cannot use the {platform.upper()}")


def torch_step(
    workload: Workload, *, device: str = "cpu", compiled: bool = False, steps: int = 1
) -> Contestant:
    """The training step of the exported network.

    Args:
      workload: what to train.
      device: "cpu" or "cuda".
      compiled: whether network and loss are compiled by torch.compile; its cache on disk is empty.
      steps: number of steps per call.

    Raises:
      ValueError: settings of the step that are not implemented in torch.
    """
    torch = require("torch")
    _check(workload)
    cuda = device == "cuda"
    before = 0
    if cuda:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    step = _make_step(workload, device, compiled)

    def call() -> float:
        for _ in range(steps):
            loss = step()
        if cuda:
            torch.cuda.synchronize()
        return float(loss)

    cache = tempfile.TemporaryDirectory(prefix="jaxpose-", ignore_cleanup_errors=True)
    with cache, _environment("TORCHINDUCTOR_CACHE_DIR", cache.name):
        start = time.perf_counter()
        first_loss = float(step())
        if cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        if cuda:
            call()  # for the peak of the memory: the first step begins without moments
    form = "torch.compile" if compiled else "eager"
    precision = ", AMP" if workload.config.dtype == "bfloat16" else ""
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20 if cuda else None
    facts = {
        "step": f"torch {torch.__version__} ({form}{precision}, channels_last)",
        "first_step_s": seconds,
        "cached_first_s": None,
        "memory_mb": peak,
        "first_loss": first_loss,
        "note": None,
    }
    return Contestant(facts, call, steps)


def _check(workload: Workload) -> None:
    """Raises ValueError for settings that only the step of train.py has."""
    config = workload.config
    absent = {
        "optimizer.name": config.optimizer.name != "adam",
        "optimizer.clip_norm": config.optimizer.clip_norm > 0,
        "optimizer.rate_scale": bool(config.optimizer.rate_scale),
        "ema_decay": config.ema_decay > 0,
        "accumulate": config.accumulate > 1,
        "freeze": bool(config.freeze),
    }
    if found := [key for key, given in absent.items() if given]:
        raise ValueError(f"the step in torch does not have config.{', config.'.join(found)}")


def _make_step(workload: Workload, device: str, compiled: bool) -> Callable[[], Any]:
    """A function that runs one step and returns its loss, a tensor; the batch is on the device."""
    torch = require("torch")
    variables = models.initial_variables(workload.model, workload.size, workload.config.seed)
    module = export.to_torch(workload.model, variables, workload.size, fold_bn=False).train()
    module = module.to(device, memory_format=torch.channels_last)
    rates = workload.config.optimizer
    optimizer = torch.optim.Adam(
        module.parameters(),
        lr=rates.learning_rate,
        betas=(rates.b1, rates.b2),
        eps=rates.eps,
        fused=True if device == "cuda" else None,
    )
    images = nchw(geometry.normalize(workload.batch["image"]), device)
    loss_of = workload.task.torch_loss(workload.config, workload.batch, device)
    amp = workload.config.dtype == "bfloat16"

    def objective(images):
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            outputs = module(images)
        if isinstance(outputs, (tuple, list)):
            return loss_of([output.float() for output in outputs])
        return loss_of(outputs.float())

    if compiled:
        torch.compiler.reset()
        objective = torch.compile(objective)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = objective(images)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


class _environment:
    """A context in which an environment variable has a value."""

    def __init__(self, name: str, value: str):
        self._name, self._value = name, value

    def __enter__(self) -> None:
        self._before = os.environ.get(self._name)
        os.environ[self._name] = self._value

    def __exit__(self, *_) -> None:
        if self._before is None:
            del os.environ[self._name]
        else:
            os.environ[self._name] = self._before
