"""Short texts on dark translucent pills."""

from functools import lru_cache

import cv2
import numpy as np

from edgepose.pose.draw_layer import Image

_BACKGROUND = (40, 28, 24)
_TEXT = (255, 255, 255)
_OPACITY = 0.62
_SMOOTHING = 4  # drawn this much larger, then made smaller


@lru_cache(maxsize=256)
def pill(text: str, height: int) -> tuple[Image, Image]:
    """Colour [height, w, 3] and opacity [height, w] of ``text`` on a pill; do not alter them."""
    tall = height * _SMOOTHING
    size, weight = 0.62 * tall, 600
    font = cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None  # OpenCV 5 has real fonts
    if font:
        (_, _, text_width, _) = cv2.getTextSize((1, 1), text, (0, 0), font, round(size), weight)
    else:
        scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_DUPLEX, round(0.44 * tall), 1)
        stroke = max(1, round(scale))
        ((text_width, _), _) = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, stroke)
    wide = -(-max(tall, text_width + round(0.62 * tall)) // _SMOOTHING) * _SMOOTHING
    color = np.full((tall, wide, 3), _BACKGROUND, np.uint8)
    opacity = np.zeros((tall, wide), np.uint8)
    radius = tall // 2
    cv2.rectangle(opacity, (radius, 0), (wide - radius - 1, tall), 255, -1)
    for x in (radius, wide - radius - 1):
        cv2.circle(opacity, (x, radius), radius, 255, -1)
    start = ((wide - text_width) // 2, round(0.5 * tall + 0.225 * tall))
    glyphs = np.zeros((tall, wide, 3), np.uint8)
    if font:
        cv2.putText(glyphs, text, start, (255, 255, 255), font, round(size), weight)
    else:
        cv2.putText(
            glyphs, text, start, cv2.FONT_HERSHEY_DUPLEX, scale, (255,) * 3, stroke, cv2.LINE_AA
        )
    ink = glyphs[..., :1].astype(np.float32) / 255
    color = np.rint(color * (1 - ink) + np.array(_TEXT) * ink).astype(np.uint8)
    dense = np.maximum(opacity * _OPACITY, glyphs[..., 0] * 0.95)
    small = (wide // _SMOOTHING, height)
    return (
        cv2.resize(color, small, interpolation=cv2.INTER_AREA),
        cv2.resize(np.rint(dense).astype(np.uint8), small, interpolation=cv2.INTER_AREA),
    )
