"""The files of ncnn networks: damaged ones are one line, and never reach ncnn."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxpose import export, ops, runtimes
from jaxpose.runtimes import ncnn_file
from tests.helpers.networks import Function, images, initialized, run_jax, weight

SIZE = (8, 12)
METADATA = {"jaxpose": "test", "task": "topdown", "mean": [0.485, 0.456, 0.406]}


def body(m, x):
    x = ops.conv(x, weight(m, "stem", (3, 3, 3, 8)), stride=2, padding=1)
    x = x * ops.activation(ops.global_avg_pool(x), kind="sigmoid") + weight(m, "b", (1, 1, 1, 8))
    return ops.depthwise_conv_transpose(x, weight(m, "up", (4, 4, 1, 8)))


def write(folder, name="m", precision="fp32", seed=0):
    model = Function(body)
    variables = initialized(model, SIZE, seed)
    path = folder / f"{name}.param"
    export.to_ncnn(model, variables, SIZE, path, metadata=METADATA, precision=precision)
    return model, variables, path


def counts(text, layers, blobs):
    """The second line of a .param file, and one with other numbers of layers and blobs."""
    line = text.splitlines()[1]
    first, second = map(int, line.split())
    return f"\n{line}\n", f"\n{first + layers} {second + blobs}\n"


def refused(path):
    """The message of the error, which opening and reading metadata give alike."""
    with pytest.raises(runtimes.FileError) as error:
        ncnn_file.read(path)
    message = str(error.value)
    assert "\n" not in message and str(path.parent) in message
    return message


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_three_files(precision, tmp_path):
    *_, path = write(tmp_path, precision=precision)
    assert {file.name for file in tmp_path.iterdir()} == {"m.param", "m.bin", "m.json"}
    metadata, outputs, shape = ncnn_file.read(path)
    assert metadata == METADATA | {"precision": precision}
    assert (outputs, shape) == (["heatmaps"], (3, *SIZE))


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("suffix", [".param", ".bin", ".json"])
def test_truncated_files(suffix, precision, kept, tmp_path):
    *_, path = write(tmp_path, precision=precision)
    file = path.with_suffix(suffix)
    data = file.read_bytes()
    file.write_bytes(data[: int(kept * len(data))])
    message = refused(path)
    assert message.startswith(f"{file}: cannot be read: ")


def test_longer_files(tmp_path):
    *_, path = write(tmp_path)
    with open(path.with_suffix(".bin"), "ab") as file:
        file.write(b"\0\0\0\0")
    assert "m.bin: cannot be read: it has" in refused(path)


@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_one_wrong_byte(suffix, tmp_path):
    *_, path = write(tmp_path)
    file = path.with_suffix(suffix)
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    assert f"m{suffix}: cannot be read: " in refused(path)


@pytest.mark.parametrize("suffix", [".param", ".bin", ".json"])
def test_files_of_another_network(suffix, tmp_path):
    *_, path = write(tmp_path)
    *_, other = write(tmp_path, "other", precision="fp32", seed=1)
    other.with_suffix(".param").write_text(other.read_text().replace("activation", "gate"))
    os.replace(other.with_suffix(suffix), path.with_suffix(suffix))
    assert "it is not the file that was written with m.json" in refused(path)


@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_missing_files(suffix, tmp_path):
    *_, path = write(tmp_path)
    path.with_suffix(suffix).unlink()
    assert f"m{suffix} is missing beside it" in refused(path)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text.replace("7767517", "7767518"), "first line must be 7767517"),
        (lambda text: "PK\x03\x04" + text, "first line must be 7767517"),
        (lambda text: text.replace(*counts(text, 1, 0)), "layers, but "),
        (lambda text: text.replace(*counts(text, 0, 1)), "blobs, but "),
        (lambda text: text.replace("Sigmoid", "Softmax"), "is a Softmax"),
        (lambda text: text.replace("6=216", "6=many"), "damaged, or not an ncnn file"),
        (lambda text: text.replace("image conv", "photo conv"), "the blobs of layer conv"),
        (lambda text: text.replace("6=216", "6=225"), "m.bin: cannot be read: it has"),
    ],
)
def test_layers_that_do_not_fit(change, message, tmp_path):
    *_, path = write(tmp_path)
    text = path.read_text()
    changed = change(text)
    assert changed != text
    path.write_text(changed)
    assert message in refused(path)


def test_a_json_file_of_something_else(tmp_path):
    *_, path = write(tmp_path)
    for content in ("[1]", "{}", '{"ncnn": 3}', "\xff"):
        path.with_suffix(".json").write_text(content)
        assert "m.json: cannot be read: damaged, or not of m.param" in refused(path)


def test_files_run(tmp_path):
    pytest.importorskip("ncnn")
    model, variables, path = write(tmp_path)
    x = images(SIZE, batch=3)
    file = runtimes.open_file(path, threads=1)
    assert file.metadata["mean"] == METADATA["mean"]
    np.testing.assert_allclose(file.run(x), run_jax(model, variables, x), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"an image must be \[3, 8, 12\], not \[3, 8, 8\]"):
        file.run(x[:, :, :8])
    document = json.loads(path.with_suffix(".json").read_text())
    assert document.pop("ncnn")["outputs"] == ["heatmaps"]
    assert document == METADATA | {"precision": "fp32"}


def test_reading_needs_no_ncnn(tmp_path, monkeypatch):
    *_, path = write(tmp_path)
    monkeypatch.setitem(sys.modules, "ncnn", None)
    ncnn_file.read(path)
    with pytest.raises(ImportError, match="^ncnn is not installed: pip install ncnn$"):
        export.run_file(path)


def test_vulkan_is_refused_where_it_cannot_run(tmp_path, monkeypatch):
    pytest.importorskip("ncnn")
    *_, path = write(tmp_path)
    monkeypatch.setattr(ncnn_file, "devices", lambda: [])
    with pytest.raises(ValueError, match="^no Vulkan device: install a driver") as error:
        export.run_file(path, vulkan=True)
    assert "\n" not in str(error.value)
    other = tmp_path / "m.onnx"
    other.write_bytes(b"")
    with pytest.raises(ValueError, match="m.onnx: only ncnn runs on Vulkan devices"):
        export.run_file(other, vulkan=True)


def test_vulkan_gives_what_the_cpu_gives(tmp_path):
    pytest.importorskip("ncnn")
    *_, path = write(tmp_path)
    # In a process of its own: a broken driver may crash it.
    program = f"""
        import numpy as np
        from jaxpose.runtimes import ncnn_file
        if not ncnn_file.devices():
            print("no device")
        else:
            image = np.random.default_rng(0).normal(size=(1, 8, 12, 3)).astype(np.float32)
            runs = [ncnn_file.open_ncnn({str(path)!r}, vulkan=v)[1] for v in (False, True)]
            cpu, gpu = (run(image)[0] for run in runs)
            print("difference", abs(cpu - gpu).max() / abs(cpu).max(), flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    words = done.stdout.split()
    if "device" in words:
        pytest.skip("no Vulkan device")
    assert words, done.stderr
    assert float(words[-1]) < 1e-3
