"""The settings of a run folder with imported weights.

They are complete, so evaluation needs no recipe: the settings of the network, and the dataset and
the test settings of the published scores. The files of a dataset have the names in mmpose's
documentation; for a dataset without known files, the settings name none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxpose import tasks
from jaxpose.choices import did_you_mean
from jaxpose.config import ConfigError, default_config
from jaxpose.skeletons import Skeleton

COCO_BOXES = "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
_MPII = {
    "data.format": "mpii",
    "data.train_annotations": "annotations/mpii_train.json",
    "data.val_annotations": "annotations/mpii_val.json",
    "data.train_images": "images",
    "data.val_images": "images",
    "data.head_boxes": "annotations/mpii_gt_val.mat",
}
_CROWDPOSE = {
    "data.format": "crowdpose",
    "data.train_annotations": "annotations/mmpose_crowdpose_trainval.json",
    "data.val_annotations": "annotations/mmpose_crowdpose_test.json",
    "data.train_images": "images",
    "data.val_images": "images",
}


def _files(name: str, train: str, val: str, images: tuple[str, str]) -> dict[str, str]:
    return {
        "data.train_annotations": f"annotations/{name}{train}.json",
        "data.val_annotations": f"annotations/{name}{val}.json",
        "data.train_images": images[0],
        "data.val_images": images[1],
    }


_DATA: dict[str, dict[str, str]] = {
    "mpii": _MPII,
    "crowdpose": _CROWDPOSE,
    "aic": _files(
        "aic", "_train", "_val",
        (
            "ai_challenger_keypoint_train_20170902/keypoint_train_images_20170902",
            "ai_challenger_keypoint_validation_20170911/keypoint_validation_images_20170911",
        ),
    ),
    "posetrack18": _files("posetrack18", "_train", "_val", (".", ".")),
    "animalpose": _files("animalpose", "_train", "_val", (".", ".")),
    "atrw": _files("keypoint", "_train", "_val", ("images/train", "images/val")),
    "ap10k": _files("ap10k", "-train-split1", "-val-split1", ("data", "data")),
}  # fmt: skip
# Not COCO's files, the defaults: eval.py asks for the file.
_UNKNOWN_FILES = dict.fromkeys(
    ("data.train_annotations", "data.val_annotations", "data.train_images", "data.val_images"), ""
)
# Datasets of which the weights were trained on more, or on others, than they were scored on.
_SCORED_ON = {"aic_coco": "coco", "body7": "coco"}
# Their scores are on the boxes of a detector, in the file of COCO's top-down papers.
_DETECTED = ("coco", "coco-wholebody")
# Their scores take the area of a person from the box (mmpose: use_area=False); so does CrowdPose's
# own metric.
_AREA_OF_BOX = ("aic", "exlpose")


def run_config(
    model: str,
    task: tasks.Task,
    input_size: tuple[int, int],
    skeleton: Skeleton,
    *,
    options: Mapping[str, Any],
    codec: str = "gaussian",
    sigma: float | None = None,
    dataset: str = "",
    settings: Mapping[str, Any] | None = None,
) -> ConfigDict:
    """All settings of a run with imported weights.

    Args:
      model: name of the network.
      task: of the network.
      input_size: (H, W) in pixels.
      skeleton: keypoints of the weights.
      options: of the network.
      codec: "gaussian", "dark", "udp" or "simcc".
      sigma: of the targets, in heatmap pixels; None for the task's default.
      dataset: of the published scores; "" if it is not known: then that of the skeleton, and
        top-down networks are scored on the annotated boxes.
      settings: further settings by dotted key, which win.

    Raises:
      ConfigError: the task has no such setting, codec or value.
    """
    declared = {setting.key: setting for setting in task.SETTINGS}
    name = _SCORED_ON.get(dataset, dataset) or skeleton.name
    values: dict[str, Any] = {
        "model": model,
        "input_size": tuple(input_size),
        "eval.metric": task.metric_of(skeleton),
        **({} if name == "coco" else _DATA.get(name, _UNKNOWN_FILES)),
    }
    if dataset and name in _DETECTED and task.EXAMPLE == "crop":
        values["data.detections"] = COCO_BOXES
    if name in _AREA_OF_BOX:
        values["eval.area"] = "box"
    if dataset and "loss.name" in declared:  # all public checkpoints were trained with it
        values["loss.name"] = "mse"
    if sigma is not None:
        values["sigma"] = float(sigma)
    if codec == "dark":
        values["eval.decode"] = "dark"
    elif codec == "udp":
        values["codec"] = "udp"
    if values.get("data.format", "coco") not in declared["data.format"].choices:
        values["data.format"] = "coco"  # which the files of all datasets but MPII have
    config = default_config(task.SETTINGS, task=task.NAME)
    config.model_options.update(options)
    for key, value in (values | dict(settings or {})).items():
        if key not in declared:
            if key in ("codec", "eval.decode"):
                raise ConfigError(f"{model}: its task does not support the codec {codec}")
            hint = did_you_mean(key, declared, before="; ")
            raise ConfigError(f"{model}: no setting {key!r}{hint}")
        if isinstance(value, list):
            value = tuple(value)
        declared[key].check(value)
        try:
            config.update_from_flattened_dict({key: value})
        except TypeError:
            kind = type(declared[key].default).__name__
            raise ConfigError(f"config.{key}={value!r} must be of type {kind}") from None
    return config
