"""Which tiles are looked at, on which page, and which is the current one.  Knows no screen."""

from __future__ import annotations

from dataclasses import dataclass

LAYOUTS = ((4, 6), (4, 5), (5, 5), (5, 4), (6, 4))  # rows and columns


@dataclass
class Sheet:
    """Tiles laid out on pages.

    Attributes
    ----------
    tiles : tuple of str
    rows, columns : int
        Of a page.
    current : int
        Position in `tiles`.
    """

    tiles: tuple[str, ...] = ()
    rows: int = 4
    columns: int = 6
    current: int = 0

    @property
    def per_page(self) -> int:
        """Places on a page."""
        return self.rows * self.columns

    @property
    def page(self) -> int:
        """Number of the current page, from 0."""
        return self.current // self.per_page

    @property
    def pages(self) -> int:
        """How many pages there are; one even without tiles."""
        return max(1, -(-len(self.tiles) // self.per_page))

    @property
    def tile(self) -> str | None:
        """The current tile; None if there is none."""
        return self.tiles[self.current] if self.tiles else None

    def on_page(self, page: int) -> tuple[str, ...]:
        """Tiles of a page; none beyond the first and last."""
        return self.tiles[page * self.per_page : (page + 1) * self.per_page] if page >= 0 else ()

    def move(self, steps: int) -> None:
        """Move the current tile, at most to the first or last one."""
        self.current = max(0, min(self.current + steps, len(self.tiles) - 1))

    def click(self, place: int) -> bool:
        """Make the tile at a place of the page the current one; False where there is none."""
        found = 0 <= place < len(self.on_page(self.page))
        if found:
            self.current = self.page * self.per_page + place
        return found

    def go_to(self, tile: str) -> bool:
        """Make a tile the current one; False if it is not among those that are looked at."""
        if tile not in self.tiles:
            return False
        self.current = self.tiles.index(tile)
        return True


def layout_for(height: float, width: float) -> tuple[int, int]:
    """Rows and columns that show some twenty tiles as large as they can be on a canvas."""
    return max(
        LAYOUTS, key=lambda layout: (min(height / layout[0], width / layout[1]), layout[0] * layout[1])
    )
