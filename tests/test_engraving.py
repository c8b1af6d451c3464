"""MusicXML against its schema's rules and music21, the engraver's pictures, hostile titles."""

import importlib.util
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, rng_for
from drumnb.drums import DRUMS5
from drumnb.notation import engraving as en
from drumnb.notation import musicxml as mx
from drumnb.notation import staff as sf
from drumnb.onsets import Onsets
from drumnb.transcription.meter import beats_per_bar, find_beats
from drumnb.transcription.score import make_score
from drumnb.transcription.transcribe import Transcription


def performed(seed, meter='4/4', bpm=110, seconds=9.0, n=50):
    "A random performance with its score: notes near a grid, flams, doubtful ones."
    rng, beat, k = rng_for('engraving', seed), 60 / bpm, beats_per_bar(meter)
    t = rng.integers(0, int(seconds / beat * 12), n) * beat / 12 + rng.normal(0, 0.01, n)
    o = Onsets.make(np.clip(t, 0, None), rng.integers(0, 5, n), rng.uniform(0.2, 1, n)).distinct(0.01)
    p = Transcription(o, rng.beta(5, 1, len(o)).astype(np.float32), seconds, 'song')
    return replace(
        p,
        score=make_score(
            p, np.c_[np.arange(0, seconds, beat), np.arange(len(np.arange(0, seconds, beat))) % k + 1], meter
        ),
    )


def rock(bars=6, title='rock'):
    rows = [
        (b * 2 + t, d)
        for b in range(bars)
        for t, d in [(0, 'KD'), (0.5, 'SD'), (1, 'KD'), (1.5, 'SD'), *[(i / 4, 'HH') for i in range(8)]]
    ]
    t, d = zip(*rows)
    o = Onsets.make(t, d, np.full(len(t), 0.7))
    p = Transcription(o, np.full(len(o), 0.9, np.float32), 2.0 * bars, title)
    return replace(p, score=make_score(p, np.c_[np.arange(0, 2 * bars + 0.1, 0.5), np.arange(4 * bars + 1) % 4 + 1]))


def full_kit(bars=8):
    "Two patterns of four bars with every way of striking, ghost notes and a pick-up before them."
    rows = [(-0.5, 'SD', 'snare', 0.8), (-0.25, 'SD', 'snare', 0.8)]
    for b in range(bars):
        one, hat = 2.0 * b, 'hat_closed' if b < bars // 2 else 'ride'
        rows += [(one + i / 4, 'HH' if hat != 'ride' else 'CY', hat, 0.6) for i in range(8) if i != 7]
        rows += [(one, 'KD', 'kick', 0.8), (one + 1, 'KD', 'kick', 0.8), (one + 1.5, 'SD', 'snare', 0.8)]
        rows += [(one + 0.625, 'SD', 'snare', 0.2), (one + 0.5, 'SD', 'sidestick', 0.8)]
        rows += [
            (one + 1.75, 'HH', 'hat_open', 0.6),
            (one + 1.625, 'TT', ('tom_high', 'tom_mid', 'tom_floor')[b % 3], 0.8),
        ]
    rows += [
        (2.0 * bars, 'CY', 'crash', 0.9),
        (2.0 * bars, 'HH', 'hat_pedal', 0.6),
        (2.0 * bars + 1, 'CY', 'ride_bell', 0.6),
    ]
    rows = sorted((t + 2.0, d, a, v) for t, d, a, v in rows)
    t, d, a, v = zip(*rows)
    o = Onsets.make(t, d, v)
    keyed = {(x, y): z for x, y, z in zip(np.round(t, 4), d, a)}
    struck = [keyed[x, y] for x, y in zip(o.times.round(4), o.names)]
    p = Transcription(o, np.full(len(o), 0.9, np.float32), 2.0 * bars + 4, 'kit')
    beats = np.c_[np.arange(0, 2 * bars + 4.1, 0.5), np.arange(4 * bars + 9) % 4 + 1]
    return replace(p, score=make_score(p, beats, articulations=struck))


def left_out(score, bar):  # beats before a pick-up
    return score.pickup if bar == 0 else 0


def written(score):  # (bar, place in quarters, drum, grace) of every note
    unit = 1.5 if score.compound else 4 / int(score.meter.split('/')[1])
    return sorted(
        (int(r.bar), round((r.beat - left_out(score, r.bar) + r.tick / r.parts) * unit, 4), r.drum, bool(r.grace))
        for r in score.notes.itertuples()
    )


DRUM_OF = {sf.STAFF[d][:2]: d for d in DRUMS5}


def read_back(root):
    "The same from MusicXML, by following durations and backups."
    out = []
    for b, m in enumerate(root.iter('measure')):
        now = last = 0
        for e in m:
            if e.tag == 'backup':
                now -= int(e.findtext('duration'))
            if e.tag != 'note':
                continue
            grace, chord = e.find('grace') is not None, e.find('chord') is not None
            if (u := e.find('unpitched')) is not None:
                out.append(
                    (
                        b,
                        round((last if chord else now) / sf.DIVISIONS, 4),
                        DRUM_OF[u.findtext('display-step'), int(u.findtext('display-octave'))],
                        grace,
                    )
                )
            if not grace and not chord:
                last, now = now, now + int(e.findtext('duration'))
    return sorted(out)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(['4/4', '3/4', '6/8', '5/4', '12/8', '7/8', '2/2', '3/8', '10/8']),
    st.integers(70, 180),
)
def test_musicxml_holds_the_score_and_every_bar_is_full(seed, meter, bpm):
    p = performed(seed, meter, bpm)
    root = ET.fromstring(mx.score_xml(p))
    assert read_back(root) == written(p.score)
    beat = sf.DIVISIONS * (1.5 if p.score.compound else 4 / int(meter.split('/')[1]))
    assert (root.findtext('.//beats'), root.findtext('.//beat-type')) == tuple(meter.split('/'))
    for b, m in enumerate(root.iter('measure')):
        full = (beats_per_bar(meter) - left_out(p.score, b)) * beat
        for voice in {n.findtext('voice') for n in m.iter('note')}:
            assert (
                sum(
                    int(n.findtext('duration'))
                    for n in m.iter('note')
                    if n.findtext('voice') == voice and n.find('duration') is not None and n.find('chord') is None
                )
                == full
            )


XLINK = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/1999/xlink">
<xs:attribute name="href" type="xs:anyURI"/>
<xs:attribute name="type" type="xs:string"/><xs:attribute name="role" type="xs:token"/>
<xs:attribute name="title" type="xs:token"/>
<xs:attribute name="show" type="xs:token"/><xs:attribute name="actuate" type="xs:token"/></xs:schema>"""
XML = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/XML/1998/namespace">
<xs:attribute name="lang" type="xs:language"/><xs:attribute name="space">
<xs:simpleType>
<xs:restriction base="xs:NCName"><xs:enumeration value="default"/>
<xs:enumeration value="preserve"/></xs:restriction></xs:simpleType>
</xs:attribute></xs:schema>"""


@pytest.fixture(scope='module')
def schema():
    """The schema of MusicXML 4.0, which the package musicxml carries; the two small ones that it refers to are
    written out above, since no host is asked."""
    etree = pytest.importorskip('lxml.etree', reason='lxml is not installed: MusicXML cannot be validated')
    spec = importlib.util.find_spec('musicxml')
    if not spec:
        pytest.skip('the package musicxml is not installed: there is no schema to validate against')

    class Local(etree.Resolver):
        def resolve(self, url, public_id, context):
            if url.endswith('xlink.xsd'):
                return self.resolve_string(XLINK, context)
            if url.endswith('xml.xsd'):
                return self.resolve_string(XML, context)

    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Local())
    return etree.XMLSchema(etree.parse(str(Path(spec.origin).parent / 'generate_classes' / 'musicxml_4_0.xsd'), parser))


def test_it_is_valid_against_the_schema_of_musicxml_4(schema):
    from lxml import etree

    def read(text):
        return etree.fromstring(text.encode(), etree.XMLParser(no_network=True, load_dtd=False))

    for i, meter in enumerate(('4/4', '3/4', '6/8', '5/4', '12/8', '7/4', '2/4', '9/8')):
        p = replace(performed(i, meter, 70 + 15 * i), title='<script>&"\x07é')
        for options in ({}, dict(repeats='sections'), dict(repeats='bars', drawn=True), dict(title=False)):
            schema.assertValid(read(mx.score_xml(p, **options)))
    for p in (rock(9), replace(rock(2), confidence=np.full(len(rock(2).onsets), 0.2, np.float32)), full_kit()):
        for repeats in ('none', 'bars', 'sections'):
            schema.assertValid(read(mx.score_xml(p, repeats)))
    broken = read(mx.score_xml(rock(1)).replace('<voice>1</voice>', '<voice>1</voice><voice>1</voice>', 1))
    assert not schema.validate(broken), 'the schema must refuse what is wrong'


ORDER = [
    'grace',
    'chord',
    'unpitched',
    'rest',
    'duration',
    'instrument',
    'voice',
    'type',
    'dot',
    'time-modification',
    'stem',
    'notehead',
    'beam',
    'notations',
]


def test_elements_are_in_the_order_of_the_schema():
    for p in (performed(1), performed(2, '6/8'), rock()):
        root = ET.fromstring(mx.score_xml(p))
        for n in root.iter('note'):
            places = [ORDER.index(e.tag) for e in n]
            assert places == sorted(places)
        for a in root.iter('attributes'):
            places = [['divisions', 'time', 'clef', 'measure-style'].index(e.tag) for e in a]
            assert places == sorted(places)
        starts, stops = ([t.get('type') for t in root.iter('tuplet')].count(k) for k in ('start', 'stop'))
        assert starts == stops


def test_instruments_count_from_one():
    root = ET.fromstring(mx.score_xml(rock()))
    sounds = {m.get('id'): int(m.findtext('midi-unpitched')) for m in root.iter('midi-instrument')}
    assert sounds[mx.instrument_id('SD')] == 39 and sounds[mx.instrument_id('KD')] == 37
    assert {n.find('instrument').get('id') for n in root.iter('note') if n.find('unpitched') is not None} <= set(sounds)
    assert root.find('.//clef/sign').text == 'percussion'


def test_equal_bars_are_repeats_unless_doubtful():
    p = rock(6)

    def kinds(q):
        return [
            m.find('.//measure-repeat').get('type') if m.find('.//measure-repeat') is not None else None
            for m in ET.fromstring(mx.score_xml(q, 'bars')).iter('measure')
        ]

    assert kinds(p) == [None, 'start', None, None, 'stop', 'start'], 'a line opens with notes'
    c = p.confidence.copy()
    bar = np.flatnonzero((p.onsets.times >= 6) & (p.onsets.times < 8))
    c[bar[0]] = 0.1
    q = replace(p, confidence=c)
    q = replace(q, score=make_score(q, p.score.beats))
    assert kinds(q) == kinds(p), 'equal up to a doubtful note'
    drums = p.onsets.drums.copy()
    drums[bar[1]] = p.onsets.vocabulary.index('TT')
    r = replace(q, onsets=replace(p.onsets, drums=drums))
    r = replace(r, score=make_score(r, p.score.beats))
    assert kinds(r) == [None, 'start', None, 'stop', None, 'start']
    assert kinds(p)[1] and not list(ET.fromstring(mx.score_xml(p)).iter('measure-repeat')), 'files play every note'
    assert [n.get('color') for n in ET.fromstring(mx.score_xml(q)).iter('note')].count(mx.LIGHT) == 1
    assert read_back(ET.fromstring(mx.score_xml(p))) == written(p.score)


def test_music21_reads_the_same_score(tmp_path):
    music21 = pytest.importorskip('music21')
    for i, p in enumerate((performed(5, n=40), rock(3), performed(6, '6/8', n=30))):
        mx.write_musicxml(tmp_path / f'{i}.musicxml', p)
        part = music21.converter.parse(tmp_path / f'{i}.musicxml', forceSource=True).parts[0]
        found = []
        for b, m in enumerate(part.getElementsByClass('Measure')):
            for v in m.voices or [m]:
                for n in v.notes:
                    for u in n.notes if hasattr(n, 'notes') and n.notes else [n]:
                        found.append(
                            (b, round(float(n.offset), 4), DRUM_OF[u.displayStep, u.displayOctave], n.duration.isGrace)
                        )
        assert sorted(found) == [(b, round(t, 4), d, g) for b, t, d, g in written(p.score)]


def test_a_hostile_title_stays_a_title(tmp_path):
    p = replace(rock(2), title='<script>alert(1)</script>&"\x00\x1b')
    root = ET.fromstring(mx.score_xml(p))
    assert root.findtext('.//work-title') == '<script>alert(1)</script>&"'
    en.write_svg(tmp_path / 'x.svg', p)
    assert not [e for e in ET.parse(tmp_path / 'x.svg').iter() if e.tag.endswith('script')]


def test_sheets_as_pictures_and_pages(tmp_path):
    pytest.importorskip('verovio')
    p = performed(7, seconds=60.0, n=420)
    p1 = rock(6)
    svg = en.engrave(p1, continuous=True)[0]
    assert svg.count('class="measure"') == 6 and svg.count('class="mRpt"') == 4
    pages = en.engrave(p)
    ids = re.findall(r'\bid="([^"]+)"', pages[0])
    assert len(ids) == len(set(ids)) and en.engrave(p)[0] == pages[0], 'the same every time'
    ET.fromstring(en.stack_pages([pages[0], pages[0]]))
    pytest.importorskip('typst')
    en.write_pdf(tmp_path / 'x.pdf', replace(p, title='"quoted" \\ <b>'))
    pdf = (tmp_path / 'x.pdf').read_bytes()
    assert pdf.startswith(b'%PDF-') and pdf.count(b'/Type /Page\n') + pdf.count(b'/Type/Page/') + pdf.count(
        b'/Type /Page/'
    ) in (0, len(pages))


def test_nothing_to_draw_and_no_score():
    empty = Transcription(Onsets.empty(), np.zeros(0, np.float32), 3.0, 'silence')
    empty = replace(empty, score=make_score(empty, find_beats('bpm=120', empty)))
    assert 'measure="yes"' in mx.score_xml(empty)
    with pytest.raises(DrumnbError, match='no score yet'):
        mx.score_xml(replace(empty, score=None))


def notes_of(root):
    return [n for n in root.iter('note') if n.find('unpitched') is not None]


def test_the_whole_kit_has_its_places_heads_and_marks():
    root = ET.fromstring(mx.score_xml(full_kit()))
    seen = {
        (
            n.find('instrument').get('id'),
            n.findtext('unpitched/display-step') + n.findtext('unpitched/display-octave'),
            n.findtext('notehead'),
            n.findtext('voice'),
        )
        for n in notes_of(root)
    }
    names = {e.get('id'): e.findtext('instrument-name') for e in root.iter('score-instrument')}
    assert {(names[i], place, head, voice) for i, place, head, voice in seen} == {
        ('kick', 'F4', 'normal', '2'),
        ('hat pedal', 'D4', 'x', '2'),
        ('snare', 'C5', 'normal', '1'),
        ('sidestick', 'C5', 'x', '1'),
        ('tom high', 'E5', 'normal', '1'),
        ('tom mid', 'D5', 'normal', '1'),
        ('tom floor', 'A4', 'normal', '1'),
        ('hat closed', 'G5', 'x', '1'),
        ('hat open', 'G5', 'x', '1'),
        ('ride', 'F5', 'x', '1'),
        ('ride bell', 'F5', 'diamond', '1'),
        ('crash', 'A5', 'x', '1'),
    }
    opened = [n for n in notes_of(root) if n.find('notations/technical/open-string') is not None]
    assert {names[n.find('instrument').get('id')] for n in opened} == {'hat open'} and len(opened) == 8
    ghosts = [n for n in notes_of(root) if n.find('notehead').get('parentheses')]
    assert {names[n.find('instrument').get('id')] for n in ghosts} == {'snare'} and len(ghosts) == 8
    assert {int(n.get('dynamics')) for n in ghosts} == {round(100 * 0.2 * 127 / 90)}
    assert root.findtext('.//part-name') == 'Drumset' and root.find('.//metronome/beat-unit').text == 'quarter'
    assert list(root.iter('barline'))[-1].findtext('bar-style') == 'light-heavy'


def test_a_pick_up_is_short_and_bar_one_is_the_first_full_one():
    p = full_kit()
    bars = list(ET.fromstring(mx.score_xml(p)).iter('measure'))
    assert [m.get('number') for m in bars[:3]] == ['0', '1', '2'] and bars[0].get('implicit') == 'yes'
    assert [m.find('attributes/time/beats').text for m in bars if m.find('attributes/time') is not None] == ['4']
    assert sum(int(n.findtext('duration')) for n in bars[0].iter('note')) == sf.DIVISIONS
    assert p.score.pickup == 3 and rock(2).score.pickup == 0


def test_rehearsal_marks_stand_where_the_pattern_changes():
    bars = list(ET.fromstring(mx.score_xml(full_kit())).iter('measure'))
    marks = {m.get('number'): m.findtext('.//rehearsal') for m in bars if m.find('.//rehearsal') is not None}
    assert marks == {'1': 'A', '5': 'B'}
    lines = [m.get('number') for m in bars if m.find('print') is not None]
    assert lines[0] == '5' and not [m for m in ET.fromstring(mx.score_xml(rock(8))).iter('rehearsal')]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.sets(st.integers(1, 59)), st.integers(2, 6))
def test_no_line_has_a_single_bar_unless_its_section_has(n, starts, most):
    starts = sorted({0, *(s for s in starts if s < n)})
    lines = sorted(sf.line_starts(n, starts, most))
    sizes = np.diff([*lines, n])
    assert set(starts) <= set(lines) and sizes.max() <= most
    alone = {s for s, e in zip(starts, [*starts[1:], n]) if e - s == 1}
    assert most == 2 or {x for x, k in zip(lines, sizes) if k == 1} <= alone


def played(root, plan):  # bars in the order in which a player meets them
    out, i, start, turns = [], 0, 0, set()
    bars = list(root.iter('measure'))
    while i < len(bars):
        if bars[i].find("barline/repeat[@direction='forward']") is not None:
            start = i
        ending = bars[i].find("barline[@location='left']/ending[@type='start']")
        if ending is not None and ending.get('number') == '1' and start in turns:
            while bars[i].find("barline[@location='left']/ending[@number='2']") is None:
                i += 1
        out.append(plan[i].bar)
        if bars[i].find("barline/repeat[@direction='backward']") is not None and start not in turns:
            turns.add(start)
            i = start
        else:
            i += 1
    return out


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from('aab'), min_size=1, max_size=24))
def test_repeat_signs_and_endings_play_the_song(pattern):
    shapes = [(4, frozenset([c]), frozenset([c])) for c in pattern]
    plan = sf.page_plan(shapes, 'sections')
    root = ET.Element('part')
    for i, w in enumerate(plan):
        m = ET.SubElement(root, 'measure')
        mx._barline(m, 'left', w, plan, i)
        mx._barline(m, 'right', w, plan, i)
    assert [pattern[b] for b in played(root, plan)] == pattern


def test_verovio_plays_every_note_and_repeats_too(tmp_path):
    verovio, mido = pytest.importorskip('verovio'), pytest.importorskip('mido')
    for p, repeats, n in ((rock(8), 'none', 96), (rock(8), 'sections', 96), (full_kit(), 'none', len(full_kit()))):
        toolkit = verovio.toolkit()
        assert toolkit.loadData(mx.score_xml(p, repeats))
        toolkit.renderToMIDIFile(str(tmp_path / 'x.mid'))
        tracks = mido.MidiFile(tmp_path / 'x.mid').tracks
        assert sum(x.type == 'note_on' and x.velocity > 0 for track in tracks for x in track) == n


def test_musescore_plays_the_whole_kit_on_channel_10(tmp_path):
    program = next((p for n in ('mscore3', 'mscore', 'musescore3') if (p := shutil.which(n))), None)
    if not program or not shutil.which('xvfb-run'):
        pytest.skip('MuseScore and xvfb-run are not installed: the file cannot be opened in MuseScore')
    mido, p = pytest.importorskip('mido'), full_kit()
    mx.write_musicxml(tmp_path / 'x.musicxml', p)
    for kind in ('mid', 'mscx'):
        subprocess.run(
            ['xvfb-run', '-a', program, '-o', str(tmp_path / f'x.{kind}'), str(tmp_path / 'x.musicxml')],
            env={**os.environ, 'QT_QPA_PLATFORM': 'offscreen'},
            capture_output=True,
            timeout=120,
        )
    sounds = [x for t in mido.MidiFile(tmp_path / 'x.mid').tracks for x in t if x.type == 'note_on' and x.velocity]
    expected = Counter(sf.STAFF[a][4] for a in p.score.notes.articulation)
    assert {x.channel for x in sounds} == {9} and Counter(x.note for x in sounds) == expected
    drawn = (tmp_path / 'x.mscx').read_text()
    assert 'group="percussion"' in drawn and '<head>cross</head>' in drawn and '<TBox>' not in drawn


def test_lilypond_reads_every_note_at_its_place(tmp_path):
    if not shutil.which('musicxml2ly'):
        pytest.skip('LilyPond is not installed: the file cannot be read by musicxml2ly')
    p = full_kit()
    mx.write_musicxml(tmp_path / 'x.musicxml', p)
    read = ['musicxml2ly', '--absolute', '-o', str(tmp_path / 'x.ly'), str(tmp_path / 'x.musicxml')]
    subprocess.run(read, check=True, capture_output=True, timeout=120)
    music = (tmp_path / 'x.ly').read_text().split('% The score definition')[0]
    written = [*re.findall(r"\b[a-g]'+(?=\d)", music), *' '.join(re.findall(r'<([^<>]*)>\d', music)).split()]
    expected = Counter(
        step.lower() + "'" * (octave - 3) for step, octave, *_ in (sf.STAFF[a] for a in p.score.notes.articulation)
    )
    assert Counter(place for place in written if place[0] in 'abcdefg') == expected


def test_open_hats_ghosts_and_the_metronome_are_drawn():
    pytest.importorskip('verovio')
    svg = en.engrave(full_kit(), continuous=True)[0]
    assert svg.count('class="artic') == 8 and '= 120<' in svg
    assert not re.search('[\ue000-\uf8ff]', svg), 'no letter of a music font, which browsers lack'
    compound = en.engrave(performed(2, '6/8', 60), continuous=True)[0]
    mark = compound.split('class="tempo"')[1].split('</g>')[0]
    assert mark.count('<ellipse') == 2, 'a dotted quarter'


@pytest.mark.parametrize(
    'meter, mark', [('7/8', ('quarter', '60')), ('2/2', ('half', '120')), ('6/8', ('quarter', '120'))]
)
def test_the_metronome_counts_what_the_meter_does(meter, mark):
    n = beats_per_bar(meter)
    times = 0.5 * np.arange(4 * n)
    p = Transcription(Onsets.make(times, ['KD'] * 4 * n), np.ones(4 * n), 2.0 * n, 'x')
    p = replace(p, score=make_score(p, np.c_[0.5 * np.arange(4 * n + 1), np.arange(4 * n + 1) % n + 1], meter))
    root = ET.fromstring(mx.score_xml(p))
    assert (root.findtext('.//beat-unit'), root.findtext('.//per-minute')) == mark
    assert (root.find('.//beat-unit-dot') is not None) == (meter == '6/8')
    drawn = en.engrave(p, continuous=True)[0].split('class="tempo"')[1].split('</g>')[0]
    assert ('fill="none"' in drawn) == (meter == '2/2'), 'a half note is hollow'


def test_bars_without_drums_at_the_end_are_left_out_and_lines_open_with_notes():
    p = rock(9)
    beats = np.c_[0.5 * np.arange(50), np.arange(50) % 4 + 1]
    p = replace(p, score=make_score(p, beats))
    root = ET.fromstring(mx.score_xml(p, 'bars'))
    bars = list(root.iter('measure'))
    assert p.score.n_bars == 13 and len(bars) == 9
    again = {
        m.get('number') for m in bars if m.find("attributes/measure-style/measure-repeat[@type='start']") is not None
    }
    ends = {
        m.get('number') for m in bars if m.find("attributes/measure-style/measure-repeat[@type='stop']") is not None
    }
    lines = {m.get('number') for m in bars if m.find('print') is not None}
    assert again == {'2', '6', '9'} and ends == {'5', '8'} == lines


def test_swing_is_a_word_and_a_sound():
    p = rock(4)
    q = replace(p, score=replace(p.score, swing=True))
    root = ET.fromstring(mx.score_xml(q))
    assert root.find('.//words').text == 'Swing' and root.findtext('.//sound/swing/first') == '2'
    assert ET.fromstring(mx.score_xml(p)).find('.//words') is None
    assert '= 120, Swing<' in en.engrave(q)[0] and 'Swing' not in en.engrave(p)[0]


def test_doubtful_beats_are_named_on_the_sheet_with_the_remedy(tmp_path):
    p = rock(2)
    unsure = replace(p, score=replace(p.score, beat_confidence=0.5))
    late = replace(p, score=replace(p.score, bar_confidence=0.4))
    assert en.caution(p) == '' and '--tempo half' in en.caution(unsure) and '--first-beat' in en.caution(late)
    en.write_svg(tmp_path / 'a.svg', late)
    assert '--first-beat' in (tmp_path / 'a.svg').read_text() and '--first-beat' not in en.engrave(late)[0]


def test_the_legend_names_what_is_there_and_tags_stay_text(tmp_path):
    assert 'ghost' in en.legend(full_kit()) and en.legend(rock(2)) == ''
    with soundfile.SoundFile(tmp_path / 'a.flac', 'w', 44100, 1) as f:
        f.title, f.artist = '<script>alert(1)</script>', '"&<b>'
        f.write(np.zeros(10))
    p = replace(full_kit(), title='a', audio=tmp_path / 'a.flac')
    root = ET.fromstring(mx.score_xml(p))
    assert root.findtext('.//work-title') == '<script>alert(1)</script>' and root.findtext('.//creator') == '"&<b>'
    en.write_svg(tmp_path / 'a.svg', p)
    texts = [e for e in ET.parse(tmp_path / 'a.svg').iter()]
    assert not [e for e in texts if e.tag.endswith('script')] and any('alert(1)' in (e.text or '') for e in texts)
