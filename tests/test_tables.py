"""Tables as text and as Markdown."""

from jaxpose import tables

ROWS = [
    ("name", "size", "count", "score"),
    ("a", "256x192", "1,234", "-"),
    ("long name", "32x32", "5", "1.50"),
]


def test_numbers_are_flush_right_and_words_flush_left():
    assert tables.text(ROWS).splitlines() == [
        "name       size     count  score",
        "a          256x192  1,234      -",
        "long name  32x32        5   1.50",
    ]
    assert tables.text([("x", "y"), ("nan", "+0.3%"), ("-1.5", "")]).splitlines() == [
        "   x      y",
        " nan  +0.3%",
        "-1.5",
    ]


def test_a_table_without_rows():
    assert tables.text([]) == ""
    assert tables.text([("a", "b")]) == "a  b"


def test_markdown():
    assert tables.markdown(ROWS[:2]).splitlines() == [
        "| name | size | count | score |",
        "| --- | --- | --- | --- |",
        "| a | 256x192 | 1,234 | - |",
    ]
