"""Learning-rate schedules that Keras does not have."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tessera")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """Holds the learning rate, then lowers it to zero on a straight line.

    Args:
        initial_learning_rate: the rate until the line starts.
        end_step: optimizer step at which the rate is zero. An optimizer step is one update of its
            network: with several discriminator steps per generator step the two count apart.
        constant_share: share of `end_step` before the line starts, in [0, 1).

    Raises:
        ValueError: a value out of its range.

    Source: the schedule of Park et al. 2019 (SPADE, arXiv 1903.07291), section 4: constant for
    the first half of the epochs, then linear to zero.
    """

    configurable = True

    def __init__(
        self, initial_learning_rate: float, *, end_step: int, constant_share: float = 0.5
    ) -> None:
        super().__init__()
        if end_step < 1 or not 0.0 <= constant_share < 1.0:
            raise ValueError(
                "end_step must be at least 1 and constant_share in [0, 1). Received: "
                f"end_step={end_step}, constant_share={constant_share}"
            )
        self.initial_learning_rate = initial_learning_rate
        self.end_step = end_step
        self.constant_share = constant_share

    def __call__(self, step) -> keras.KerasTensor:
        done = ops.cast(step, "float32") / self.end_step
        left = (1.0 - done) / (1.0 - self.constant_share)
        return self.initial_learning_rate * ops.clip(left, 0.0, 1.0)

    def get_config(self) -> dict:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "end_step": self.end_step,
            "constant_share": self.constant_share,
        }


@keras.saving.register_keras_serializable(package="tessera")
class Rescaled(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule at another height and pace: factor * schedule(pace * step).

    Args:
        schedule: Keras schedule.
        factor: of its rates.
        pace: steps of the schedule in one of the optimizer.
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule,
        factor: float,
        pace: float,
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.factor = factor
        self.pace = pace

    def __call__(self, step) -> keras.KerasTensor:
        return self.factor * self.schedule(self.pace * ops.cast(step, "float32"))

    def get_config(self) -> dict:
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "factor": self.factor, "pace": self.pace}

    @classmethod
    def from_config(cls, config) -> "Rescaled":
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["factor"], config["pace"])
