"""The server's side of the protocol, without its wires: who holds the board, and what is executed.

A request is executed when its sequence number is larger than any before it in its session, and never again: a repeat
of the last number gets the stored answer, an older one gets none. Whatever ends a session makes the outputs safe.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from firmware_bridge.bridge import Bridge, SequencerConfig
from firmware_bridge.errors import BoardError, ProtocolError
from firmware_bridge.isa import ISA_HASH, ISA_VERSION
from firmware_bridge.program import Program
from firmware_bridge.remote.framing import REQUESTS, Frame, Kind, Malformed, WrongVersion, decode
from firmware_bridge.remote.guesses import Guesses
from firmware_bridge.remote.messages import (
    Body,
    Failure,
    Hello,
    Over,
    Welcome,
    identity_body,
    parse,
    result_body,
    words_of,
)

log = logging.getLogger(__name__)

MAX_FRAME = 1 << 20
"""Largest encoded frame, bytes: ten times a full program memory."""
REMEMBERED = 64
"""Sessions whose end is remembered."""
LEASE_S = 10.0
"""Silence after which a client has lost the board, unless somebody says otherwise."""


@dataclass(eq=False)
class Peer:
    """One end of a link."""

    name: str
    welcome: bool = False
    """Has opened a session."""
    refused: bool = False
    """Has been sent away."""

    @property
    def host(self) -> str:
        """Where it is; its port, which is another one each time, left out."""
        return self.name.rpartition(":")[0] or self.name


@dataclass
class Counts:
    """What has happened since the server began."""

    executed: int = 0
    repeated: int = 0
    stale: int = 0
    malformed: int = 0
    refused: int = 0
    lapsed: int = 0


@dataclass(eq=False)
class _Session:
    number: int
    peer: Peer
    heard_s: float
    sequence: int
    answer: Frame | None
    """To the request `sequence`; None while it is being executed."""


@dataclass(frozen=True)
class _End:
    reason: str
    sequence: int
    outcome: str


@dataclass
class Desk:
    """Serves one client at a time. `handle` one frame after the other, `tick` when time passes, `lost` when a link is.

    token: what clients must show; None asks for none.
    lease_s: silence after which the holder has lost the board, s.
    clock: monotonic time, s.
    """

    bridge: Bridge
    token: str | None = None
    lease_s: float = LEASE_S
    clock: Callable[[], float] = time.monotonic
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._holder: _Session | None = None
        self._ended: OrderedDict[int, _End] = OrderedDict()
        self._guesses = Guesses()
        self.bridge.safe()

    # -- from outside ------------------------------------------------------------------------------------------------
    def handle(self, peer: Peer, encoded: bytes) -> Frame | None:
        """The answer to what came between two delimiters; None if it gets none."""
        try:
            frame = decode(encoded)
        except WrongVersion as error:
            return self._refuse(peer, Frame(Kind.HELLO, 0, 0), ProtocolError(str(error)))
        except Malformed as error:
            self._drop(peer, str(error))
            return None
        if frame.kind not in REQUESTS:
            self._drop(peer, f"{frame.kind.name} is not a request")
            return None
        if frame.kind is Kind.HELLO:
            return self._hello(peer, frame)
        session = self._holder
        if session is None or frame.session != session.number or peer is not session.peer or frame.kind is Kind.FATE:
            return self._over(peer, frame)
        session.heard_s = self.clock()
        if frame.sequence == session.sequence:
            self.counts.repeated += 1
            return session.answer
        if frame.sequence < session.sequence:
            self.counts.stale += 1
            return None
        return self._execute(session, frame)

    def lost(self, peer: Peer) -> None:
        """The link to a peer is gone."""
        if self._holder is not None and self._holder.peer is peer:
            self._end(self._holder, f"the link to {peer.name} was lost")

    def tick(self) -> None:
        """End a session that has been silent for longer than its lease."""
        session = self._holder
        if session is not None and self.clock() - session.heard_s > self.lease_s:
            self.counts.lapsed += 1
            self._end(session, f"nothing was heard for {self.lease_s:g} s and the lease lapsed")

    def close(self) -> None:
        """End the session, make the outputs safe and let go of the board."""
        if self._holder is not None:
            self._end(self._holder, "the server was stopped")
        self.bridge.close()

    # -- sessions ------------------------------------------------------------------------------------------------------
    def _hello(self, peer: Peer, frame: Frame) -> Frame | None:
        session = self._holder
        if session is not None and frame.session == session.number and peer is session.peer:
            session.heard_s = self.clock()
            return session.answer if session.sequence == 0 else None
        if frame.session in self._ended:
            return self._over(peer, frame)
        try:
            if frame.sequence:
                raise ProtocolError("a session begins with request 0")
            hello = parse(Hello, frame.body)
            self._refuse_token(peer, hello.token or "")
            if hello.isa_hash != ISA_HASH:
                raise ProtocolError(
                    f"the client speaks instruction set {hello.isa_version}, {hello.isa_hash:#010x}, the server "
                    f"{ISA_VERSION}, {ISA_HASH:#010x}; install the same release on both"
                )
            if session is not None and peer is not session.peer:
                raise ProtocolError(
                    f"the board is held by {session.peer.name}; it is free when that session is closed, or "
                    f"{self.lease_s:g} s after it falls silent"
                )
        except ProtocolError as error:
            return self._refuse(peer, frame, error)
        if session is not None:
            # One link has one client: the old one is gone without a word.
            self._end(session, f"{peer.name} opened another session")
        peer.welcome = True
        answer = Frame(Kind.WELCOME, frame.session, 0, Welcome(lease_s=self.lease_s, max_frame=MAX_FRAME).body())
        self._holder = _Session(frame.session, peer, self.clock(), 0, answer)
        log.info("%s holds the board", peer.name)
        return answer

    def _refuse_token(self, peer: Peer, token: str) -> None:
        """Raise `ProtocolError` for a wrong token, or for any while its host has to wait: it is not even compared."""
        if self.token is None:
            return
        if (wait_s := self._guesses.wait_s(peer.host, self.clock())) > 0:
            raise ProtocolError(f"too many wrong tokens came from {peer.host}; try again in {wait_s:.0f} s")
        if not hmac.compare_digest(self.token.encode(), token.encode()):
            self._guesses.wrong(peer.host, self.clock())
            raise ProtocolError("the token is missing or wrong; set XBAR_TOKEN to that of the server")

    def _end(self, session: _Session, reason: str) -> None:
        self._holder = None
        self._ended[session.number] = _End(reason, session.sequence, _outcome(session.answer))
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        log.info("session with %s is over: %s", session.peer.name, reason)
        self.bridge.safe()

    def _over(self, peer: Peer, frame: Frame) -> Frame:
        """What became of a request whose session is over, or is over now that its client asks from elsewhere."""
        if self._holder is not None and frame.session == self._holder.number:
            self._end(self._holder, f"its client lost the link and asked again from {peer.name}")
        end = self._ended.get(frame.session)
        if end is None:
            body = Over(reason="this server has no such session; it has been started anew", executed=None)
        elif frame.sequence < end.sequence:
            body = Over(reason=end.reason, executed=None)
        else:
            done = frame.sequence == end.sequence
            body = Over(reason=end.reason, executed=done, outcome=end.outcome if done else "")
        return Frame(Kind.OVER, frame.session, frame.sequence, body.body())

    def _refuse(self, peer: Peer, frame: Frame, error: ProtocolError) -> Frame:
        self.counts.refused += 1
        peer.refused = True
        log.warning("%s was refused: %s", peer.name, error)
        return Frame(Kind.REFUSED, frame.session, frame.sequence, Failure.of(error).body())

    def _drop(self, peer: Peer, why: str) -> None:
        self.counts.malformed += 1
        log.debug("frame from %s dropped: %s", peer.name, why)

    # -- requests ------------------------------------------------------------------------------------------------------
    def _execute(self, session: _Session, frame: Frame) -> Frame:
        # The number is taken before anything happens: whatever interrupts it, it will not be executed again.
        session.sequence, session.answer = frame.sequence, None
        self.counts.executed += 1
        try:
            kind, body = self._do(session, frame)
        except BoardError as error:
            kind, body = Kind.ERROR, Failure.of(error).body()
        except Exception as error:
            log.exception("%s failed", frame.kind.name)
            self.bridge.safe()
            text = f"the board server failed at {frame.kind.name}: {type(error).__name__}: {error}; see its log"
            kind, body = Kind.ERROR, Failure.of(BoardError(text)).body()
        session.answer = Frame(kind, frame.session, frame.sequence, body)
        session.heard_s = self.clock()
        return session.answer

    def _do(self, session: _Session, frame: Frame) -> tuple[Kind, bytes]:
        match frame.kind:
            case Kind.IDENTIFY:
                return Kind.IDENTITY, identity_body(self.bridge.identify())
            case Kind.CONFIGURE:
                self.bridge.configure(parse(SequencerConfig, frame.body))
            case Kind.RUN:
                return Kind.RESULT, result_body(self.bridge.run(self._program(frame.body)))
            case Kind.RESET:
                self.bridge.reset()
            case Kind.SAFE:
                self.bridge.safe()
            case Kind.CLOSE:
                self._end(session, "its client closed it")
        return Kind.DONE, b""

    def _program(self, body: Body) -> Program:
        try:
            return Program.from_words(words_of(body))
        except BoardError:
            # As after any error in a program.
            self.bridge.safe()
            raise


def _outcome(answer: Frame | None) -> str:
    if answer is None:
        return "it was interrupted"
    if answer.kind is Kind.ERROR:
        return f"it ended with: {parse(Failure, answer.body).text}"
    return "it ended normally"
