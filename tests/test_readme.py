"""The README's Python code runs as it is printed."""

import re

import cv2
import numpy as np

from tests.helpers import seeing


def test_the_snippet_predicts_and_draws(repository, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    run, _ = seeing.write_runs(tmp_path)
    image = seeing.draw_image(seeing.two_people((64, 128))[:1], (64, 128))
    cv2.imwrite(str(tmp_path / "photo.jpg"), image[:, :, ::-1])
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code.replace("runs/demo/run", str(run)), names)
    assert names["poses"].keypoints.shape == (1, 3, 2)
    drawn = cv2.imread(str(tmp_path / "drawn.jpg"))
    assert drawn.shape == (64, 128, 3) and np.abs(drawn.astype(int) - image[:, :, ::-1]).max() > 50
