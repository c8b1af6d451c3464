"""Corrected tables become sheet, MIDI and player again, and keep what was corrected."""

import mido
import numpy as np
import pytest
from performances import performed

from drumnb.cli import main
from drumnb.core import DrumnbError
from drumnb.transcription.formats import read_corrected, render, write_formats

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
