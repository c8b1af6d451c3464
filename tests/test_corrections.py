"""Corrected tables become sheet, MIDI and player again, keep what was corrected, and agree bar by bar."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import mido
import numpy as np
import pandas as pd
import pytest
import soundfile
from performances import HAND, kicks, performed

from drumnb.cli import main
from drumnb.core import DrumnbError, rng_for
from drumnb.drums import MIDI_PITCH
from drumnb.notation.batch_transcription import transcribe_file
from drumnb.notation.corrections import read_corrected, render
from drumnb.notation.formats import write_formats
from drumnb.notation.musicxml import score_xml
from drumnb.notation.staff import DIVISIONS
from drumnb.onsets import Onsets
from drumnb.transcription.meter import beats_per_bar
from drumnb.transcription.score import make_score
from drumnb.transcription.transcribe import Transcription

TABLE = """onset_s,drum,velocity,confidence,articulation
0.5,HH,0.6,0.9,hat_open
0.5,KD,0.8,0.4,kick
1.0,CY,0.8,1,ride
1.5,SD,0.3,1,sidestick
0.5,bar 3/4,,,
1.0,beat,,,
1.5,beat,,,
2.0,bar 3/4,,,
"""


def test_a_table_keeps_its_beats_and_ways_of_striking(tmp_path):
    (tmp_path / 'song.csv').write_text(TABLE)
    t = render(tmp_path / 'song.csv')
    assert t.score.meter == '3/4' and t.score.beats[:4].tolist() == [[0.5, 1], [1, 2], [1.5, 3], [2, 1]]
    ways = dict(zip(t.score.notes.onset_s.round(2).astype(str) + t.score.notes.drum, t.score.notes.articulation))
    assert ways == {'0.5HH': 'hat_open', '0.5KD': 'kick', '1.0CY': 'ride', '1.5SD': 'sidestick'}
    write_formats(t, tmp_path / 'out', 'csv,mid,musicxml')
    assert 'hat_open' in (tmp_path / 'out.csv').read_text()
    pitches = [m.note for track in mido.MidiFile(tmp_path / 'out.mid').tracks for m in track if m.type == 'note_on']
    assert {46, 51, 37} <= set(pitches)
    back, beats, meter = read_corrected(tmp_path / 'out.mid')
    assert sorted(back.articulations) == ['hat_open', 'kick', 'ride', 'sidestick'] and meter == '3/4'
    assert np.abs(beats[:3] - [[0.5, 1], [1, 2], [1.5, 3]]).max() < 2e-3
    assert len(render(tmp_path / 'song.csv', min_confidence=0.5)) == 3


@pytest.mark.parametrize('wrong', ['x,bar 3/4,,,\n1,beat,,,\n', '1,bar 3/5,,,\n2,beat,,,\n'])
def test_a_wrong_row_is_one_line(tmp_path, wrong):
    (tmp_path / 'song.csv').write_text('onset_s,drum,velocity,confidence,articulation\n0.5,HH,,,\n' + wrong)
    with pytest.raises(DrumnbError, match='expected'):
        render(tmp_path / 'song.csv')


def played(bpm=104, bars=12, start=0.4, per_bar=4):
    "A rock beat, and its table with the beats that it carries, bars a beat late and at half the tempo."
    beat = 60 / bpm
    at = start + beat * np.arange(bars * per_bar)
    times = np.r_[at, at + beat / 2, at]
    drums = ['HH'] * (2 * len(at)) + [('KD', 'SD')[i % per_bar % 2] for i in range(len(at))]
    rows = sorted(zip(times, drums))
    wrong = [(t, 'bar 4/4' if i % 4 == 0 else 'beat') for i, t in enumerate(at[1::2])]
    lines = ['onset_s,drum,velocity,confidence', *(f'{t:.4f},{d},0.8,1' for t, d in rows)]
    return '\n'.join([*lines, *(f'{t:.4f},{d},,' for t, d in wrong)]) + '\n', at


@pytest.mark.parametrize('kind', ['csv', 'jams', 'mid'])
def test_a_hint_finds_beats_again_where_a_table_carries_wrong_ones(tmp_path, kind):
    text, at = played()
    (tmp_path / 'song.csv').write_text(text)
    if kind != 'csv':
        write_formats(render(tmp_path / 'song.csv'), tmp_path / 'song', kind)
    song = tmp_path / f'song.{kind}'
    own = render(song).score
    assert np.median(np.diff(own.beats[:, 0])) == pytest.approx(120 / 104, abs=0.01), 'they are kept without a hint'
    new = tmp_path / 'new'
    for words in (['--tempo', '104'], ['--tempo', '100', '--first-beat', f'{at[4]:.2f}'], ['--first-beat', '0.42']):
        assert main(['render', str(song), '-o', str(new), '-f', 'score', *words]) == 0
        rows = pd.read_csv(new / 'song.score.csv')
        assert rows.bpm.median() == pytest.approx(104, rel=0.02)
        if '--first-beat' in words:
            ones = rows[(rows.beat == 1) & (rows.tick == 0)].onset_s.drop_duplicates()
            assert np.abs(ones - at[0]).min() < 0.02 and np.allclose(np.diff(ones), 4 * 60 / 104, atol=0.02)


def test_jams_keeps_compound_meter_and_articulations(tmp_path):
    times, ways = 0.2 * np.arange(48) + 0.3, ('hat_open', 'hat_closed', 'ride') * 16
    drums = [('HH', 'HH', 'CY')[i % 3] for i in range(48)]
    beats = np.c_[0.6 * np.arange(17) + 0.3, np.arange(17) % 4 + 1]
    t = Transcription(Onsets.make(times, drums), np.full(48, 0.9), 10.2, 'x', articulations=ways)
    write_formats(replace(t, score=make_score(t, beats, '12/8')), tmp_path / 'x', 'jams')
    again = render(tmp_path / 'x.jams')
    assert again.score.meter == '12/8' and again.articulations == ways
    whole = json.loads((tmp_path / 'x.jams').read_text())
    for spoiled in ('12/8', ['12/8'], dict(meter=['12/8'], articulations=7), dict(articulations=[[]] * 48)):
        for annotation in whole['annotations']:
            annotation['sandbox'] = spoiled
        (tmp_path / 'y.jams').write_text(json.dumps(whole))
        try:
            assert len(render(tmp_path / 'y.jams').onsets) == 48
        except DrumnbError as e:
            assert 'y.jams' in str(e) and len(str(e).splitlines()) == 1


def test_a_meter_keeps_the_beats_it_fits_and_finds_others_again(tmp_path, capsys):
    text, at = played()
    (tmp_path / 'song.csv').write_text(text)
    kept, found = (render(tmp_path / 'song.csv', meter=m).score for m in ('12/8', '3/4'))
    assert kept.meter == '12/8' and np.isin(at[1::2].round(4), kept.beats[:, 0].round(4)).all()
    assert found.meter == '3/4' and np.median(np.diff(found.beats[:, 0])) < 1
    three, _ = played(per_bar=3)
    (tmp_path / 'plain.csv').write_text('\n'.join(r for r in three.splitlines() if r.split(',')[1][:1] != 'b'))
    assert render(tmp_path / 'plain.csv', meter='3/4').score.meter == '3/4'
    for words in (['--tempo', 'fast'], ['--tempo', '9'], ['--first-beat', 'x'], ['--beats', 'bpm=90', '--tempo', '90']):
        assert main(['render', str(tmp_path / 'song.csv'), '-o', str(tmp_path / 'new'), *words]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def midi_file(path, signs, bars, pickup=(), bpm=100):
    "A beat in bars of (numerator, denominator), each sign before its bars; notes of a pick-up at ticks."
    events, at = [(t, mido.Message('note_on', channel=9, note=38, velocity=90)) for t in pickup], 0
    events.append((0, mido.MetaMessage('set_tempo', tempo=mido.bpm2tempo(bpm))))
    for (top, low), count in zip(signs, bars):
        events.append((at, mido.MetaMessage('time_signature', numerator=top, denominator=low)))
        for i in range(top * count):
            places = [42] + [36] * (i % top == 0) + [38] * (i % top == top // 2)
            quiet = pickup and (top, low) == signs[0]
            events += [(at, mido.Message('note_on', channel=9, note=p, velocity=90)) for p in places if not quiet]
            at += 1920 // low
    track, last = mido.MidiTrack(), 0
    for t, message in sorted(events, key=lambda e: e[0]):
        track.append(message.copy(time=t - last))
        last = t
    mido.MidiFile(type=0, ticks_per_beat=480, tracks=[track]).save(path)
    return path


@pytest.mark.parametrize(
    'sign, meter',
    [('8/8', '4/4'), ('4/8', '2/4'), ('4/2', '2/2'), ('8/4', '4/4'), ('15/8', '5/8'), ('7/8', '7/8'), ('12/8', '12/8')],
)
def test_every_time_signature_of_a_midi_file_is_written(tmp_path, sign, meter):
    top, low = map(int, sign.split('/'))
    t = render(midi_file(tmp_path / 'x.mid', [(top, low)], [6]))
    assert t.score.meter == meter and t.score.dropped == 0
    write_formats(t, tmp_path / 'out', 'musicxml,svg,mid,quantised,score')
    places = pd.read_csv(tmp_path / 'out.score.csv')
    assert np.abs(places.moved_s).max() < 2e-3, 'every note is on the grid'
    opens = (t.score.beats[t.score.beats[:, 1] == 1, 0] - t.onsets.times[0])[:-1]
    quarters = 4 * top / low * 0.6
    assert all(np.abs(opens - quarters * bar).min() < 2e-3 for bar in range(6))


def test_a_time_signature_that_cannot_be_written_is_said_or_found_again(tmp_path, caplog):
    t = render(midi_file(tmp_path / 'x.mid', [(13, 16)], [8]))
    assert t.score.dropped == 0 and len(t) == 8 * 15
    render(midi_file(tmp_path / 'y.mid', [(4, 4), (13, 16)], [4, 4]))
    assert 'time signature 13/16 is not known' in caplog.text
    track = mido.MidiTrack([mido.MetaMessage('time_signature', numerator=4, denominator=4, time=0)])
    track += [mido.Message('note_on', channel=9, note=36, velocity=90, time=480) for _ in range(9)]
    mido.MidiFile(type=0, ticks_per_beat=480, tracks=[track]).save(tmp_path / 'z.mid')
    data = (tmp_path / 'z.mid').read_bytes()
    (tmp_path / 'z.mid').write_bytes(data.replace(b'\xff\x58\x04\x04', b'\xff\x58\x04\x00'))  # 0/4
    assert len(render(tmp_path / 'z.mid')) == 9


@pytest.mark.parametrize('short', [(1, 4), (2, 4)])
def test_a_short_first_bar_of_a_midi_file_is_a_pick_up(tmp_path, short):
    pickup = [240 * i for i in range(2 * short[0])]
    t = render(midi_file(tmp_path / 'x.mid', [short, (4, 4)], [1, 6], pickup))
    assert t.score.pickup == 4 - short[0] and t.score.first_bar == 0 and t.score.n_bars == 7
    bars = list(ET.fromstring(score_xml(t)).iter('measure'))
    assert [m.get('number') for m in bars[:2]] == ['0', '1'] and bars[0].get('implicit') == 'yes'


def test_quarters_and_eighths_alternate_at_one_tempo(tmp_path):
    t = render(midi_file(tmp_path / 'x.mid', [(4, 4), (7, 8), (3, 4)], [3, 3, 3]))
    root = ET.fromstring(score_xml(t))
    signs = [(s.findtext('beats'), s.findtext('beat-type')) for s in root.iter('time')]
    assert signs == [('4', '4'), ('7', '8'), ('3', '4')]
    tempi = {round(float(s.get('tempo'))) for s in root.iter('sound') if s.get('tempo')}
    assert tempi == {100} and root.findtext('.//per-minute') == '100'
    lengths = [
        sum(
            int(n.findtext('duration') or 0)
            for n in m.iter('note')
            if n.findtext('voice') == '1' and n.find('chord') is None
        )
        for m in root.iter('measure')
    ]
    assert lengths == [4 * DIVISIONS] * 3 + [7 * DIVISIONS // 2] * 3 + [3 * DIVISIONS] * 3


def test_a_table_from_a_spreadsheet(tmp_path):
    rows = ['onset_s;drum;velocity;confidence', '0,5;KD;0,8;1', '1,0;SD;0,8;1', ';;;', '0,5;bar 2/4;;', '1,0;beat;;']
    (tmp_path / 'x.csv').write_text('\r\n'.join(rows), encoding='utf-8-sig')
    t = render(tmp_path / 'x.csv')
    assert t.onsets.times.tolist() == [0.5, 1.0] and t.score.meter == '2/4' and t.score.beats[0].tolist() == [0.5, 1]
    (tmp_path / 'y.csv').write_text('\n'.join(rows).replace('SD', 'XX'))
    with pytest.raises(DrumnbError, match=rf'^{tmp_path}/y.csv, line 3'):
        render(tmp_path / 'y.csv')
    plain = [f'{0.25 + 0.4 * i:.2f},beat,,' for i in range(12)]
    (tmp_path / 'z.csv').write_text('onset_s,drum,velocity,confidence\n0.25,KD,.8,1\n1.05,SD,.8,1\n' + '\n'.join(plain))
    assert np.allclose(np.diff(render(tmp_path / 'z.csv').score.beats[:, 0]), 0.4), 'beats without bars are beats'


def test_what_is_no_part_of_a_kit_is_named(tmp_path, caplog):
    path = midi_file(tmp_path / 'x.mid', [(4, 4)], [2])
    path.write_bytes(path.read_bytes().replace(bytes([42, 90]), bytes([60, 90])))
    assert len(render(path)) == 4 and 'no part of a drum kit' in caplog.text and '(8)' in caplog.text


def test_render_and_score_from_a_shell(tmp_path, capsys):
    (tmp_path / 'song.csv').write_text(TABLE)
    words = ['render', str(tmp_path / 'song.csv'), '-o', str(tmp_path / 'new'), '-f', 'musicxml,mid,csv']
    assert main(words) == 0
    assert sorted(p.name for p in (tmp_path / 'new').iterdir()) == ['song.csv', 'song.mid', 'song.musicxml']
    assert main([*words[:2], '-o', str(tmp_path), '-f', 'csv']) == 2 and 'overwritten' in capsys.readouterr().err
    (tmp_path / 'mine.txt').write_text('0.52 HH\n0.5 KD\n1.2 CY\n')
    assert main(['score', str(tmp_path / 'mine.txt'), str(tmp_path / 'song.csv')]) == 0
    rows = {w[0]: w[1:] for line in capsys.readouterr().out.splitlines() if (w := line.split())}
    assert rows['all'][:3] == ['2', '2', '1'] and rows['HH'][-1] == '1.000' and rows['CY'][-1] == '0.000'
    assert main(['score', str(tmp_path / 'mine.txt'), str(tmp_path / 'song.csv'), '--window', '10']) == 0
    assert main(['render', str(tmp_path / 'none.csv')]) == 2
    assert performed([0.5], ['KD']).articulations is None


def places_of_musicxml(p):  # {(bar number, quarters): pitches}
    out = {}
    root = ET.fromstring(score_xml(p))
    pitches = {m.get('id'): int(m.findtext('midi-unpitched')) - 1 for m in root.iter('midi-instrument')}
    for m in root.iter('measure'):
        now = last = 0
        for e in m:
            if e.tag == 'backup':
                now -= int(e.findtext('duration'))
            elif e.tag == 'note':
                grace, chord = e.find('grace') is not None, e.find('chord') is not None
                at = last if chord else now
                if e.find('unpitched') is not None and not grace:
                    place = int(m.get('number')), round(at / DIVISIONS, 3)
                    out.setdefault(place, []).append(pitches[e.find('instrument').get('id')])
                if not grace and not chord:
                    last, now = now, now + int(e.findtext('duration'))
    return {place: sorted(found) for place, found in out.items()}


def places_of_midi(path, first):
    midi = mido.MidiFile(path)
    events = sorted(
        ((t, m) for track in midi.tracks for t, m in zip(np.cumsum([m.time for m in track]).tolist(), track)),
        key=lambda e: (e[0], e[1].type != 'time_signature'),
    )
    bar, opened, length, out = first - 1, 0, 0, {}
    for tick, m in events:
        while length and tick >= opened + length:
            bar, opened = bar + 1, opened + length
        if m.type == 'time_signature':
            bar, opened = (bar + 1, tick) if not length or tick > opened else (bar, opened)
            length = midi.ticks_per_beat * 4 * m.numerator // m.denominator
        if m.type == 'note_on' and m.velocity:
            out.setdefault((bar, round((tick - opened) / midi.ticks_per_beat, 3)), []).append(m.note)
    return {place: sorted(found) for place, found in out.items()}


def places_of_table(path, p):
    table, out = pd.read_csv(path), {}
    unit, left_out = 1.5 if p.score.compound else 4 / int(p.score.meter.split('/')[1]), p.score.pickup
    for r in table[~table.grace.astype(bool)].itertuples():
        beat = r.beat - 1 - (left_out if r.bar == 0 else 0)
        out.setdefault((r.bar, round((beat + r.tick / r.parts) * unit, 3)), []).append(MIDI_PITCH[r.drum])
    return {place: sorted(found) for place, found in out.items()}


@pytest.mark.parametrize('meter', ['4/4', '3/4', '6/8', '5/4', '7/8', '2/2', '12/8', '10/8'])
@pytest.mark.parametrize('pickup, drift', [(False, False), (True, False), (True, True)])
def test_csv_midi_and_musicxml_agree_on_bar_and_beat(tmp_path, meter, pickup, drift):
    n, beat = beats_per_bar(meter), 0.5
    rng = rng_for('agree', meter)
    first = n - 1 if pickup else 0
    steps = [(k, i / 2) for k in range(first, 6 * n) for i in range(2)]
    times = [(k + part) * beat for k, part in steps for _ in range(2)]
    drums = [d for k, _ in steps for d in (('KD' if k % n == 0 else 'SD'), ('HH', 'TT', 'CY')[int(rng.integers(3))])]
    p = performed(times, drums)
    if meter in ('6/8', '12/8'):  # a dotted quarter has three parts
        p = performed([round(t * 6) / 6 for t in times], drums)
    beats = np.c_[np.arange(6 * n + 1) * beat, np.arange(6 * n + 1) % n + 1]
    if drift:  # slower by a tenth, faster again, beat by beat
        slow = beat * np.cumsum(np.r_[0, 1 + 0.1 * np.sin(np.arange(6 * n) / 5)])
        p = performed(np.interp(p.onsets.times, beats[:, 0], slow), p.onsets.names)
        beats[:, 0] = slow
    p = replace(p, score=make_score(p, beats, meter))
    assert (p.score.pickup > 0) == (pickup and 2 * (n - 1) >= n)
    write_formats(p, tmp_path / 'x', 'quantised,score')
    xml = places_of_musicxml(p)
    assert xml == places_of_midi(tmp_path / 'x.quantised.mid', p.score.first_bar)
    assert xml == places_of_table(tmp_path / 'x.score.csv', p)


def test_options_reach_the_transcription(tmp_path):
    sound = kicks()
    soundfile.write(tmp_path / 'kicks.wav', sound * np.geomspace(1, 1e-4, len(sound)), 44100)  # softer and softer
    counts = {}
    for name, further in dict(usual={}, few=dict(sensitivity=0), sure=dict(min_confidence=1.0)).items():
        assert transcribe_file(tmp_path / 'kicks.wav', tmp_path / name, ('csv',), HAND, **further)[0] == 'done'
        counts[name] = (tmp_path / name / 'kicks.csv').read_text().count('\n') - 1
    assert counts['usual'] > counts['few'] and counts['sure'] < counts['usual']
    again = [
        transcribe_file(tmp_path / 'kicks.wav', tmp_path / 'usual', ('csv',), HAND, **f)[0]
        for f in ({}, dict(sensitivity=40))
    ]
    assert again == ['skipped', 'done']
    for wrong in (dict(sensitivity=101), dict(min_confidence=2), dict(repeats='often')):
        out = transcribe_file(tmp_path / 'kicks.wav', tmp_path / 'wrong', ('svg',), HAND, **wrong)
        assert out[0] == 'failed' and 'expected' in out[1]
