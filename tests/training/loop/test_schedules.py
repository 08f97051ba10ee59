"""Learning-rate schedules."""

import numpy as np
import pytest

from training.loop import schedules


def test_constant_then_a_straight_line_to_zero():
    schedule = schedules.ConstantThenLinear(0.2, end_step=100, constant_share=0.6)
    steps = [0, 30, 60, 70, 80, 100, 150]
    np.testing.assert_allclose(
        [float(schedule(step)) for step in steps], [0.2, 0.2, 0.2, 0.15, 0.1, 0.0, 0.0], atol=1e-7
    )
    copy = schedules.ConstantThenLinear.from_config(schedule.get_config())
    assert float(copy(80)) == float(schedule(80))


@pytest.mark.parametrize("wrong", [{"end_step": 0}, {"constant_share": 1.0}])
def test_values_are_checked(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        schedules.ConstantThenLinear(0.2, **({"end_step": 10} | wrong))


def test_a_schedule_at_another_height_and_pace():
    line = schedules.ConstantThenLinear(1.0, end_step=10, constant_share=0.0)
    rescaled = schedules.Rescaled(line, 0.5, 0.25)
    copy = schedules.Rescaled.from_config(rescaled.get_config())
    for schedule in (rescaled, copy):
        np.testing.assert_allclose([float(schedule(s)) for s in (0, 20, 40)], [0.5, 0.25, 0.0])
