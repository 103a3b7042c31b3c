"""What the paper prints for its eight lattices (Figs 3g-i, 4g-i), and networks of its kind that fit those numbers."""

from __future__ import annotations

from dataclasses import dataclass

from anf.arrays.counting import PublishedMixer


@dataclass(frozen=True)
class Published:
    """Numbers of one lattice. Percentages: share of weights and of MACs in arrays, energy saved.

    mixer: a network of the published kind. Only that of φ⁴ with L = 12 is published; the others are members of its
    family (patch that divides L, width 4–64, 1–8 blocks, rank 1, 2, 3, 4 or 8) that have both percentages within 0.15
    points. Several have; one with a small rank that comes near the printed factors too was taken.
    """

    action: str
    side: int
    weights_percent: float
    macs_percent: float
    speedup: float
    energy_saved_percent: float
    efficiency: float
    mixer: PublishedMixer

    @property
    def name(self) -> str:
        return f"{'φ⁴' if self.action == 'phi4' else 'graphene'}, L = {self.side}"


PUBLISHED = (
    Published("phi4", 4, 92.9, 94.0, 5.9, 65.9, 2.9, PublishedMixer(4, 2, 15, 5, 1)),
    Published("phi4", 6, 93.0, 95.9, 8.8, 85.3, 6.8, PublishedMixer(6, 2, 15, 5, 1)),
    Published("phi4", 12, 96.0, 98.9, 14.7, 97.4, 38.5, PublishedMixer(12, 3, 32, 4, 2)),
    Published("phi4", 24, 95.7, 99.2, 16.1, 98.6, 73.7, PublishedMixer(24, 3, 33, 4, 2)),
    Published("graphene", 6, 93.9, 98.7, 13.6, 93.3, 15.0, PublishedMixer(6, 3, 6, 2, 1)),
    Published("graphene", 12, 92.1, 98.2, 12.2, 95.7, 23.0, PublishedMixer(12, 3, 16, 4, 2)),
    Published("graphene", 24, 94.4, 98.9, 14.5, 97.9, 47.3, PublishedMixer(24, 3, 28, 5, 2)),
    Published("graphene", 48, 92.7, 99.6, 17.3, 99.3, 138.0, PublishedMixer(48, 4, 18, 4, 2)),
)
