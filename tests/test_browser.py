"""docs/browser: the page predicts in Chromium what Python predicts.

Needs Chromium and ONNX Runtime Web: `npm install --prefix FOLDER onnxruntime-web@VERSION`, with the
version in docs/browser/page.js, and JAXPOSE_ONNXRUNTIME_WEB=FOLDER.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil

import cv2
import numpy as np
import pytest

from jaxpose import PoseEstimator, cli, images
from tests.helpers import browser, seeing

FOLDER = "JAXPOSE_ONNXRUNTIME_WEB"
# Largest difference of keypoints. OpenCV 4 rounds positions to 1/32 pixel, and decoders of
# JPEG files may differ by a level.
PIXELS = {".png": 1e-3 if int(cv2.__version__.split(".")[0]) >= 5 else 0.5, ".jpg": 0.5}
IMAGE_SIZE = (150, 260)
NETWORKS = ("quarter.onnx", "two.onnx", "dark.onnx", "udp.onnx")  # two: images per call
FIND = """() => {
  const status = document.getElementById("status"), text = status.textContent;
  const error = status.className === "error";
  if (!error && document.getElementById("result").hidden) return null;
  const rows = [...document.querySelectorAll("#keypoints tr")].map((row) => [
    row.cells[0].textContent, ...["x", "y", "score"].map((key) => Number(row.dataset[key]))]);
  return { text, error, rows, isolated: crossOriginIsolated,
           scroll: document.documentElement.scrollWidth - innerWidth };
}"""
# Chooses the files with the two inputs of the page, both at once.
CHOOSE = """<script>
for (const [id, name] of [["network", "quarter.onnx"], ["image", "photo.png"]])
  fetch(name).then((reply) => reply.blob()).then((blob) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([blob], name));
    document.getElementById(id).files = transfer.files;
    document.getElementById(id).dispatchEvent(new Event("change"));
  });
</script>"""


@pytest.fixture(scope="module")
def web():
    """The folder of ONNX Runtime Web's files."""
    if FOLDER not in os.environ:
        pytest.skip(f"{FOLDER} is not set")
    return pathlib.Path(os.environ[FOLDER], "node_modules", "onnxruntime-web")


def test_the_copy_is_the_file_that_the_page_loads(repository, web):
    page = (repository / "docs" / "browser" / "page.js").read_text()
    version = json.loads((web / "package.json").read_text())["version"]
    digest = hashlib.sha384((web / "dist" / "ort.wasm.min.js").read_bytes()).digest()
    assert re.findall(r'VERSION = "(.*)"', page) == [version]
    assert re.findall(r'DIGEST = "(.*)"', page) == [f"sha384-{base64.b64encode(digest).decode()}"]


@pytest.fixture(scope="module")
def site(tmp_path_factory, repository, web):
    """The page, ONNX Runtime Web in ort/, networks, images, and files that are neither."""
    onnx = pytest.importorskip("onnx")
    folder, work = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("runs")
    for file in (repository / "docs" / "browser").iterdir():
        shutil.copy(file, folder)
    (folder / "ort").mkdir()
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(web / "dist" / name, folder / "ort")
    for name, codec, options in (
        ("quarter.onnx", "gaussian", []),
        ("two.onnx", "gaussian", ["--batch=2"]),
        ("udp.onnx", "udp", []),
    ):
        run, crowd = seeing.write_runs(work / name, codec)
        assert cli.main(["export", str(run), f"-o={run}", *options]) == 0
        shutil.move(next(run.glob("*.onnx")), folder / name)
    assert cli.main(["export", str(crowd), f"-o={crowd}"]) == 0
    shutil.move(next(crowd.glob("*.onnx")), folder / "crowd.onnx")
    model = onnx.load(folder / "quarter.onnx")
    (entry,) = (entry for entry in model.metadata_props if entry.key == "codec")
    entry.value = entry.value.replace("quarter", "dark")
    onnx.save(model, folder / "dark.onnx")
    del model.metadata_props[:]
    onnx.save(model, folder / "other.onnx")
    (folder / "cut.onnx").write_bytes((folder / "quarter.onnx").read_bytes()[:-40])
    image = seeing.draw_image(seeing.two_people(IMAGE_SIZE), IMAGE_SIZE) // 2 + 60
    for suffix in (".png", ".jpg"):
        cv2.imwrite(str(folder / f"photo{suffix}"), image[:, :, ::-1])
    (folder / "text.png").write_text("not an image")
    page = (folder / "index.html").read_text()
    (folder / "choose.html").write_text(page + CHOOSE)
    return folder


@pytest.fixture(scope="module")
def visit(site):
    if browser.program() is None:
        pytest.skip("Chromium is not installed")
    with browser.visits(site, FIND) as function:
        yield function


def check(found, site, network, photo):
    assert not found["error"], found["text"]
    image = images.decode((site / photo).read_bytes())
    poses = PoseEstimator(site / network, flip=False)(image)
    assert [name for name, *_ in found["rows"]] == list(seeing.DOTS.joints)
    numbers = np.array([row[1:] for row in found["rows"]])
    np.testing.assert_allclose(numbers[:, :2], poses.keypoints[0], atol=PIXELS[photo[-4:]])
    np.testing.assert_allclose(numbers[:, 2], poses.scores[0], atol=0.005)
    assert found["scroll"] <= 0  # nothing is wider than the window
    assert not found["isolated"]  # no special headers


@pytest.mark.slow
@pytest.mark.parametrize("photo", ["photo.png", "photo.jpg"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_keypoints_are_those_of_python(visit, site, network, photo):
    found = visit(f"/index.html?ort=ort&network={network}&image={photo}")
    check(found, site, network, photo)


@pytest.mark.slow
def test_the_files_may_be_chosen(visit, site):
    check(visit("/choose.html?ort=ort"), site, "quarter.onnx", "photo.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    "query, message",
    [
        ("network=photo.png", "photo.png: not an ONNX file, or truncated"),
        ("network=cut.onnx", "cut.onnx: not an ONNX file, or truncated"),
        ("network=other.onnx", "other.onnx: it has no metadata of jaxpose"),
        ("network=crowd.onnx", "crowd.onnx: a network of the task associative_embedding"),
        ("network=none.onnx", "none.onnx: cannot be loaded (404"),
        ("image=text.png", "text.png: the browser cannot read this image"),
        ("network=quarter.onnx&ort=none", "quarter.onnx: ONNX Runtime Web cannot be loaded from "),
        ("network=quarter.onnx&ort=//example.org", "quarter.onnx: ort must be a folder of this"),
    ],
)
def test_errors_are_one_line(visit, query, message):
    found = visit(f"/index.html?{query if 'ort=' in query else query + '&ort=ort'}")
    assert found["error"] and found["text"].startswith(message) and "\n" not in found["text"]
