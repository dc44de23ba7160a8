import keras
import numpy as np
import pytest

from voc_tfdata.training.optimizers import OPTIMIZERS, build_optimizer, learning_rate_at, reset_optimizer


def rates(*steps: int, warmup_steps: int = 0, cosine_decay: bool = False) -> list[float]:
    return [
        learning_rate_at(step, peak=0.8, warmup_steps=warmup_steps, total_steps=12, cosine_decay=cosine_decay)
        for step in steps
    ]


def step_once(optimizer: keras.Optimizer, gradient: list[float], name: str = "kernel") -> np.ndarray:
    variable = keras.Variable([1.0, 1.0], name=name)
    optimizer.build([variable])
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return np.asarray(keras.ops.convert_to_numpy(variable))


def test_the_rate_is_constant_without_options() -> None:
    assert rates(0, 5, 11) == [0.8, 0.8, 0.8]


def test_warmup_rises_in_equal_steps_to_the_peak() -> None:
    assert rates(0, 1, 3, 4, warmup_steps=4) == pytest.approx([0.2, 0.4, 0.8, 0.8])


def test_cosine_falls_to_zero_over_what_warmup_leaves() -> None:
    # 8 steps from 4 to 12: half way at 8 is half the peak, a quarter of the way is (1 + cos 45 degrees) / 2 of it
    expected = [0.8, 0.8 * (1 + 2**-0.5) / 2, 0.4, 0.0, 0.0]
    assert rates(4, 6, 8, 12, 99, warmup_steps=4, cosine_decay=True) == pytest.approx(expected)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_against_the_gradient(name: str) -> None:
    after = step_once(build_optimizer(name, learning_rate=0.1), [1.0, -1.0])
    assert after[0] < 1.0 < after[1]


def test_clipping_shortens_the_gradient_of_all_weights_together() -> None:
    # the gradient (3, 4) is 5 long, clipped to 1 it is (0.6, 0.8); Nesterov momentum 0.9 makes the first step 1.9 of it
    after = step_once(build_optimizer("sgd", learning_rate=0.1, clip_norm=1.0), [3.0, 4.0])
    np.testing.assert_allclose(after, [1 - 0.1 * 1.9 * 0.6, 1 - 0.1 * 1.9 * 0.8], rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks_kernels_and_spares_biases(name: str) -> None:
    kernel = step_once(build_optimizer(name, learning_rate=0.1, weight_decay=0.5), [0.0, 0.0])
    bias = step_once(build_optimizer(name, learning_rate=0.1, weight_decay=0.5), [0.0, 0.0], name="bias")
    np.testing.assert_allclose(kernel, 1 - 0.1 * 0.5, rtol=1e-5)  # rate * decay of it
    np.testing.assert_allclose(bias, 1.0)


def test_no_optimizer_decays_weights_unasked() -> None:
    for name in OPTIMIZERS:
        np.testing.assert_array_equal(step_once(build_optimizer(name, learning_rate=0.1), [0.0, 0.0]), 1.0)


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="optimizer='lion'; allowed: rmsprop, sgd, adam, adamw"):
        build_optimizer("lion", learning_rate=0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loss_scaling", [False, True])
def test_a_slow_variable_moves_by_its_share_of_the_rate(name: str, loss_scaling: bool) -> None:
    fast, slow = (keras.Variable([0.0, 0.0], name=f"kernel_{kind}") for kind in ("fast", "slow"))
    options = {"loss_scaling": loss_scaling, "variables": [fast, slow], "slow": [slow], "slow_factor": 0.25}
    optimizer = build_optimizer(name, learning_rate=0.1, **options)
    gradient = keras.ops.convert_to_tensor([1.0, -2.0])
    for _ in range(3):
        before = [np.array(variable) for variable in (fast, slow)]
        optimizer.apply([gradient, gradient], [fast, slow])
        moved = [np.array(variable) - then for variable, then in zip((fast, slow), before, strict=True)]
        assert abs(moved[0]).min() > 0
        np.testing.assert_allclose(moved[1], 0.25 * moved[0], rtol=1e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_that_was_reset_is_as_good_as_new(name: str) -> None:
    ends = []
    for used in (False, True):
        variable = keras.Variable([1.0, 1.0], name="kernel")
        optimizer = build_optimizer(name, learning_rate=0.1, loss_scaling=True, variables=[variable])
        if used:
            for _ in range(5):
                optimizer.apply([keras.ops.convert_to_tensor([3.0, -2.0])], [variable])
            reset_optimizer(optimizer)
            variable.assign([1.0, 1.0])
            assert float(optimizer.inner_optimizer.learning_rate) == pytest.approx(0.1)
        optimizer.apply([keras.ops.convert_to_tensor([1.0, -1.0])], [variable])
        ends.append(np.array(variable))
    np.testing.assert_array_equal(*ends)
