"""Samples of any time for a running Prometheus, by its remote-write protocol (version 1.0)."""

import struct
from collections.abc import Iterable, Mapping, Sequence

import requests

Samples = Sequence[tuple[int, float]]
"""Of one series: (Unix time in milliseconds, value), in order of time."""
SERIES_A_REQUEST = 200


def write(url: str, series: Iterable[tuple[Mapping[str, str], Samples]]) -> None:
    """Store series, each its labels (`__name__` among them) and samples, and return when all can be asked for.

    The server needs --web.enable-remote-write-receiver, and storage.tsdb.out_of_order_time_window for times before its
    newest. Raises AssertionError with its message if it refuses some.
    """
    encoded = [_field(1, _series(labels, samples)) for labels, samples in series]
    headers = {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    with requests.Session() as session:
        for start in range(0, len(encoded), SERIES_A_REQUEST):
            body = _snappy(b"".join(encoded[start : start + SERIES_A_REQUEST]))
            answer = session.post(f"{url}/api/v1/write", data=body, headers=headers, timeout=120)
            assert answer.status_code in (200, 204), answer.text


def _series(labels: Mapping[str, str], samples: Samples) -> bytes:
    # TimeSeries: labels = 1 {name = 1, value = 2}, samples = 2 {value = 1 (double), timestamp = 2 (int64)}.
    parts = [
        _field(1, _field(1, name.encode()) + _field(2, labels[name].encode()))
        for name in sorted(labels)
        if labels[name]
    ]
    for milliseconds, value in samples:
        sample = b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(milliseconds)
        parts.append(b"\x12" + bytes([len(sample)]) + sample)
    return b"".join(parts)


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _snappy(payload: bytes) -> bytes:
    """Return the payload in the block format of Snappy as one literal: valid, and not compressed."""
    return _varint(len(payload)) + b"\xfc" + struct.pack("<I", len(payload) - 1) + payload
