"""Board files: what is read, and what is refused by which key."""

import re
from pathlib import Path

import pytest

from drivers.board import PAPER_BOARD, Board, BoardFileError, Instruments, LineDesign, Tolerances, load_board
from firmware_bridge.timing import SequencerTiming

TEXT = PAPER_BOARD.read_text()


def changed(tmp_path, pattern, replacement):
    """The default board's file with one line changed, loaded."""
    text, n = re.subn(pattern, replacement, TEXT, flags=re.MULTILINE)
    assert n, pattern
    path = tmp_path / "board.toml"
    path.write_text(text)
    return load_board(path)


def test_the_default_board_is_that_of_the_paper():
    board = load_board()
    assert board.shape == (32, 32)
    assert sorted((*board.wiring.bl_dac, *board.wiring.wl_dac)) == list(range(64))
    assert (board.wiring.n_adcs, board.wiring.positions) == (8, (0, 1, 2, 3))
    assert board.dac.span_v == 5.0
    assert board.wiring.vcm_v == board.dac.span_v / 2
    assert board.levels.input_v == 0.1
    assert board.timing == SequencerTiming()
    # 32 cells of 80 µS at the largest input stay within the converter's range.
    assert 32 * 80e-6 * board.levels.input_v * board.tia.rf_ohm <= board.adc.vref_v


def test_safe_frames_reset_the_dacs_after_the_wait_of_a_reset():
    config = load_board().sequencer()
    assert (config.safe_wait_cycles, config.safe_frames) == (25_000, (0x05000A,))
    assert config.timing == SequencerTiming()


def test_the_sequencers_limits_are_those_of_the_lines_and_pulses(tmp_path):
    text = PAPER_BOARD.read_text().replace("bl_v = [0.0, 5.0]", "bl_v = [0.5, 4.5]")
    path = tmp_path / "board.toml"
    path.write_text(text)
    limits = load_board(path).sequencer().limits
    # 5 V span: codes of 5 V / 65536; 5 V itself is one code too high.
    assert limits.code[:32] == ((6554, 58982),) * 32
    assert limits.code[32:] == ((0, 65535),) * 32
    assert limits.dac_channels == 8
    assert limits.fixed == ((4, 0x00FF),)
    # NOP, SYNC, GAIN, TRIGGER and the eight channels; never BRDCAST, CONFIG or read-only ones.
    assert limits.register_mask == 0b1111_1111_0011_0101
    assert limits.pulse_width == (100, 1_000_000)
    assert limits.pulse_interval == 500
    assert limits.sr_bits == 16


def test_a_changed_value_is_read(tmp_path):
    assert changed(tmp_path, r"^rf_ohm = .*$", "rf_ohm = 2000").tia.rf_ohm == 2000.0


WRONG = [
    (r"^rf_ohm = .*$", "rf_kohm = 3.5", "tia.rf_kohm: Extra inputs are not permitted", "unknown unit"),
    (r"^rf_ohm = .*$", 'rf_ohm = "3500"', "tia.rf_ohm: Input should be a valid number", "string"),
    (r"^rf_ohm = .*$", 'rf_ohm = "3.5 kΩ"', "tia.rf_ohm: Input should be a valid number", "string with unit"),
    (r"^rf_ohm = .*$", "rf_ohm = true", "tia.rf_ohm: Input should be a valid number", "boolean"),
    (r"^rf_ohm = .*$", "rf_ohm = -3500.0", "tia.rf_ohm: Input should be greater than 0", "negative"),
    (r"^rf_ohm = .*$", "rf_ohm = inf", "tia.rf_ohm: Input should be a finite number", "infinite"),
    (r"^rf_ohm = .*$", "", "tia.rf_ohm: Field required", "missing"),
    (r"^vcm_v = .*$", "vcm_v = nan", "wiring.vcm_v: Input should be", "NaN"),
    (r"^vref_v = 0.9", "vref_v = 1.2", "adc.vref_v: Input should be less than or equal to 0.9", "ADC reference"),
    (r"^gain = 2.*$", "gain = 4", "dac.DAC80508.gain: Input should be 1 or 2", "gain"),
    (r"^sl_mux = \[0, 1", "sl_mux = [1, 1", "wiring: .*ADC input \\(0, 1\\) is used 2 times", "ADC input twice"),
    (r"^wl_dac = \[32", "wl_dac = [31", "wiring: .*DAC channel 31 is used 2 times", "line twice"),
    (r"^wl_dac = \[32", "wl_dac = [32.5", "wiring.wl_dac.0: Input should be a valid integer", "fraction of a channel"),
    (r"^wl_dac = \[32, 33", "wl_dac = [32", "wiring: .*wl_dac has 31 entries, sl_adc 32", "line missing"),
    (r"^sr_devices = 2.*$", "sr_devices = 1", "wiring: .*shift-register bit 11", "short chain"),
    (r"^clock_hz = .*$", "clock_mhz = 100", "timing.clock_mhz: Extra inputs", "unknown timing"),
    (r"^dac_s = .*$", "dac_s = 0", "settle.dac_s: Input should be greater than 0", "zero settling"),
    (r"^input_v = .*$", "input_v = -0.1", "levels.input_v: Input should be greater than 0", "negative level"),
    (r"^input_v = .*$", "input_v = 0.3", "levels.input_v = 0.3 V is above 0.25 V", "level beyond limit"),
    (r"^verify_v = .*$", "verify_v = 0.11", "levels.verify_v = 0.11 V is above 0.1 V", "verify beyond input"),
    (r"^wl_on_v = .*$", "wl_on_v = 5.0", "levels.wl_on_v = 5 V is above 4.99992 V", "gate beyond span"),
    (r"^vform_v = .*$", "vform_v = 5.1", "wiring.vform_v = 5.1 V is above", "reference beyond span"),
    (r"^amplitude_v = \[0.0, 2.0\]", "amplitude_v = [2.0, 0.0]", "limits.set.amplitude_v: .*runs backwards", "range"),
    (r"^amplitude_v = \[0.0, 2.0\]", "amplitude_v = [-1.0, 2.0]", "limits.set.amplitude_v.0: .*equal to 0", "sign"),
    (r"^amplitude_v = \[0.0, 2.0\]", "amplitude_v = 2.0", "limits.set.amplitude_v: Input should be", "no range"),
    (r"^read_v = .*$", "read_mv = 250", "limits.read_v: Field required", "renamed limit"),
    (r"^pulses_per_cell = .*$", "pulses_per_cell = 1.5", "limits.pulses_per_cell: Input should be", "fraction"),
    (r"^\[limits.form\]", "[limits.melt]", "limits.melt: Extra inputs are not permitted", "unknown pulse"),
    (r"^name = .*$", "name = 3", "name: Input should be a valid string", "name"),
]


@pytest.mark.parametrize(("pattern", "replacement", "message", "_what"), WRONG, ids=[w[3] for w in WRONG])
def test_a_wrong_entry_is_refused_by_its_key(tmp_path, pattern, replacement, message, _what):
    with pytest.raises(BoardFileError, match=message) as refusal:
        changed(tmp_path, pattern, replacement)
    assert str(tmp_path) in str(refusal.value)


def test_every_wrong_entry_is_named_at_once(tmp_path):
    with pytest.raises(BoardFileError) as refusal:
        changed(tmp_path, r"^(rf_ohm|dac_s) = .*$", r"\1 = -1.0")
    assert "tia.rf_ohm" in str(refusal.value)
    assert "settle.dac_s" in str(refusal.value)


def test_text_that_is_not_toml_is_refused(tmp_path):
    with pytest.raises(BoardFileError, match="not TOML"):
        changed(tmp_path, r"^\[tia\]", "[tia")


def test_a_file_that_is_not_there_is_refused_with_advice(tmp_path):
    with pytest.raises(BoardFileError, match=r"No such file or directory; give a board file in TOML"):
        load_board(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "board.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BoardFileError, match="not TOML"):
        load_board(tmp_path / "board.toml")


def test_a_board_cannot_be_changed_after_it_was_checked():
    with pytest.raises(ValueError, match="frozen"):
        load_board().limits.read_v = 1.0


def test_a_board_survives_being_written_down():
    board = load_board()
    assert Board.model_validate(board.model_dump()) == board


def with_entry(key, value):
    """The default board with one entry, by its dotted key, of another value."""
    *tables, last = key.split(".")
    data = load_board().model_dump()
    table = data
    for name in tables:
        table = table[name]
    assert last in table, key
    table[last] = value
    return Board.model_validate(data)


ABOVE_ZERO = [
    *("dac.vref_v", "tia.rf_ohm", "settle.dac_s", "settle.mux_s", "levels.wl_on_v", "levels.input_v"),
    *("levels.verify_v", "transistor.threshold_v", "transistor.saturation_a_per_v", "limits.wl_off_v"),
    *("limits.read_v", "limits.read_disturb_v", "limits.read_exposure_s", "limits.pulse_interval_s"),
    *("limits.dose_per_cell_v2s", "limits.host_silence_s", "limits.set.compliance_a", "limits.form.compliance_a"),
    *("instruments.min_temperature_k", "instruments.max_temperature_k"),
]
FROM_ZERO = [
    *("lines.bl_driver_ohm", "lines.bl_segment_ohm", "lines.sl_segment_ohm", "lines.sl_series_ohm"),
    *("lines.tolerance", "tolerances.dac_gain", "tolerances.adc_gain", "tolerances.rf", "tolerances.reference"),
    *("instruments.max_voltage_v", "instruments.max_current_a"),
]
SHARES = [key for key in FROM_ZERO if key.startswith("tolerances.") or key == "lines.tolerance"]
SMALL = 1e-9


@pytest.mark.parametrize("key", ABOVE_ZERO)
def test_what_cannot_be_zero_may_be_small(key):
    with pytest.raises(ValueError, match="greater than 0"):
        with_entry(key, 0.0)
    if key not in ("dac.vref_v", "limits.read_v", "levels.input_v"):  # others' bounds
        with_entry(key, SMALL)


@pytest.mark.parametrize("key", FROM_ZERO)
def test_what_may_be_zero_cannot_be_less(key):
    with_entry(key, 0.0)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        with_entry(key, -SMALL)


@pytest.mark.parametrize("key", SHARES)
def test_nothing_is_off_by_all_of_it(key):
    with_entry(key, 1 - SMALL)
    with pytest.raises(ValueError, match="less than 1"):
        with_entry(key, 1.0)


def test_counts_are_whole_and_only_forming_may_be_forbidden():
    with_entry("limits.pulses_per_cell", 1)
    with_entry("limits.forming_per_cell", 0)
    for key, value in (("limits.pulses_per_cell", 0), ("limits.forming_per_cell", -1)):
        with pytest.raises(ValueError, match="greater than"):
            with_entry(key, value)


def test_an_instrument_may_always_give_zero_volts():
    with_entry("instruments.min_voltage_v", 0.0)
    with pytest.raises(ValueError, match="less than or equal to 0"):
        with_entry("instruments.min_voltage_v", SMALL)


@pytest.mark.parametrize("value", [0.5, 0.9])
def test_the_converters_reference_reaches_both_ends_of_its_range(value):
    with_entry("adc.vref_v", value)
    with pytest.raises(ValueError, match="or equal to"):
        with_entry("adc.vref_v", value + (SMALL if value == 0.9 else -SMALL))


@pytest.mark.parametrize(
    ("key", "limit"),
    [
        ("levels.input_v", lambda board: board.limits.read_v),
        ("levels.verify_v", lambda board: board.levels.input_v),
        # The highest code, and not the span itself.
        ("levels.wl_on_v", lambda board: board.dac.span_v * 65535 / 65536),
        ("wiring.vcm_v", lambda board: board.dac.span_v * 65535 / 65536),
        ("wiring.vform_v", lambda board: board.dac.span_v * 65535 / 65536),
    ],
)
def test_a_level_may_be_at_its_limit_and_not_beyond(key, limit):
    top = limit(load_board())
    with_entry(key, top)
    with pytest.raises(ValueError, match=re.escape(f"{key} = ")):
        with_entry(key, top * (1 + SMALL))


def test_gates_stay_within_the_limit_of_their_lines():
    data = load_board().model_dump()
    data["limits"]["wl_v"] = (0.0, 4.8)
    with pytest.raises(ValueError, match=r"levels.wl_on_v = 4.9 V is above 4.8 V"):
        Board.model_validate(data)


def test_what_instruments_may_do_by_default_is_what_the_manual_says(tmp_path):
    manual = (Path(__file__).parents[2] / "docs" / "instruments.md").read_text()
    (shown,) = re.findall(r"^```toml\n(\[instruments\]\n.*?)^```", manual, flags=re.MULTILINE | re.DOTALL)
    limits = set(Instruments.model_fields) - {"smu", "dmm", "stage"}
    assert all(f"\n{key} = " in shown for key in limits)
    path = tmp_path / "board.toml"
    path.write_text(f"{TEXT}\n{shown}")
    written = load_board(path).instruments
    assert written.model_dump(include=limits) == Instruments().model_dump(include=limits)


def test_a_file_without_lines_and_tolerances_has_those_of_the_papers_board_but_lines_without_resistance():
    board = load_board()
    assert Tolerances() == board.tolerances
    assert LineDesign() == LineDesign(
        bl_driver_ohm=0, bl_segment_ohm=0, sl_segment_ohm=0, sl_series_ohm=0, tolerance=board.lines.tolerance
    )


def test_the_name_of_a_chip_fits_the_ledgers_files():
    with_entry("chip", "x" * 64)
    with pytest.raises(ValueError, match="at most 64"):
        with_entry("chip", "x" * 65)
