"""Words in messages."""


def quantity(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, in the plural if the number is not 1.

    Args:
      number: of things.
      noun: singular.
      plural: of the noun; None adds an s.

    >>> quantity(1, "image"), quantity(2, "image"), quantity(0, "person", "people")
    ('1 image', '2 images', '0 people')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def agree(number: int, singular: str, plural: str) -> str:
    """Returns the form of a verb or pronoun that agrees with a number.

    >>> f"{quantity(1, 'image')} {agree(1, 'is', 'are')} left out"
    '1 image is left out'
    """
    return singular if number == 1 else plural
