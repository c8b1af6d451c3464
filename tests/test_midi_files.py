"MIDI as other programs write it: what they get wrong, and what they are free to do."

import logging
import struct

import mido
import numpy as np
import pytest

from drumnb.core import DrumnbError
from drumnb.midi_files import open_midi, read_midi, ticks_to_seconds
from drumnb.onset_files import read_onsets

ROCK = dict(KD=1, SD=1, TT=0, HH=2, CY=0)


def chunk(kind, data):
    return kind + struct.pack('>I', len(data)) + data


def track(*messages):  # Each with its delta time in front, below 128
    return chunk(b'MTrk', b''.join(bytes(m) for m in messages) + b'\x00\xff\x2f\x00')


def midi_file(path, *tracks, division=b'\x00\x60', kind=1):
    path.write_bytes(chunk(b'MThd', struct.pack('>HH', kind, len(tracks)) + division) + b''.join(tracks))
    return path


def notes(*pitches, channel=10, velocity=100, apart=48):
    return [(apart if i else 0, 0x8F + channel, p, velocity) for i, p in enumerate(pitches)]


def name(text):
    return (0, 0xFF, 3, len(text.encode()), *text.encode())


KEY = (0, 0xFF, 0x59, 2)
SLOW = (0xFF, 0x51, 3, 0x0F, 0x42, 0x40)  # a second a beat


@pytest.mark.parametrize('key', [(8, 0), (0xF8, 1), (0, 7), (0x80, 0x80)])
def test_a_key_that_does_not_exist_is_nobodys_business(tmp_path, key):
    assert read_onsets(midi_file(tmp_path / 'k.mid', track((*KEY, *key), *notes(36, 42, 38, 42)))).counts() == ROCK


@pytest.mark.parametrize(
    'odd',
    [
        (0, 0xFF, 0x51, 2, 7, 161),  # a tempo of two bytes
        (0, 0xFF, 0x58, 1, 4),  # half a time signature
        (0, 0xFF, 0x58, 4, 4, 200, 24, 8),
        (0, 0xFF, 0x54, 5, 255, 99, 99, 99, 99),  # a time code that no film has
        (0, 0xFF, 3, 4, 0xFF, 0xFE, 0x80, 0x81),  # a name in an unknown encoding
        (0, 0xFF, 0x7B, 3, 1, 2, 3),  # a message nobody knows
        (0, 0xF0, 3, 1, 2, 0xF7),  # system exclusive
        (0, 0xF1, 5),
        (0, 0xF8),
        (0, 0xFF, 0x51, 3, 0, 0, 0),  # a tempo without end
    ],
)
def test_odd_messages_between_notes(tmp_path, odd):
    path = midi_file(tmp_path / 'o.mid', track(odd, *notes(36, 42, 38), odd, (48, 0x99, 42, 90)))
    assert read_midi(path).times.tolist() == [0, 0.25, 0.5, 0.75]


def test_running_status_goes_on_after_meta_and_system_messages(tmp_path):
    body = [
        (0, 0x99, 36, 90),
        (48, 42, 80),
        (0, 0xFF, 6, 1, 65),
        (48, 38, 90),
        (0, 0xF0, 1, 0xF7),
        (48, 42, 80),
        (1, 42, 0),
    ]
    hits = read_midi(midi_file(tmp_path / 'r.mid', track(*body)))
    assert hits.onsets().counts() == ROCK and hits.times.tolist() == [0, 0.25, 0.5, 0.75]


def test_values_over_127_count_as_127(tmp_path):
    hits = read_midi(midi_file(tmp_path / 'v.mid', track((0, 0x99, 36, 200), (48, 0x99, 38, 128), (48, 0x99, 42, 255))))
    assert hits.velocities.tolist() == [1, 1, 1] and hits.pitches.tolist() == [36, 38, 42]


def test_tempo_of_any_track_counts_for_all(tmp_path):
    tempi = track(name('click'), (96, *SLOW), (96, 0xFF, 0x51, 3, 0x07, 0xA1, 0x20))
    path = midi_file(tmp_path / 't.mid', track(name('song')), track(*notes(36, 38, 36, 38, apart=96)), tempi)
    assert read_midi(path).times.tolist() == [0, 0.5, 1.5, 2.0]


@pytest.mark.parametrize(
    'track_name', ['Drums', 'DRUM KIT', 'Perc: Percussion', 'Schlagzeug', 'Batería', 'Ударные', 'bateria 1']
)
def test_drums_on_another_channel_are_found_by_name_and_it_is_said(tmp_path, caplog, track_name):
    bass = track(name('bass'), *notes(36, 38, channel=1))
    drums = track(name(track_name), *notes(36, 42, 38, 42, channel=1))
    with caplog.at_level(logging.WARNING, 'drumnb'):
        assert read_onsets(midi_file(tmp_path / 'd.mid', bass, drums)).counts() == ROCK
    assert 'channel 1' in caplog.text and 'd.mid' in caplog.text


def test_drums_on_another_channel_are_found_by_the_name_of_the_file_or_asked_for(tmp_path):
    body = track(*notes(36, 42, 38, 42, channel=3))
    assert read_onsets(midi_file(tmp_path / 'my drums.mid', body)).counts() == ROCK
    plain = midi_file(tmp_path / 'take.mid', body)
    assert read_onsets(plain, channels=(3,)).counts() == read_onsets(plain, channels=3).counts() == ROCK
    for wrong, words in ((None, 'name their channel'), ((10,), 'notes on 3'), ((0,), 'from 1 to 16'), ('x', 'from 1')):
        with pytest.raises(DrumnbError, match=words):
            read_midi(plain, channels=wrong)


def test_channel_ten_wins_over_names(tmp_path):
    other = track(name('steel drums'), *notes(60, 62, channel=2))
    assert len(read_midi(midi_file(tmp_path / 's.mid', other, track(*notes(36, 38))))) == 2


def test_unknown_pitches_are_all_named_and_never_dropped_in_silence(tmp_path, caplog):
    path = midi_file(tmp_path / 'u.mid', track(*notes(36, 91, 92, 91, 38, 98, 42, 42)))
    with pytest.raises(DrumnbError) as e:
        read_midi(path)
    assert 'u.mid' in str(e.value) and '91 (2 times), 92 (once), 98 (once)' in str(e.value)
    with caplog.at_level(logging.WARNING, 'drumnb'):
        assert len(read_midi(path, unknown='drop')) == 4
    assert '91 (2 times), 92 (once), 98 (once); these notes are dropped' in caplog.text
    assert read_onsets(path, unknown={91: 38, 92: 46, 98: 49}).counts() == dict(KD=1, SD=3, TT=0, HH=3, CY=1)
    assert len(read_midi(path, unknown={91: None, 92: 46, 98: None})) == 5
    with pytest.raises(DrumnbError, match='98 .once.'):
        read_midi(path, unknown={91: 38, 92: 46})
    with pytest.raises(DrumnbError, match="expected 'raise', 'drop'"):
        read_midi(path, unknown='ignore')


def test_roland_edges_are_hats_with_their_source(tmp_path):
    path = midi_file(tmp_path / 'td.mid', track(*notes(36, 22, 38, 26)))
    assert read_onsets(path, source='td11').counts() == ROCK
    with pytest.raises(DrumnbError, match='22 .once., 26 .once.*another source'):
        read_onsets(path)


def test_ticks_of_film_and_headers_of_other_programs(tmp_path):
    body = track((0, 0xFF, 0x51, 3, 1, 1, 1), *notes(36, 38, 42, 42, apart=100))
    film = midi_file(tmp_path / 'f.mid', body, division=struct.pack('>bB', -25, 4))  # 25 frames of 4 ticks
    assert read_midi(film).times.tolist() == [0, 1, 2, 3]
    drop = midi_file(tmp_path / 'n.mid', body, division=struct.pack('>bB', -29, 4))
    assert np.allclose(read_midi(drop).times, np.arange(4) * 100 / 4 / (30 / 1.001))
    plain = midi_file(tmp_path / 'p.mid', track(*notes(36, 38)), kind=0).read_bytes()
    (tmp_path / 'p.rmi').write_bytes(b'RIFF' + struct.pack('<I', len(plain) + 12) + b'RMIDdata' + plain[:0] + plain)
    assert len(read_onsets(tmp_path / 'p.rmi')) == 2
    (tmp_path / 'x.mid').write_bytes(plain[:14] + chunk(b'XFIH', b'abc') + plain[14:] + b'\x00\x00')
    assert len(read_midi(tmp_path / 'x.mid')) == 2


def test_one_song_is_read_but_not_songs_in_a_row(tmp_path):
    one = midi_file(tmp_path / 'one.mid', track(*notes(36, 38)), kind=2)
    assert len(read_midi(one)) == 2
    with pytest.raises(DrumnbError, match='type 2'):
        open_midi(midi_file(tmp_path / 'two.mid', track(*notes(36)), track(*notes(38)), kind=2))


def test_our_reader_agrees_with_mido(tmp_path):
    rng = np.random.default_rng(0)
    written = mido.MidiFile(ticks_per_beat=480)
    for channel in (9, 0):
        body = mido.MidiTrack([mido.MetaMessage('set_tempo', tempo=int(rng.integers(3e5, 9e5)))])
        for _ in range(200):
            pitch, velocity, wait = rng.integers(0, 128, 3)
            body.append(mido.Message('note_on', channel=channel, note=pitch, velocity=velocity, time=int(wait) * 7))
            body.append(mido.Message('control_change', channel=channel, control=4, value=pitch))
            body.append(mido.Message('program_change', channel=channel, program=velocity))
        written.tracks.append(body)
    written.save(tmp_path / 'm.mid')
    ours, theirs = open_midi(tmp_path / 'm.mid'), mido.MidiFile(tmp_path / 'm.mid')
    assert [list(t) for t in ours.tracks] == [list(t) for t in theirs.tracks]
    seconds = np.cumsum([m.time for m in theirs])
    ticks = np.cumsum([m.time for m in theirs.merged_track])
    assert np.allclose(ticks_to_seconds(ours, ticks), seconds, atol=1e-6)
