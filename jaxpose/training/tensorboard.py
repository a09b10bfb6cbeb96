"""Scalars for TensorBoard, written without TensorBoard or TensorFlow.

An event file is a sequence of records (length, masked CRC-32C, bytes, masked CRC-32C), each a
protocol-buffer message `Event`; scalars need five of its fields, so the encoder is shorter than
the import of any package that could do it. Format: tensorflow/core/lib/io/record_writer.h and
tensorflow/core/util/event.proto.
"""

import os
import pathlib
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def _bytes_field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _event(step: int, body: bytes) -> bytes:
    wall_time = bytes([1 << 3 | 1]) + struct.pack("<d", time.time())
    return wall_time + bytes([2 << 3]) + _varint(step) + body


def _summary(scalars: Mapping[str, float]) -> bytes:
    values = b"".join(
        _bytes_field(
            1, _bytes_field(1, tag.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", value)
        )
        for tag, value in scalars.items()
    )
    return _bytes_field(5, values)


class EventWriter:
    """One event file in `folder`.

    Args:
        folder: made when missing.
        purge_from: TensorBoard forgets what earlier files say about this step and later ones, so
            that a resumed run draws one curve.
    """

    def __init__(self, folder: pathlib.Path, purge_from: int = 0):
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = open(folder / name, "wb")
        self._record(_event(0, _bytes_field(3, b"brain.Event:2")))
        started = bytes([1 << 3, 1])  # SessionLog.status = START
        self._record(_event(purge_from, _bytes_field(7, started)))

    def _record(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        self._file.write(length + _masked_crc(length) + data + _masked_crc(data))
        self._file.flush()

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes the numbers among `values` under their names."""
        numbers = {k: float(v) for k, v in values.items() if isinstance(v, int | float)}
        self._record(_event(step, _summary(numbers)))

    def close(self) -> None:
        self._file.close()
