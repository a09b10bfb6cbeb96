"""Costs read from compiled programs, against sums worked out by hand.

convolution.hlo is a recorded program for v5e:2x2, without the attributes that nothing reads: a 3x3
convolution from 16 to 32 channels of 8 images of 64x64 per chip in bfloat16, ReLU, a mean square,
the gradient of the kernel and its average over the chips. loop.hlo is written by hand: five times,
a row is taken from a stack and put back.
"""

import pathlib

import pytest

from jaxpose.plan import hlo
from jaxpose.plan.profile import Collective, Cost, make_profile, operator, phase

FOLDER = pathlib.Path(__file__).parent
LOOP = (FOLDER / "loop.hlo").read_text()
# Pairs of an output row and a kernel row inside the image: 64 * 3, without one at each edge.
PAIRS = 64 * 3 - 2
CONVOLUTION = 2 * PAIRS**2 * 8 * 16 * 32
KERNEL = 3 * 3 * 16 * 128 * 2  # bytes in bfloat16: 32 output channels are padded to 128
IMAGES = 8 * 64 * 16 * 128 * 2  # 64 columns are padded to 128
SCALAR = 128 * 4  # bytes in float32: one tile


@pytest.fixture(scope="module")
def program():
    return hlo.parse((FOLDER / "convolution.hlo").read_text())


def test_total(program):
    # Read: images, kernel, and five scalars (two of them constants); written: kernel and scalars.
    # The activations stay in the memory on the chip.
    traffic = IMAGES + KERNEL + KERNEL + 7 * SCALAR
    assert make_profile(program).total == Cost(
        10, 23728 + 45427 + 39863 + 2215, traffic, 2 * CONVOLUTION
    )


def test_phases(program):
    phases = make_profile(program).phases
    # The copies of images and kernel come before the convolution that reads them.
    assert phases["forward"] == Cost(5, 23728 + 45427, IMAGES + KERNEL + 3 * SCALAR, CONVOLUTION)
    assert phases["backward"] == Cost(1, 39863, 0, CONVOLUTION)
    assert phases["update"] == Cost(4, 2215, KERNEL + 4 * SCALAR, 0)
    assert phases["unnamed"] == Cost()


def test_operators_add_up_to_the_total(program):
    profile = make_profile(program)
    total = Cost()
    for cost in profile.operators.values():
        total.add(cost)
    assert total == profile.total
    assert profile.operators["(conv_general_dilated)"].flops == 2 * CONVOLUTION


def test_collectives(program):
    # The kernel in bfloat16 and the loss in float32, without padding.
    kernel = 3 * 3 * 16 * 32 * 2
    expected = Collective(count=2, arrays=2, dtypes={"bf16": kernel, "f32": 4})
    assert make_profile(program).collectives == {"all-reduce": expected}
    assert expected.bytes == kernel + 4


def test_the_body_of_a_loop_counts_for_each_iteration():
    profile = make_profile(hlo.parse(LOOP))
    row = 8 * 128 * 4  # read by one fusion, written by the other, in a stack that stays in place
    assert profile.total == Cost(2 * 5, (100 + 30) * 5, 2 * row * 5, 0)
    # The fusions have no name; the loop that uses their results does.
    assert profile.phases["forward"].cycles == 0 and profile.endless == 0


def test_a_loop_without_a_known_end_is_named():
    profile = make_profile(hlo.parse(LOOP.replace("direction=LT", "direction=NE")))
    assert profile.total.cycles == 100 + 30 and profile.endless == 1


@pytest.mark.parametrize(
    "name,expected",
    [
        ("jit(train_step)/shard_map/jvp(Net)/conv1/add", "forward"),
        ("jit(train_step)/shard_map/while/body/transpose(jvp(Net))/conv1/mul", "backward"),
        ("jit(train_step)/shard_map/psum", "update"),
        ("", "unnamed"),
    ],
)
def test_phase(name, expected):
    assert phase(name) == expected


def test_the_innermost_operator_counts():
    stack = r"jit(f)/jvp(N)/jit(op:depthwise_conv|{\"impl\":\"auto\"})/jit(op:conv|{})/mul"
    assert operator(stack, "fusion") == "conv"
    assert operator("state.params['head']['kernel']", "copy") == "(copy)"
    assert operator("jit(f)/shard_map/broadcast.286", "fusion") == "(broadcast)"
