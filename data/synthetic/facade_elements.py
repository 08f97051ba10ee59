"""Windows, doors, balconies and the other parts of a synthetic facade, one function each.

Every function takes the painter and a box (left, top, right, bottom) in parts of the image.
"""

import numpy as np

from data.synthetic.facade_rendering import (
    BACKGROUND,
    BALCONY,
    BLIND,
    CORNICE,
    DECO,
    DOOR,
    MOLDING,
    PILLAR,
    SHOP,
    SILL,
    WINDOW,
    arch,
    ellipse,
    gable,
)


def window(p, box, panes, *, arched=False) -> None:
    mask = arch if arched else None
    p.glass(box, WINDOW, mask)
    p.bars(box, *panes, 0.0075, p.materials.frame, mask)


def surround(p, box, width: float, *, arched=False) -> None:
    """Molding: a raised frame around a window."""
    x0, y0, x1, y1 = box
    outer = (x0 - width, y0 - width, x1 + width, y1)
    p.relief(outer, MOLDING, p.materials.trim, 0.006, arch if arched else None)


def sill(p, box) -> None:
    p.relief(box, SILL, np.minimum(p.materials.trim * 1.04, 1), 0.012)


def shutter(p, box) -> None:
    """Blind: one louvred leaf beside a window."""
    p.relief(box, BLIND, p.materials.accent, 0.008)
    x0, y0, x1, y1 = box
    border = 0.18 * (x1 - x0)
    p.stripes((x0 + border, y0 + border, x1 - border, y1 - border), 0.016, 0.7, vertical=False)


def roller(p, box) -> None:
    """Blind: slats in front of the upper part of a window."""
    p.fill(box, BLIND, np.array([0.80, 0.78, 0.72], np.float32) * 0.7 + p.materials.accent * 0.2)
    p.stripes(box, 0.016, 0.84, vertical=False)
    x0, _, x1, y1 = box
    p.shadow((x0, y1 - 0.008, x1, y1), 0.01)
    p.fill((x0, y1 - 0.008, x1, y1), BLIND, np.array([0.42, 0.42, 0.42], np.float32))


def balcony(p, box) -> None:
    """Railing on a slab; between the bars of an open railing the wall stays visible."""
    x0, y0, x1, y1 = box
    slab = min(0.014, (y1 - y0) / 3)
    p.shadow((x0, y1 - slab, x1, y1 + 0.01), 0.022)
    rows, columns = p.window_of(box)
    fill, metal = p.materials.rail_fill, p.materials.metal
    behind = p.image[rows, columns] * 0.88
    p.labels[rows, columns] = BALCONY
    p.image[rows, columns] = behind * (1 - fill) + metal * fill
    view = p.image[rows, columns]
    step = max(3, round(p.materials.rail_pitch * p.side))
    for start in range(max(1, step // 3)):
        view[:, start::step] = metal
    rail = max(1, round(0.009 * p.side))
    view[:rail] = np.minimum(metal * 1.1, 1)
    p.fill((x0 - 0.004, y1 - slab, x1 + 0.004, y1), BALCONY, p.materials.trim * 0.92)
    p.tone((x0 - 0.004, y1 - slab / 2, x1 + 0.004, y1), 0.72)


def ornament(p, box) -> None:
    """Deco: a raised panel with a rosette."""
    trim = p.materials.trim
    p.relief(box, DECO, trim * 0.97, 0.007)
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    p.tone((x0 + 0.1 * w, y0 + 0.18 * h, x1 - 0.1 * w, y1 - 0.18 * h), 0.84)
    radius = 0.36 * min(w, h)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    for k in (-1, 0, 1) if w > 2.2 * h else (0,):
        x = cx + k * w * 0.28
        p.fill((x - radius, cy - radius, x + radius, cy + radius), DECO, trim, ellipse)


def pediment(p, box) -> None:
    """Deco: a low gable above a window."""
    p.shadow((box[0], box[3] - 0.006, box[2], box[3]), 0.008)
    p.fill(box, DECO, p.materials.trim, gable)
    x0, y0, x1, y1 = box
    w, h = 0.2 * (x1 - x0), 0.3 * (y1 - y0)
    p.fill((x0 + w, y0 + h, x1 - w, y1 - h / 2), DECO, p.materials.trim * 0.8, gable)


def beam(p, box, mask) -> None:
    """Deco: a diagonal timber."""
    p.fill(box, DECO, p.materials.trim * 1.08, mask)


def cornice(p, box, *, dentils=True) -> None:
    x0, y0, x1, y1 = box
    p.relief(box, CORNICE, p.materials.trim, 0.024)
    height = y1 - y0
    p.tone((x0, y0 + 0.35 * height, x1, y0 + 0.55 * height), 0.8)
    if dentils:
        p.stripes((x0, y0 + 0.6 * height, x1, y1), 0.022, 0.66, vertical=True)


def belt(p, box) -> None:
    """Molding: a narrow string course."""
    p.relief(box, MOLDING, p.materials.trim * 0.98, 0.008)


def pillar(p, box, *, round_shaft=True) -> None:
    x0, y0, x1, y1 = box
    p.relief(box, PILLAR, p.materials.trim, 0.01)
    if round_shaft:
        rows, columns = p.window_of(box)
        width = p.labels[rows, columns].shape[1]
        across = np.linspace(-1, 1, width, dtype=np.float32) - 0.5 * p.light.side
        p.image[rows, columns] *= (1.06 - 0.20 * across**2)[None, :, None]
        cap = min(0.022, (y1 - y0) / 6)
        for y in (y0, y1 - cap):
            p.fill((x0 - 0.006, y, x1 + 0.006, y + cap), PILLAR, p.materials.trim)
            p.tone((x0 - 0.006, y + 0.6 * cap, x1 + 0.006, y + cap), 0.75)


def door(p, box, *, arched=False) -> None:
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    rim = 0.1 * w
    frame = (x0 - rim, y0 - rim, x1 + rim, y1)
    p.relief(frame, MOLDING, p.materials.trim, 0.01, arch if arched else None)
    p.fill(box, DOOR, p.materials.accent * 0.85, arch if arched else None)
    p.glass((x0 + 0.16 * w, y0 + 0.14 * h, x1 - 0.16 * w, y0 + 0.3 * h), DOOR)
    for left in (0.12, 0.56):
        for top, bottom in ((0.38, 0.62), (0.68, 0.92)):
            panel = (x0 + left * w, y0 + top * h, x0 + (left + 0.32) * w, y0 + bottom * h)
            p.tone(panel, 0.72)
            p.tone((panel[0], panel[3] - 0.006, panel[2], panel[3]), 1.5)
    p.tone((x0 + 0.48 * w, y0 + 0.34 * h, x0 + 0.52 * w, y1), 0.6)
    p.fill((x0 - rim, y1 - 0.012, x1 + rim, y1), DOOR, np.array([0.55, 0.54, 0.52], np.float32))


def shop(p, box, *, awning=False) -> None:
    """Shop front: sign above glass above a low base, or a striped awning."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    accent = p.materials.accent
    p.fill(box, SHOP, accent * 0.9)
    pane = (x0 + 0.05 * w, y0 + 0.28 * h, x1 - 0.05 * w, y1 - 0.14 * h)
    p.glass(pane, SHOP)
    rows, columns = p.window_of(pane)
    glow = np.linspace(0.02, 0.26, p.labels[rows, columns].shape[0], dtype=np.float32)
    p.image[rows, columns] += glow[:, None, None] * np.array([1.0, 0.82, 0.55], np.float32)
    for _ in range(max(2, int(w * 18))):  # goods in the window
        x, height = p.rng.uniform(pane[0], pane[2] - 0.03), p.rng.uniform(0.03, 0.08)
        goods = p.rng.uniform(0.2, 0.9, 3).astype(np.float32)
        p.fill((x, pane[3] - height, x + 0.022, pane[3]), SHOP, goods)
    p.bars(pane, max(1, round(w / 0.14)), 1, 0.008, accent * 0.7)
    p.relief((x0, y0, x1, y0 + 0.22 * h), SHOP, accent, 0.014)
    ink = np.array([0.93, 0.88, 0.74], np.float32)
    x = x0 + 0.2 * w
    while x < x1 - 0.2 * w:  # the lettering of the sign
        letter = p.rng.uniform(0.008, 0.018)
        p.fill((x, y0 + 0.07 * h, x + letter, y0 + 0.15 * h), SHOP, ink)
        x += letter + p.rng.uniform(0.006, 0.016)
    if awning:
        cloth = (x0 - 0.008, y0 + 0.2 * h, x1 + 0.008, y0 + 0.42 * h)
        p.shadow(cloth, 0.03)
        p.fill(cloth, SHOP, np.array([0.92, 0.90, 0.85], np.float32))
        p.stripes(cloth, 0.05, accent * 0.95, vertical=True)
        p.tone((cloth[0], cloth[3] - 0.012, cloth[2], cloth[3]), 0.85)


def street(p, ground: float) -> None:
    """Background: pavement, kerb and carriageway."""
    p.fill((0, ground, 1, 1), BACKGROUND, np.array([0.58, 0.57, 0.55], np.float32))
    p.stripes((0, ground, 1, 1), 0.11, 0.985, vertical=True)
    p.shadow((0, ground - 0.02, 1, ground + 0.006), 0.01)
    kerb = ground + 0.45 * (1 - ground)
    p.fill((0, kerb, 1, kerb + 0.008), BACKGROUND, np.array([0.72, 0.71, 0.68], np.float32))
    p.fill((0, kerb + 0.008, 1, 1), BACKGROUND, np.array([0.27, 0.28, 0.30], np.float32))


def neighbour(p, box) -> None:
    """Background: the plain house next door."""
    grey = p.rng.uniform(0.35, 0.62) + p.rng.uniform(-0.05, 0.05, 3)
    p.fill(box, BACKGROUND, grey.astype(np.float32))
    p.tone((box[0], box[1], box[2], box[1] + 0.015), 0.75)
    x0, y0, x1, y1 = box
    for y in np.arange(y0 + 0.06, y1 - 0.1, p.rng.uniform(0.11, 0.16)):
        p.tone((x0 + 0.25 * (x1 - x0), y, x0 + 0.75 * (x1 - x0), y + 0.06), 0.5)


def roof(p, box, mask=None) -> None:
    """Background: tiles or slates; a mansard or, with a mask, a gable."""
    p.fill(box, BACKGROUND, p.materials.roof, mask)
    x0, y0, x1, y1 = box
    if mask is None:
        p.stripes(box, 0.018, 0.86, vertical=False)
        p.tone((x0, y0, x1, y0 + 0.01), 1.2)
