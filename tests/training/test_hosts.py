"""Two processes act as two hosts and run one training step."""

import socket
import subprocess
import sys

import numpy as np
import pytest

from configs import common
from jaxpose.training import runtime
from tests.helpers import tiny_runs

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np, optax
from configs import common
from jaxpose.mesh import gather, gather_rows, local_rows, make_mesh, replicate, shard_batch
from jaxpose import hosts
from jaxpose.training import state, step

config = common.get_config().distributed
config.initialize, config.hosts, config.timeout = True, 2, 120
config.coordinator, config.host_id = sys.argv[1], int(sys.argv[2])
hosts.join(config, "test")

def loss(params, stats, batch, key):
    return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2), (stats, {})

optimizer = optax.sgd(0.1)
variables = {"params": {"w": jnp.ones((3, 1))}, "batch_stats": {"n": jnp.ones(())}}
start = state.from_variables(variables, optimizer)
mesh = make_mesh()
train_step = step.make_train_step(loss, optimizer, lambda s: 0.1, mesh, log_every=1)
x = np.arange(24, dtype=np.float32).reshape(8, 3) / 24
whole = {"x": x, "y": x.sum(1, keepdims=True) * 2}
local = {key: value[4 * config.host_id :][:4] for key, value in whole.items()}
placed = shard_batch(local, mesh)
assert placed["x"].shape == (8, 3)
np.testing.assert_array_equal(gather(placed)["x"], x)
np.testing.assert_array_equal(gather(local)["x"], x)
# Bottom-up: each host groups its own images, and has a different number of people.
np.testing.assert_array_equal(local_rows(placed)["x"], local["x"])
large = 2**40 + np.arange(5)
gathered = gather_rows(large[:2] if config.host_id == 0 else large[2:])
assert gathered.dtype == np.int64
np.testing.assert_array_equal(gathered, large)
joints = np.ones((3 * config.host_id, 17, 2), np.float32)
np.testing.assert_array_equal(gather_rows(joints), np.ones((3, 17, 2)))
assert gather_rows(joints[:0]).shape == (0, 17, 2)
end, metrics = train_step(replicate(jax.device_get(start), mesh), placed)
print("RESULT", float(metrics["loss"]), *np.asarray(end.params["w"]).ravel().tolist())
"""


def test_files_are_found_below_a_relative_root(tmp_path, monkeypatch):
    """`runtime.head_boxes` returns a path that has the root already."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "boxes.json").write_text("[]")
    (tmp_path / "data" / "gt.mat").write_bytes(b"mat")
    config = common.get_config()
    config.data.root, config.data.head_boxes, config.eval.metric = "data", "gt.mat", "mpii"
    records = []
    monkeypatch.setattr(runtime.hosts, "several", lambda: True)
    monkeypatch.setattr(
        runtime.hosts, "agree", lambda name, record, timeout: records.append(record)
    )
    files = {"detections": "boxes.json", "head boxes": runtime.head_boxes(config), "none": ""}
    runtime.compare_hosts(config, {"validation": None}, files, {})
    (record,) = records
    assert record["detections"].startswith("boxes.json (SHA-256 ")
    assert record["head boxes"].startswith("gt.mat (SHA-256 ") and "none" not in record


@pytest.mark.slow
def test_two_hosts_run_the_step_of_the_whole_batch():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address, str(host)], cwd=tiny_runs.ROOT,
            env=tiny_runs.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for host in range(2)
    ]  # fmt: skip
    results = []
    for process in processes:
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error[-2000:]
        assert "2 of 2 hosts connected" in out
        (line,) = [line for line in out.splitlines() if line.startswith("RESULT")]
        results.append([float(word) for word in line.split()[1:]])
    x = np.arange(24).reshape(8, 3) / 24
    error = x @ np.ones((3, 1)) - x.sum(1, keepdims=True) * 2
    gradient = 2 * x.T @ error / 8
    expected = [(error**2).mean(), *(np.ones((3, 1)) - 0.1 * gradient).ravel()]
    np.testing.assert_allclose(results, [expected, expected], rtol=1e-5)
