"""Pixels of the synthetic street facades: a painter that keeps photograph and label map in step."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

BACKGROUND, FACADE, WINDOW, DOOR, CORNICE, SILL = range(6)
BALCONY, BLIND, DECO, MOLDING, PILLAR, SHOP = range(6, 12)
SUPERSAMPLING = 2  # the scene is painted twice as large and averaged down: soft edges


@dataclass(frozen=True)
class Materials:
    """Colours (RGB, 0 to 1) and wall texture of one building; lengths in parts of the image."""

    wall: np.ndarray
    trim: np.ndarray
    accent: np.ndarray
    metal: np.ndarray
    roof: np.ndarray
    frame: np.ndarray
    course: float  # height of one row of bricks, stones or panels
    block: float  # length of one of them
    joint: float  # brightness of the joints relative to the wall, 1 = invisible
    variation: float  # spread of brightness between blocks
    rail_pitch: float  # distance between the bars of a railing
    rail_fill: float  # 0 = open railing, 1 = closed parapet


@dataclass(frozen=True)
class Light:
    """Sun and sky of one photograph; `side` is -1 for sun from the left, 1 from the right."""

    side: int
    slope: float
    contrast: float  # 0 = overcast without shadows, 1 = black shadows
    tint: np.ndarray
    sky_top: np.ndarray
    sky_bottom: np.ndarray


def smooth_noise(rng, side: int, cells: int) -> np.ndarray:
    """[side, side] float32 noise in about [-1, 1] with `cells` bumps per edge."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def masonry(rng, side: int, materials: Materials) -> np.ndarray:
    """[side, side] brightness of a wall laid in courses with staggered joints."""
    course, block = (max(2, round(v * side)) for v in (materials.course, materials.block))
    row = np.arange(side) // course
    along = np.arange(side)[None, :] + (row % 2 * (block // 2))[:, None]
    spread = materials.variation
    tones = rng.uniform(1 - spread, 1 + spread, (side // course + 1, 2 * side // block + 2))
    wall = tones.astype(np.float32)[row[:, None], along // block]
    joints = (along % block == 0) | (np.arange(side) % course == 0)[:, None]
    wall[joints] = materials.joint
    return wall


class FacadePainter:
    """Paints elements of a facade into a photograph and its label map at once.

    Boxes are (left, top, right, bottom) in parts of the image, y downwards. Later elements cover
    earlier ones. Whatever stands out of the wall casts a shadow on what is already there.

    Args:
        rng: NumPy Generator; the only source of chance.
        image_size: edge of the finished picture in pixels.
        materials: `Materials` of the building.
        light: `Light` of the photograph.
    """

    def __init__(self, rng, image_size: int, *, materials: Materials, light: Light) -> None:
        self.rng, self.image_size, self.materials, self.light = rng, image_size, materials, light
        self.side = side = SUPERSAMPLING * image_size
        self.labels = np.full((side, side), BACKGROUND, np.uint8)
        height = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
        clouds = np.clip(smooth_noise(rng, side, 5), 0, 1)[..., None] * 0.22
        sky = light.sky_top * (1 - height) + light.sky_bottom * height
        self.image = sky * (1 - clouds) + clouds
        # Glass mirrors the sky above an irregular dark skyline of the opposite side of the street.
        skyline = 0.62 + 0.16 * np.repeat(rng.uniform(-1, 1, 8), -(-side // 8))[:side]
        dusk = np.where(height[..., 0] > skyline[None, :], 0.38, 1.0).astype(np.float32)
        self.reflection = self.image * dusk[..., None]
        grain = 1 + 0.05 * smooth_noise(rng, side, 24) + 0.06 * smooth_noise(rng, side, 4)
        self.wall_texture = (masonry(rng, side, materials) * grain)[..., None] * materials.wall

    def window_of(self, box) -> tuple[slice, slice]:
        """The slices of a box, at least one pixel in either direction."""
        x0, y0, x1, y1 = (min(max(round(v * self.side), 0), self.side) for v in box)
        return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))

    def fill(self, box, class_id: int, colour, mask=None) -> None:
        """Sets class and colour ([3] or an image of the box) of a box."""
        rows, columns = self.window_of(box)
        if mask is None:
            self.labels[rows, columns] = class_id
            self.image[rows, columns] = colour
        else:
            where = mask(self.labels[rows, columns].shape)
            self.labels[rows, columns][where] = class_id
            np.copyto(self.image[rows, columns], colour, where=where[..., None])

    def tone(self, box, factor) -> None:
        """Multiplies the brightness of a box (number or array that broadcasts)."""
        self.image[self.window_of(box)] *= factor

    def shadow(self, box, depth: float) -> None:
        """Darkens what an element standing `depth` out of the wall keeps the sun from."""
        dx, dy = -self.light.side * depth * self.light.slope, depth
        x0, y0, x1, y1 = box
        self.tone((x0 + dx, y0 + dy, x1 + dx, y1 + dy), 1 - self.light.contrast)

    def relief(self, box, class_id: int, colour, depth: float, mask=None) -> None:
        """A raised slab: shadow, body, bright upper and dark lower edge."""
        x0, y0, x1, y1 = box
        if mask is None:
            self.shadow(box, depth)
        self.fill(box, class_id, colour, mask)
        if mask is None:
            edge = min(1.6 / self.side, (y1 - y0) / 3)
            self.tone((x0, y0, x1, y0 + edge), 1.13)
            self.tone((x0, y1 - edge, x1, y1), 0.78)

    def wall(self, box, mask=None) -> None:
        self.fill(box, FACADE, self.wall_texture[self.window_of(box)], mask)

    def stripes(self, box, pitch: float, factor, *, vertical: bool) -> None:
        """Every second half of `pitch` gets `factor` times the brightness."""
        rows, columns = self.window_of(box)
        step = max(2, round(pitch * self.side))
        view = self.image[rows, columns]
        for start in range(step // 2):
            line = view[:, start::step] if vertical else view[start::step]
            line *= factor

    def glass(self, box, class_id: int, mask=None) -> None:
        """Dark room behind a mirror image of street and sky, sometimes lit or curtained."""
        room = np.array([0.10, 0.11, 0.13], np.float32)
        mirror = 0.5
        if self.rng.random() < 0.08:
            room, mirror = np.array([0.85, 0.66, 0.36], np.float32), 0.25
        rows, columns = self.window_of(box)
        view = self.reflection[rows, columns] * mirror + room * (1 - mirror)
        height, width = view.shape[:2]
        if self.rng.random() < 0.45:  # curtains, drawn aside by different amounts
            drawn = int(width * self.rng.uniform(0.12, 0.34))
            view[:, :drawn] = view[:, :drawn] * 0.45 + 0.38
            view[:, width - drawn :] = view[:, width - drawn :] * 0.45 + 0.38
        reveal = max(1, height // 9)  # the lintel keeps the sun off the upper edge
        view[:reveal] *= 1 - 0.8 * self.light.contrast
        side = slice(0, max(1, width // 9))
        view[:, side if self.light.side < 0 else slice(width - side.stop, None)] *= 0.75
        self.fill(box, class_id, view, mask)

    def bars(self, box, across: int, down: int, thickness: float, colour, mask=None) -> None:
        """Window bars: the outer frame and the lines between across x down panes."""
        rows, columns = self.window_of(box)
        view = self.image[rows, columns]
        height, width = view.shape[:2]
        line = max(1, round(thickness * self.side))
        where = np.zeros((height, width), bool)
        for k in range(across + 1):
            start = round(k * (width - line) / across)
            where[:, start : start + line] = True
        for k in range(down + 1):
            start = round(k * (height - line) / down)
            where[start : start + line] = True
        if mask is not None:
            where &= mask((height, width))
        np.copyto(view, colour, where=where[..., None])

    def finish(self) -> tuple[Image.Image, np.ndarray]:
        """Light, camera and grain: (RGB picture, uint8 [size, size] label map)."""
        rng, side, light = self.rng, self.side, self.light
        across = np.linspace(-1, 1, side, dtype=np.float32)[None, :]
        brightness = 1 + 0.10 * light.side * across + 0.05 * smooth_noise(rng, side, 3)
        brightness[int(side * 0.8) :] *= np.linspace(1, 0.9, side - int(side * 0.8))[:, None]
        image = self.image * (brightness * rng.uniform(0.92, 1.08))[..., None] * light.tint
        image += rng.normal(0, 0.028, (side, side, 1)).astype(np.float32)
        photograph = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
        inset = rng.uniform(0, 0.055, (4, 2)) * (1 - 2 * corners)
        coefficients = perspective(corners * side, (corners + inset) * side)
        photograph = photograph.transform(
            (side, side), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
        ).reduce(SUPERSAMPLING)
        size = self.image_size
        coefficients = perspective(corners * size, (corners + inset) * side)
        labels = Image.fromarray(self.labels).transform(
            (size, size), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.NEAREST
        )
        return photograph, np.asarray(labels)


def perspective(output_corners, input_corners) -> list[float]:
    """The eight coefficients with which Pillow maps output points to input points."""
    rows, values = [], []
    for (x, y), (u, v) in zip(output_corners, input_corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values)).tolist()


def arch(shape) -> np.ndarray:
    """Mask of a box whose upper third is a half ellipse."""
    height, width = shape
    rise = max(1.0, 0.34 * height)
    y = np.minimum((np.arange(height) + 0.5 - rise) / rise, 0)[:, None]
    x = ((np.arange(width) + 0.5) / width * 2 - 1)[None, :]
    return x**2 + y**2 <= 1


def gable(shape) -> np.ndarray:
    """Mask of an isosceles triangle that stands on the lower edge of its box."""
    height, width = shape
    x = np.abs((np.arange(width) + 0.5) / width * 2 - 1)[None, :]
    return x <= ((np.arange(height) + 0.5) / height)[:, None]


def ellipse(shape) -> np.ndarray:
    y, x = (((np.arange(length) + 0.5) / length * 2 - 1) ** 2 for length in shape)
    return x[None, :] + y[:, None] <= 1


def rising(shape) -> np.ndarray:
    """Mask of a diagonal beam from the lower left to the upper right corner."""
    height, width = shape
    x = ((np.arange(width) + 0.5) / width)[None, :]
    y = ((np.arange(height) + 0.5) / height)[:, None]
    return np.abs(x + y - 1) <= 0.16


def falling(shape) -> np.ndarray:
    """Mask of a diagonal beam from the upper left to the lower right corner."""
    return rising(shape)[:, ::-1]
