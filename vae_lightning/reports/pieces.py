"""What a picture file is made of, told from its bytes before anything is decoded: a stranger's may take minutes."""

import struct

_MOST_PIECES = 20_000  # chunks of a PNG, or frames and extensions of a GIF: a writer makes one of many kilobytes
_SHORTEST = 64  # bytes of a block of a GIF on average, where there are many: a writer fills them with 255


def check_png(content: bytes) -> None:
    """Raise a ValueError if the file has more chunks than any writer makes, each of which takes its time."""
    place, num_chunks = 8, 0
    while place + 8 <= len(content):
        place += 12 + int.from_bytes(content[place : place + 4], "big")
        num_chunks += 1
        if num_chunks > _MOST_PIECES:
            raise ValueError(f"more than {_MOST_PIECES:,} chunks")


def gif_extent(content: bytes) -> tuple[int, int, int]:
    """The number of frames, and the width and height of the canvas that holds them all.

    Raises:
        ValueError: more frames or blocks than any writer makes.
        IndexError, struct.error: it ends within a block.
    """
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    place = 13 + _palette_length(flags)
    num_frames = num_pieces = num_blocks = 0
    while place < len(content) and content[place] != 0x3B:
        num_pieces += 1
        if content[place] == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", content, place + 1)
            width, height = max(width, left + wide), max(height, top + high)
            place += 11 + _palette_length(flags)
            num_frames += 1
        elif content[place] == 0x21:
            place += 2
        else:
            raise ValueError("a block of no known kind")
        while length := content[place]:
            place += 1 + length
            num_blocks += 1
            if num_blocks > _MOST_PIECES + len(content) // _SHORTEST:
                raise ValueError("blocks of a few bytes each")
        place += 1
        if num_pieces > _MOST_PIECES:
            raise ValueError(f"more than {_MOST_PIECES:,} frames and extensions")
    return num_frames, width, height


def _palette_length(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
