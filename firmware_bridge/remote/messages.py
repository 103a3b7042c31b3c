"""What frames carry: JSON for what is small, words for programs and results. No pickle, nothing that executes."""

from __future__ import annotations

import json
import struct
from typing import Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from firmware_bridge.bridge import Identity, Result
from firmware_bridge.errors import BoardError, ConnectionLost, LimitError, ProtocolError, TimingViolation
from firmware_bridge.isa import Words

Body = bytes | memoryview
_CYCLES = struct.Struct("<Q")
_LIMITS = {"LimitError": LimitError, "TimingViolation": TimingViolation}
_OTHERS = {"BoardError": BoardError, "ProtocolError": ProtocolError, "ConnectionLost": ConnectionLost}


class Message(BaseModel):
    """A body in JSON. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def body(self) -> bytes:
        return self.model_dump_json().encode()


class Hello(Message):
    """Opens a session; its number is the frame's, drawn at random by the client."""

    isa_version: int
    isa_hash: int
    token: str | None = Field(default=None, max_length=256, repr=False)


class Welcome(Message):
    """A session is open."""

    lease_s: float = Field(gt=0)
    """The board is made safe, and the session ends, if the server hears nothing for so long."""
    max_frame: int = Field(gt=0)
    """Largest encoded frame that the server takes, bytes."""


class BoardIdentity(Message):
    """`Identity` on the wire."""

    kind: str
    serial: str
    isa_version: int
    isa_hash: int
    n_dacs: int
    n_adcs: int
    sr_bits: int
    program_words: int
    result_words: int
    dac_channels: int


class Over(Message):
    """Why a session is over, and what became of the request that was asked about."""

    reason: str
    executed: bool | None
    """Whether it was executed, an error included; None if this server does not know."""
    outcome: str = ""
    """How it ended, if it was executed."""


class Failure(Message):
    """A `BoardError` on the wire."""

    error: Literal["BoardError", "ProtocolError", "ConnectionLost", "LimitError", "TimingViolation"]
    text: str
    parameter: str = ""
    value: int | float = 0
    limit: int | float | tuple[int | float, int | float] = 0
    unit: str = ""
    source: str = ""
    advice: str = ""

    @classmethod
    def of(cls, error: BoardError) -> Failure:
        """What is sent of an error: its nearest class that both sides know, its text and its fields."""
        name = next(k.__name__ for k in type(error).__mro__ if k.__name__ in (*_LIMITS, *_OTHERS))
        if not isinstance(error, LimitError):
            return cls.model_validate({"error": name, "text": str(error)})
        limit = error.limit
        return cls.model_validate(
            {
                "error": name,
                "text": str(error),
                "parameter": error.parameter,
                "value": _plain(error.value),
                "limit": tuple(_plain(x) for x in limit) if isinstance(limit, tuple) else _plain(limit),
                "unit": error.unit,
                "source": error.source,
                "advice": error.advice,
            }
        )

    def exception(self) -> BoardError:
        """The error again: same class, text and fields."""
        if self.error in _LIMITS:
            again = _LIMITS[self.error](
                self.parameter, self.value, self.limit, self.unit, source=self.source, advice=self.advice
            )
            again.args = (self.text,)
            return again
        return _OTHERS[self.error](self.text)


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], body: Body) -> M:
    """The message in a body. Raises `ProtocolError` that says which key is wrong."""
    try:
        return model.model_validate(json.loads(bytes(body)))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise ProtocolError(f"{model.__name__.lower()} message: {where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{model.__name__.lower()} message: not JSON") from error


def identity_body(identity: Identity) -> bytes:
    """Body of IDENTITY."""
    return BoardIdentity.model_validate(vars(identity)).body()


def identity_of(body: Body) -> Identity:
    """The inverse. Raises `ProtocolError`."""
    return Identity(**parse(BoardIdentity, body).model_dump())


def words_body(words: Words) -> bytes:
    """Body of RUN: the program's words, little-endian."""
    return np.asarray(words, "<u4").tobytes()


def words_of(body: Body) -> Words:
    """The inverse, (n,) uint32, read-only. Raises `ProtocolError` for a broken word."""
    if len(body) % 4:
        raise ProtocolError(f"{len(body)} bytes are not a whole number of 32-bit words")
    return np.frombuffer(body, "<u4")


def result_body(result: Result) -> bytes:
    """Body of RESULT: cycles (64 bits), then the words."""
    return _CYCLES.pack(result.cycles) + np.asarray(result.words, "<u4").tobytes()


def result_of(body: Body) -> Result:
    """The inverse. Raises `ProtocolError`."""
    if len(body) < _CYCLES.size or len(body) % 4:
        raise ProtocolError(f"a result of {len(body)} bytes is cut short")
    # A copy: whoever gets a result may write into it, as with any other bridge.
    words = np.frombuffer(body, "<u4", offset=_CYCLES.size).astype(np.uint32)
    return Result(words, _CYCLES.unpack_from(body)[0])


def _plain(value: float) -> int | float:
    """A number without its numpy type; integers keep their digits."""
    return int(value) if isinstance(value, (int, np.integer)) else float(value)
