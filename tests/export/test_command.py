"""`jaxpose export` on a run folder, up to a file that the rest of the library can use."""

import numpy as np
import pytest

import jaxpose
from configs import common
from jaxpose import cli, export, runs, skeletons
from tests.helpers import seeing
from tests.helpers.networks import images, initialized, run_jax


@pytest.mark.slow
def test_a_run_folder_becomes_files(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    config = common.get_config()
    config.input_size = (64, 32)
    config.eval.decode = "dark"
    model = jaxpose.create_model("hwl_mobilenetv3", 16)
    variables = initialized(model, (64, 32))
    run = tmp_path / "run"
    runs.write_run(run, config.to_dict(), skeletons.MPII, variables)

    assert cli.main(["export", str(run), "--to", "onnx,torch"]) == 0
    printed = capsys.readouterr().out
    header, *rows, legend = printed.splitlines()
    assert header.split() == "file KB precision output error keypoint error (px) keypoints".split()
    assert [row.split()[0] for row in rows] == [
        str(run / "export" / f"hwl_mobilenetv3_64x32{suffix}") for suffix in (".onnx", ".pt2")
    ]
    for row in rows:
        _, size, precision, error, distance, keypoints = row.split()
        assert int(size) > 0 and precision == "fp32" and int(keypoints) > 0
        assert float(error.removesuffix("%")) <= 0.01 and float(distance) <= 0.05
    assert legend.startswith("Errors are the largest differences from the model")
    x = images((64, 32))
    expected = run_jax(model, variables, x)
    for suffix in (".onnx", ".pt2"):
        path = run / "export" / f"hwl_mobilenetv3_64x32{suffix}"
        np.testing.assert_allclose(export.run_file(path)(x), expected, atol=1e-4)
        metadata = export.read_metadata(path)
        assert metadata["codec"]["decode"] == "dark" and metadata["num_keypoints"] == 16
        assert skeletons.Skeleton.from_dict(metadata["skeleton"]) == skeletons.MPII


def test_files_of_one_checkpoint_go_beside_the_checkpoints(tmp_path):
    pytest.importorskip("onnxruntime")
    run = seeing.write_runs(tmp_path)[0]
    checkpoint = run / "checkpoints" / "0"
    before = set(checkpoint.iterdir())
    assert cli.main(["export", str(checkpoint)]) == 0
    assert (run / "export" / "Looker_32x128.onnx").is_file()
    assert set(checkpoint.iterdir()) == before


def test_a_file_with_a_fixed_batch_takes_any_number_of_images(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    run = seeing.write_runs(tmp_path)[0]
    assert cli.main(["export", str(run)]) == 0
    assert cli.main(["export", str(run), "--batch", "2"]) == 0
    files = [run / "export" / f"Looker_32x128{end}.onnx" for end in ("", "_batch2")]
    shapes = [onnx.load(file).graph.input[0].type.tensor_type.shape.dim for file in files]
    assert [shape[0].dim_param or shape[0].dim_value for shape in shapes] == ["batch", 2]
    x = images((32, 128), batch=5)
    np.testing.assert_allclose(*(export.run_file(file)(x) for file in files), rtol=1e-6)


def test_a_wrong_size_is_one_line(capsys):
    words = ["export", "hwl_mobilenetv3", "--init", "random", "--size", "60x64"]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "64x64" in error
