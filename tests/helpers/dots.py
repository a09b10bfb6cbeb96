"""A run folder of `seeing.Looker` with validation data on which it scores well."""

import json

from jaxpose import runs
from tests.helpers import seeing


def write_run(folder):
    """A run folder whose validation data are two people, found by their colors."""
    images = folder / "data" / "images"
    images.mkdir(parents=True)
    seeing.write_image(images / "0.png")
    height, width = seeing.SIZE
    people = []
    for number, joints in enumerate(seeing.PEOPLE):
        (x0, y0), (x1, y1) = joints.min(0) - 12, joints.max(0) + 12
        people.append({
            "id": number + 1, "image_id": 0, "category_id": 1, "iscrowd": 0, "num_keypoints": 3,
            "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0),
            "keypoints": [v for x, y in joints for v in (x, y, 2)],
        })  # fmt: skip
    content = {
        "images": [{"id": 0, "file_name": "0.png", "height": height, "width": width}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", **_keypoints()}],
    }
    (folder / "data" / "dots.json").write_text(json.dumps(content))
    (run, _) = seeing.write_runs(folder)
    network = runs.read_run(run)
    config = network.config
    with config.unlocked():
        config.data.root, config.data.format = str(folder / "data"), "coco"
        config.data.val_annotations, config.data.val_images = "dots.json", "images"
        config.eval.flip, config.eval.batch_size = False, 4
    made = folder / "dots"
    runs.write_run(made, config.to_dict(), seeing.DOTS, network.variables)
    return made


def _keypoints():
    limbs = [[a + 1, b + 1] for a, b in seeing.DOTS.limbs]
    return {"keypoints": list(seeing.DOTS.joints), "skeleton": limbs}
