"""The code of docs/deploy.md gives the keypoints that jaxpose gives."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from jaxpose import PoseEstimator, cli, geometry
from jaxpose.codecs import topdown
from tests.helpers import seeing

SIZE = (256, 192)  # of the network on the page
IMAGE_SIZE = (150, 260)
BOX = (70.5, 12.0, 90.0, 131.5)


def block(repository, language):
    """The only code block of a language."""
    page = (repository / "docs" / "deploy.md").read_text()
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return code


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A folder with a network that detects colored dots, as a file of each format of the page."""
    pytest.importorskip("onnx")
    run, _ = seeing.write_runs(tmp_path_factory.mktemp("runs"))
    folder = run / "export"
    assert cli.main(["export", str(run), "--size=256x192", "--to=onnx,ncnn", f"-o={folder}"]) == 0
    return folder


@pytest.fixture
def heatmaps(rng):
    """[5, 64, 48]: noise, a maximum at the border, one beside it, a flat one, and one below 0."""
    maps = rng.random((5, SIZE[0] // 4, SIZE[1] // 4), np.float32)
    maps[1, 63, 0] = maps[2, 5, 1] = 2
    maps[3] = 0.5
    maps[4] -= 2
    return maps


def crop_and_keypoints(heatmaps):
    """The crop of `BOX` and the keypoints of the heatmaps there, [K, 3] with scores."""
    center, scale = geometry.box_to_center_scale(BOX, SIZE)
    keypoints, scores = topdown.decode(heatmaps.transpose(1, 2, 0)[None], center[None], scale[None])
    return geometry.affine(center, scale, 0, SIZE), np.column_stack([keypoints[0], scores[0]])


def draw():
    people = seeing.two_people(IMAGE_SIZE)
    return seeing.draw_image(people, IMAGE_SIZE) // 2 + 60


def test_the_python_program(repository, export, tmp_path, monkeypatch, capsys, heatmaps):
    (file,) = export.glob("*.onnx")
    shutil.copy(file, tmp_path / "hwl_mobilenetv3_256x192.onnx")
    image = draw()
    cv2.imwrite(str(tmp_path / "photo.png"), image[:, :, ::-1])
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block(repository, "python").replace("photo.jpg", "photo.png"), names)
    estimate = PoseEstimator(file, flip=False)

    def keypoints_of(box):
        network_input, matrix = names["crop_person"](image, box)
        (found,) = names["session"].run(None, {"image": network_input})
        return names["decode"](found[0], matrix)

    whole = estimate(image).keypoints[0]
    for box, poses in [
        ((0, 0, IMAGE_SIZE[1], IMAGE_SIZE[0]), estimate(image)),
        (BOX, estimate(image, np.array([BOX]))),
    ]:
        np.testing.assert_allclose(keypoints_of(box)[:, :2], poses.keypoints[0], atol=1e-3)
        np.testing.assert_allclose(keypoints_of(box)[:, 2], poses.scores[0], atol=1e-5)
    printed = re.findall(r"^(\w+): (.+), (.+), score", capsys.readouterr().out, re.MULTILINE)
    assert [name for name, *_ in printed] == list(seeing.DOTS.joints)
    np.testing.assert_allclose(np.array([p[1:] for p in printed], float), whole, atol=0.051)
    matrix, expected = crop_and_keypoints(heatmaps)
    np.testing.assert_allclose(names["decode"](heatmaps, matrix), expected, atol=1e-3)


def test_the_metadata_command(repository, export):
    (line,) = block(repository, "bash").splitlines()
    words, (greater, target) = shlex.split(line)[:-2], shlex.split(line)[-2:]
    assert (words[0], greater, target) == ("python", ">", "hwl.json")
    (file,) = export.glob("*.onnx")
    done = subprocess.run(
        [sys.executable, *words[1:-1], file], env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    metadata = json.loads(done.stdout)
    stored = json.loads(file.with_suffix(".json").read_text())  # of the ncnn network
    assert metadata == {key: value for key, value in stored.items() if key != "ncnn"}


@pytest.mark.parametrize("language", ["kotlin", "cpp"])
def test_the_constants_are_those_of_the_metadata(repository, export, language):
    (file,) = export.glob("*.json")
    metadata, code = json.loads(file.read_text()), block(repository, language)
    numbers = {name: float(n) for name, n in re.findall(r"\b([A-Z]+) = ([\d.]+)", code)}
    names = ("WIDTH", "HEIGHT", "PADDING", "STRIDE")
    values = *metadata["input_size"][::-1], metadata["box_padding"], metadata["heatmap_stride"]
    assert [numbers[name] for name in names] == list(values)
    if language == "kotlin":
        for name, key in (("MEAN", "mean"), ("STD", "std")):
            (array,) = re.findall(rf"{name} = floatArrayOf\((.*)\)", code)
            found = [float(number.rstrip("f")) for number in array.split(", ")]
            np.testing.assert_allclose(found, metadata[key], atol=1e-4)


CPP_MAIN = """
#include <cstdio>
#include <vector>
int main(int, char** files) {
    std::vector<float> maps(5 * 64 * 48);
    FILE* file = fopen(files[1], "rb");
    if (fread(maps.data(), sizeof(float), maps.size(), file) != maps.size()) return 1;
    const Crop crop = crop_of(BOX);
    for (int k = 0; k < 5; k++) {
        const Keypoint keypoint = decode(maps.data() + k * 64 * 48, crop);
        printf("%.9g %.9g %.9g\\n", keypoint.x, keypoint.y, keypoint.score);
    }
}
"""


@pytest.mark.slow
def test_the_cpp_functions(repository, tmp_path, heatmaps):
    compiler = shutil.which("g++")
    if not compiler:
        pytest.skip("g++ is not installed")
    main = CPP_MAIN.replace("BOX", ", ".join(map(str, BOX)))
    source, program, file = (tmp_path / name for name in ("a.cpp", "a.out", "maps"))
    source.write_text(block(repository, "cpp") + main)
    subprocess.run([compiler, "-Wall", "-Werror", "-O1", source, "-o", program], check=True)
    heatmaps.tofile(file)
    done = subprocess.run([program, file], capture_output=True, text=True, check=True)
    found = np.array([line.split() for line in done.stdout.splitlines()], float)
    np.testing.assert_allclose(found, crop_and_keypoints(heatmaps)[1], atol=1e-3)


KOTLIN_MAIN = """
fun read(name: String) = java.nio.ByteBuffer.wrap(java.io.File(name).readBytes())
    .order(java.nio.ByteOrder.LITTLE_ENDIAN)
fun main(files: Array<String>) {
    val pixels = IntArray(ROWS * COLUMNS)
    read(files[0]).asIntBuffer().get(pixels)
    val maps = FloatArray(5 * 64 * 48)
    read(files[1]).asFloatBuffer().get(maps)
    val crop = cropOf(BOX)
    decode(maps, crop).forEach { println("${it.x} ${it.y} ${it.score}") }
    val input = networkInput(pixels, COLUMNS, ROWS, crop)
    val buffer = java.nio.ByteBuffer.allocate(4 * input.size)
    buffer.order(java.nio.ByteOrder.LITTLE_ENDIAN)
    buffer.asFloatBuffer().put(input)
    java.io.File(files[2]).writeBytes(buffer.array())
}
"""


@pytest.mark.slow
def test_the_kotlin_functions(repository, tmp_path, heatmaps):
    compiler = shutil.which("kotlinc")
    if not compiler:
        pytest.skip("kotlinc is not installed")
    rows, columns = IMAGE_SIZE
    main = KOTLIN_MAIN.replace("BOX", ", ".join(f"{number}f" for number in BOX))
    main = main.replace("ROWS", str(rows)).replace("COLUMNS", str(columns))
    source, program = tmp_path / "a.kt", tmp_path / "a.jar"
    source.write_text(block(repository, "kotlin") + main)
    subprocess.run([compiler, source, "-include-runtime", "-d", program], check=True)
    image = draw()
    pixels, maps, output = (tmp_path / name for name in ("pixels", "maps", "input"))
    argb = np.dstack([image[:, :, ::-1], np.full(IMAGE_SIZE, 255, np.uint8)])
    np.ascontiguousarray(argb).tofile(pixels)  # little-endian: the last byte is alpha
    heatmaps.transpose(1, 2, 0).tofile(maps)
    done = subprocess.run(
        ["java", "-jar", program, pixels, maps, output], capture_output=True, text=True, check=True
    )
    found = np.array([line.split() for line in done.stdout.splitlines()], float)
    matrix, expected = crop_and_keypoints(heatmaps)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    crop = geometry.normalize(geometry.crop(image, matrix, SIZE))
    levels = np.abs(np.fromfile(output, "<f4").reshape(crop.shape) - crop) * geometry.STD
    # OpenCV 4 rounds positions to 1/32 pixel, OpenCV 5 only values to whole levels.
    assert levels.max() < (0.55 if int(cv2.__version__.split(".")[0]) >= 5 else 3)
