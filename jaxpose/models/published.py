"""What is known about each model before it is built: its paper and the numbers printed there.

The numbers are cited, never measured here; `jaxpose models` prints them beside our counts.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxpose.models.published_rows import NOTES, SPEEDS, TABLES

# Dataset in the tables -> its name in a Row and the keypoints of the network.
_DATASETS = {
    "coco": ("coco", 17),
    "test-dev": ("coco test-dev", 17),
    "coco+neck": ("coco", 18),
    "test-dev+neck": ("coco test-dev", 18),
    "crowdpose": ("crowdpose", 14),
    "mpii": ("mpii", 16),
    "wholebody": ("coco-wholebody", 133),
}


class Row(NamedTuple):
    """One published row. `params` in millions, `gflops` by `convention`, scores in percent.

    `metric` is "AP" on COCO val2017 (flip test; top-down models with detector boxes of person AP
    56.4, on test-dev 60.9), CrowdPose test or COCO-WholeBody val (whole body), and "PCKh" at 0.5 on
    MPII val. `source` names who
    printed the row; repetitions by others are left out. `note` is the reason if our counts differ.
    Numbers that the source does not print are None.
    """

    dataset: str
    input_size: tuple[int, int]  # (H, W)
    num_keypoints: int
    params: float | None
    gflops: float
    metric: str
    score: float
    source: str
    convention: str
    note: str = ""
    ap50: float | None = None
    ap75: float | None = None
    apm: float | None = None
    apl: float | None = None
    ar: float | None = None


class Speed(NamedTuple):
    """A speed that a paper prints, measured there on its own device."""

    input_size: tuple[int, int]  # (H, W)
    value: float
    unit: str  # "ms" or "FPS"
    device: str
    source: str


class ModelInfo(NamedTuple):
    """Facts about one model.

    Only imported networks may lack a task or an input size. Networks that are not the library's
    have no paper ("") and no published rows.
    """

    name: str
    task: (
        str | None
    )  # "topdown", "simcc", "associative_embedding" (by tags), "part_affinity" (by fields)
    paper: str
    input_size: tuple[int, int] | None  # (H, W) of the paper's main row
    published: tuple[Row, ...] = ()
    speeds: tuple[Speed, ...] = ()


class Paper(NamedTuple):
    """A paper, the task of its networks, and their input sizes by name."""

    title: str
    task: str
    models: dict[str, tuple[int, int]]


_PAPERS = (
    Paper(
        "Wang et al., Lite Pose: Efficient Architecture Design for 2D Human Pose Estimation, "
        "CVPR 2022",
        "associative_embedding",
        {
            "litepose_xs": (256, 256),
            "litepose_s": (448, 448),
            "litepose_m": (448, 448),
            "litepose_l": (512, 512),
        },
    ),
    Paper(
        "Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted Loss Function, "
        "2024",
        "associative_embedding",
        {"wlitepose_xs": (256, 256), "wlitepose_s": (448, 448)},
    ),
    Paper(
        "Li & Xiang, Lightweight Human Pose Estimation Using Heatmap-Weighting Loss, ICPR 2022",
        "topdown",
        {"hwl_mobilenetv3": (256, 192)},
    ),
    Paper(
        "Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018",
        "topdown",
        dict.fromkeys(
            (
                "simplebaseline_mobilenetv2",
                "simplebaseline_mobilenetv3",
                "simplebaseline_shufflenetv2",
                "simplebaseline_resnet50",
            ),
            (256, 192),
        ),
    ),
    Paper(
        "Sun et al., Deep High-Resolution Representation Learning for Human Pose, CVPR 2019",
        "topdown",
        {"hrnet_w32": (256, 192), "hrnet_w48": (256, 192)},
    ),
    Paper(
        "Li et al., Human Pose Estimation Based on Efficient and Lightweight High-Resolution "
        "Network (EL-HRNet), Sensors 24, 2024",
        "topdown",
        {"el_hrnet_w32": (256, 192)},
    ),
    Paper(
        "Cheng et al., HigherHRNet: Scale-Aware Representation Learning for Bottom-Up Human Pose "
        "Estimation, CVPR 2020",
        "associative_embedding",
        {"higher_hrnet_w32": (512, 512), "higher_hrnet_w48": (640, 640)},
    ),
    Paper(
        "Yu et al., Lite-HRNet: A Lightweight High-Resolution Network, CVPR 2021",
        "topdown",
        dict.fromkeys(
            (
                "small_hrnet_w16",
                "lite_hrnet_18",
                "lite_hrnet_30",
                "naive_lite_hrnet_18",
                "wider_naive_lite_hrnet_18",
            ),
            (256, 192),
        ),
    ),
    Paper(
        "Li et al., Dite-HRNet: Dynamic Lightweight High-Resolution Network for Human Pose "
        "Estimation, IJCAI 2022",
        "topdown",
        {"dite_hrnet_18": (256, 192), "dite_hrnet_30": (256, 192)},
    ),
    Paper(
        "Xi et al., Lite CSW-HRNet: Lightweight High-Resolution Human Pose Estimation Based on "
        "Channel Spatial Weighting, 2024",
        "topdown",
        {"lite_csw_hrnet_18": (256, 192), "lite_csw_hrnet_30": (256, 192)},
    ),
    Paper(
        "Neff et al., EfficientHRNet: Efficient Scaling for Lightweight High-Resolution "
        "Multi-Person Pose Estimation, 2020",
        "associative_embedding",
        {
            "efficient_hrnet_h0": (512, 512),
            "efficient_hrnet_hm1": (480, 480),
            "efficient_hrnet_hm2": (448, 448),
            "efficient_hrnet_hm3": (416, 416),
            "efficient_hrnet_hm4": (384, 384),
        },
    ),
    Paper(
        "Liao et al., Lightweight HRNet: A Lightweight Network for Bottom-Up Human Pose "
        "Estimation, Engineering Letters 32, 2024",
        "associative_embedding",
        {
            "lightweight_hrnet_r0": (512, 512),
            "lightweight_hrnet_rm1": (480, 480),
            "lightweight_hrnet_rm2": (448, 448),
            "lightweight_hrnet_rm3": (416, 416),
        },
    ),
    Paper(
        "Osokin, Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose, ICPRAM "
        "2019",
        "part_affinity",
        {"lightweight_openpose": (368, 368)},
    ),
    Paper(
        "Xu et al., ViPNAS: Efficient Video Pose Estimation via Neural Architecture Search, 2021",
        "topdown",
        {"vipnas_mobilenetv3": (256, 192)},
    ),
    Paper(
        "Jiang et al., RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose, 2023",
        "simcc",
        {
            "rtmpose_t": (256, 192),
            "rtmpose_s": (256, 192),
            "rtmpose_m": (256, 192),
            "rtmpose_l": (256, 192),
            "rtmpose_x": (384, 288),
        },
    ),
)


def _size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def _rows(model: str) -> tuple[Row, ...]:
    """The rows of a model, in the order of the tables."""
    rows = []
    for source, table in TABLES.items():
        for line in table.split("\n"):
            name, _, rest = line.partition(" ")
            if name != model:
                continue
            printed, _, note = rest.partition("*")
            dataset, size, params, cost, convention, *scores = printed.split()
            dataset, num_keypoints = _DATASETS[dataset]
            score, *details = (None if text == "-" else float(text) for text in scores)
            assert score is not None
            rows.append(
                Row(
                    dataset=dataset,
                    input_size=_size(size),
                    num_keypoints=num_keypoints,
                    params=None if params == "-" else float(params),
                    gflops=float(cost[:-1]) / 1024 if cost.endswith("M") else float(cost),
                    metric="PCKh" if dataset == "mpii" else "AP",
                    score=score,
                    source=source,
                    convention=convention,
                    note=NOTES[note] if note else "",
                    **dict(zip(("ap50", "ap75", "apm", "apl", "ar"), details, strict=False)),
                )
            )
    return tuple(rows)


def _speeds(model: str) -> tuple[Speed, ...]:
    """The speeds of a model, in the order of the tables."""
    return tuple(
        Speed(_size(size), float(value), table.unit, device, table.source)
        for table in SPEEDS
        for name, size, *values in map(str.split, filter(None, table.rows.split("\n")))
        if name == model
        for device, value in zip(table.devices, values, strict=True)
    )


INFO = {
    name: ModelInfo(name, paper.task, paper.title, size, _rows(name), _speeds(name))
    for paper in _PAPERS
    for name, size in paper.models.items()
}
