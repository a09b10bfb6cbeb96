"""All common kinds of image files are decoded to RGB, or refused with a reason."""

import os
import struct

import cv2
import numpy as np
import pytest

from jaxpose import geometry, images
from tests.helpers.photographs import with_orientation

RAMP = np.tile(np.arange(0, 250, 10, dtype=np.uint8)[None, :, None], (20, 1, 3))
RED = np.zeros((24, 32, 3), np.uint8)
RED[..., 2] = 200  # cv2 writes BGR


def encode(image, kind=".png", options=()):
    return cv2.imencode(kind, image, list(options))[1].tobytes()


def cmyk_jpeg(components):
    """A JPEG of 8x8 pixels with four flat components (0..255), written bit by bit: each block is
    one DC difference of a Huffman table with one entry per size, then end-of-block."""
    quantization = b"\xff\xdb" + struct.pack(">HB", 67, 0) + b"\x01" * 64
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 8 + 12, 8, 8, 8, 4)
    frame += b"".join(bytes([k + 1, 0x11, 0]) for k in range(4))
    sizes = bytes([0, 0, 0, 12] + [0] * 12)  # twelve codes of four bits
    dc = b"\xff\xc4" + struct.pack(">HB", 2 + 1 + 16 + 12, 0x00) + sizes + bytes(range(12))
    ac = b"\xff\xc4" + struct.pack(">HB", 2 + 1 + 16 + 1, 0x10) + bytes([1] + [0] * 15) + b"\x00"
    scan = b"\xff\xda" + struct.pack(">HB", 6 + 8, 4)
    scan += b"".join(bytes([k + 1, 0]) for k in range(4)) + b"\x00\x3f\x00"
    bits = ""
    for value in components:
        level = (value - 128) * 8
        size = abs(level).bit_length()
        bits += format(size, "04b")
        if size:
            bits += format(level if level > 0 else level + (1 << size) - 1, f"0{size}b")
        bits += "0"  # end of block
    bits += "1" * (-len(bits) % 8)
    data = bytes(int(bits[k : k + 8], 2) for k in range(0, len(bits), 8))
    data = data.replace(b"\xff", b"\xff\x00")
    adobe = b"\xff\xee" + struct.pack(">H", 14) + b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0)
    return b"\xff\xd8" + adobe + quantization + frame + dc + ac + scan + data + b"\xff\xd9"


def test_colors_are_rgb():
    assert images.decode(encode(RED))[0, 0].tolist() == [200, 0, 0]
    r, g, b = images.decode(encode(RED, ".jpg"))[0, 0].astype(int)
    assert r > 190 and g < 10 and b < 10


def test_gray_and_sixteen_bit():
    np.testing.assert_array_equal(images.decode(encode(RAMP[..., 0])), RAMP)
    np.testing.assert_array_equal(images.decode(encode(RAMP.astype(np.uint16) * 257)), RAMP)


def test_transparent_and_one_pixel():
    transparent = np.dstack([RED, np.zeros(RED.shape[:2], np.uint8)])
    assert images.decode(encode(transparent)).shape == (24, 32, 3)
    assert images.decode(encode(RED[:1, :1], ".jpg")).shape == (1, 1, 3)


def test_cmyk():
    # Adobe files hold inverted ink: 255 is no ink.
    white = images.decode(cmyk_jpeg([255, 255, 255, 255]))
    assert white.shape == (8, 8, 3) and white.min() > 240
    assert images.decode(cmyk_jpeg([255, 255, 255, 5])).max() < 15
    red = images.decode(cmyk_jpeg([255, 5, 5, 255]))[0, 0]
    assert red[0] > 240 and red[1:].max() < 15


def test_exif_orientation_is_ignored():
    plain = encode(RAMP, ".jpg")
    rotated = with_orientation(plain, 6)  # rotated by 90 degrees
    np.testing.assert_array_equal(images.decode(rotated), images.decode(plain))


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("cut", [1, 40, 0.5])
def test_truncated(kind, cut):
    data = encode(np.repeat(np.repeat(RAMP, 4, 0), 4, 1), kind)
    keep = int(len(data) * cut) if cut < 1 else len(data) - cut
    with pytest.raises(images.ImageError):
        images.decode(data[:keep])


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"{}" * 500, b"\x00" * 100])
def test_not_an_image(data):
    with pytest.raises(images.ImageError):
        images.decode(data)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotated_size_decides_on_the_orientation(orientation):
    data = encode(RED, ".jpg")
    data = with_orientation(data, orientation)
    for size in ((24, 32), None):
        assert images.decode_annotated(data, size).shape == (24, 32, 3)
    upright = images.decode_annotated(data, (32, 24))
    np.testing.assert_array_equal(upright, images.decode(data, upright=True))
    with pytest.raises(images.ImageError, match="is 32x24, annotated as 30x24"):
        images.decode_annotated(data, (24, 30))
    assert not images.is_turned(data, images.decode(data))


def test_orientation_that_keeps_the_size_is_recognized():
    ramp = encode(np.ascontiguousarray(RAMP), ".jpg")
    for orientation, turned in ((1, False), (3, True)):
        data = with_orientation(ramp, orientation)
        assert images.is_turned(data, images.decode(data)) is turned
        assert images.is_turned(data, images.decode(data, upright=True)) is turned
        assert images.exif_orientation(data) == orientation
        assert images.exif_orientation(data[:40]) in (1, orientation)  # cut off
    assert not images.is_turned(ramp, images.decode(ramp))
    on_its_side = with_orientation(ramp, 6)
    stored = images.decode(on_its_side)
    assert stored.shape[0] != stored.shape[1]
    assert not images.is_turned(on_its_side, stored)  # the annotated size decides
    assert images.is_turned(on_its_side, stored, size_stated=False)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_of_square_images_in_both_byte_orders(orientation):
    square = encode(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8), ".jpg")
    for order in "<>":
        data = with_orientation(square, orientation, order)
        assert images.exif_orientation(data) == orientation
        assert images.is_turned(data, images.decode(data)) is (orientation > 1)


def test_dark_images_of_sixteen_bits():
    deep = encode(RAMP[..., 0].astype(np.uint16) * 16)  # 12 bits
    assert images.is_dark_deep(deep, images.decode(deep))
    for other in (encode(RAMP.astype(np.uint16) * 257), encode(np.full_like(RAMP, 3))):
        assert not images.is_dark_deep(other, images.decode(other))


def test_images_that_opencv_cannot_crop_are_refused():
    longest = np.zeros((1, images.LONGEST_SIDE, 3), np.uint8)
    geometry.crop(images.decode(encode(longest)), np.eye(2, 3), (8, 8))
    with pytest.raises(images.ImageError, match="is 32767x1; the longest side may have 32766"):
        images.decode(encode(np.zeros((1, images.LONGEST_SIDE + 1, 3), np.uint8)))


def test_an_image_is_written_to_any_name_or_the_reason_is_given(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")  # not UTF-8
    images.write(path, RED[..., ::-1])
    assert images.decode(path.read_bytes())[0, 0].tolist() == [200, 0, 0]
    with pytest.raises(OSError, match=r"a.png could not be written \(No such file"):
        images.write(tmp_path / "gone" / "a.png", RED)
    with pytest.raises(ValueError, match="a.jpg could not be written: 1x65501 pixels as .jpg"):
        images.write(tmp_path / "a.jpg", np.zeros((65501, 1, 3), np.uint8))
