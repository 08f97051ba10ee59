"""The five architectural styles of the synthetic facades as tables of colours and proportions."""

from dataclasses import dataclass

import numpy as np

from data.synthetic import facade_rendering as rendering


@dataclass(frozen=True)
class Style:
    """What the buildings of one style have in common.

    Colours are lists of 8-bit RGB choices; pairs are (lowest, highest); the numbers from `arched`
    on are probabilities that a building (or a floor of it) has that element.
    """

    name: str
    walls: tuple
    trims: tuple
    accents: tuple
    metals: tuple
    frames: tuple
    roofs: tuple
    texture: tuple  # course, block, joint, variation: see Materials
    rail: tuple  # pitch, fill
    floors: tuple
    bays: tuple
    window_width: tuple  # part of a bay
    window_height: tuple  # part of a floor
    panes: tuple  # across, down
    roof_height: tuple  # part of the image; 0 = flat roof
    arched: float
    shop: float
    balcony: float
    shutter: float
    roller: float
    deco: float
    molding: float
    pillar: float
    belt: float  # cornice between floors
    gabled: bool = False


# fmt: off
STYLES = (
    Style(
        "haussmann",
        walls=((226, 211, 178), (214, 203, 180), (232, 221, 196)),
        trims=((238, 228, 204), (226, 218, 200)),
        accents=((60, 84, 74), (92, 44, 40), (44, 58, 92)), metals=((38, 40, 44),),
        frames=((236, 234, 226),), roofs=((92, 104, 122), (78, 90, 110)),
        texture=(0.055, 0.16, 0.84, 0.03), rail=(0.016, 0.0), floors=(4, 5), bays=(4, 6),
        window_width=(0.42, 0.52), window_height=(0.62, 0.74), panes=(2, 3),
        roof_height=(0.08, 0.13),
        arched=0.15, shop=0.7, balcony=0.65, shutter=0.25, roller=0.05, deco=0.35, molding=0.9,
        pillar=0.45, belt=0.6,
    ),
    Style(
        "brick",
        walls=((150, 72, 54), (128, 60, 50), (166, 92, 66)),
        trims=((206, 196, 178), (186, 178, 164)),
        accents=((40, 92, 68), (36, 66, 104), (140, 36, 40)), metals=((30, 30, 32),),
        frames=((232, 230, 224), (52, 58, 56)), roofs=((90, 60, 54),),
        texture=(0.02, 0.05, 1.22, 0.13), rail=(0.022, 0.0), floors=(3, 4), bays=(3, 5),
        window_width=(0.46, 0.58), window_height=(0.5, 0.62), panes=(2, 2), roof_height=(0.0, 0.0),
        arched=0.5, shop=0.75, balcony=0.2, shutter=0.0, roller=0.6, deco=0.3, molding=0.6,
        pillar=0.45, belt=0.3,
    ),
    Style(
        "modern",
        walls=((206, 210, 214), (168, 174, 180), (224, 224, 220)),
        trims=((150, 156, 162), (234, 236, 238)),
        accents=((70, 110, 140), (214, 128, 40), (90, 96, 100)),
        metals=((150, 196, 206), (190, 206, 210)), frames=((54, 58, 64),), roofs=((120, 122, 126),),
        texture=(0.1, 0.2, 0.88, 0.035), rail=(0.05, 0.55), floors=(4, 5), bays=(3, 4),
        window_width=(0.74, 0.88), window_height=(0.5, 0.64), panes=(3, 1), roof_height=(0.0, 0.0),
        arched=0.0, shop=0.8, balcony=0.55, shutter=0.0, roller=0.6, deco=0.2, molding=0.1,
        pillar=0.5, belt=0.25,
    ),
    Style(
        "timber",
        walls=((238, 228, 206), (234, 212, 168), (226, 200, 176)),
        trims=((88, 58, 38), (66, 44, 32)), accents=((62, 104, 62), (138, 42, 34), (70, 92, 118)),
        metals=((96, 66, 44),), frames=((240, 236, 226),), roofs=((162, 82, 56), (132, 72, 56)),
        texture=(0.5, 0.5, 1.0, 0.02), rail=(0.03, 0.0), floors=(2, 3), bays=(3, 4),
        window_width=(0.3, 0.4), window_height=(0.42, 0.52), panes=(2, 3), roof_height=(0.18, 0.28),
        gabled=True,
        arched=0.0, shop=0.45, balcony=0.3, shutter=0.8, roller=0.0, deco=0.75, molding=1.0,
        pillar=1.0, belt=0.2,
    ),
    Style(
        "stucco",
        walls=((228, 176, 164), (236, 208, 128), (168, 204, 182), (164, 190, 216), (220, 150, 104)),
        trims=((246, 244, 238), (238, 232, 220)),
        accents=((52, 92, 76), (64, 84, 124), (120, 66, 44)), metals=((240, 238, 232),),
        frames=((246, 246, 242), (104, 68, 46)), roofs=((176, 96, 64), (150, 84, 62)),
        texture=(0.5, 0.5, 1.0, 0.015), rail=(0.026, 0.25), floors=(3, 4), bays=(3, 5),
        window_width=(0.38, 0.48), window_height=(0.52, 0.64), panes=(2, 2),
        roof_height=(0.04, 0.07),
        arched=0.3, shop=0.4, balcony=0.4, shutter=0.6, roller=0.0, deco=0.65, molding=0.8,
        pillar=0.5, belt=0.7,
    ),
)
# fmt: on

SKIES = (  # top, bottom, tint of the sunlight, contrast of the shadows
    ((84, 136, 204), (196, 216, 234), (1.03, 1.0, 0.95), (0.34, 0.46)),
    ((52, 104, 184), (170, 204, 236), (1.06, 1.01, 0.93), (0.4, 0.5)),
    ((176, 184, 194), (214, 218, 222), (0.95, 0.98, 1.02), (0.14, 0.22)),
    ((112, 126, 168), (246, 204, 160), (1.1, 0.98, 0.84), (0.34, 0.46)),
)


def colour(rng, choices, jitter=0.035) -> np.ndarray:
    """One of the 8-bit colours as float32 in [0, 1], slightly varied."""
    chosen = np.array(choices[rng.integers(len(choices))], np.float32) / 255
    return np.clip(chosen + rng.normal(0, jitter, 3), 0.02, 1).astype(np.float32)


def draw_materials(rng, style: Style) -> rendering.Materials:
    choices = (style.walls, style.trims, style.accents, style.metals, style.roofs, style.frames)
    colours: list = [colour(rng, c) for c in choices]
    return rendering.Materials(*colours, *style.texture, *style.rail)


def draw_light(rng) -> rendering.Light:
    top, bottom, tint, contrast = SKIES[rng.integers(len(SKIES))]
    return rendering.Light(
        side=-1 if rng.random() < 0.5 else 1,
        slope=rng.uniform(0.3, 1.0),
        contrast=rng.uniform(*contrast),
        tint=np.array(tint, np.float32),
        sky_top=colour(rng, (top,), 0.02),
        sky_bottom=colour(rng, (bottom,), 0.02),
    )
