"""docs/zoo.md, generated: fresh, whole, and nothing in it differs without a reason."""

import re

import pytest

from jaxpose import models, summary
from jaxpose.summary import document, zoo


@pytest.fixture(scope="module")
def written(repository):
    return (repository / "docs" / "zoo.md").read_text()


@pytest.mark.slow
def test_document_and_table_are_what_the_commands_print(written):
    """All in one test, since both count every network, which takes most of the time."""
    assert written == document.document() + "\n", f"stale: {document.COMMAND}"
    for name in models.list_models():
        for row in models.info(name).published:
            ours = summary.count(name, row.input_size, row.num_keypoints)
            assert document.agrees(ours, row) or row.note, f"{name}: {row}"
    table = zoo.zoo_table()
    assert all(name in table for name in models.list_models())
    assert "5,426,380,800" in table


def test_document_has_every_model_row_and_convention(written):
    """Fast, because nothing is counted."""
    stale = f"stale: {document.COMMAND}"
    for name in models.list_models():
        info = models.info(name)
        assert f"## {info.paper}\n" in written, stale
        sizes = re.findall(rf"^\| `{name}` \| \d+x\d+ \| \d+ \|.*$", written, flags=re.MULTILINE)
        assert len(sizes) >= 1, stale
        for row in info.published:
            size = "{}x{}".format(*row.input_size)
            assert any(
                line.startswith(f"| `{name}` | {size} | {row.num_keypoints} |")
                and f" | {row.convention} | {row.source} |" in line
                for line in sizes
            ), stale
    tables = [
        [cells for name in models.list_models() for cells in rows(name)]
        for rows in (
            lambda name: document.score_rows(models.info(name)),
            document.speed_rows,
        )
    ]
    for cells in (cells for table in tables for cells in table):
        assert f"| {' | '.join(cells)} |\n" in written, stale
    explained = set(re.findall(r"^\* `(\w+)`:", written, flags=re.MULTILINE))
    assert explained == set(summary.CONVENTIONS)


@pytest.mark.slow
def test_document_has_the_counts_of_the_papers_networks(written):
    for name, size, keypoints in (
        ("el_hrnet_w32", (256, 192), 17),
        ("lightweight_hrnet_rm2", (448, 448), 17),
        ("hwl_mobilenetv3", (256, 256), 16),
    ):
        ours = summary.count(name, size, keypoints)
        cells = f"`{name}` | {size[0]}x{size[1]} | {keypoints} | {ours.params:,} | {ours.macs:,}"
        assert cells in written, f"stale: {document.COMMAND}"


def test_scores_and_speeds_are_those_of_the_papers(written):
    """Rows of the papers' tables, typed from their text."""
    for line in (
        # HWL, Tables I and II
        "| `hwl_mobilenetv3` | 256x192 | coco | AP 65.8 | 87.7 | 74.1 | 62.6 | 72.4 | 72.1 | HWL",
        "| `hwl_mobilenetv3` | 384x288 | coco test-dev | AP 69.2 | 90.6 | 76.9 | 65.8 | 74.9 |",
        # WLitePose, Tables III to V
        "| `wlitepose_s` | 448x448 | crowdpose | AP 59.6 | 82.3 | 63.5 | - | - | - | WLitePose",
        "| `dite_hrnet_30` | 256x256 | coco | AP 35.6 | 63.2 | 34.3 | - | - | - | WLitePose",
        "| `lite_hrnet_30` | 448x448 | crowdpose | AP 51.3 | 78.7 | 52.4 |",
        # Lite CSW-HRNet, Table 2; EL-HRNet, Tables 2 and 4
        "| `lite_csw_hrnet_18` | 384x288 | coco | AP 67.2 | 87.3 | 74.3 | 64.1 | 73.3 | 73.1 |",
        "| `el_hrnet_w32` | 256x192 | coco | AP 67.1 | 86.4 | 74.2 | 65.3 | 72.0 | 74.9 | EL-HRNet",
        "| `el_hrnet_w32` | 256x256 | mpii | PCKh 87.7 | - | - | - | - | - | EL-HRNet",
        # Lightweight HRNet, Table V
        "| `lightweight_hrnet_rm1` | 480x480 | coco test-dev | AP 48.5 | - |",
        # WLitePose, Table III; HWL, Table V
        "| `efficient_hrnet_hm3` | 416x416 | 132 ms | Qualcomm Snapdragon 855 GPU | WLitePose",
        "| `vipnas_mobilenetv3` | 256x192 | 4.6 FPS | Intel Core i7-10750H | HWL paper, Table V",
    ):
        assert f"\n{line}" in written, line


def test_agreement_is_at_the_printed_digits():
    ours = summary.count("hwl_mobilenetv3")  # 3.08 M, 0.58 G
    (row, *_) = models.info("hwl_mobilenetv3").published
    assert document.agrees(ours, row)
    assert document.agrees(ours, row._replace(params=None, gflops=0.5787))
    assert not document.agrees(ours, row._replace(params=3.0))
    assert not document.agrees(ours, row._replace(gflops=0.57))
