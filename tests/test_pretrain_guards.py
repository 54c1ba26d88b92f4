"""Which steps alarm, what is done about them, and that a restart decides as the first run did."""

import json
import math

import pytest

from components.pretrain.guards import LOSS_SPIKE, NOT_FINITE, Guard, GuardSettings, usable
from components.pretrain.settings import PretrainSettings
from kajiya.errors import KajiyaError


def guard(**changes) -> Guard:
    return Guard(GuardSettings.model_validate({"spike_window_steps": 8, "spike_rise": 0.2} | changes))


def fed(losses, **changes) -> Guard:
    one = guard(**changes)
    for loss in losses:
        one.applied(loss)
    return one


CALM = [3.0, 2.9, 3.1, 3.0, 2.95, 3.05, 3.0, 2.9]  # median 3.0, MAD 0.05: the bound is 3.0 + 10 x 0.074


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_loss_or_norm_not_finite_alarms_from_the_first_step(loss, policy):
    one = guard(not_finite=policy)
    for alarm in (one.judge(1, loss, 1.0), one.judge(1, 3.0, loss)):
        assert alarm
        assert (alarm.kind, alarm.action, alarm.step) == (NOT_FINITE, policy, 1)
    assert one.judge(1, 3.0, 1.0) is None


@pytest.mark.parametrize(("loss", "alarms"), [(3.6, False), (3.73, False), (3.76, True), (9.0, True)])
def test_loss_alarms_above_the_median_and_ten_deviations(loss, alarms):
    alarm = fed(CALM).judge(9, loss, 1.0)
    assert (alarm is not None) == alarms
    if alarm:
        assert (alarm.kind, alarm.action) == (LOSS_SPIKE, "rewind")


def test_loss_that_hardly_scatters_needs_the_smallest_rise():
    flat = fed([3.0] * 8)
    assert flat.judge(9, 3.19, 1.0) is None
    assert flat.judge(9, 3.21, 1.0)


def test_spikes_are_not_looked_for_before_the_window_is_full_or_when_off():
    assert fed(CALM[:7]).judge(8, 99.0, 1.0) is None
    assert fed(CALM, loss_spike="off").judge(9, 99.0, 1.0) is None


def test_policy_stop_names_step_value_and_remedy():
    with pytest.raises(KajiyaError, match=r"loss nan and gradient norm 1.0 at step 7\b.*peak_learning_rate"):
        guard(not_finite="stop").judge(7, math.nan, 1.0)
    with pytest.raises(KajiyaError, match=r"loss 9.0000 at step 9, above 3.74"):
        fed(CALM, loss_spike="stop").judge(9, 9.0, 1.0)


def test_skips_and_rewinds_are_bounded():
    one = guard(not_finite="skip", max_skips=2)
    for step in (1, 2):
        one.skip(one.judge(step, math.nan, 1.0))
    with pytest.raises(KajiyaError, match=r"at step 3. 2 updates were skipped already .*max_skips"):
        one.judge(3, math.nan, 1.0)
    other = guard(not_finite="rewind", max_rewinds=1)
    other.rewind(other.judge(20, math.nan, 1.0))
    with pytest.raises(KajiyaError, match=r"rewound 1 times already .*max_rewinds"):
        other.judge(40, math.nan, 1.0)


def test_bounds_and_how_often_to_save_do_not_bind_a_training_and_all_else_does():
    begun = PretrainSettings().binding()
    other = PretrainSettings(
        save_every_steps=7,
        keep_checkpoints=9,
        keep_every_steps=70,
        guards={"max_skips": 99, "max_rewinds": 99},
    )
    assert other.binding() == begun
    for change in (
        {"seed": 2},
        {"guards": {"left_out_steps": 9}},
        {"optimizer": {"peak_learning_rate": 1e-5}},
    ):
        assert PretrainSettings.model_validate(change).binding() != begun


def test_rewind_leaves_out_the_step_and_those_before_it():
    one = guard(not_finite="rewind", left_out_steps=3)
    one.rewind(one.judge(20, math.nan, 1.0))
    assert [step for step in range(1, 30) if one.leaves_out(step)] == [18, 19, 20]
    early = guard(not_finite="rewind", left_out_steps=3)
    early.rewind(early.judge(2, math.nan, 1.0))
    assert [step for step in range(1, 30) if early.leaves_out(step)] == [1, 2]


def test_state_survives_json_and_decides_the_same():
    one = fed([*CALM, 2.8], not_finite="rewind")
    one.skipped[4] = NOT_FINITE
    one.rewind(one.judge(20, math.nan, 1.0))
    other = Guard.from_json(one.settings, json.loads(json.dumps(one.to_json())))
    assert other == one
    assert other.states() == {4: "skipped: not finite"} | dict.fromkeys(range(13, 21), "left out: not finite")
    bounds = [one.judge(21, loss / 100, 1.0) is None for loss in range(300, 500)]
    assert bounds == [other.judge(21, loss / 100, 1.0) is None for loss in range(300, 500)]
    assert False in bounds
    assert True in bounds


def test_checkpoint_that_holds_undone_steps_is_not_used():
    entry = {"step": 20, "reason": NOT_FINITE, "first": 13, "last": 20}
    for step, rewinds, expected in [(12, [], True), (13, [], False), (20, [], False), (24, [entry], True)]:
        assert usable({"step": step, "guard": {"rewinds": rewinds}}, [entry]) == expected
