"""The average over eight devices: its values, its dtypes and the number of all-reduces."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxpose.mesh import AXIS, EVERYWHERE, SPLIT, make_mesh
from jaxpose.training.reduction import mean_over_devices
from tests.helpers import tiny_runs

DEVICES, ARRAYS = 8, 300  # XLA combines at most 256 arrays
PROGRAM = r"""
import json, re, sys
import jax, numpy as np
from jaxpose.mesh import AXIS, EVERYWHERE, SPLIT, make_mesh
from jaxpose.training.reduction import mean_over_devices

file, devices, arrays = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
mesh = make_mesh()
assert mesh.size == devices
random = np.random.default_rng(0)
values = {"loss": random.normal(size=devices), "mean": random.normal(size=(devices, 5))}
grads = [random.normal(size=(devices, 3, 4)) for _ in range(arrays)]
values, grads = jax.tree.map(np.float32, (values, grads))
result = {"inputs": jax.tree.map(np.ndarray.tolist, (values, np.stack(grads, 1)))}
for dtype in ("float32", "bfloat16"):

    def mean(values, grads):
        values, grads = jax.tree.map(lambda x: x[0], (values, grads))  # this device's row
        return mean_over_devices(values, grads, AXIS, dtype)

    mapped = jax.shard_map(
        mean, mesh=mesh, in_specs=(SPLIT, SPLIT), out_specs=(EVERYWHERE, EVERYWHERE),
        check_vma=False,
    )
    lowered = jax.jit(mapped).lower(values, grads)
    program = lowered.compile()
    means, gradient = jax.device_get(program(values, grads))
    assert {str(x.dtype) for x in jax.tree.leaves((means, gradient))} == {"float32"}
    sent = r"all_reduce.*?: \(tensor<(\d+)x(\w+)>\)"
    result[dtype] = {
        "sent": re.findall(sent, lowered.as_text(), re.DOTALL),
        "compiled": len(re.findall(r" all-reduce(?:-start)?\(", program.as_text())),
        "values": jax.tree.map(np.ndarray.tolist, jax.tree.map(np.asarray, means)),
        "grads": np.stack(gradient).tolist(),
    }
json.dump(result, open(file, "w"))
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    file = tmp_path_factory.mktemp("reduction") / "result.json"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), str(DEVICES), str(ARRAYS)], cwd=tiny_runs.ROOT,
        env=tiny_runs.environment(DEVICES), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(file.read_text())


@pytest.mark.slow
def test_one_all_reduce_has_all_arrays(result):
    size = 6 + ARRAYS * 12
    assert result["float32"]["sent"] == [[str(size), "f32"]]
    assert result["float32"]["compiled"] == 1
    values, grads = result["inputs"]
    for key, rows in values.items():
        np.testing.assert_allclose(result["float32"]["values"][key], np.mean(rows, 0), atol=1e-6)
    np.testing.assert_allclose(result["float32"]["grads"], np.mean(grads, 0), atol=1e-6)


@pytest.mark.slow
def test_gradients_in_bfloat16_and_losses_in_float32(result):
    sent = result["bfloat16"]["sent"]
    assert sorted(sent) == sorted([["6", "f32"], [str(ARRAYS * 12), "bf16"]])
    assert result["bfloat16"]["values"] == result["float32"]["values"]
    # Each gradient and each of seven sums is rounded to 8 bits: half a unit is 2^-9 of the value.
    grads = np.abs(result["inputs"][1])
    error = np.abs(np.subtract(result["bfloat16"]["grads"], result["float32"]["grads"]))
    assert (error <= DEVICES * 2**-9 * grads.mean(0) + 1e-6).all()
    assert error.mean() > 2**-12 * grads.mean()  # it was rounded


def test_one_device_reduces_nothing():
    """Without an all-reduce the gradients are not rounded."""
    mapped = jax.shard_map(
        lambda x: mean_over_devices((), x, AXIS, "bfloat16")[1],
        mesh=make_mesh(jax.devices()[:1]), in_specs=SPLIT, out_specs=EVERYWHERE, check_vma=False,
    )  # fmt: skip
    x = np.float32([1.001, 2.003])
    np.testing.assert_array_equal(jax.jit(mapped)(x), x)
    assert "all_reduce" not in jax.jit(mapped).lower(x).as_text()
