"""The table of drum labels, and what is derived from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumnb.core import DrumnbError
from drumnb.drums import (
    ARTICULATIONS,
    COLORS,
    DRUM_TABLE,
    DRUMS3,
    DRUMS5,
    DRUMS8,
    MIDI_PITCH,
    NAMES,
    SOURCES,
    VOCABULARIES,
    articulation,
    classify,
    drum_table,
    reduce_drum,
    vocabulary,
)

rows = st.sampled_from(DRUM_TABLE)
vocabularies = st.sampled_from(list(VOCABULARIES.values()))


def test_every_code_has_a_name_a_colour_and_a_pitch():
    codes = {d for v in VOCABULARIES.values() for d in v}
    assert codes <= set(NAMES) and codes <= set(COLORS) and codes <= set(MIDI_PITCH)
    for v in VOCABULARIES.values():
        assert len({COLORS[d] for d in v}) == len(v)


def test_rendering_finds_the_articulations_it_needs():
    needed = {
        36: 'kick',
        38: 'snare',
        37: 'sidestick',
        40: 'snare_rim',
        39: 'clap',
        42: 'hat_closed',
        44: 'hat_pedal',
        46: 'hat_open',
        51: 'ride',
        59: 'ride',
        53: 'ride_bell',
        49: 'crash',
        57: 'crash',
        55: 'splash',
        52: 'china',
        56: 'cowbell',
        54: 'tambourine',
        50: 'tom_high',
        47: 'tom_mid',
        45: 'tom_low',
        43: 'tom_floor',
    }
    assert {p: articulation(p, 'gm') for p in needed} == needed
    assert articulation(22, 'td11') == 'hat_closed' and articulation(26, 'td11') == 'hat_open'


@given(rows, vocabularies)
def test_classes_are_of_the_vocabulary(row, v):
    assert classify([row[1]], row[0], v)[0] in (*v, None)


@given(rows)
def test_reducing_in_two_steps_is_reducing_in_one(row):
    source, label, art, class5 = row
    assert classify([label], source) == [class5]
    assert articulation(label, source) == art in ARTICULATIONS
    eight = classify([label], source, DRUMS8)[0]
    assert (eight and reduce_drum(eight, DRUMS5)) == class5
    assert classify([label], source, DRUMS3)[0] == (class5 and reduce_drum(class5, DRUMS3))


@given(st.sampled_from(list(NAMES)), vocabularies)
def test_reduction_is_idempotent_or_refused(drum, v):
    try:
        once = reduce_drum(drum, v)
    except DrumnbError:
        assert drum == 'CY' and v == DRUMS8
        return
    assert once is None or reduce_drum(once, v) == once


@given(rows.filter(lambda r: r[0] == 'enst'), st.text('0123456789-', max_size=3))
def test_enst_labels_lose_what_trails(row, tail):
    assert classify([row[1] + tail], 'enst') == [row[3]]


@given(st.text(min_size=1, max_size=6), st.sampled_from(SOURCES))
def test_unknown_labels_are_one_line_that_names_them(label, source):
    t = drum_table()
    known = set(map(str, t[t.source == source].label))
    key = label.strip().rstrip('0123456789-') if source == 'enst' else label.strip()
    if key in known:
        assert classify([label], source)
    else:
        with pytest.raises(DrumnbError) as e:
            classify([label], source)
        assert source in str(e.value) and '\n' not in str(e.value) and 'expected one of' in str(e.value)


def test_vocabulary_by_size():
    assert vocabulary('3') == DRUMS3 and vocabulary(5) == DRUMS5 and vocabulary(DRUMS8) == DRUMS8
    for wrong in (7, 'five', (), ('KD', 'ZZ'), ('KD', 'KD')):
        with pytest.raises(DrumnbError):
            vocabulary(wrong)


def test_counts_of_mdb(shared_data):
    "The published number of onsets, every one of them in a class."
    from drumnb.onset_files import read_events

    files = sorted((shared_data / 'MDB Drums' / 'annotations' / 'subclass').glob('*.txt'))
    labels = [label for f in files for label in read_events(f)[1]]
    assert len(files) == 23 and len(labels) == 7994
    drums = classify(labels, 'mdb')
    assert {d: drums.count(d) for d in DRUMS5} == dict(KD=1539, SD=2692, TT=90, HH=2671, CY=1002)
