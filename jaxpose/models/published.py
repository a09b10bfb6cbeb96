"""What is known about each model before it is built: its paper and the numbers printed there.

The numbers are cited, never measured here; `jaxpose models` prints them beside our counts.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple


class Row(NamedTuple):
    """One published row. `params` in millions, `gflops` by `convention`, scores in percent.

    `metric` is "AP" on COCO val2017 (flip test; top-down models with detector boxes of person AP
    56.4, on test-dev 60.9) or CrowdPose test, and "PCKh" at 0.5 on MPII val. `source` names who
    printed the row; repetitions by others are left out. `note` says why our counts differ from it,
    where they do.
    """

    dataset: str
    input_size: tuple[int, int]  # (H, W)
    num_keypoints: int
    params: float | None  # None: not printed
    gflops: float
    metric: str
    score: float
    source: str
    convention: str = "mmcv"
    note: str = ""


class ModelInfo(NamedTuple):
    """Facts about one model.

    Only imported networks may lack a task or an input size. Networks that are not the library's
    have no paper ("") and no published rows.
    """

    name: str
    task: str | None  # "topdown", "associative_embedding" (by tags) or "part_affinity" (by fields)
    paper: str
    input_size: tuple[int, int] | None  # (H, W) of the paper's main row
    published: tuple[Row, ...]


def _rows(source: str, *rows: tuple, convention: str = "mmcv", note: str = "") -> tuple[Row, ...]:
    return tuple(Row._make((*row, source, convention, note)) for row in rows)


_ptflops_rows = partial(_rows, convention="ptflops")
_torchstat_rows = partial(_rows, convention="torchstat")

_LITEPOSE = (
    "Wang et al., Lite Pose: Efficient Architecture Design for 2D Human Pose Estimation, CVPR 2022"
)
_WLITEPOSE = (
    "Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted Loss Function, 2024"
)
_README = "LitePose repository"
_WLITEPOSE_NOTE = (
    "the paper's text does not give its printed size: jaxpose models --paper wlitepose"
)
_HWL = "Li & Xiang, Lightweight Human Pose Estimation Using Heatmap-Weighting Loss, ICPR 2022"
_HRNET = "Sun et al., Deep High-Resolution Representation Learning for Human Pose, CVPR 2019"
_LITE = "Yu et al., Lite-HRNet: A Lightweight High-Resolution Network, CVPR 2021"
_DITE = (
    "Li et al., Dite-HRNet: Dynamic Lightweight High-Resolution Network for Human Pose Estimation, "
    "IJCAI 2022"
)
_CSW = (
    "Xi et al., Lite CSW-HRNet: Lightweight High-Resolution Human Pose Estimation Based on Channel "
    "Spatial Weighting, 2024"
)
_LITE_README = "Lite-HRNet repository"
_DITE_README = "Dite-HRNet repository"
_CSW_PAPER = "Lite CSW-HRNet paper"
_GIBI = "the same count in units of 2^30"
_EL = (
    "Li et al., Human Pose Estimation Based on Efficient and Lightweight High-Resolution Network "
    "(EL-HRNet), Sensors 24, 2024"
)
_HIGHER = (
    "Cheng et al., HigherHRNet: Scale-Aware Representation Learning for Bottom-Up Human Pose "
    "Estimation, CVPR 2020"
)
_EFFICIENT = (
    "Neff et al., EfficientHRNet: Efficient Scaling for Lightweight High-Resolution Multi-Person "
    "Pose Estimation, 2020"
)
_TRUNCATED = "printed parameters are truncated, not rounded"
_LIGHTWEIGHT = (
    "Liao et al., Lightweight HRNet: A Lightweight Network for Bottom-Up Human Pose Estimation, "
    "Engineering Letters 32, 2024"
)
_LIGHTWEIGHT_PAPER = "Lightweight HRNet paper"
_OPENPOSE = (
    "Osokin, Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose, ICPRAM 2019"
)
_VIPNAS = "Xu et al., ViPNAS: Efficient Video Pose Estimation via Neural Architecture Search, 2021"
_SIMPLE = "Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018"

MODELS = (
    ModelInfo(
        "litepose_xs",
        "associative_embedding",
        _LITEPOSE,
        (256, 256),
        _ptflops_rows(
            _README,
            ("coco", (256, 256), 17, None, 1.2, "AP", 40.6),
            ("crowdpose", (256, 256), 14, None, 1.2, "AP", 49.5),
        )
        + _ptflops_rows(
            "WLitePose paper",
            ("coco", (256, 256), 17, 1.7, 1.2, "AP", 40.1),
            ("coco test-dev", (256, 256), 17, 1.7, 1.2, "AP", 37.6),
            ("crowdpose", (256, 256), 14, 1.7, 1.2, "AP", 49.4),
        ),
    ),
    ModelInfo(
        "litepose_s",
        "associative_embedding",
        _LITEPOSE,
        (448, 448),
        _ptflops_rows(
            _README,
            ("coco", (448, 448), 17, None, 5.0, "AP", 56.8),
            ("crowdpose", (448, 448), 14, None, 5.0, "AP", 58.3),
        )
        + _ptflops_rows(
            "WLitePose paper",
            ("coco", (448, 448), 17, 2.7, 5.0, "AP", 56.4),
            ("coco test-dev", (448, 448), 17, 2.7, 5.0, "AP", 56.2),
            ("crowdpose", (448, 448), 14, 2.7, 5.0, "AP", 58.0),
        ),
    ),
    ModelInfo(
        "litepose_m",
        "associative_embedding",
        _LITEPOSE,
        (448, 448),
        _ptflops_rows(
            _README,
            ("coco", (448, 448), 17, None, 7.8, "AP", 59.8),
            ("coco test-dev", (448, 448), 17, None, 7.8, "AP", 59.7),
            note="7.85 by the same count, printed as 7.8",
        )
        + _ptflops_rows(_README, ("crowdpose", (448, 448), 14, None, 7.8, "AP", 59.9)),
    ),
    ModelInfo(
        "litepose_l",
        "associative_embedding",
        _LITEPOSE,
        (512, 512),
        _ptflops_rows(
            _README,
            ("coco", (512, 512), 17, None, 13.8, "AP", 62.5),
            note="13.73 by the same count, printed as 13.8",
        )
        + _ptflops_rows(
            _README,
            ("crowdpose", (512, 512), 14, None, 13.7, "AP", 61.9),
        ),
    ),
    ModelInfo(
        "wlitepose_xs",
        "associative_embedding",
        _WLITEPOSE,
        (256, 256),
        _ptflops_rows(
            "WLitePose paper",
            ("coco", (256, 256), 17, 2.3, 1.5, "AP", 41.1),
            ("coco test-dev", (256, 256), 17, 2.3, 1.5, "AP", 38.4),
            ("crowdpose", (256, 256), 14, 2.3, 1.5, "AP", 50.6),
            note=_WLITEPOSE_NOTE,
        ),
    ),
    ModelInfo(
        "wlitepose_s",
        "associative_embedding",
        _WLITEPOSE,
        (448, 448),
        _ptflops_rows(
            "WLitePose paper",
            ("coco", (448, 448), 17, 3.6, 5.8, "AP", 57.7),
            ("coco test-dev", (448, 448), 17, 3.6, 5.8, "AP", 57.4),
            ("crowdpose", (448, 448), 14, 3.6, 5.8, "AP", 59.6),
            note=_WLITEPOSE_NOTE,
        ),
    ),
    ModelInfo(
        "hwl_mobilenetv3",
        "topdown",
        _HWL,
        (256, 192),
        _rows(
            "HWL paper",
            ("coco", (256, 192), 17, 3.1, 0.58, "AP", 65.8),
            ("coco", (384, 288), 17, 3.1, 1.30, "AP", 69.9),
            ("coco test-dev", (256, 192), 17, 3.1, 0.58, "AP", 65.3),
            ("coco test-dev", (384, 288), 17, 3.1, 1.30, "AP", 69.2),
            ("mpii", (256, 256), 16, 3.1, 0.77, "PCKh", 85.9),
        ),
    ),
    ModelInfo(
        "simplebaseline_mobilenetv2",
        "topdown",
        _SIMPLE,
        (256, 192),
        _rows(
            "HWL paper",
            ("coco", (256, 192), 17, 9.6, 1.59, "AP", 64.6),
            ("coco", (384, 288), 17, 9.6, 3.57, "AP", 67.3),
            ("coco test-dev", (256, 192), 17, 9.6, 1.59, "AP", 64.1),
            ("coco test-dev", (384, 288), 17, 9.6, 3.57, "AP", 66.8),
            ("mpii", (256, 256), 16, 9.6, 2.12, "PCKh", 85.4),
        )
        + _rows(_CSW_PAPER, ("coco", (256, 192), 17, 9.6, 1.48, "AP", 63.3), note=_GIBI)
        + _rows(
            _CSW_PAPER,
            ("coco test-dev", (384, 288), 17, 9.6, 3.38, "AP", 66.1),
            note="3.33 by the same count in units of 2^30",
        ),
    ),
    ModelInfo(
        "simplebaseline_mobilenetv3",
        "topdown",
        _SIMPLE,
        (256, 192),
        _rows("HWL paper", ("coco", (256, 192), 17, 8.7, 1.47, "AP", 65.9)),
    ),
    ModelInfo(
        "simplebaseline_shufflenetv2",
        "topdown",
        _SIMPLE,
        (256, 192),
        _rows(
            "HWL paper",
            ("coco", (256, 192), 17, 7.6, 1.37, "AP", 59.9),
            ("coco", (384, 288), 17, 7.6, 3.08, "AP", 63.6),
            ("coco test-dev", (256, 192), 17, 7.6, 1.37, "AP", 59.5),
            ("coco test-dev", (384, 288), 17, 7.6, 3.08, "AP", 62.9),
            ("mpii", (256, 256), 16, 7.6, 1.83, "PCKh", 82.8),
        )
        + _rows(
            _CSW_PAPER,
            ("coco", (256, 192), 17, 7.6, 1.28, "AP", 59.9),
            ("coco test-dev", (384, 288), 17, 7.6, 2.87, "AP", 62.9),
            note=_GIBI,
        ),
    ),
    ModelInfo(
        "simplebaseline_resnet50",
        "topdown",
        _SIMPLE,
        (256, 192),
        _rows(
            "mmpose documentation",
            ("coco", (256, 192), 17, 34.0, 5.46, "AP", 71.8),
            ("coco", (384, 288), 17, 34.0, 12.29, "AP", 73.1),
        )
        + _rows(
            "EL-HRNet paper",
            ("coco test-dev", (256, 192), 17, 34.0, 8.90, "AP", 70.0),
            convention="hrnet",
            note="called SBL-50 there; 8.99 by the same count, printed as 8.90",
        )
        + _rows(
            _CSW_PAPER,
            ("coco", (256, 192), 17, 34.0, 8.90, "AP", 70.4),
            convention="hrnet",
            note="8.99 by the same count, printed as 8.90",
        ),
    ),
    ModelInfo(
        "hrnet_w32",
        "topdown",
        _HRNET,
        (256, 192),
        _rows(
            "HRNet repository",
            ("coco", (256, 192), 17, 28.5, 7.1, "AP", 74.4),
            ("coco", (384, 288), 17, 28.5, 16.0, "AP", 75.8),
            ("mpii", (256, 256), 16, 28.5, 9.5, "PCKh", 90.3),
            convention="hrnet",
        )
        + _rows(
            _CSW_PAPER,
            ("coco", (256, 192), 17, 28.5, 7.10, "AP", 73.4),
            ("coco test-dev", (384, 288), 17, 28.5, 16.00, "AP", 74.9),
            convention="hrnet",
            note="the same count, rounded to one digit and then printed with two",
        ),
    ),
    ModelInfo(
        "hrnet_w48",
        "topdown",
        _HRNET,
        (256, 192),
        _rows(
            "HRNet repository",
            ("coco", (256, 192), 17, 63.6, 14.6, "AP", 75.1),
            ("coco", (384, 288), 17, 63.6, 32.9, "AP", 76.3),
            convention="hrnet",
        ),
    ),
    ModelInfo(
        "small_hrnet_w16",
        "topdown",
        _LITE,
        (256, 192),
        _rows(
            "Lite-HRNet paper",
            ("coco", (256, 192), 17, 1.3, 0.54, "AP", 55.2),
            ("coco", (384, 288), 17, 1.3, 1.21, "AP", 56.0),
            convention="torchstat",
        )
        + _torchstat_rows("HWL paper", ("coco test-dev", (384, 288), 17, 1.3, 1.21, "AP", 55.2))
        + _torchstat_rows(
            _CSW_PAPER,
            ("coco", (256, 192), 17, 1.3, 0.34, "AP", 55.2),
            note="0.54 G in the paper that printed it first",
        )
        + _torchstat_rows(_CSW_PAPER, ("coco test-dev", (384, 288), 17, 1.3, 1.21, "AP", 55.3)),
    ),
    ModelInfo(
        "el_hrnet_w32",
        "topdown",
        _EL,
        (256, 192),
        _rows(
            "EL-HRNet paper",
            ("coco", (256, 192), 17, 5.0, 2.00, "AP", 67.1),
            ("coco test-dev", (256, 192), 17, 5.0, 2.00, "AP", 67.7),
            ("mpii", (256, 256), 16, 5.0, 2.66, "PCKh", 87.7),
            convention="hrnet",
        ),
    ),
    ModelInfo(
        "higher_hrnet_w32",
        "associative_embedding",
        _HIGHER,
        (512, 512),
        _rows(
            "HigherHRNet repository",
            ("coco", (512, 512), 17, 28.6, 47.9, "AP", 67.1),
            ("coco", (640, 640), 17, 28.6, 74.8, "AP", 68.5),
            ("coco test-dev", (512, 512), 17, 28.6, 47.9, "AP", 66.4),
            convention="higher",
        ),
    ),
    ModelInfo(
        "higher_hrnet_w48",
        "associative_embedding",
        _HIGHER,
        (640, 640),
        _rows(
            "HigherHRNet repository",
            ("coco", (640, 640), 17, 63.8, 154.3, "AP", 69.9),
            ("coco test-dev", (640, 640), 17, 63.8, 154.3, "AP", 68.4),
            convention="higher",
        )
        + _ptflops_rows(
            "WLitePose paper",
            ("coco", (640, 640), 17, 63.8, 155.1, "AP", 69.9),
            ("coco test-dev", (640, 640), 17, 63.8, 155.1, "AP", 68.4),
            ("crowdpose", (640, 640), 14, 63.8, 154.6, "AP", 65.9),
        ),
    ),
    # Lite-HRNet's and Dite-HRNet's repositories print units of 2^20; 1024 of these are 1 G.
    ModelInfo(
        "lite_hrnet_18",
        "topdown",
        _LITE,
        (256, 192),
        _torchstat_rows(
            "Lite-HRNet paper",
            ("coco", (256, 192), 17, 1.1, 0.20, "AP", 64.8),
            ("coco", (384, 288), 17, 1.1, 0.45, "AP", 67.6),
            ("coco test-dev", (256, 192), 17, 1.1, 0.20, "AP", 63.7),
            ("coco test-dev", (384, 288), 17, 1.1, 0.45, "AP", 66.9),
        )
        + _torchstat_rows(_LITE_README, ("mpii", (256, 256), 16, 1.1, 273.4 / 1024, "PCKh", 85.4))
        + _torchstat_rows("HWL paper", ("mpii", (256, 256), 16, 1.1, 0.27, "PCKh", 85.9))
        + _rows(
            _CSW_PAPER,
            ("coco", (256, 192), 17, 1.1, 0.28, "AP", 64.1),
            ("coco test-dev", (256, 192), 17, 1.1, 0.28, "AP", 64.1),
            convention="torchstat1000",
            note="no convention gives 0.28 G at this size",
        )
        + _rows(
            _CSW_PAPER,
            ("coco", (384, 288), 17, 1.1, 0.46, "AP", 66.2),
            ("coco test-dev", (384, 288), 17, 1.1, 0.46, "AP", 66.2),
            convention="torchstat1000",
        ),
    ),
    ModelInfo(
        "lite_hrnet_30",
        "topdown",
        _LITE,
        (256, 192),
        _torchstat_rows(
            "Lite-HRNet paper",
            ("coco", (256, 192), 17, 1.8, 0.31, "AP", 67.2),
            ("coco", (384, 288), 17, 1.8, 0.70, "AP", 70.4),
            ("coco test-dev", (256, 192), 17, 1.8, 0.31, "AP", 66.7),
            ("coco test-dev", (384, 288), 17, 1.8, 0.70, "AP", 69.7),
        )
        + _torchstat_rows(_LITE_README, ("mpii", (256, 256), 16, 1.8, 425.3 / 1024, "PCKh", 87.0)),
    ),
    ModelInfo(
        "naive_lite_hrnet_18",
        "topdown",
        _LITE,
        (256, 192),
        _torchstat_rows(
            _LITE_README,
            ("coco", (256, 192), 17, 0.7, 194.8 / 1024, "AP", 62.8),
            ("mpii", (256, 256), 16, 0.7, 259.6 / 1024, "PCKh", 85.3),
            note=_TRUNCATED,
        ),
    ),
    ModelInfo(
        "wider_naive_lite_hrnet_18",
        "topdown",
        _LITE,
        (256, 192),
        _torchstat_rows(_LITE_README, ("coco", (256, 192), 17, 1.3, 311.1 / 1024, "AP", 66.0))
        + _torchstat_rows(
            _LITE_README,
            ("mpii", (256, 256), 16, 1.3, 418.7 / 1024, "PCKh", 86.8),
            note="its released configuration has 1% less",
        ),
    ),
    ModelInfo(
        "dite_hrnet_18",
        "topdown",
        _DITE,
        (256, 192),
        _torchstat_rows(
            _DITE_README,
            ("coco", (256, 192), 17, 1.1, 209.8 / 1024, "AP", 65.9),
            ("coco", (384, 288), 17, 1.1, 471.8 / 1024, "AP", 69.0),
            ("mpii", (256, 256), 16, 1.1, 279.5 / 1024, "PCKh", 87.0),
            note=_TRUNCATED,
        ),
    ),
    ModelInfo(
        "dite_hrnet_30",
        "topdown",
        _DITE,
        (256, 192),
        _torchstat_rows(
            _DITE_README,
            ("coco", (256, 192), 17, 1.8, 329.8 / 1024, "AP", 68.3),
            ("coco", (384, 288), 17, 1.8, 741.7 / 1024, "AP", 71.5),
            ("mpii", (256, 256), 16, 1.8, 439.5 / 1024, "PCKh", 87.6),
            note=_TRUNCATED,
        ),
    ),
    ModelInfo(
        "lite_csw_hrnet_18",
        "topdown",
        _CSW,
        (256, 192),
        _rows(
            _CSW_PAPER,
            ("coco", (256, 192), 17, 0.9, 0.20, "AP", 64.2),
            ("coco", (384, 288), 17, 0.9, 0.45, "AP", 67.2),
            ("coco test-dev", (256, 192), 17, 0.9, 0.20, "AP", 63.7),
            ("coco test-dev", (384, 288), 17, 0.9, 0.45, "AP", 66.6),
            convention="torchstat1000",
        ),
    ),
    ModelInfo("lite_csw_hrnet_30", "topdown", _CSW, (256, 192), ()),
    *(
        ModelInfo(
            f"efficient_hrnet_{name}",
            "associative_embedding",
            _EFFICIENT,
            (size, size),
            _rows(
                "EfficientHRNet paper",
                ("coco", (size, size), 17, params, gflops, "AP", val),
                convention="higher",
                note=note,
            )
            + _rows(
                _LIGHTWEIGHT_PAPER,
                ("coco test-dev", (size, size), 17, params, gflops, "AP", test),
                convention="higher",
                note=note,
            )
            + in_wlitepose,
        )
        for name, size, params, gflops, val, test, note, in_wlitepose in (
            ("h0", 512, 23.3, 25.6, 64.8, 64.0, "", ()),
            (
                *("hm1", 480, 16.0, 14.2, 59.2, 59.1, _TRUNCATED),
                _ptflops_rows(
                    "WLitePose paper",
                    ("crowdpose", (480, 480), 14, 13.0, 14.2, "AP", 56.3),
                    note="14.25 by the same count, printed as 14.2",
                ),
            ),
            (
                *("hm2", 448, 10.3, 7.7, 52.9, 52.8, _TRUNCATED),
                _ptflops_rows(
                    "WLitePose paper",
                    ("coco", (448, 448), 17, 8.3, 7.9, "AP", 52.8),
                    ("coco test-dev", (448, 448), 17, 8.3, 7.9, "AP", 52.6),
                ),
            ),
            (
                *("hm3", 416, 6.9, 4.2, 44.8, 44.5, _TRUNCATED),
                _ptflops_rows(
                    "WLitePose paper",
                    ("crowdpose", (416, 416), 14, 5.3, 4.3, "AP", 46.1),
                    note=f"{_TRUNCATED}; 4.3 G is the count for 17 keypoints",
                ),
            ),
            (
                *("hm4", 384, 3.7, 2.1, 35.7, 35.5, _TRUNCATED),
                _ptflops_rows(
                    "WLitePose paper",
                    ("coco", (384, 384), 17, 2.8, 2.2, "AP", 35.7),
                    ("coco test-dev", (384, 384), 17, 2.8, 2.2, "AP", 35.5),
                ),
            ),
        )
    ),
    *(
        ModelInfo(
            f"lightweight_hrnet_{name}",
            "associative_embedding",
            _LIGHTWEIGHT,
            (size, size),
            sum(
                (
                    _rows(
                        f"{_LIGHTWEIGHT_PAPER}, {with_cem} CEM",
                        ("coco", (size, size), 17, params, gflops, "AP", val),
                        ("coco test-dev", (size, size), 17, params, gflops, "AP", test),
                        convention="higher",
                    )
                    for with_cem, params, gflops, val, test in rows
                ),
                (),
            ),
        )
        for name, size, rows in (
            ("r0", 512, [("without", 13.2, 15.6, 55.2, 54.9)]),
            ("rm1", 480, [("without", 8.8, 9.3, 49.0, 48.5)]),
            ("rm2", 448, [("without", 5.9, 5.5, 45.4, 45.7), ("with", 5.9, 5.5, 46.6, 46.6)]),
            ("rm3", 416, []),
        )
    ),
    ModelInfo(
        "lightweight_openpose",
        "part_affinity",
        _OPENPOSE,
        (368, 368),
        _rows(
            _LIGHTWEIGHT_PAPER,
            ("coco", (368, 368), 18, 4.1, 9.0, "AP", 42.8),
            convention="true",
            note="8.88 by the same count, printed as 9; evaluated on a subset of val2017",
        )
        + _rows(
            "WLitePose paper",
            ("coco test-dev", (368, 368), 18, 4.1, 9.0, "AP", 42.7),
            convention="true",
            note="8.88 by the same count, printed as 9",
        ),
    ),
    ModelInfo(
        "vipnas_mobilenetv3",
        "topdown",
        _VIPNAS,
        (256, 192),
        _rows("mmpose documentation", ("coco", (256, 192), 17, 5.9, 0.76, "AP", 70.0))
        + _rows(
            "HWL paper",
            ("coco", (256, 192), 17, 2.8, 0.69, "AP", 67.8),
            note="the row is of the ViPNAS authors' smaller network",
        ),
    ),
)

INFO = {model.name: model for model in MODELS}
