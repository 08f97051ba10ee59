"""Where the parts of a synthetic facade go: floors, bays, ground floor, roof."""

import numpy as np
from PIL import Image

from data.synthetic import facade_elements as elements
from data.synthetic import facade_rendering as rendering
from data.synthetic import facade_styles as styles


def draw_facade(rng, style: styles.Style, image_size: int) -> tuple[Image.Image, np.ndarray]:
    """One street facade: (RGB Pillow image, uint8 [image_size, image_size] label map)."""
    materials, light = styles.draw_materials(rng, style), styles.draw_light(rng)
    painter = rendering.FacadePainter(rng, image_size, materials=materials, light=light)
    FacadeLayout(painter, rng, style).draw()
    return painter.finish()


class FacadeLayout:
    """One building: proportions are drawn once, so that floors and bays repeat as in a street.

    Args:
        painter: `FacadePainter` that receives the elements.
        rng: NumPy Generator.
        style: `Style` of the building.
    """

    def __init__(self, painter, rng, style: styles.Style) -> None:
        self.painter, self.rng, self.style = painter, rng, style
        self.left, self.right = rng.uniform(0.03, 0.12), 1 - rng.uniform(0.03, 0.12)
        self.ground = rng.uniform(0.9, 0.94)
        self.roof_height = rng.uniform(*style.roof_height)
        self.top = max(rng.uniform(0.08, 0.17), self.roof_height + 0.05)
        self.floor_count = int(rng.integers(style.floors[0], style.floors[1] + 1))
        self.bay_count = int(rng.integers(style.bays[0], style.bays[1] + 1))
        self.cornice_height = rng.uniform(0.03, 0.05)
        storeys = self.ground - self.top - self.cornice_height
        self.floor_height = storeys / (self.floor_count + 0.25)  # the ground floor is taller
        self.bay_width = (self.right - self.left - 0.06) / self.bay_count
        self.window_width = self.bay_width * rng.uniform(*style.window_width)
        self.window_height = self.floor_height * rng.uniform(*style.window_height)
        self.arched = self.chance(style.arched)
        self.surrounded = self.chance(style.molding)
        self.shuttered = self.chance(style.shutter)
        self.rollers = self.chance(style.roller)
        self.pediments = self.chance(0.5)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def bay_centre(self, bay: int) -> float:
        return self.left + 0.03 + (bay + 0.5) * self.bay_width

    def window_box(self, bay: int, top: float, bottom: float) -> tuple:
        x, half = self.bay_centre(bay), self.window_width / 2
        return x - half, top, x + half, bottom

    def floor_bottom(self, floor: int) -> float:
        """Lower edge of an upper floor; 0 is the floor above the ground floor."""
        return self.ground - (floor + 1.25) * self.floor_height

    def draw(self) -> None:
        painter = self.painter
        for x0, x1 in ((0, self.left), (self.right, 1)):
            if self.chance(0.6):
                elements.neighbour(painter, (x0, self.rng.uniform(0.15, 0.4), x1, self.ground))
        elements.street(painter, self.ground)
        self.draw_roof()
        painter.wall((self.left, self.top, self.right, self.ground))
        if self.style.gabled:
            self.draw_gable()
        self.draw_pillars()
        if self.style.gabled:
            self.draw_timbers()
        for floor in range(self.floor_count - 1):
            self.draw_floor(floor)
        self.draw_ground_floor()
        box = (self.left - 0.012, self.top, self.right + 0.012, self.top + self.cornice_height)
        dentils = self.style.molding > 0.5 and not self.style.gabled
        elements.cornice(painter, box, dentils=dentils)

    def draw_roof(self) -> None:
        if self.roof_height == 0 or self.style.gabled:
            return
        ridge = self.top - self.roof_height
        elements.roof(self.painter, (self.left, ridge, self.right, self.top + 0.01))
        if self.roof_height < 0.075:
            return
        for bay in range(self.bay_count):  # dormers of a mansard
            x, half = self.bay_centre(bay), 0.32 * self.bay_width
            box = (x - half, ridge + 0.3 * self.roof_height, x + half, self.top)
            self.painter.relief(box, rendering.MOLDING, self.painter.materials.trim, 0.008)
            inner = (box[0] + 0.012, box[1] + 0.014, box[2] - 0.012, box[3])
            elements.window(self.painter, inner, (2, 1))

    def draw_gable(self) -> None:
        painter, apex = self.painter, self.top - self.roof_height
        eaves = (self.left - 0.03, apex - 0.035, self.right + 0.03, self.top + 0.012)
        elements.roof(painter, eaves, rendering.gable)
        painter.wall((self.left + 0.03, apex + 0.02, self.right - 0.03, self.top), rendering.gable)
        middle = (self.left + self.right) / 2
        width, height = self.window_width, min(0.45 * self.roof_height, self.window_height)
        bottom = self.top - 0.02
        box = (middle - width / 2, bottom - height, middle + width / 2, bottom)
        for side in (-1, 1):
            x = middle + side * (0.5 * width + 0.035)
            post = (x - 0.008, self.top - 0.5 * self.roof_height, x + 0.008, self.top)
            elements.pillar(painter, post, round_shaft=False)
        elements.surround(painter, box, 0.009)
        elements.window(painter, box, self.style.panes)

    def draw_pillars(self) -> None:
        """Pilasters at the corners, sometimes between all bays; timber posts between all bays."""
        if not self.chance(self.style.pillar):
            return
        posts = list(range(self.bay_count + 1))
        if not self.style.gabled and self.chance(0.6):
            posts = [0, self.bay_count]
        foot = self.ground if self.chance(0.4) else self.ground - 1.25 * self.floor_height
        half = 0.010 if self.style.gabled else self.rng.uniform(0.011, 0.018)
        for post in posts:
            x = self.left + 0.03 + post * self.bay_width
            box = (x - half, self.top, x + half, self.ground if self.style.gabled else foot)
            elements.pillar(self.painter, box, round_shaft=not self.style.gabled)

    def draw_timbers(self) -> None:
        """Horizontal beams and diagonal braces of a half-timbered house."""
        for floor in range(self.floor_count):
            y = self.floor_bottom(floor - 1)
            elements.belt(self.painter, (self.left, y - 0.009, self.right, y + 0.009))
        for floor in range(self.floor_count - 1):
            bottom = self.floor_bottom(floor)
            for bay in (0, self.bay_count - 1):
                x = self.left + 0.03 + bay * self.bay_width
                mask = rendering.rising if bay == 0 else rendering.falling
                box = (x, bottom - 0.95 * self.floor_height, x + self.bay_width, bottom)
                elements.beam(self.painter, box, mask)

    def draw_floor(self, floor: int) -> None:
        style, painter, chance = self.style, self.painter, self.chance
        bottom = self.floor_bottom(floor)
        decorated, balconies = chance(style.deco), chance(style.balcony)
        if floor < self.floor_count - 2 and chance(style.belt):
            band = (self.left, bottom - self.floor_height - 0.008, self.right)
            draw = elements.cornice if chance(0.35) else elements.belt
            draw(painter, (*band, band[1] + (0.024 if draw is elements.cornice else 0.014)))
        long_balcony = balconies and chance(0.4)
        french = 0.02 if balconies else 0.2  # where there is a balcony, windows reach the floor
        window_bottom = bottom - french * (self.floor_height - self.window_height) - 0.014
        window_top = window_bottom - self.window_height
        boxes = [self.window_box(bay, window_top, window_bottom) for bay in range(self.bay_count)]
        for bay, box in enumerate(boxes):
            self.draw_window(box, decorated=decorated)
            if balconies and not long_balcony and (bay % 2 == floor % 2 or style.rail[1] < 0.5):
                self.draw_balcony((box[0] - 0.015, box[2] + 0.015), bottom)
        if long_balcony:
            self.draw_balcony((boxes[0][0] - 0.02, boxes[-1][2] + 0.02), bottom)

    def draw_balcony(self, span, bottom: float) -> None:
        height = min(0.36 * self.floor_height, 0.075)
        elements.balcony(self.painter, (span[0], bottom - height, span[1], bottom))

    def draw_window(self, box, *, decorated: bool) -> None:
        painter, style = self.painter, self.style
        x0, y0, x1, y1 = box
        frame = 0.011 if style.gabled else 0.014
        if self.surrounded:
            elements.surround(painter, box, frame, arched=self.arched)
        elements.window(painter, box, style.panes, arched=self.arched)
        if self.rollers and self.chance(0.6) and not self.arched:
            drop = (y1 - y0) * self.rng.uniform(0.15, 0.75)
            elements.roller(painter, (x0, y0, x1, y0 + drop))
        if self.shuttered:
            leaf = min(0.5 * (x1 - x0), 0.46 * (self.bay_width - (x1 - x0)))
            for edge in (x0 - leaf - 0.004, x1 + 0.004):
                elements.shutter(painter, (edge, y0 + 0.004, edge + leaf, y1 - 0.004))
        elements.sill(painter, (x0 - 0.022, y1, x1 + 0.022, y1 + 0.017))
        if decorated and not style.gabled:
            height = min(0.34 * (self.floor_height - self.window_height), 0.042)
            if self.pediments and not self.arched:
                above = y0 - frame - 0.002
                elements.pediment(painter, (x0 - 0.03, above - height, x1 + 0.03, above))
            else:
                elements.ornament(painter, (x0, y1 + 0.022, x1, y1 + 0.022 + height))

    def draw_ground_floor(self) -> None:
        painter, rng, style = self.painter, self.rng, self.style
        height = 1.25 * self.floor_height
        ceiling = self.ground - height
        door_bay = int(rng.integers(self.bay_count))
        arched = self.chance(0.4) and style.molding > 0.5
        shops = self.chance(style.shop)
        awning = self.chance(0.45)
        runs = ((0, door_bay), (door_bay + 1, self.bay_count - door_bay - 1))
        for first, count in runs:  # left and right of the door
            if not count:
                continue
            x0 = self.left + 0.03 + first * self.bay_width + 0.012
            x1 = self.left + 0.03 + (first + count) * self.bay_width - 0.012
            if shops:
                box = (x0, ceiling + 0.12 * height, x1, self.ground)
                elements.shop(painter, box, awning=awning)
            else:
                y = self.ground - 0.24 * height
                top = y - min(self.window_height, 0.56 * height)
                for bay in range(first, first + count):
                    self.draw_window(self.window_box(bay, top, y), decorated=False)
        x, half = self.bay_centre(door_bay), max(min(0.3 * self.bay_width, 0.06), 0.034)
        top = self.ground - rng.uniform(0.66, 0.74) * height
        elements.door(painter, (x - half, top, x + half, self.ground), arched=arched)
        if self.chance(style.deco):
            width = half + 0.015
            plate = (x - width, top - 0.06 * height - 0.045, x + width, top - 0.07 * height - 0.008)
            elements.ornament(painter, plate)
        band = (self.left - 0.006, ceiling - 0.012, self.right + 0.006, ceiling + 0.014)
        elements.cornice(painter, band, dentils=False)
