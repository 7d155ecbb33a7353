"""CRC-32C, the checksum of TensorBoard's events, of many bytes at once: its own takes them one by one, in Python."""

import functools

import numpy as np

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, its bits the other way round
_LANE = 128  # bytes
_SHORT = 8 * 1024  # bytes, up to which a byte at a time is as fast


def masked_crc32c(content: bytes) -> int:
    """The checksum as event files have it: rotated, and moved by a constant."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(content: bytes) -> int:
    """CRC-32C of some bytes (RFC 3720, appendix B.4).

    The bytes of many lanes are taken at once. Checksums are linear: that of all is the sum of the lanes', each moved
    past the lanes behind it, and zeros before the first byte change nothing.
    """
    table = _table()
    if len(content) < _SHORT:
        crc, entries = 0xFFFFFFFF, table.tolist()
        for byte in content:
            crc = entries[(crc ^ byte) & 0xFF] ^ crc >> 8
        return crc ^ 0xFFFFFFFF
    missing = -len(content) % _LANE
    padded = np.frombuffer(bytes(missing) + content, np.uint8).copy()
    padded[missing : missing + 4] ^= 0xFF  # what the checksum of nothing begins with
    lanes = np.zeros(len(padded) // _LANE, np.uint32)
    for column in padded.reshape(-1, _LANE).T.astype(np.uint32):
        lanes = table[(lanes ^ column) & 0xFF] ^ lanes >> 8
    crc, (first, second, third, fourth) = 0, _past_a_lane()
    for lane in lanes.tolist():
        crc = first[crc & 0xFF] ^ second[crc >> 8 & 0xFF] ^ third[crc >> 16 & 0xFF] ^ fourth[crc >> 24] ^ lane
    return crc ^ 0xFFFFFFFF


@functools.cache
def _table() -> np.ndarray:
    crcs: np.ndarray = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crcs = crcs >> 1 ^ np.where(crcs & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return crcs


@functools.cache
def _past_a_lane() -> list[list[int]]:
    """What becomes of each byte of a checksum when a lane of zeros follows."""
    table, crcs = _table(), np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    for _ in range(_LANE):
        crcs = table[crcs & 0xFF] ^ crcs >> 8
    return crcs.tolist()
