"""Tables of the one-dimensional density of a site between given neighbours: log z(h), and a map that draws from it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from anf.lattice.actions import SitePotential
from anf.lattice.site_kernels import Scale, draw_sites, fill_map, log_z, propose, quadrature

ERROR = 1e-10
"""Largest relative error of z(h) from the table."""
TOP_Z = 8.5
"""Normal numbers from 53-bit uniforms stay within this."""


class SiteTables:
    """p(x | h) ∝ exp(−V(x) + κhx) for every h.

    A potential without quartic term is a parabola and a periodic rest: completing the square leaves a function of h
    with the period 2aP/κ, P that of the rest, so that one period is enough. With a quartic term the table ends at the
    field of four neighbours that each pay an action of 40, and quadrature takes over.

    Raises ValueError for a potential that cannot be normalised or whose wells are too deep for the tables.
    """

    def __init__(self, site: SitePotential, hopping: float) -> None:
        a, q = site.quadratic, site.quartic
        if q < 0 or (q == 0 and a <= 0):
            raise ValueError(f"site potential with quadratic = {a:g}, quartic = {q:g}: exp(-V) cannot be normalised")
        self.site, self.hopping = (a, q, site.cosine, site.frequency), hopping
        if q == 0:
            period = 2.0 * a / hopping * 2.0 * math.pi / site.frequency
            self.scale = Scale(period, period, hopping**2 / (4.0 * a))
        else:
            mass2 = a - 2.0 * hopping  # four bonds of a uniform field, half of each, lower the parabola
            self.scale = Scale(4.0 * math.sqrt((math.sqrt(mass2**2 + 160.0 * q) - mass2) / (2.0 * q)), 0.0, 0.0)
        self.table = self._log_z_table()
        self.maps, self.log_bound = self._maps()

    @property
    def log_z(self) -> tuple[NDArray[np.float64], Scale, tuple[float, float, float, float], float]:
        """What the kernels of `anf.lattice.site_kernels` take: table, scale, site, hopping."""
        return self.table, self.scale, self.site, self.hopping

    def draw(self, h: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
        """x (m,) from p(x | h), h (m,) finite.

        Raises RuntimeError if the bound on which the rejection rests is found violated.
        """
        out = np.empty(len(h))
        todo = np.arange(len(h))
        while len(todo):
            z, log_u = random.standard_normal(len(todo)), np.log(1.0 - random.random(len(todo)))
            x, accepted = np.empty(len(todo)), np.empty(len(todo), np.bool_)
            worst = draw_sites(z, log_u, h[todo], self.maps, TOP_Z, self.log_bound, *self.log_z, x, accepted)
            if not worst <= 0:
                raise RuntimeError(
                    f"the density of a site is {math.exp(worst):.4g} times its bound: draws would not be exact; "
                    f"report the site potential {self.site}"
                )
            out[todo[accepted]] = x[accepted]
            todo = todo[~accepted]
        return out

    def _log_z_table(self) -> NDArray[np.float64]:
        """Values and slopes of log z(h) − quadratic · h² at equally spaced h, twice as many until midpoints agree."""
        for intervals in (2**k for k in range(8, 17)):
            h = np.linspace(0.0, self.scale.top, intervals + 1)
            table = np.array([quadrature(at, self.site, self.hopping) for at in h])
            table -= np.stack([self.scale.quadratic * h**2, 2 * self.scale.quadratic * h], 1)
            middle = 0.5 * (h[1:] + h[:-1])
            error = max(
                abs(
                    log_z(at, table, self.scale, self.site, self.hopping)[0]
                    - quadrature(at, self.site, self.hopping)[0]
                )
                for at in middle[:: max(1, intervals // 2048)]
            )
            if error < ERROR:
                return table
        raise ValueError(f"site potential {self.site}: log z(h) is too sharp for a table of {intervals} intervals")

    def _maps(self) -> tuple[NDArray[np.float64], float]:
        """Monotone maps (n_h, n_z, 2) of a normal number, and the log of a bound on p / p̂; finer until it is near 1."""
        for refine in (1, 2, 4):
            z = np.linspace(-TOP_Z, TOP_Z, 68 * refine + 1)
            h = np.linspace(0.0, self.scale.top, 256 * refine + 1)
            maps = np.empty((len(h), len(z), 2))
            for at, out in zip(h, maps, strict=True):
                fill_map(at, z, log_z(at, *self.log_z)[0], self.site, self.hopping, out)
                if self.scale.period:
                    out[:, 0] -= self.hopping * at / (2.0 * self.site[0])
            fine = np.linspace(-TOP_Z, TOP_Z, 6 * len(z))
            worst = max(
                propose(at_z, at_h, maps, TOP_Z, *self.log_z)[1]
                for at_h in np.linspace(0.0, self.scale.top, 199)
                for at_z in fine
            )
            if worst < math.log(1.1):
                return maps, worst + 0.01
        raise ValueError(f"site potential {self.site}: its wells are too deep for a table of {len(h)} × {len(z)}")
