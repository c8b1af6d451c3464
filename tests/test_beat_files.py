"Files of beats in every common form; what is no such file is one line that names file and line."

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from performances import performed

from drumnb.core import DrumnbError
from drumnb.notation import formats as fm
from drumnb.onset_files import BEAT_LIMITS, read_beats
from drumnb.transcription.meter import find_beats
from drumnb.transcription.score import make_score

TIMES = [0.5 + 0.5 * i for i in range(33)]
COUNT = [i % 4 + 1 for i in range(33)]
BAR = [i // 4 + 1 for i in range(33)]


def lines(*columns, by='\t', head=''):
    return head + '\n'.join(by.join(map(str, row)) for row in zip(*columns)) + '\n'


FORMS = {
    'positions': lines(TIMES, COUNT),
    'positions with blanks': lines(TIMES, COUNT, by='   '),
    'positions with commas': lines(TIMES, COUNT, by=', '),
    'positions as decimals': lines(TIMES, [f'{c}.0' for c in COUNT]),
    'Windows, with a mark of its encoding': '\ufeff' + lines(TIMES, COUNT).replace('\n', '\r\n'),
    'comments and empty lines': '# tapped\n\n' + lines(TIMES, COUNT).replace('\n', '  # yes\n\n'),
    'RWC': lines(TIMES, COUNT, by=';', head='t;beat\n'),
    'headings in another order': lines(BAR, COUNT, TIMES, by=',', head='bar,beat,time [s]\n'),
    'quotes': lines([f'"{t}"' for t in TIMES], [f'"{c}"' for c in COUNT], by=','),
    'decimal commas': lines([str(t).replace('.', ',') for t in TIMES], COUNT, by=';'),
    'decimal commas with tabs': lines([str(t).replace('.', ',') for t in TIMES], COUNT),
    'flags': lines(TIMES, [int(c == 1) for c in COUNT]),
    'flags of one and two': lines(TIMES, [1 if c == 1 else 2 for c in COUNT]),
    'flags of two for downbeats': lines(TIMES, [2 if c == 1 else 1 for c in COUNT]),
    'words': lines(TIMES, ['downbeat' if c == 1 else 'beat' for c in COUNT]),
    'only downbeats have words': lines(TIMES, ['D' if c == 1 else '' for c in COUNT]),
    'truth': lines(TIMES, [c == 1 for c in COUNT], by=','),
    'from zero': lines(TIMES, [c - 1 for c in COUNT]),
    'bar.beat': lines(TIMES, [f'{b}.{c}' for b, c in zip(BAR, COUNT)]),
    'bar:beat:tick': lines(TIMES, [f'{b}:{c}:000' for b, c in zip(BAR, COUNT)]),
    'bar numbers': lines(TIMES, BAR),
    'position and bar': lines(TIMES, COUNT, BAR),
    'bar and position': lines(TIMES, BAR, COUNT, by=' '),
    'beginning, end, label': lines(TIMES, TIMES, COUNT),
    'spans': lines(TIMES, [t + 0.5 for t in TIMES], COUNT),
    'numbered rows': lines(range(33), TIMES, COUNT, by=','),
    'an index of pandas': lines(range(33), TIMES, COUNT, by=',', head=',time,position\n'),
    'words with numbers': lines(TIMES, [f'beat {c}' for c in COUNT]),
}
UNKNOWN = {
    'times alone': lines(TIMES),
    'times under a heading': lines(TIMES, head='time\n'),
    'equal labels': lines(TIMES, ['New Point'] * 33),
    'equal numbers': lines(TIMES, [1] * 33),
    'numbers of beats': lines(TIMES, range(1, 34)),
    'no labels': lines(TIMES, [''] * 33),
}


@pytest.mark.parametrize('form', FORMS)
def test_every_form_gives_the_same_beats(tmp_path, form):
    (tmp_path / 'x.beats').write_text(FORMS[form], encoding='utf-8')
    assert read_beats(tmp_path / 'x.beats').tolist() == [[t, c] for t, c in zip(TIMES, COUNT)]


@pytest.mark.parametrize('form', UNKNOWN)
def test_positions_that_say_nothing_are_not_known(tmp_path, form):
    (tmp_path / 'x.txt').write_text(UNKNOWN[form])
    assert read_beats(tmp_path / 'x.txt').tolist() == [[t, 0] for t in TIMES]
    with pytest.raises(DrumnbError, match='no positions in the bar'):
        read_beats(tmp_path / 'x.txt', positions=True)


def rock():
    "Hats on eighths, kick and snare in turn: 96 strokes in 8 bars from .5 s on."
    times, drums = [], []
    for i, t in enumerate(TIMES[:-1]):
        times += [t, t + 0.25, t]
        drums += ['HH', 'HH', 'SD' if i % 2 else 'KD']
    return performed(times, drums)


@pytest.mark.parametrize('form', [*FORMS, *UNKNOWN])
def test_no_stroke_is_lost_whatever_the_form(tmp_path, form):
    (tmp_path / 'x.csv').write_text({**FORMS, **UNKNOWN}[form], encoding='utf-8')
    p = rock()
    score = make_score(p, find_beats(tmp_path / 'x.csv', p))
    assert len(score.notes) == len(p) == 96 and score.dropped == 0
    assert {score.bar_beats(i) for i in range(score.n_bars)} == {4}
    assert (score.notes[score.notes.drum == 'KD'].beat % 2 == 0).all()


def test_pickups_and_changing_bars_keep_their_positions(tmp_path):
    for text, expected in (
        ('0.5 3\n1 4\n1.5 1\n2 2\n2.5 3\n3 1\n', [3, 4, 1, 2, 3, 1]),
        ('0.5 4.3\n1 4.4\n1.5 5.1\n2 5.2\n', [3, 4, 1, 2]),
        ('0.5 0\n1 0\n1.5 1\n2 0\n2.5 0\n3 0\n3.5 1\n', [3, 4, 1, 2, 3, 4, 1]),
        ('0.5 7\n1 7\n1.5 8\n2 8\n2.5 8\n3 8\n3.5 9\n', [3, 4, 1, 2, 3, 4, 1]),
    ):
        (tmp_path / 'x.beats').write_text(text)
        assert read_beats(tmp_path / 'x.beats')[:, 1].tolist() == expected


@pytest.mark.parametrize('meter', ['4/4', '3/4'])
def test_bars_at_the_ends_are_as_long_as_those_of_the_file(tmp_path, meter):
    (tmp_path / 'x.beats').write_text(lines(TIMES[2:], [(i + 2) % 3 + 1 for i in range(31)]))  # begins on a third beat
    p = rock()
    score = make_score(p, find_beats(tmp_path / 'x.beats', p), meter)
    assert {score.bar_beats(i) for i in range(score.n_bars)} == {3} and len(score.notes) == len(p)


def test_a_slip_of_the_annotator_is_counted_on_and_said(tmp_path, caplog):
    labels = [*COUNT[:20], 2, *COUNT[21:]]  # a one written as a two
    (tmp_path / 'x.beats').write_text(lines(TIMES, labels))
    found = read_beats(tmp_path / 'x.beats')[:, 1]
    assert found.tolist() == COUNT
    assert 'x.beats, line 21: position 2 after 4' in caplog.text


def test_our_own_jams_and_that_of_others(tmp_path):
    p = rock()
    p = replace(p, score=make_score(p, np.c_[TIMES, COUNT]))
    fm.write_transcription_jams(tmp_path / 'own.jams', p)
    beats = read_beats(tmp_path / 'own.jams')
    assert len(beats) == len(p.score.beats) and make_score(p, find_beats(tmp_path / 'own.jams', p)).dropped == 0
    rows = [dict(time=t, duration=0, value=dict(position=c, measure=b)) for t, c, b in zip(TIMES, COUNT, BAR)]
    for data in (rows, dict(time=TIMES, value=COUNT)):
        content = dict(annotations=[dict(namespace='tag_open', data=[]), dict(namespace='beat_position', data=data)])
        (tmp_path / 'x.jams').write_text(json.dumps(content))
        assert read_beats(tmp_path / 'x.jams').tolist() == [[t, c] for t, c in zip(TIMES, COUNT)]
    with pytest.raises(DrumnbError, match='no annotation in the namespace beat'):
        (tmp_path / 'x.jams').write_text(json.dumps(dict(annotations=[dict(namespace='tag_open', data=[])])))
        read_beats(tmp_path / 'x.jams')


@pytest.mark.parametrize(
    'text, words',
    [
        ('0.5 1\n1 1000000\n1.5 1\n', 'line 2'),
        ('0.1 1\n0.1001 2\n0.1002 3\n', 'line 2: beats 0.0001 s apart'),
        ('1e6 1\n1000001 2\n', 'line 1: a beat at 1e.06 s'),
        ('-1e9 1\n0.5 2\n', 'line 1: a beat at -1e.09 s'),
        ('0.5 1.5\n1 2.5\n', 'line 2'),
        ('0 1\n1e-9 2\n', 'line 2'),
        ('500\n1000\n1500\n', 'line 2: .*not milliseconds'),
        ('0.5 1\n0.4 2\n', 'line 2: .*times that rise'),
        ('0.5 1\n0.5 2\n', 'line 2'),
        ('nan 1\n1 2\n', 'line 1'),
        ('0.5 1\ninf 2\n', 'line 2'),
        ('0.5 1\none 2\n', 'line 2: no time'),
        ('0.5 5\n1 2\n1.5 9\n2 4\n', 'line 2: 2 after 5 is no position'),
        ('0.5 0.3\n1 0.9\n', 'line'),
        ('0.5 ' + '9' * 5000 + '\n1 2\n', 'line 1'),
        ('onset_s,drum,velocity\n0.1,KD,1\n', 'those of onsets'),
    ],
)
def test_what_is_no_file_of_beats_is_one_short_line(tmp_path, text, words):
    (tmp_path / 'x.beats').write_text(text)
    began = time.time()
    with pytest.raises(DrumnbError, match=f'x.beats.*{words}') as e:
        read_beats(tmp_path / 'x.beats')
    assert '\n' not in str(e.value) and len(str(e.value)) < 6000 and time.time() - began < 2


def test_too_many_beats_and_too_much_text(tmp_path):
    (tmp_path / 'x.beats').write_text(lines([0.1 * i for i in range(BEAT_LIMITS['count'] + 1)]))
    with pytest.raises(DrumnbError, match='more than 100000 beats'):
        read_beats(tmp_path / 'x.beats')
    with open(tmp_path / 'y.beats', 'wb') as f:
        f.truncate(60_000_000)
    with pytest.raises(DrumnbError, match='60 MB'):
        read_beats(tmp_path / 'y.beats')


@pytest.mark.parametrize('row', ['0.1,KD,0.5,x', '0.1,KD,0.5,0.5,9,9', '0.1', 'x,KD,1,1', '0.1,KD,2,1', '0.1,KD,1,nan'])
def test_a_broken_row_of_a_table_is_one_line(tmp_path, row):
    (tmp_path / 'x.csv').write_text(f'onset_s,drum,velocity,confidence\n0.05,SD,1,1\n{row}\n')
    with pytest.raises(DrumnbError, match='x.csv, line 3') as e:
        fm.read_transcription(tmp_path / 'x.csv')
    assert '\n' not in str(e.value)


@pytest.mark.parametrize(
    'content',
    [
        b'[' * 9000 + b']' * 9000,
        b'{"annotations": ' + b'9' * 5000 + b'}',
        b'{"annotations": ["x"]}',
        b'{"annotations": 1.5}',
        b'{"annotations": [{"namespace": "beat", "data": true}]}',
        b'{"annotations": [{"namespace": "beat", "data": [{"time": "x"}]}]}',
        b'{"annotations": [{"namespace": "beat", "data": [{"time": 1, "value": {"bar": 1}}]}]}',
        b'\xff\xfe\x00',
        b'',
    ],
)
def test_broken_jams_is_one_short_line(tmp_path, content):
    (tmp_path / 'x.jams').write_bytes(content)
    with pytest.raises(DrumnbError, match='x.jams') as e:
        read_beats(tmp_path / 'x.jams')
    assert '\n' not in str(e.value) and len(str(e.value)) < 600
