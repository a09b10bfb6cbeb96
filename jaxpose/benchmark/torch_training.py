"""Training of the exported network in PyTorch: eager, channels_last, Adam, same objective."""

from __future__ import annotations

from collections.abc import Callable

from jaxpose import export, geometry, models
from jaxpose.benchmark.workload import Workload
from jaxpose.runtimes import require
from jaxpose.tasks.torch_losses import nchw


def make_step(workload: Workload) -> Callable[[], float]:
    """A function that runs one training step and returns its loss; its batch is prepared first."""
    torch = require("torch")
    variables = models.initial_variables(workload.model, workload.size)
    module = export.to_torch(workload.model, variables, workload.size, fold_bn=False).train()
    module = module.to(memory_format=torch.channels_last)
    rates = workload.config.optimizer
    optimizer = torch.optim.Adam(
        module.parameters(), lr=rates.learning_rate, betas=(rates.b1, rates.b2), eps=rates.eps
    )
    images = nchw(geometry.normalize(workload.batch["image"]))
    loss_of = workload.task.torch_loss(workload.config, workload.batch)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(module(images))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step
