"""MusicXML against its schema's rules and music21, the engraver's pictures, hostile titles."""

import importlib.util
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, rng_for
from drumnb.drums import DRUMS5
from drumnb.onsets import Onsets
from drumnb.transcription import engraving as en
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


def written(score):  # (bar, place in quarters, drum, grace) of every note
    unit = 1.5 if score.compound else 1.0
    return sorted(
        (int(r.bar), round((r.beat + r.tick / r.parts) * unit, 4), r.drum, bool(r.grace))
        for r in score.notes.itertuples()
    )


DRUM_OF = {(s[0], s[1]): d for d, s in en.STAFF.items() if d in DRUMS5}


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
                        round((last if chord else now) / en.DIVISIONS, 4),
                        DRUM_OF[u.findtext('display-step'), int(u.findtext('display-octave'))],
                        grace,
                    )
                )
            if not grace and not chord:
                last, now = now, now + int(e.findtext('duration'))
    return sorted(out)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(['4/4', '3/4', '6/8', '5/4', '12/8']), st.integers(70, 180))
def test_musicxml_holds_the_score_and_every_bar_is_full(seed, meter, bpm):
    p = performed(seed, meter, bpm)
    root = ET.fromstring(en.score_xml(p))
    assert read_back(root) == written(p.score)
    full = beats_per_bar(meter) * en.DIVISIONS * (1.5 if p.score.compound else 1)
    for m in root.iter('measure'):
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
        for options in ({}, dict(repeats=False), dict(drawn=True), dict(title=False)):
            schema.assertValid(read(en.score_xml(p, **options)))
    for p in (rock(9), replace(rock(2), confidence=np.full(len(rock(2).onsets), 0.2, np.float32))):
        schema.assertValid(read(en.score_xml(p)))
    broken = read(en.score_xml(rock(1)).replace('<voice>1</voice>', '<voice>1</voice><voice>1</voice>', 1))
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
        root = ET.fromstring(en.score_xml(p))
        for n in root.iter('note'):
            places = [ORDER.index(e.tag) for e in n]
            assert places == sorted(places)
        for a in root.iter('attributes'):
            places = [['divisions', 'time', 'clef', 'measure-style'].index(e.tag) for e in a]
            assert places == sorted(places)
        starts, stops = ([t.get('type') for t in root.iter('tuplet')].count(k) for k in ('start', 'stop'))
        assert starts == stops


def test_instruments_count_from_one():
    root = ET.fromstring(en.score_xml(rock()))
    sounds = {m.get('id'): int(m.findtext('midi-unpitched')) for m in root.iter('midi-instrument')}
    assert sounds[en.instrument_id('SD')] == 39 and sounds[en.instrument_id('KD')] == 37
    assert {n.find('instrument').get('id') for n in root.iter('note') if n.find('unpitched') is not None} <= set(sounds)
    assert root.find('.//clef/sign').text == 'percussion'


def test_equal_bars_are_repeats_unless_doubtful():
    p = rock(6)

    def kinds(q):
        return [
            m.find('.//measure-repeat').get('type') if m.find('.//measure-repeat') is not None else None
            for m in ET.fromstring(en.score_xml(q)).iter('measure')
        ]

    assert kinds(p) == [None, 'start', None, None, None, None]
    c = p.confidence.copy()
    c[np.flatnonzero((p.onsets.times >= 6) & (p.onsets.times < 8))[0]] = 0.1
    q = replace(p, confidence=c)
    q = replace(q, score=make_score(q, p.score.beats))
    assert kinds(q) == [None, 'start', None, 'stop', None, 'start']
    assert [n.get('color') for n in ET.fromstring(en.score_xml(q)).iter('note')].count(en.LIGHT) == 1
    assert kinds(p) != kinds(q) and read_back(ET.fromstring(en.score_xml(p))) == written(p.score)


def test_music21_reads_the_same_score(tmp_path):
    music21 = pytest.importorskip('music21')
    for i, p in enumerate((performed(5, n=40), rock(3), performed(6, '6/8', n=30))):
        en.write_musicxml(tmp_path / f'{i}.musicxml', p)
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
    root = ET.fromstring(en.score_xml(p))
    assert root.findtext('.//work-title') == '<script>alert(1)</script>&"'
    en.write_svg(tmp_path / 'x.svg', p)
    assert not [e for e in ET.parse(tmp_path / 'x.svg').iter() if e.tag.endswith('script')]


def test_sheets_as_pictures_and_pages(tmp_path):
    pytest.importorskip('verovio')
    p = performed(7, seconds=60.0, n=420)
    p1 = rock(6)
    svg = en.engrave(p1, continuous=True)[0]
    assert svg.count('class="measure"') == 6 and svg.count('class="mRpt"') == 5
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
    assert 'measure="yes"' in en.score_xml(empty)
    with pytest.raises(DrumnbError, match='no score yet'):
        en.score_xml(replace(empty, score=None))
