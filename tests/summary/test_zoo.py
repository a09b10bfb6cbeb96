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
    rows = re.findall(r"^\| `(\w+)` \|", written, flags=re.MULTILINE)
    published = {name: models.info(name).published for name in models.list_models()}
    assert sorted(rows) == sorted(
        name for name in published for _ in range(max(1, len(published[name])))
    )
    for name in published:
        assert f"## {models.info(name).paper}\n" in written, f"stale: {document.COMMAND}"
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


def test_agreement_is_at_the_printed_digits():
    ours = summary.count("hwl_mobilenetv3")  # 3.08 M, 0.58 G
    (row, *_) = models.info("hwl_mobilenetv3").published
    assert document.agrees(ours, row)
    assert document.agrees(ours, row._replace(params=None, gflops=0.5787))
    assert not document.agrees(ours, row._replace(params=3.0))
    assert not document.agrees(ours, row._replace(gflops=0.57))
