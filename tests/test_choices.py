"""The nearest of the names there are."""

import pytest

from jaxpose import choices

FIELDS = ("short", "long")


@pytest.mark.parametrize(
    "value,said",
    [
        ("shrot", "did you mean 'short'? choose from short, long"),
        ("whole", "did you mean 'short'? choose from short, long"),  # a guess, beside the list
        ("?", "choose from short, long"),
        (5, "choose from short, long"),
    ],
)
def test_choose_from(value, said):
    assert choices.choose_from(value, iter(FIELDS)) == said


def test_of_many_choices_the_nearest_is_enough():
    many = [f"network_{n}" for n in range(30)]
    assert choices.choose_from("netwrk_7", many) == "did you mean 'network_7'?"
    assert choices.choose_from("?", many).startswith("choose from network_0, network_1, ")


def test_did_you_mean():
    assert choices.did_you_mean("shrot", FIELDS, before="; ") == "; did you mean 'short'?"
    assert choices.did_you_mean("whole", FIELDS, before="; ") == ""
    assert choices.did_you_mean(3, (2, 4, 31), after=" ") == "did you mean '31'? "


def test_nearest_of_none():
    assert choices.nearest("short", ()) is None
    assert choices.nearest("xyz", FIELDS, cutoff=0) in FIELDS
