"""Learning-rate schedules that Keras does not have."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tessera")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """Holds the learning rate, then lowers it to zero on a straight line.

    Args:
        initial_learning_rate: the rate until `decay_start_step`.
        decay_start_step: optimizer step at which the line starts.
        end_step: optimizer step at which the rate is zero. An optimizer step is one update of its
            network: with several discriminator steps per generator step the two count apart.

    Raises:
        ValueError: `end_step` not after `decay_start_step`.

    Source: the schedule of Park et al. 2019 (SPADE, arXiv 1903.07291), section 4: constant for
    the first half of the epochs, then linear to zero.
    """

    def __init__(self, initial_learning_rate: float, *, decay_start_step: int, end_step: int):
        super().__init__()
        if end_step <= decay_start_step:
            raise ValueError(
                "end_step must lie after decay_start_step. Received: "
                f"decay_start_step={decay_start_step}, end_step={end_step}"
            )
        self.initial_learning_rate = initial_learning_rate
        self.decay_start_step = decay_start_step
        self.end_step = end_step

    def __call__(self, step):
        step = ops.cast(step, "float32")
        left = (self.end_step - step) / (self.end_step - self.decay_start_step)
        return self.initial_learning_rate * ops.clip(left, 0.0, 1.0)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_start_step": self.decay_start_step,
            "end_step": self.end_step,
        }
