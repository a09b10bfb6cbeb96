"""The tables of the literature as printed: sizes, scores and speeds of networks.

`TABLES` has one line per row of a table: model, dataset, input size, millions of parameters, G (or
M, 1024 of which are 1 G), counting convention, then AP, AP50, AP75, APM, APL, AR (MPII: PCKh), and
the key of a note. "-" and numbers that are missing at the end were not printed. Rows that a source
copied from another source are left out. `SPEEDS` has one line per model.
"""

from __future__ import annotations

from typing import NamedTuple

_TRUNCATED = "printed parameters are truncated, not rounded"

# Why our counts differ from a row, where they do.
NOTES = {
    "litepose_m": "7.85 by the same count, printed as 7.8",
    "litepose_l": "13.73 by the same count, printed as 13.8",
    "truncated": _TRUNCATED,
    "wider": "its released configuration has 1% less",
    "hm1": "14.25 by the same count, printed as 14.2",
    "hm3": f"{_TRUNCATED}; 4.3 G is the count for 17 keypoints",
    "wlitepose": "the paper's text does not give its printed size: "
    "jaxpose models --paper wlitepose",
    "unknown": "no convention gives these G",
    "truncated_unknown": f"{_TRUNCATED}; no convention gives these G",
    "openpose": "8.88 by the same count, printed as 9",
    "openpose_subset": "8.88 by the same count, printed as 9; evaluated on a subset of val2017",
    "vipnas": "the row is of the ViPNAS authors' smaller network",
    "gibi": "the same count in units of 2^30",
    "gibi_3.33": "3.33 by the same count in units of 2^30",
    "resnet50": "8.99 by the same count, printed as 8.90",
    "sbl50": "called SBL-50 there; 8.99 by the same count, printed as 8.90",
    "rounded": "the same count, rounded to one digit and then printed with two",
    "truncated_giga": "printed G are truncated, not rounded",
    "small": "0.54 G in the paper that printed it first",
}

# The source of a network comes before the papers that compare with it. Some numbers of a source are
# only known from these papers: for the Lite-HRNet paper all except AP, from HWL and EL-HRNet; for
# HigherHRNet on test-dev all except AP, from WLitePose.
TABLES = {
    "LitePose repository": """
litepose_xs coco      256x256 -  1.2 ptflops 40.6
litepose_xs crowdpose 256x256 -  1.2 ptflops 49.5
litepose_s  coco      448x448 -  5.0 ptflops 56.8
litepose_s  crowdpose 448x448 -  5.0 ptflops 58.3
litepose_m  coco      448x448 -  7.8 ptflops 59.8 *litepose_m
litepose_m  test-dev  448x448 -  7.8 ptflops 59.7 *litepose_m
litepose_m  crowdpose 448x448 -  7.8 ptflops 59.9
litepose_l  coco      512x512 - 13.8 ptflops 62.5 *litepose_l
litepose_l  crowdpose 512x512 - 13.7 ptflops 61.9
""",
    "HRNet repository": """
hrnet_w32 coco 256x192 28.5  7.1 hrnet 74.4 90.5 81.9 70.8 81.0 79.8
hrnet_w32 coco 384x288 28.5 16.0 hrnet 75.8
hrnet_w32 mpii 256x256 28.5  9.5 hrnet 90.3
hrnet_w48 coco 256x192 63.6 14.6 hrnet 75.1
hrnet_w48 coco 384x288 63.6 32.9 hrnet 76.3
""",
    "HigherHRNet repository": """
higher_hrnet_w32 coco     512x512 28.6  47.9 higher 67.1 86.2 73.0 61.5 76.1
higher_hrnet_w32 coco     640x640 28.6  74.8 higher 68.5 87.1 74.7
higher_hrnet_w32 test-dev 512x512 28.6  47.9 higher 66.4 87.5 72.8
higher_hrnet_w48 coco     640x640 63.8 154.3 higher 69.9 87.2 76.1
higher_hrnet_w48 test-dev 640x640 63.8 154.3 higher 68.4 88.2 75.1
""",
    "Lite-HRNet paper": """
small_hrnet_w16 coco     256x192 1.3 0.54 torchstat 55.2 83.7 62.4 52.3 61.0 62.1
small_hrnet_w16 coco     384x288 1.3 1.21 torchstat 56.0 83.8 63.0 52.4 62.6
lite_hrnet_18   coco     256x192 1.1 0.20 torchstat 64.8 86.7 73.0 62.1 70.5 71.2
lite_hrnet_18   coco     384x288 1.1 0.45 torchstat 67.6 87.8 75.0 64.5 73.7 73.7
lite_hrnet_18   test-dev 256x192 1.1 0.20 torchstat 63.7 88.6 71.1 61.1 68.6 69.7
lite_hrnet_18   test-dev 384x288 1.1 0.45 torchstat 66.9 89.4 74.4 64.0 72.2 72.6
lite_hrnet_30   coco     256x192 1.8 0.31 torchstat 67.2 88.0 75.0 64.3 73.1 73.3
lite_hrnet_30   coco     384x288 1.8 0.70 torchstat 70.4 88.7 77.7 67.5 76.3 76.2
lite_hrnet_30   test-dev 256x192 1.8 0.31 torchstat 66.7 88.9 74.9 63.9 71.9 72.7
lite_hrnet_30   test-dev 384x288 1.8 0.70 torchstat 69.7 90.7 77.5 66.9 75.0 75.4
""",
    "Lite-HRNet repository": """
lite_hrnet_18             mpii 256x256 1.1 273.4M torchstat 85.4
lite_hrnet_30             mpii 256x256 1.8 425.3M torchstat 87.0
wider_naive_lite_hrnet_18 coco 256x192 1.3 311.1M torchstat 66.0 87.1 73.7 - - 72.1
wider_naive_lite_hrnet_18 mpii 256x256 1.3 418.7M torchstat 86.8                    *wider
naive_lite_hrnet_18       coco 256x192 0.7 194.8M torchstat 62.8 85.5 69.9 - - 69.1 *truncated
naive_lite_hrnet_18       mpii 256x256 0.7 259.6M torchstat 85.3                    *truncated
""",
    "Dite-HRNet repository": """
dite_hrnet_18 coco 256x192 1.1 209.8M torchstat 65.9 87.3 74.0 63.2 71.6 72.1 *truncated
dite_hrnet_18 coco 384x288 1.1 471.8M torchstat 69.0 88.0 76.0 65.5 75.5 75.0 *truncated
dite_hrnet_18 mpii 256x256 1.1 279.5M torchstat 87.0                          *truncated
dite_hrnet_30 coco 256x192 1.8 329.8M torchstat 68.3 88.2 76.2 65.5 74.1 74.2 *truncated
dite_hrnet_30 coco 384x288 1.8 741.7M torchstat 71.5 88.9 78.2 68.2 77.7 77.2 *truncated
dite_hrnet_30 mpii 256x256 1.8 439.5M torchstat 87.6                          *truncated
""",
    "EfficientHRNet paper": """
efficient_hrnet_h0  coco 512x512 23.3 25.6 higher 64.8
efficient_hrnet_hm1 coco 480x480 16.0 14.2 higher 59.2 *truncated
efficient_hrnet_hm2 coco 448x448 10.3  7.7 higher 52.9 *truncated
efficient_hrnet_hm3 coco 416x416  6.9  4.2 higher 44.8 *truncated
efficient_hrnet_hm4 coco 384x384  3.7  2.1 higher 35.7 *truncated
""",
    "mmpose documentation": """
simplebaseline_resnet50 coco 256x192 34.0  5.46 mmcv 71.8 89.8 79.6 - - 77.4
simplebaseline_resnet50 coco 384x288 34.0 12.29 mmcv 73.1 90.0 79.9 - - 78.2
vipnas_mobilenetv3      coco 256x192  5.9  0.76 mmcv 70.0 88.7 78.3 - - 75.8
""",
    "RTMPose repository, trained on COCO": """
rtmpose_t coco 256x192  3.34  0.36 mmengine 68.2 88.3 75.9 - - 73.6
rtmpose_s coco 256x192  5.47  0.68 mmengine 71.6 89.2 78.9 - - 76.8
rtmpose_m coco 256x192 13.59  1.93 mmengine 74.6 89.9 81.7 - - 79.5
rtmpose_l coco 256x192 27.66  4.16 mmengine 75.8 90.6 82.6 - - 80.6
""",
    "RTMPose repository, trained on AIC and COCO": """
rtmpose_t coco 256x192  3.34  0.36 mmengine 68.5 88.0 76.1 - - 73.8
rtmpose_s coco 256x192  5.47  0.68 mmengine 72.2 89.2 79.4 - - 77.2
rtmpose_m coco 256x192 13.59  1.93 mmengine 75.8 90.3 82.6 - - 80.6
rtmpose_l coco 256x192 27.66  4.16 mmengine 76.5 90.6 83.5 - - 81.3
rtmpose_m coco 384x288 13.72  4.33 mmengine 77.0 90.8 83.3 - - 81.6
rtmpose_l coco 384x288 27.79  9.35 mmengine 77.3 90.7 83.5 - - 81.9
""",
    "RTMPose repository, trained on Body8": """
rtmpose_t coco 256x192  3.34  0.36 mmengine 65.9
rtmpose_s coco 256x192  5.47  0.68 mmengine 69.7
rtmpose_m coco 256x192 13.59  1.93 mmengine 74.9
rtmpose_l coco 256x192 27.66  4.16 mmengine 76.7
rtmpose_m coco 384x288 13.72  4.33 mmengine 76.6
rtmpose_l coco 384x288 27.79  9.35 mmengine 78.3
rtmpose_x coco 384x288 49.43 17.22 mmengine 78.8
""",
    "RTMPose repository": """
rtmpose_m wholebody 256x192 -  2.22 mmengine 58.2 - - - - 67.4 *truncated_giga
rtmpose_l wholebody 256x192 -  4.52 mmengine 61.1 - - - - 70.0 *truncated_giga
rtmpose_l wholebody 384x288 - 10.07 mmengine 64.8 - - - - 73.0 *truncated_giga
rtmpose_x wholebody 384x288 - 18.10 mmengine 65.3 - - - - 73.3 *truncated_giga
""",
    "WLitePose paper": """
litepose_xs         coco      256x256  1.7   1.2 ptflops 40.1 61.3 42.8
litepose_xs         test-dev  256x256  1.7   1.2 ptflops 37.6 62.1 40.9
litepose_xs         crowdpose 256x256  1.7   1.2 ptflops 49.4 74.1 51.3
litepose_s          coco      448x448  2.7   5.0 ptflops 56.4 77.2 61.2
litepose_s          test-dev  448x448  2.7   5.0 ptflops 56.2 78.4 60.5
litepose_s          crowdpose 448x448  2.7   5.0 ptflops 58.0 80.9 61.6
higher_hrnet_w48    coco      640x640 63.8 155.1 ptflops 69.9 87.2 76.1
higher_hrnet_w48    test-dev  640x640 63.8 155.1 ptflops 68.4 88.2 75.1
higher_hrnet_w48    crowdpose 640x640 63.8 154.6 ptflops 65.9 86.4 70.6
efficient_hrnet_hm2 coco      448x448  8.3   7.9 ptflops 52.8 72.2 57.9
efficient_hrnet_hm2 test-dev  448x448  8.3   7.9 ptflops 52.6 72.8 57.5
efficient_hrnet_hm4 coco      384x384  2.8   2.2 ptflops 35.7
efficient_hrnet_hm4 test-dev  384x384  2.8   2.2 ptflops 35.5
efficient_hrnet_hm1 crowdpose 480x480 13.0  14.2 ptflops 56.3 81.3 59.0 *hm1
efficient_hrnet_hm3 crowdpose 416x416  5.3   4.3 ptflops 46.1 79.3 48.3 *hm3
wlitepose_xs        coco      256x256  2.3   1.5 ptflops 41.1 62.1 44.3 *wlitepose
wlitepose_xs        test-dev  256x256  2.3   1.5 ptflops 38.4 62.7 42.0 *wlitepose
wlitepose_xs        crowdpose 256x256  2.3   1.5 ptflops 50.6 74.8 52.8 *wlitepose
wlitepose_s         coco      448x448  3.6   5.8 ptflops 57.7 78.2 63.0 *wlitepose
wlitepose_s         test-dev  448x448  3.6   5.8 ptflops 57.4 79.1 62.4 *wlitepose
wlitepose_s         crowdpose 448x448  3.6   5.8 ptflops 59.6 82.3 63.5 *wlitepose
lite_hrnet_30       coco      256x256  1.8   2.4 ptflops 37.1 65.3 36.5 *unknown
lite_hrnet_30       crowdpose 256x256  1.8   2.4 ptflops 41.8 70.6 41.2 *unknown
lite_hrnet_30       crowdpose 448x448  1.8   7.2 ptflops 51.3 78.7 52.4 *unknown
dite_hrnet_30       coco      256x256  1.8   2.4 ptflops 35.6 63.2 34.3 *truncated_unknown
dite_hrnet_30       crowdpose 256x256  1.8   2.4 ptflops 41.6 70.6 40.5 *truncated_unknown
dite_hrnet_30       crowdpose 448x448  1.8   7.2 ptflops 51.0 78.5 52.3 *truncated_unknown
lightweight_openpose test-dev+neck 368x368 4.1 9.0 true 42.7 *openpose
""",
    "HWL paper": """
hwl_mobilenetv3             coco     256x192 3.1 0.58 mmcv 65.8 87.7 74.1 62.6 72.4 72.1
hwl_mobilenetv3             coco     384x288 3.1 1.30 mmcv 69.9 88.8 77.5 66.0 76.7 75.5
hwl_mobilenetv3             test-dev 256x192 3.1 0.58 mmcv 65.3 89.7 73.4 62.6 70.4 71.3
hwl_mobilenetv3             test-dev 384x288 3.1 1.30 mmcv 69.2 90.6 76.9 65.8 74.9 74.7
hwl_mobilenetv3             mpii     256x256 3.1 0.77 mmcv 85.9
simplebaseline_mobilenetv2  coco     256x192 9.6 1.59 mmcv 64.6 87.4 72.3 61.1 71.2 70.7
simplebaseline_mobilenetv2  coco     384x288 9.6 3.57 mmcv 67.3 87.9 74.3 62.8 74.7 72.9
simplebaseline_mobilenetv2  test-dev 256x192 9.6 1.59 mmcv 64.1 89.4 71.8 60.8 69.8 70.1
simplebaseline_mobilenetv2  test-dev 384x288 9.6 3.57 mmcv 66.8 90.0 74.0 62.6 73.3 72.3
simplebaseline_mobilenetv2  mpii     256x256 9.6 2.12 mmcv 85.4
simplebaseline_mobilenetv3  coco     256x192 8.7 1.47 mmcv 65.9 87.8 74.1 62.6 72.2 72.1
simplebaseline_shufflenetv2 coco     256x192 7.6 1.37 mmcv 59.9 85.4 66.3 56.5 66.2 66.4
simplebaseline_shufflenetv2 coco     384x288 7.6 3.08 mmcv 63.6 86.5 70.5 59.5 70.7 69.7
simplebaseline_shufflenetv2 test-dev 256x192 7.6 1.37 mmcv 59.5 87.4 66.0 56.6 64.7 66.0
simplebaseline_shufflenetv2 test-dev 384x288 7.6 3.08 mmcv 62.9 88.5 69.4 58.9 69.3 68.9
simplebaseline_shufflenetv2 mpii     256x256 7.6 1.83 mmcv 82.8
small_hrnet_w16 test-dev 384x288 1.3 1.21 torchstat 55.2 85.8 61.4 51.7 61.2 61.5
lite_hrnet_18   mpii     256x256 1.1 0.27 torchstat 85.9
vipnas_mobilenetv3 coco 256x192 2.8 0.69 mmcv 67.8 87.2 76.0 64.7 74.0 75.2 *vipnas
""",
    "Lite CSW-HRNet paper": """
lite_csw_hrnet_18 coco     256x192 0.9 0.20 torchstat1000 64.2 86.6 71.8 61.4 70.1 70.5
lite_csw_hrnet_18 coco     384x288 0.9 0.45 torchstat1000 67.2 87.3 74.3 64.1 73.3 73.1
lite_csw_hrnet_18 test-dev 256x192 0.9 0.20 torchstat1000 63.7 86.7 71.1 61.3 68.5 69.7
lite_csw_hrnet_18 test-dev 384x288 0.9 0.45 torchstat1000 66.6 89.5 74.2 63.7 71.8 72.4
lite_hrnet_18     coco     256x192 1.1 0.28 torchstat1000 64.1 86.1 71.3 60.9 71.4 69.9 *unknown
lite_hrnet_18     coco     384x288 1.1 0.46 torchstat1000 66.2 87.3 74.1 62.4 72.1 72.3
lite_hrnet_18     test-dev 256x192 1.1 0.28 torchstat1000 64.1 86.4 71.3 60.9 71.4 69.9 *unknown
lite_hrnet_18     test-dev 384x288 1.1 0.46 torchstat1000 66.2 89.4 74.2 63.7 72.4 71.3
simplebaseline_mobilenetv2  coco     256x192 9.6 1.48 mmcv 63.3 86.4 70.9 60.0 69.6 69.5 *gibi
simplebaseline_mobilenetv2  test-dev 384x288 9.6 3.38 mmcv 66.1 89.2 73.3 62.4 71.2 71.4 *gibi_3.33
simplebaseline_shufflenetv2 coco     256x192 7.6 1.28 mmcv 59.9 85.4 66.5 56.2 66.2 66.4 *gibi
simplebaseline_shufflenetv2 test-dev 384x288 7.6 2.87 mmcv 62.9 86.4 69.4 58.9 69.3 68.9 *gibi
simplebaseline_resnet50 coco     256x192 34.0  8.90 hrnet 70.4 88.6 78.3 67.1 77.2 76.3 *resnet50
hrnet_w32               coco     256x192 28.5  7.10 hrnet 73.4 89.5 80.7 70.2 80.1 78.9 *rounded
hrnet_w32               test-dev 384x288 28.5 16.00 hrnet 74.9 92.5 82.8 71.3 80.9 80.1 *rounded
small_hrnet_w16 coco     256x192 1.3 0.34 torchstat 55.2 80.4 61.0 53.3 61.0 62.1 *small
small_hrnet_w16 test-dev 384x288 1.3 1.21 torchstat 55.3 82.0 61.5 52.1 61.5 61.2
""",
    "Lightweight HRNet paper": """
efficient_hrnet_h0  test-dev 512x512 23.3 25.6 higher 64.0
efficient_hrnet_hm1 test-dev 480x480 16.0 14.2 higher 59.1 *truncated
efficient_hrnet_hm2 test-dev 448x448 10.3  7.7 higher 52.8 *truncated
efficient_hrnet_hm3 test-dev 416x416  6.9  4.2 higher 44.5 *truncated
efficient_hrnet_hm4 test-dev 384x384  3.7  2.1 higher 35.5 *truncated
lightweight_openpose coco+neck 368x368 4.1 9.0 true 42.8 *openpose_subset
""",
    "Lightweight HRNet paper, without CEM": """
lightweight_hrnet_r0  coco     512x512 13.2 15.6 higher 55.2
lightweight_hrnet_r0  test-dev 512x512 13.2 15.6 higher 54.9
lightweight_hrnet_rm1 coco     480x480  8.8  9.3 higher 49.0
lightweight_hrnet_rm1 test-dev 480x480  8.8  9.3 higher 48.5
lightweight_hrnet_rm2 coco     448x448  5.9  5.5 higher 45.4
lightweight_hrnet_rm2 test-dev 448x448  5.9  5.5 higher 45.7
""",
    "Lightweight HRNet paper, with CEM": """
lightweight_hrnet_rm2 coco     448x448 5.9 5.5 higher 46.6
lightweight_hrnet_rm2 test-dev 448x448 5.9 5.5 higher 46.6
""",
    "EL-HRNet paper": """
el_hrnet_w32            coco     256x192  5.0 2.00 hrnet 67.1 86.4 74.2 65.3 72.0 74.9
el_hrnet_w32            test-dev 256x192  5.0 2.00 hrnet 67.7 89.7 75.5 65.5 72.2 74.4
el_hrnet_w32            mpii     256x256  5.0 2.66 hrnet 87.7
simplebaseline_resnet50 test-dev 256x192 34.0 8.90 hrnet 70.0 90.9 77.9 66.8 75.8 75.6 *sbl50
""",
}


class SpeedTable(NamedTuple):
    """Speeds of one source. `rows` has one line per model: name, input size, a value per device."""

    source: str
    unit: str
    devices: tuple[str, ...]
    rows: str


SPEEDS = (
    SpeedTable(
        "RTMPose repository",
        "ms",
        (
            "Intel i7-11700, ONNX Runtime",
            "NVIDIA GTX 1660 Ti, TensorRT, float16",
            "Qualcomm Snapdragon 865, ncnn, float16",
        ),
        """
rtmpose_t  256x192   3.20  1.06   9.02
rtmpose_s  256x192   4.48  1.39  13.89
rtmpose_m  256x192  11.06  2.29  26.44
rtmpose_l  256x192  18.85  3.46  45.37
""",
    ),
    SpeedTable(
        "WLitePose paper, Tables I to III",
        "ms",
        ("Qualcomm Snapdragon 855 GPU",),
        """
litepose_xs           256x256   27
litepose_s            448x448   76
wlitepose_xs          256x256   29
wlitepose_s           448x448   81
efficient_hrnet_hm2   448x448  182
efficient_hrnet_hm3   416x416  132
lightweight_openpose  368x368   97
""",
    ),
    SpeedTable(
        "HWL paper, Table V",
        "FPS",
        ("NVIDIA GTX 1650Ti (notebook)", "Intel Core i7-10750H"),
        """
simplebaseline_mobilenetv2   256x192  57.6  19.3
simplebaseline_shufflenetv2  256x192  51.8  20.2
vipnas_mobilenetv3           256x192  22.6   4.6
lite_hrnet_18                256x192  12.8  10.3
lite_hrnet_30                256x192   7.5   6.2
hwl_mobilenetv3              256x192  55.2  18.3
""",
    ),
)
