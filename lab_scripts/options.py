"""Options that several commands share, and how their values become objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from drivers.board import PAPER_BOARD
from drivers.calibration_record import Accept, CalibrationRecord
from drivers.connect import load_mock
from lab_scripts.exits import FileError, InputError, bad_input

if TYPE_CHECKING:
    from anf.lattice.actions import Action
    from firmware_bridge.mock.board import MockParams

ActionName = Annotated[str, typer.Option("--action", help="Lattice action: phi4 or graphene.", show_default=True)]
M2 = Annotated[float, typer.Option("--m2", help="φ⁴: bare mass squared m².")]
Lam = Annotated[float, typer.Option("--lam", help="φ⁴: quartic coupling λ.")]
G = Annotated[float, typer.Option("--g", help="Graphene: gauge coupling g.")]
U = Annotated[float, typer.Option("--u", help="Graphene: coupling u of the mass term.")]
L = Annotated[int, typer.Option("--L", help="Lattice side, sites: L × L.")]
TimeSites = Annotated[int | None, typer.Option("--Lt", help="Sites along time, T/g = 1/(Lt·g).", show_default="L")]
FlowChoice = Annotated[
    str | None,
    typer.Option(
        "--flow", help="mixer or field: the shipped one of that kind; or a flow FILE.", show_default="the best"
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random, the mock board included.")]
Out = Annotated[Path, typer.Option("--out", help="Run file to write, netCDF: RUN.nc.")]
FlowOut = Annotated[Path, typer.Option("--out", help="Flow file to write: NAME.safetensors.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the files that the command writes.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads for torch.")]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        help="Where the board is: mock, rtl, zc706[:BITSTREAM][?loaded], tcp://host:port, serial:///dev/….",
    ),
]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        help="Where a board is, as for xbar program; once for each board.",
        show_default="a mock board for each array",
    ),
]
Vcd = Annotated[
    Path | None,
    typer.Option(
        "--vcd", help="With rtl: record the pins as NAME.vcd, and the frames meant for the DACs as NAME.json."
    ),
]
BoardFile = Annotated[Path, typer.Option("--board", help="Board file in TOML.", show_default="the board of the paper")]
MockFile = Annotated[
    Path | None,
    typer.Option(
        "--mock",
        help="What chips and cells of the mock board are like, TOML as in docs/device-model.md.",
        show_default="the device model of the paper",
    ),
]
PAPER = PAPER_BOARD
Calibration = Annotated[
    Path | None, typer.Option("--calibration", help="Calibration record that corrects the board (xbar calibrate).")
]
AcceptExpired = Annotated[bool, typer.Option("--accept-expired", help="Use the record although it has expired.")]
AcceptForeign = Annotated[bool, typer.Option("--accept-foreign", help="Use the record although it is another board's.")]


def mock_params(backend: str, path: Path | None) -> MockParams | None:
    """Parameters of --mock. Raises `InputError` if the board at --backend is no mock of this process."""
    if path is None:
        return None
    if backend not in ("mock", "rtl"):
        raise InputError(f"--mock {path}: --backend {backend} has chips of its own; leave it out, or use mock or rtl")
    return load_mock(path)


@dataclass(frozen=True)
class TheoryChoice:
    """Options of every command that works on one lattice action: those of a parameter of this type, if the command is
    `expanded`."""

    action: ActionName = "phi4"
    m2: M2 = -4.0
    lam: Lam = 5.0
    g: G = 1.0
    u: U = 0.5
    side: L = 4
    time_sites: TimeSites = None

    def build(self) -> Action:
        """Raises `InputError`."""
        return build_action(
            self.action, self.side, time_sites=self.time_sites, m2=self.m2, lam=self.lam, g=self.g, u=self.u
        )


def build_action(name: str, side: int, *, time_sites: int | None = None, **values: float) -> Action:
    """The action of --action, --L and --Lt, with those of `values` that are its couplings. Raises `InputError`."""
    from anf.lattice.actions import action_from_name, couplings

    with bad_input():
        chosen = {coupling: values[coupling] for coupling in couplings(name) if coupling in values}
        return action_from_name(name, (time_sites or side, side), **chosen)


def action_title(action: Action) -> str:
    """The action in a line, as tables are headed."""
    return f"{action.name} {action.shape[0]}×{action.shape[1]}, {couplings_title(action.parameters)}"


def couplings_title(couplings: Mapping[str, float]) -> str:
    """Couplings as the field writes them."""
    symbols = {"m2": "m²", "lam": "λ"}
    return ", ".join(f"{symbols.get(name, name)} = {value:g}" for name, value in couplings.items())


def set_threads(threads: int) -> None:
    """Threads of torch: one by default, since a batch of small matrices gains nothing from more."""
    import torch

    torch.set_num_threads(threads)


def load_array(path: Path, what: str) -> NDArray[np.float64]:
    """A finite real matrix from an .npy file. Raises `FileError` if it is unreadable, `InputError` if unusable."""
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise FileError(f"{what} {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise FileError(f"{what} {path}: not a NumPy .npy file of numbers ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise FileError(
            f"{what} {path}: holds {getattr(array, 'dtype', 'several arrays')}; needs one array of real numbers in .npy"
        )
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{what} {path}: has shape {array.shape}; needs two dimensions, none of them 0")
    array = array.astype(np.float64)
    if bad := np.argwhere(~np.isfinite(array)).tolist():
        row, column = bad[0]
        raise InputError(
            f"{what} {path}: {len(bad)} of {array.size} values are not finite, the first at ({row}, {column}) is "
            f"{array[row, column]}; give finite numbers"
        )
    return array


def at_corner(matrix: NDArray[np.float64], shape: tuple[int, int], what: str) -> NDArray[np.float64]:
    """`matrix` at the corner (SL 0, BL 0) of an array of `shape`, NaN elsewhere. Raises `InputError` if too large."""
    rows, columns = matrix.shape
    if rows > shape[0] or columns > shape[1]:
        raise InputError(
            f"{what}: has shape {matrix.shape}; the array has {shape} (source lines, bit lines): give a smaller one"
        )
    placed = np.full(shape, np.nan)
    placed[:rows, :columns] = matrix
    return placed


class Corrected(NamedTuple):
    """What --calibration and its companions ask for, as `open_crossbar` takes it."""

    calibration: CalibrationRecord | None = None
    accept: tuple[Accept, ...] = ()

    @classmethod
    def by(cls, path: Path | None, *, expired: bool, foreign: bool) -> Corrected:
        """Raises `RecordError` for a file that is no record, before a board is opened."""
        chosen: dict[Accept, bool] = {"expired": expired, "foreign": foreign}
        record = None if path is None else CalibrationRecord.load(path)
        return cls(record, tuple(name for name, yes in chosen.items() if yes))

    def options(self) -> dict[str, Any]:
        """Keywords for `open_crossbar`."""
        return self._asdict()


UNCORRECTED = Corrected()
