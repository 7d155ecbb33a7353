"""How far apart colours are for people who see them all, and for those who don't."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from PIL import ImageColor

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009),
# severity 1.0: on linear RGB.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def least_difference(colours: Sequence[str], sight: str) -> float:
    """Delta E, CIEDE2000, of the two colours that are nearest; 1 is just seen, side by side."""
    seen = [_lab(np.clip(SIGHTS[sight] @ _linear(colour), 0, 1)) for colour in colours]
    return min(_difference(one, other) for one, other in combinations(seen, 2))


def contrast(one: str, other: str) -> float:
    """The ratio of luminances, from 1 to 21, as WCAG defines it."""
    low, high = sorted(float(_TO_XYZ[1] @ _linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _linear(colour: str) -> np.ndarray:
    levels = np.array(ImageColor.getrgb(colour)) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    relative = _TO_XYZ @ linear / _WHITE
    x, y, z = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """CIEDE2000, in the words of Sharma, Wu and Dalal (2005)."""
    (lightness_1, a_1, b_1), (lightness_2, a_2, b_2) = one, other
    mean_chroma = (np.hypot(a_1, b_1) + np.hypot(a_2, b_2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean_chroma**7 / (mean_chroma**7 + 25**7))
    chroma_1, chroma_2 = np.hypot(stretch * a_1, b_1), np.hypot(stretch * a_2, b_2)
    hue_1, hue_2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a_1, b_1), (a_2, b_2)))
    turn = (hue_2 - hue_1 + 180) % 360 - 180
    lightness, chroma, hue = (lightness_1 + lightness_2) / 2, (chroma_1 + chroma_2) / 2, hue_1 + turn / 2
    by_hue = 1 + sum(
        weight * np.cos(np.radians(times * hue + shift))
        for weight, times, shift in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    )
    blue = np.radians(60 * np.exp(-((((hue - 275 + 180) % 360 - 180) / 25) ** 2)))
    rotation = -2 * np.sin(blue) * np.sqrt(chroma**7 / (chroma**7 + 25**7))
    by_lightness = 0.015 * (lightness - 50) ** 2
    in_lightness = (lightness_2 - lightness_1) / (1 + by_lightness / np.sqrt(20 + (lightness - 50) ** 2))
    in_chroma = (chroma_2 - chroma_1) / (1 + 0.045 * chroma)
    in_hue = 2 * np.sqrt(chroma_1 * chroma_2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * by_hue)
    return float(np.sqrt(in_lightness**2 + in_chroma**2 + in_hue**2 + rotation * in_chroma * in_hue))
