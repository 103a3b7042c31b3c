"""Who holds the board, until when, and what is executed."""

import pytest

from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.errors import BoardError, ConnectionLost, LimitError, ProtocolError, TimingViolation
from firmware_bridge.isa import ISA_HASH, ISA_VERSION, Wait
from firmware_bridge.program import Program
from firmware_bridge.remote.desk import REMEMBERED, Peer
from firmware_bridge.remote.framing import Frame, FrameReader, Kind, encode
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.messages import Failure, Hello, Over, parse, words_body

TOKEN = "correct horse battery staple"
HELLO = Hello(isa_version=ISA_VERSION, isa_hash=ISA_HASH).body()


def raw(frame: Frame, **options: int) -> bytes:
    (encoded,) = FrameReader(1 << 20).feed(encode(frame, **options))
    return encoded


def ask(network, peer, kind, session, sequence, body=b""):
    return network.desk.handle(peer, raw(Frame(kind, session, sequence, body)))


def program(cycles: int) -> bytes:
    return words_body(Program([Wait(cycles)]).words())


# -- handshake ---------------------------------------------------------------------------------------------------------
def test_the_board_is_made_safe_before_anybody_is_served(network):
    assert network.bridge.is_safe


def test_another_instruction_set_is_refused_with_both_numbers(network):
    body = Hello(isa_version=9, isa_hash=0x12345678).body()
    answer = ask(network, Peer("a"), Kind.HELLO, 1, 0, body)
    assert answer.kind is Kind.REFUSED
    text = parse(Failure, answer.body).text
    assert "0x12345678" in text
    assert f"{ISA_HASH:#010x}" in text


def test_another_protocol_version_is_refused_in_words_and_not_dropped(network):
    answer = network.desk.handle(Peer("a"), raw(Frame(Kind.HELLO, 1, 0, HELLO), version=2))
    assert answer.kind is Kind.REFUSED
    assert "protocol version 2, this one 1" in parse(Failure, answer.body).text


@pytest.mark.parametrize("token", [None, "", "correct horse battery stapl", "Correct horse battery staple"])
def test_a_wrong_token_opens_nothing(network, token):
    network.desk.token = TOKEN
    with pytest.raises(ProtocolError, match="token is missing or wrong; set XBAR_TOKEN"):
        network.open(token=token)
    assert network.desk._holder is None


def test_the_right_token_opens_a_session(network):
    network.desk.token = TOKEN
    assert network.open(token=TOKEN).identify().kind == "recorder"


@pytest.mark.parametrize("token", ["", "fifteen letters", "x" * 257])
def test_a_token_that_can_be_guessed_or_not_sent_is_refused_at_the_start(token):
    with pytest.raises(ProtocolError, match=f"has {len(token)} characters; it needs 16 to 256"):
        Address.parse("tcp://127.0.0.1:0").refuse_open(token)


def test_a_session_begins_with_request_0(network):
    answer = ask(network, Peer("a"), Kind.HELLO, 1, 5, HELLO)
    assert "begins with request 0" in parse(Failure, answer.body).text


# -- one client --------------------------------------------------------------------------------------------------------
def test_a_second_client_is_told_who_holds_the_board_and_disturbs_nothing(network, remote):
    remote.run(Program([Wait(1)]))
    with pytest.raises(ProtocolError, match=r"the board is held by host:0; it is free .* or 10 s after"):
        network.open()
    assert not network.bridge.is_safe
    remote.run(Program([Wait(2)]))
    assert len(network.bridge.executed) == 2


def test_a_second_client_may_come_when_the_first_has_closed(network):
    network.open().close()
    assert network.bridge.is_safe
    assert network.open().identify().kind == "recorder"


def test_a_new_session_on_the_same_line_ends_the_old_one_safely(network):
    peer = Peer("/dev/ttyS0")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    ask(network, peer, Kind.RUN, 1, 1, program(5))
    safes = network.bridge.safes
    assert ask(network, peer, Kind.HELLO, 2, 0, HELLO).kind is Kind.WELCOME
    assert network.bridge.safes == safes + 1
    over = parse(Over, ask(network, peer, Kind.RUN, 1, 2, program(6)).body)
    assert (over.executed, "opened another session" in over.reason) == (False, True)
    assert len(network.bridge.executed) == 1


def test_a_session_that_has_ended_is_not_opened_again_by_an_old_frame(network):
    peer = Peer("/dev/ttyS0")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    network.desk.lost(peer)
    assert ask(network, peer, Kind.HELLO, 1, 0, HELLO).kind is Kind.OVER
    assert network.desk._holder is None


# -- lease -------------------------------------------------------------------------------------------------------------
def test_a_lease_that_lapses_makes_the_outputs_safe_and_ends_the_session(network, remote):
    remote.run(Program([Wait(1)]))
    network.pass_time(10.0)
    assert not network.bridge.is_safe
    network.pass_time(0.001)
    assert network.bridge.is_safe
    with pytest.raises(ConnectionLost, match=r"nothing was heard for 10 s .* the program was not executed") as lost:
        remote.run(Program([Wait(2)]))
    assert lost.value.executed is False
    assert len(network.bridge.executed) == 1


@pytest.mark.parametrize("sign_of_life", ["identify", "reset", "_ping"])
def test_any_request_renews_the_lease(network, remote, sign_of_life):
    remote._ping = lambda: remote._ask(Kind.PING)
    for _ in range(5):
        network.pass_time(9.0)
        getattr(remote, sign_of_life)()
    remote.run(Program([Wait(1)]))
    assert network.desk.counts.lapsed == 0


def test_noise_and_strangers_do_not_renew_the_lease(network, remote):
    remote.run(Program([Wait(1)]))
    for _ in range(11):
        network.pass_time(1.0)
        network.desk.handle(network.links[0].peer, b"noise")
        ask(network, Peer("stranger"), Kind.PING, 4711, 1)
    assert network.bridge.is_safe


def test_a_client_that_repeats_itself_is_alive(network):
    peer = Peer("a")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    for _ in range(3):
        ask(network, peer, Kind.RUN, 1, 1, program(5))
        network.pass_time(9.0)
    assert network.desk.counts.lapsed == 0


def test_a_program_may_take_longer_than_the_lease(network, remote):
    run = network.bridge.run

    def slow(program):
        network.now_s += 3600.0
        return run(program)

    network.bridge.run = slow
    remote.run(Program([Wait(1)]))
    network.pass_time(9.0)
    assert not network.bridge.is_safe


# -- at most once ------------------------------------------------------------------------------------------------------
def test_a_repeat_gets_the_stored_answer_and_is_not_executed(network):
    peer = Peer("a")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    first = ask(network, peer, Kind.RUN, 1, 1, program(5))
    assert [ask(network, peer, Kind.RUN, 1, 1, program(5)) for _ in range(3)] == [first] * 3
    assert len(network.bridge.executed) == 1
    assert network.desk.counts.repeated == 3


def test_a_repeat_of_a_number_is_not_executed_even_if_its_program_differs(network):
    peer = Peer("a")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    ask(network, peer, Kind.RUN, 1, 1, program(5))
    ask(network, peer, Kind.RUN, 1, 1, program(6))
    assert len(network.bridge.executed) == 1


def test_a_repeat_of_a_program_that_failed_gets_the_error_again(network):
    peer = Peer("a")
    network.bridge.error = ProtocolError("a chip refuses")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    first = ask(network, peer, Kind.RUN, 1, 1, program(5))
    assert first.kind is Kind.ERROR
    assert ask(network, peer, Kind.RUN, 1, 1, program(5)) == first
    assert len(network.bridge.executed) == 1


def test_an_older_number_is_neither_executed_nor_answered(network):
    peer = Peer("a")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    ask(network, peer, Kind.RUN, 1, 5, program(5))
    assert ask(network, peer, Kind.RUN, 1, 4, program(4)) is None
    assert ask(network, peer, Kind.HELLO, 1, 0, HELLO) is None
    assert len(network.bridge.executed) == 1


def test_a_number_is_taken_before_it_is_executed(network):
    # An interrupt in the middle: whatever comes after it, the program must not run again.
    peer = Peer("a")
    network.bridge.error = KeyboardInterrupt()
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    with pytest.raises(KeyboardInterrupt):
        ask(network, peer, Kind.RUN, 1, 1, program(5))
    assert ask(network, peer, Kind.RUN, 1, 1, program(5)) is None
    assert len(network.bridge.executed) == 1
    network.desk.close()
    over = parse(Over, ask(network, peer, Kind.RUN, 1, 1, program(5)).body)
    assert (over.executed, over.outcome) == (True, "it was interrupted")


@pytest.mark.parametrize("peer", [Peer("stranger"), Peer("host:0")])
def test_nobody_executes_in_a_session_from_another_link(network, remote, peer):
    ask(network, peer, Kind.RUN, remote._session, 99, program(5))
    ask(network, peer, Kind.RUN, remote._session + 1, 1, program(5))
    assert network.bridge.executed == []


# -- errors ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "error",
    [LimitError("BL 3", 2.0, (0.0, 1.5), "V", source="limits.bl_v"), TimingViolation("tCSS", 5e-9, 13e-9, "s"),
     ProtocolError("DAC mask 0x100 names DAC 8"), BoardError("anything"), ConnectionLost("the board's own link")],
)  # fmt: skip
def test_what_the_board_raises_is_raised_at_the_host(network, remote, error):
    network.bridge.error = error
    with pytest.raises(type(error)) as raised:
        remote.run(Program([Wait(1)]))
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    network.bridge.error = None
    remote.run(Program([Wait(1)]))  # the link is as good as before


def test_a_defect_of_the_server_is_told_and_leaves_the_outputs_safe(network, remote, caplog):
    def broken(config):
        network.bridge.is_safe = False
        raise ZeroDivisionError("division by zero")

    network.bridge.configure = broken
    with pytest.raises(BoardError, match="the board server failed at CONFIGURE: ZeroDivisionError: division by zero"):
        remote.configure(SequencerConfig())
    assert network.bridge.is_safe
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("body", [b"", b"\x01", b"\0\0\0\x77", b"\0\0\0\x02", b"\0\0\0\x01\0\0\0\0"])
def test_a_program_that_makes_no_sense_is_refused_with_outputs_safe(network, body):
    peer = Peer("a")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    ask(network, peer, Kind.RESET, 1, 1)
    answer = ask(network, peer, Kind.RUN, 1, 2, body)
    assert parse(Failure, answer.body).error == "ProtocolError"
    assert network.bridge.is_safe
    assert network.bridge.executed == []


@pytest.mark.parametrize(
    "body", [b"{}x", b'{"timing": {"clock_hz": 0}}', b'{"frames": []}', b'{"timing": {"clock_hz": 1e999}}']
)
def test_a_configuration_that_makes_no_sense_is_refused(network, remote, body):
    before = network.bridge.config
    with pytest.raises(ProtocolError, match="sequencerconfig message"):
        remote._ask(Kind.CONFIGURE, body)
    assert network.bridge.config is before


def test_answers_are_no_requests(network, remote):
    for kind in (k for k in Kind if k >= Kind.DONE):
        assert ask(network, network.links[0].peer, kind, remote._session, 50) is None
    assert network.desk.counts.malformed == 6 + 1


# -- fate --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("sequence", "executed"), [(1, None), (2, True), (3, False)])
def test_a_server_says_what_became_of_a_request_after_the_session(network, sequence, executed):
    peer = Peer("a")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    for k in (1, 2):
        ask(network, peer, Kind.RUN, 1, k, program(k))
    over = parse(Over, ask(network, Peer("b"), Kind.FATE, 1, sequence).body)
    assert over.executed is executed
    assert over.outcome == ("it ended normally" if executed else "")


def test_asking_from_elsewhere_ends_the_session_so_that_the_answer_stays_true(network):
    peer = Peer("a")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    assert parse(Over, ask(network, Peer("b"), Kind.FATE, 1, 1).body).executed is False
    assert ask(network, peer, Kind.RUN, 1, 1, program(5)).kind is Kind.OVER
    assert network.bridge.executed == []


def test_asking_on_the_same_line_ends_the_session_too(network):
    # A serial port that was unplugged and opened again is the same line to the server.
    peer = Peer("/dev/ttyS0")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    ask(network, peer, Kind.RUN, 1, 1, program(5))
    assert parse(Over, ask(network, peer, Kind.FATE, 1, 1).body).executed is True
    assert network.bridge.is_safe
    assert network.desk._holder is None


def test_a_server_that_does_not_know_a_session_says_so(network):
    over = parse(Over, ask(network, Peer("b"), Kind.FATE, 77, 3).body)
    assert over.executed is None
    assert "started anew" in over.reason


def test_what_a_server_remembers_is_bounded(network):
    peer = Peer("a")
    for session in range(3 * REMEMBERED):
        ask(network, peer, Kind.HELLO, session, 0, HELLO)
    assert len(network.desk._ended) == REMEMBERED


def test_the_oldest_session_is_forgotten_first(network):
    peer = Peer("a")
    for session in range(REMEMBERED + 2):
        ask(network, peer, Kind.HELLO, session, 0, HELLO)
    told = [parse(Over, ask(network, Peer("b"), Kind.FATE, session, 1).body) for session in (0, 1, REMEMBERED)]
    # The last one is held until it is asked for: one more has ended then.
    assert [over.executed for over in told] == [None, False, False]


def test_what_happened_is_counted(network):
    peer = Peer("a")
    ask(network, peer, Kind.HELLO, 1, 5, HELLO)
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    for sequence in (1, 2, 2, 1, 1, 3):
        ask(network, peer, Kind.PING, 1, sequence)
    network.desk.handle(peer, b"noise")
    network.pass_time(10.5)
    network.pass_time(10.5)  # nobody is left
    assert vars(network.desk.counts) == {
        "executed": 3, "repeated": 1, "stale": 2, "malformed": 1, "refused": 1, "lapsed": 1,
    }  # fmt: skip


def test_a_repeated_hello_renews_the_lease_and_is_answered_until_a_request_has_come(network):
    peer = Peer("a")
    first = ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    network.pass_time(9.0)
    assert ask(network, peer, Kind.HELLO, 1, 0, HELLO) == first
    network.pass_time(9.0)
    assert network.desk.counts.lapsed == 0
    ask(network, peer, Kind.PING, 1, 1)
    assert ask(network, peer, Kind.HELLO, 1, 0, HELLO) is None


def test_the_number_of_a_session_is_taken_from_nobody(network):
    # Another peer that says HELLO with the holder's number is a second client.
    peer = Peer("a:1")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    answer = ask(network, Peer("b:1"), Kind.HELLO, 1, 0, HELLO)
    assert answer.kind is Kind.REFUSED
    assert network.desk._holder.peer is peer


@pytest.mark.parametrize(("name", "host"), [("lab:7706", "lab"), ("::1:7706", "::1"), ("/dev/ttyS0", "/dev/ttyS0")])
def test_a_peers_host_is_its_name_without_the_port(name, host):
    assert Peer(name).host == host


def test_who_opened_a_session_is_welcome_and_who_was_refused_is_not(network):
    guest, refused, noisy = Peer("a"), Peer("b"), Peer("c")
    ask(network, guest, Kind.HELLO, 1, 0, HELLO)
    ask(network, refused, Kind.HELLO, 2, 0, HELLO)
    network.desk.handle(noisy, b"noise")
    assert [(p.welcome, p.refused) for p in (guest, refused, noisy)] == [(True, False), (False, True), (False, False)]


def test_a_link_that_is_lost_ends_its_own_session_and_nobody_elses(network):
    peer, other = Peer("a"), Peer("b")
    network.desk.lost(other)
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    ask(network, peer, Kind.RESET, 1, 1)
    network.desk.lost(other)
    assert not network.bridge.is_safe
    network.desk.lost(peer)
    assert network.bridge.is_safe
    assert "the link to a was lost" in parse(Over, ask(network, other, Kind.FATE, 1, 1).body).reason


def test_a_desk_that_is_closed_ends_its_session_and_lets_go_of_the_board(network, mocker):
    close, peer = mocker.spy(network.bridge, "close"), Peer("a")
    ask(network, peer, Kind.HELLO, 1, 0, HELLO)
    ask(network, peer, Kind.RESET, 1, 1)
    network.desk.close()
    assert (network.desk._holder, close.call_count) == (None, 1)
    assert network.desk._ended[1].reason == "the server was stopped"


def test_who_holds_the_board_and_why_sessions_end_is_logged_and_a_token_is_not(network, caplog):
    network.desk.token = TOKEN
    with caplog.at_level("INFO"):
        network.open(token=TOKEN).close()
        with pytest.raises(ProtocolError):
            network.open(token="x" * 20)
    assert "host:0 holds the board" in caplog.text
    assert "session with host:0 is over: its client closed it" in caplog.text
    assert "host:1 was refused: the token is missing or wrong" in caplog.text
    assert TOKEN not in caplog.text
    assert "x" * 20 not in caplog.text
