"""What a run trains, from its settings alone: the network, its loss, the optimizer and the step."""

import dataclasses
import functools

import jax
import optax
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxpose import tasks
from jaxpose.layers import rematerialized
from jaxpose.training.schedule import Schedule, make_optimizer, make_schedule
from jaxpose.training.state import TrainState, create_state
from jaxpose.training.step import make_train_step


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """The functions of a run.

    Attributes:
      config: all settings.
      model: the network.
      objective: its loss.
      learning_rate: step -> learning rate.
      optimizer: the optimizer.
    """

    config: ConfigDict
    model: nn.Module
    objective: tasks.Objective
    learning_rate: Schedule
    optimizer: optax.GradientTransformation

    def create_state(self, seed: int) -> TrainState:
        """The initial state with random weights; see `jaxpose.training.state.create_state`."""
        return create_state(
            self.model,
            self.optimizer,
            tuple(self.config.input_size),
            self.config.ema_decay > 0,
            seed,
            parts=self.objective.terms,
        )

    @functools.cached_property
    def shapes(self) -> TrainState:
        """The state as shapes and dtypes; nothing is computed.

        Raises:
          ValueError: `config.remat` with a network without repeated blocks.
        """
        create = rematerialized(self.create_state) if self.config.remat else self.create_state
        return jax.eval_shape(create, self.config.seed)

    def make_step(self, mesh: Mesh) -> jax.stages.Wrapped:
        """The training step on a mesh; see `jaxpose.training.step.make_train_step`."""
        loss = self.objective.loss
        return make_train_step(
            rematerialized(loss) if self.config.remat else loss,
            self.optimizer,
            self.learning_rate,
            mesh,
            accumulate=self.config.accumulate,
            ema_decay=self.config.ema_decay,
            ema_warmup=self.config.ema_warmup,
            log_every=self.config.log_every,
            seed=self.config.seed,
            freeze=self.config.freeze,
            reduce_dtype=self.config.reduce_dtype,
        )


def make_setup(
    config: ConfigDict, num_keypoints: int, steps_per_epoch: float, total_steps: int
) -> Setup:
    """The functions of a run.

    Args:
      config: all settings, checked by `tasks.validate`.
      num_keypoints: of the dataset.
      steps_per_epoch: need not be an integer.
      total_steps: length of the run.
    """
    model = tasks.create_model(config, num_keypoints)
    learning_rate = make_schedule(
        config.schedule, config.optimizer.learning_rate, steps_per_epoch, total_steps
    )
    return Setup(
        config,
        model,
        tasks.get(config.task).make_objective(model, config),
        learning_rate,
        make_optimizer(config.optimizer, learning_rate, config.freeze),
    )
