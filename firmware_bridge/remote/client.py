"""The host's side: a `Bridge` whose board is behind a link."""

from __future__ import annotations

import secrets
import threading
import time
import weakref
from collections.abc import Callable
from typing import NoReturn

from firmware_bridge.bridge import Identity, Result, SequencerConfig
from firmware_bridge.errors import BoardError, ConnectionLost, ProtocolError
from firmware_bridge.isa import ISA_HASH, ISA_VERSION
from firmware_bridge.program import Program
from firmware_bridge.remote.framing import (
    MAX_SEQUENCE,
    OVERHEAD,
    Frame,
    FrameReader,
    Kind,
    Malformed,
    WrongVersion,
    decode,
    encode,
)
from firmware_bridge.remote.links import Address, Link, LinkDown
from firmware_bridge.remote.messages import (
    Body,
    Failure,
    Hello,
    Over,
    Welcome,
    identity_of,
    parse,
    result_of,
    words_body,
)

ANSWER_S = 1.0
"""Patience before a request is repeated for the first time; it doubles from one repeat to the next."""
ATTEMPTS = 4
RECONNECTS_S = (0.05, 0.5, 2.0)
"""Waits before each attempt to reach a server again that a link was lost to."""
MAX_ANSWER = 1 << 20
_ANSWERED = {
    Kind.HELLO: Kind.WELCOME,
    Kind.IDENTIFY: Kind.IDENTITY,
    Kind.RUN: Kind.RESULT,
    **dict.fromkeys((Kind.CONFIGURE, Kind.RESET, Kind.SAFE, Kind.PING, Kind.CLOSE), Kind.DONE),
}


class RemoteBridge:
    """A `Bridge` behind a link. A request that gets no answer is repeated under its own number, which the server
    executes once; a link that stays silent, or breaks, raises `ConnectionLost` with what is known of the program.

    After `ConnectionLost` this object is done with, since the server has made the board safe: open another one.
    A thread keeps the lease while this object lives.

    connect: opens the link. token: shown to the server. answer_s: patience for an answer, s.
    """

    def __init__(
        self,
        connect: Callable[[], Link],
        *,
        token: str | None = None,
        answer_s: float = ANSWER_S,
        reconnects_s: tuple[float, ...] = RECONNECTS_S,
        keep_alive: bool = True,
    ) -> None:
        self._connect, self._answer_s, self._reconnects_s = connect, answer_s, reconnects_s
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._timing = SequencerConfig().timing
        self._closed = False
        self._lost: ConnectionLost | None = None
        self._told = False  # whether a caller, and not the thread alone, has heard of the loss
        self._session = secrets.randbits(64)
        self._sequence = 0
        self._max_frame = MAX_ANSWER
        self._link = connect()
        self._reader = FrameReader(MAX_ANSWER)
        try:
            hello = Hello(isa_version=ISA_VERSION, isa_hash=ISA_HASH, token=token)
            welcome = parse(Welcome, self._exchange(Kind.HELLO, 0, hello.body()))
        except BaseException:
            self._link.close()
            raise
        self._max_frame = welcome.max_frame
        if keep_alive:
            threading.Thread(
                target=_keep_alive,
                args=(weakref.ref(self), self._stop, welcome.lease_s / 4),
                name="xbar-lease",
                daemon=True,
            ).start()

    @classmethod
    def open(cls, address: str, *, token: str | None = None) -> RemoteBridge:
        """The board at ``tcp://host:port`` or ``serial:///dev/tty…``.

        Raises `ConnectionLost` if nobody answers, and `ProtocolError` for a bad address and what the server refuses:
        a second client, a wrong token, another instruction set.
        """
        return cls(Address.parse(address).connect, token=token)

    # -- Bridge ------------------------------------------------------------------------------------------------------
    def identify(self) -> Identity:
        return identity_of(self._ask(Kind.IDENTIFY))

    def configure(self, config: SequencerConfig) -> None:
        self._ask(Kind.CONFIGURE, config.model_dump_json().encode())
        self._timing = config.timing

    def run(self, program: Program) -> Result:
        body = words_body(program.words())
        # COBS adds a byte to every 254.
        if (size := (len(body) + OVERHEAD) * 255 // 254 + 1) > self._max_frame:
            self.safe()
            raise ProtocolError(
                f"the program has {program.n_words} words, {size} bytes on the link, which takes {self._max_frame}; "
                "cut it into several"
            )
        return result_of(self._ask(Kind.RUN, body, program))

    def reset(self) -> None:
        self._ask(Kind.RESET)

    def safe(self) -> None:
        if not self._closed:  # closing has made it safe
            self._ask(Kind.SAFE)

    def close(self) -> None:
        if self._closed:
            return
        try:
            if self._lost is None:
                self._ask(Kind.CLOSE)
            elif not self._told:
                raise self._lost
        finally:
            self._closed = True
            self._stop.set()
            self._link.close()

    # -- requests ------------------------------------------------------------------------------------------------------
    def _ask(self, kind: Kind, body: bytes = b"", program: Program | None = None) -> Body:
        with self._lock:
            if self._lost is not None:
                self._told = True
                raise self._lost
            if self._closed:
                raise ProtocolError("this bridge is closed; open another one")
            if self._sequence == MAX_SEQUENCE:
                raise ProtocolError("this session has used all its numbers; open another one")
            self._sequence += 1
            return self._exchange(kind, self._sequence, body, program)

    def _exchange(self, kind: Kind, sequence: int, body: bytes, program: Program | None = None) -> Body:
        """Body of the answer to a request. Raises what the server answers, or `ConnectionLost`."""
        encoded = encode(Frame(kind, self._session, sequence, body))
        answer = None
        sent = False
        why = f"no answer after {ATTEMPTS} attempts"
        try:
            for attempt in range(ATTEMPTS):
                self._link.send(encoded)
                sent = True
                patience_s = self._answer_s * 2**attempt + self._line_s(encoded, program)
                if attempt and program is not None:
                    patience_s += self._duration_s(program)
                if (answer := self._await(sequence, patience_s)) is not None:
                    break
        except LinkDown as error:
            why = str(error)
        if answer is None:
            over = self._fate(sequence)
            self._lose(kind, why, over if sent else over.model_copy(update={"executed": False, "outcome": ""}))
        if answer.kind in (Kind.ERROR, Kind.REFUSED):
            raise parse(Failure, answer.body).exception()
        if answer.kind is Kind.OVER:
            if kind is Kind.CLOSE:
                return b""
            self._lose(kind, "the session is over", parse(Over, answer.body))
        if answer.kind is not _ANSWERED[kind]:
            raise ProtocolError(f"the server answers {kind.name} with {answer.kind.name}; it is of another release")
        return answer.body

    def _await(self, sequence: int, patience_s: float) -> Frame | None:
        """The answer to request `sequence`; None if it does not come in time."""
        deadline = time.monotonic() + patience_s
        while data := self._link.receive(deadline - time.monotonic()):
            for encoded in self._reader.feed(data):
                try:
                    frame = decode(encoded)
                except WrongVersion as error:
                    raise ProtocolError(f"{error}; install the same release on both") from error
                except Malformed:
                    continue  # damaged on its way: the request is repeated when its time is up
                # Answers to repeats arrive late; each is the answer to a number, so they cannot be mistaken.
                if (frame.session, frame.sequence) == (self._session, sequence) and frame.kind >= Kind.DONE:
                    return frame
        return None

    def _line_s(self, encoded: bytes, program: Program | None) -> float:
        """Time that a request and its answer spend on a slow line, s."""
        if not self._link.seconds_per_byte:
            return 0.0
        answer = 256 + (4 * program.n_results if program is not None else 0)
        return (len(encoded) + answer) * 1.01 * self._link.seconds_per_byte

    def _duration_s(self, program: Program) -> float:
        """Time that a program takes on the board, s; asked for only when an answer is late."""
        try:
            return program.cycles(self._timing) * self._timing.period_s
        except BoardError:  # one that the board refuses before it takes long
            return 0.0

    # -- loss ----------------------------------------------------------------------------------------------------------
    def _fate(self, sequence: int) -> Over:
        """Ask a server, over a new link, what became of request `sequence`. Asking ends the session and executes
        nothing."""
        query = encode(Frame(Kind.FATE, self._session, sequence))
        for wait_s in self._reconnects_s:
            self._link.close()
            time.sleep(wait_s)
            try:
                self._link = self._connect()
                self._link.send(query)
                answer = self._await(sequence, self._answer_s)
            except (ConnectionLost, LinkDown):
                continue
            if answer is not None and answer.kind is Kind.OVER:
                return parse(Over, answer.body)
        return Over(reason="the server cannot be reached", executed=None)

    def _lose(self, kind: Kind, why: str, over: Over) -> NoReturn:
        """Raises `ConnectionLost`, from now on for every request."""
        if kind is Kind.RUN:
            known = {
                True: f"the program was executed, and {over.outcome}",
                False: "the program was not executed",
                None: "whether the program was executed is unknown: take all of its pulses as given",
            }[over.executed]
        else:
            known = "no program was in flight"
        executed = over.executed if kind is Kind.RUN else False
        self._stop.set()
        self._link.close()
        self._told = kind is not Kind.PING
        text = f"board link: {why} ({over.reason}); {known}; open the board anew"
        self._lost = ConnectionLost(text, executed=executed)
        raise self._lost


def _keep_alive(bridge: weakref.ref[RemoteBridge], stop: threading.Event, every_s: float) -> None:
    """Ask for a sign of life until the bridge is closed, lost, or forgotten."""
    while not stop.wait(every_s):
        alive = bridge()
        if alive is None:
            return
        try:
            alive._ask(Kind.PING)
        except BoardError:
            return  # remembered by the bridge, and raised by the next call
        del alive
