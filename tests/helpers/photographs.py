"""JPEG files as cameras write them, some with an EXIF orientation."""

import struct

import cv2
import numpy as np


def with_orientation(data, orientation, order="<"):
    """A JPEG file with an EXIF segment that holds the orientation alone.

    Args:
      data: the file without that segment.
      orientation: 1 to 8; 6 is a rotation by 90 degrees.
      order: byte order, "<" or ">".
    """
    head = {"<": b"II*\0\x08\0\0\0", ">": b"MM\0*\0\0\0\x08"}[order]
    tiff = head + struct.pack(f"{order}HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    return data[:2] + segment + data[2:]


def photograph(path, turned=False, orientation=6):
    """A JPEG of 90x60 random blocks; if `turned`, with an EXIF orientation (6: 90 degrees)."""
    blocks = np.random.default_rng(3).integers(0, 255, (6, 9, 3), np.uint8)
    image = cv2.resize(blocks, (90, 60), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    path.write_bytes(with_orientation(data, orientation) if turned else data)
