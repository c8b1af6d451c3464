"""The player in a real browser: it plays, the cursor moves, a loop loops, muting mutes, and nothing is asked of any
host."""

import io
import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from browser import Browser, find_chromium

from drumnb.audio import SAMPLE_RATE as SR
from drumnb.notation import player as pl
from drumnb.notation.corrections import render
from drumnb.notation.formats import write_formats
from drumnb.onsets import Onsets
from drumnb.transcription.meter import find_beats
from drumnb.transcription.score import make_score
from drumnb.transcription.transcribe import Transcription

EVIL = '</script><script>alert("x")</script><img src="http://example.invalid/x" onerror=alert(2)>'


def made(folder, title='song', seconds=8.0):
    t = np.arange(int(seconds * SR)) / SR
    soundfile.write(
        folder / 'song.wav', (0.5 * np.exp(-(t % 0.5) * 20) * np.sin(2 * np.pi * 220 * t)).astype(np.float32), SR
    )
    times = np.arange(0, seconds, 0.25)
    o = Onsets.make(times, np.arange(len(times)) % 5, np.full(len(times), 0.7))
    confidence = np.where(np.arange(len(o)) // 8 == 2, 0.3, 0.95).astype(np.float32)
    p = Transcription(o, confidence, seconds, title, folder / 'song.wav')
    return replace(
        p, score=make_score(p, np.c_[np.arange(0, seconds + 0.1, 0.5), np.arange(int(2 * seconds) + 1) % 4 + 1])
    )


def test_titles_never_become_markup(tmp_path):
    plain, page = (pl.player_page(made(tmp_path, title), recording=False) for title in ('song', EVIL))
    assert page.count('<script') == plain.count('<script') and '<img' not in page
    assert json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))['title'] == EVIL
    assert pl.sheets(made(tmp_path, '%DATA%%SHEETS%')).count('<svg') == plain.count('<svg') > 0


def test_bars_to_check_are_the_doubtful_ones(tmp_path):
    check = pl.bars_to_check(made(tmp_path))
    assert check.bar[0] == 2 and check.wrong[0] == pytest.approx(8 * 0.7, abs=0.01)


def test_an_mp3_goes_in_unchanged_and_others_are_packed(tmp_path):
    p = made(tmp_path)
    packed = pl.pack_recording(p.audio)
    assert np.abs(soundfile.read(io.BytesIO(packed))[0] - soundfile.read(p.audio)[0]).max() < 1e-4
    with soundfile.SoundFile(tmp_path / 'x.mp3', 'w', SR, 1, 'MPEG_LAYER_III', format='MP3') as f:
        f.write(soundfile.read(p.audio)[0])
    assert pl.pack_recording(tmp_path / 'x.mp3') == (tmp_path / 'x.mp3').read_bytes()
    soundfile.write(tmp_path / 'six.wav', np.zeros((9600, 6)), 96000)
    assert len(pl.pack_recording(tmp_path / 'six.wav')) > 100


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
    "The player of a short song in a browser, with a hostile title."
    if not find_chromium():
        pytest.skip('Chromium is not installed: the player cannot be tried in a browser')
    pytest.importorskip('websocket', reason='websocket-client is not installed: the browser cannot be spoken to')
    folder = tmp_path_factory.mktemp('player')
    pl.write_html(folder / 'player.html', made(folder, EVIL))
    browser = Browser(tmp_path_factory.mktemp('profile'))
    yield browser, folder / 'player.html'
    browser.close()


def test_it_plays_loops_mutes_and_calls_nobody(opened, tmp_path):
    b, page = opened
    b.open(page)
    assert (
        b.run('document.querySelector("h1").textContent') == EVIL
        and b.run('document.querySelectorAll("h1 *").length') == 0
    )
    assert b.run('document.getElementById("check").children.length') >= 1
    assert b.run('document.getElementById("doubts").hidden'), 'beats that were given'
    b.until('drumnb.media.duration > 7.9')
    assert abs(b.run('drumnb.media.duration') - 8) < 0.1

    b.run('document.getElementById("play").click()')
    b.until('!drumnb.media.paused && drumnb.media.currentTime > .6')
    assert b.run('document.getElementById("play").textContent') == 'Pause'
    b.until('drumnb.state.sounded[0] >= 1 && drumnb.state.sounded[1] >= 1')
    b.until('drumnb.level("recording") > .001 || drumnb.media.currentTime > 7')
    b.until('drumnb.level("drums") > .0005 || drumnb.media.currentTime > 7.5')
    assert b.run('document.querySelectorAll("rect.here").length') == 1, 'the sheet follows'
    cursor = b.run('document.getElementById("time").textContent')
    b.until(f'document.getElementById("time").textContent !== {json.dumps(cursor)}')

    b.run('drumnb.setLoop(1, 1.4); drumnb.seek(1)')  # a loop loops
    b.until('drumnb.state.jumps >= 2')
    assert 0.9 < b.run('drumnb.media.currentTime') < 1.8

    b.run('document.getElementById("mute-recording").click()')  # muting mutes
    assert b.run('drumnb.gain("recording")') == 0 and b.run('drumnb.gain("drums")') > 0
    b.until('drumnb.level("recording") === 0')
    b.press('t')
    assert b.run('drumnb.gain("drums")') == 0
    b.until('drumnb.level("drums") === 0')
    b.press('t')
    b.press('r')
    assert b.run('drumnb.gain("recording")') == 1 == b.run('drumnb.gain("drums")')
    b.press('1')
    assert b.run('drumnb.state.drumMuted[0]') is True

    b.run('drumnb.setSpeed(50)')  # slower at the same pitch
    assert b.run('drumnb.media.playbackRate') == 0.5 and b.run('drumnb.media.preservesPitch') is True
    b.run('drumnb.setLoop(null); drumnb.seek(.05)')
    began = b.run('[performance.now()/1000, drumnb.media.currentTime]')
    heard, ended = [], False
    deadline = time.monotonic() + 60
    while (
        len(heard) <= 12 and not ended and time.monotonic() < deadline
    ):  # by the clock: a fast machine asks thousands of times a second
        level, peak, ended = b.run(
            '[drumnb.level("recording"), drumnb.peak("recording"), drumnb.media.currentTime > 6]'
        )
        if level > 0.02:
            heard.append(peak)
        time.sleep(0.01)
    now = b.run('[performance.now()/1000, drumnb.media.currentTime]')
    assert len(heard) > 4 and 170 < np.median(heard) < 270, (
        f'the tone of 220 Hz is heard at {np.median(heard or [0])} Hz'
    )
    assert (now[1] - began[1]) / (now[0] - began[0]) < 0.75, 'half as fast, or less on a busy machine'
    b.press(' ')
    b.until('drumnb.media.paused')
    b.run('drumnb.setLoop(null)')
    b.press('ArrowRight')
    assert b.run('drumnb.media.currentTime') in b.run('drumnb.data.bars.map(x => x[0])')
    assert b.errors == []
    assert all(u.startswith(('file:', 'blob:', 'data:')) for u in b.requests), b.requests


def test_keys_lists_and_dragging_choose_what_is_played(opened):
    b, page = opened
    b.open(page)
    b.until('drumnb.media.duration > 7.9')

    def loop():
        return b.run('drumnb.state.loop')

    b.run('drumnb.seek(3)')
    b.press('b')
    assert loop() == pytest.approx([2, 4], abs=0.01) and b.run('drumnb.state.looping') is True
    b.press('l')
    assert (
        b.run('drumnb.state.looping') is False
        and b.run('document.getElementById("loop").getAttribute("aria-pressed")') == 'false'
    )
    b.run('drumnb.seek(5)')
    b.press('[')
    b.run('drumnb.seek(6)')
    b.press(']')
    assert loop() == pytest.approx([5, 6], abs=0.01)
    b.press('c')
    assert loop() == pytest.approx([4, 6], abs=0.01) and b.run('drumnb.media.currentTime') == pytest.approx(
        4, abs=0.01
    ), 'the bar that is to be checked first'
    b.press('-')
    b.press('-')
    assert b.run('drumnb.media.playbackRate') == pytest.approx(0.9)
    x, y, w = b.run(
        '(r => [r.left, r.top + r.height/2, r.width])(document.getElementById("overview").getBoundingClientRect())'
    )
    for kind, at in (('mousePressed', 0.25), ('mouseMoved', 0.4), ('mouseMoved', 0.5), ('mouseReleased', 0.5)):
        b.call('Input.dispatchMouseEvent', type=kind, x=x + at * w, y=y, button='left', buttons=1, clickCount=1)
    assert loop() == pytest.approx([2, 4], abs=0.1)
    b.run('document.getElementById("balance").value = 0; document.getElementById("balance").oninput()')
    b.run('drumnb.toggle()')
    b.until('!drumnb.media.paused')
    assert b.run('drumnb.gain("drums")') == 0 and b.run('drumnb.gain("recording")') == 1, 'the balance at one end'
    b.run('drumnb.toggle()')
    before = b.run('document.documentElement.dataset.theme')
    b.run('document.getElementById("theme").click()')
    assert b.run('document.documentElement.dataset.theme') != before and b.errors == []


def test_on_a_phone_and_in_the_dark_nothing_is_cut_off(opened):
    b, page = opened
    for dark in (False, True):
        b.open(page, 390, 844, dark=dark, mobile=True)
        assert b.run('document.documentElement.scrollWidth') <= 390
        assert b.run('document.documentElement.dataset.theme') == ('dark' if dark else 'light')
        assert b.run(
            '[...document.querySelectorAll("button")].filter(x => x.offsetParent)'
            '.every(x => x.getBoundingClientRect().height >= 36)'
        )
        assert b.run('[...document.querySelectorAll(".sheet")].filter(s => s.offsetParent).length') == 1
        bars = '[...document.querySelectorAll(".wide g.measure")].map(m => m.id)'
        assert b.run(bars) == b.run(bars.replace('wide', 'narrow')) != [], 'the same bars in shorter lines'
        lines = '[...document.querySelectorAll(".narrow > svg")].map(s => s.getBoundingClientRect())'
        assert b.run(f'{lines}.every((r, i, all) => r.width > 60 && (!i || r.top >= all[i - 1].bottom - 1))')
        b.run('document.querySelectorAll(".narrow g.measure")[1].dispatchEvent(new MouseEvent("click"))')
        b.until('Math.abs(drumnb.media.currentTime - drumnb.data.bars[1][0]) < .01')
        assert b.run('document.querySelector("rect.here").closest(".sheet").className') == 'sheet narrow'
    assert b.errors == []


def test_the_recording_and_its_packed_copy_are_in_step(opened, tmp_path):
    b, _ = opened
    x = np.zeros(2 * SR, np.float32)
    x[SR : SR + 40] = 0.9
    soundfile.write(tmp_path / 'click.wav', x, SR)
    o = Onsets.make([1.0], ['KD'], [0.8])
    p = Transcription(o, np.ones(1, np.float32), 2.0, 'click', tmp_path / 'click.wav')
    pl.write_html(tmp_path / 'click.html', replace(p, score=make_score(p, find_beats('bpm=120', p))))
    b.open(tmp_path / 'click.html')
    at = b.run('''(async () => { const c = new OfflineAudioContext(1, 88200, 44100);
        const t = document.getElementById("recording").textContent.trim();
        const d = (await c.decodeAudioData(Uint8Array.from(atob(t), x => x.charCodeAt(0)).buffer)).getChannelData(0);
        let k = 0; d.forEach((v, i) => { if (Math.abs(v) > Math.abs(d[k])) k = i; }); return k/44100; })()''')
    assert abs(at - 1) < 0.03


def test_the_recorded_drums_are_muted_by_files_beside_the_page(opened, tmp_path):
    b, _ = opened
    song = made(tmp_path, EVIL)
    plain, asked = tmp_path / 'plain.html', tmp_path / 'a#b %41 "song".html'
    pl.write_html(plain, song)
    write_formats(song, asked.with_suffix(''), 'html,stems')
    assert asked.stat().st_size < plain.stat().st_size + 200, 'the page is no heavier'
    b.open(plain)
    assert b.run('document.getElementById("parts").hidden')
    b.open(asked)
    b.until('drumnb.media.duration > 7.9')
    assert not b.run('document.getElementById("parts").hidden')
    b.run('drumnb.seek(2); drumnb.toggle()')
    b.until('drumnb.media.currentTime > 2.2')
    for ending in ('.backing.flac', '.drums.flac', ''):
        before = b.run('drumnb.media.currentTime')
        b.press('m')
        b.until(f'!drumnb.media.paused && drumnb.media.currentTime > {before} && drumnb.media.readyState > 2')
        source = b.run('drumnb.media.src')
        assert source.endswith(ending) and source.startswith('file:' if ending else 'blob:')
        assert b.run('drumnb.media.currentTime') < before + 3 and abs(b.run('drumnb.media.duration') - 8) < 0.1
    b.press('r')
    assert b.run('drumnb.media.muted')
    b.press(' ')
    b.until('drumnb.media.paused')
    assert b.errors == []
    (tmp_path / asked.name.replace('.html', '.drums.flac')).unlink()
    b.run(
        'document.getElementById("part").value = 2; document.getElementById("part").onchange({target: '
        'document.getElementById("part")})'
    )
    b.until('drumnb.media.src.startsWith("blob:")')
    assert 'is not beside this page' in b.run('document.getElementById("parttext").textContent')
    b.errors.clear()  # of the file that is not there


def corrected(b, folder, name):
    "Press S, and wait for the table that the browser saves."
    b.call('Browser.setDownloadBehavior', behavior='allow', downloadPath=str(folder))
    b.press('s')
    deadline = time.monotonic() + 30
    while not (folder / name).exists():
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.1)
    return folder / name


def test_an_edit_by_keys_survives_saving_and_rendering(opened, tmp_path):
    b, _ = opened
    made(tmp_path, 'song')
    pl.write_html(tmp_path / 'song.html', made(tmp_path, 'song'))
    b.open(tmp_path / 'song.html')
    b.until('drumnb.media.duration > 7.9')
    before = b.run('JSON.stringify(drumnb.known())')
    b.press('e')
    assert not b.run('document.getElementById("edit").hidden')
    b.press('.')  # the first note, a kick at 0
    for _ in range(3):
        b.press('>')
    b.press('d')  # a snare now
    b.press('.')
    b.press('x')  # the second note goes
    b.run('drumnb.seek(3.33)')
    b.press('a')
    b.run('drumnb.seek(1.02)')
    b.press('o')  # one is at 1.0
    b.press('k')
    b.press('h')
    b.press('h')  # half the tempo
    assert b.run('document.getElementById("stale").hidden') is False
    saved = corrected(b, tmp_path, 'song.csv')
    t = render(saved, tmp_path / 'song.wav')
    rows = list(zip(t.onsets.times.round(3).tolist(), t.onsets.names))
    assert len(rows) == 32 and (0.03, 'SD') in rows and not [r for r in rows if r[0] in (0.0, 0.25)]
    assert [d for s, d in rows if s == 3.33] == ['TT'], 'the drum of the note that was chosen last'
    assert dict(t.score.beats.round(3).tolist())[1.0] == 1
    assert np.median(np.diff(t.score.beats[:, 0])) == pytest.approx(1.0, abs=1e-3)
    for _ in range(20):
        b.press('z')
    assert b.run('JSON.stringify(drumnb.known())') == before and b.errors == []


def test_corrections_by_hand_on_a_phone(opened, tmp_path):
    b, _ = opened
    p = made(tmp_path, 'song')
    pl.write_html(tmp_path / 'song.html', replace(p, score=replace(p.score, bar_confidence=0.4)))
    b.open(tmp_path / 'song.html', 390, 844, mobile=True)
    b.until('drumnb.media.duration > 7.9')
    assert '--first-beat' in b.run('document.getElementById("doubts").innerText')
    b.run('document.getElementById("editing").click()')
    assert b.run('document.documentElement.scrollWidth') <= 390
    small = 'x => { const r = x.getBoundingClientRect(); return r.height < 36 || r.width < 36; }'
    assert b.run(f'[...document.querySelectorAll("#edit button")].filter({small}).length') == 0
    b.run('drumnb.seek(4)')
    place = '(r => [r.left + r.width*.25, r.top + 18 + (r.height - 18)*(4 - drumnb.data.notes[16][1] + .5)/5])'
    x, y = b.run(
        f'(() => {{ document.getElementById("lanes").scrollIntoView({{block: "center"}}); '
        f'return {place}(document.getElementById("lanes").getBoundingClientRect()); }})()'
    )
    for kind in ('mousePressed', 'mouseReleased'):
        b.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)
    assert b.run('drumnb.edit.chosen') == 16
    b.run('document.getElementById("drum").value = 2; document.getElementById("drum").onchange({target: {value: "2"}})')
    b.run('document.getElementById("later").click()')
    assert b.run('drumnb.data.notes[16].slice(0, 2)') == [4.01, 2]
    b.run('document.getElementById("remove").click()')
    assert b.run('drumnb.data.notes.length') == 31
    for _ in range(3):
        b.run('document.getElementById("undo").click()')
    assert b.run('drumnb.data.notes[16][0]') == 4 and b.run('document.getElementById("undo").disabled')
    assert b.errors == []


def test_a_hostile_name_stays_a_name_while_correcting(opened, tmp_path):
    b, page = opened
    b.open(page)
    b.press('e')
    b.press('.')
    assert b.run('document.querySelectorAll("#edit b, #edit img, #edit script").length') == 0
    assert re.fullmatch(r'[\w .-]+', b.run('drumnb.data.file')) and b.errors == []


def test_an_hour_opens_and_its_sound_lies_beside(opened, tmp_path, monkeypatch):
    b, _ = opened
    seconds, n = 3600.0, 20_000
    song = made(tmp_path, 'hour', 8.0)
    rng = np.random.default_rng(0)
    o = Onsets.make(np.sort(rng.uniform(0, seconds, n)), rng.integers(0, 5, n), np.full(n, 0.7))
    p = replace(song, onsets=o, confidence=np.full(len(o), 0.95, np.float32), duration=seconds, score=None)
    monkeypatch.setattr(pl, 'MOST_SOUND', 1000)
    monkeypatch.setattr(pl, 'sheets', lambda transcription: '')
    beats = np.c_[np.arange(0, seconds, 0.5), np.arange(int(2 * seconds)) % 4 + 1]
    p = replace(p, score=make_score(p, beats))
    pl.write_html(tmp_path / 'hour.html', p)
    assert (tmp_path / 'hour.sound.flac').exists() and (tmp_path / 'hour.html').stat().st_size < 3_000_000
    b.open(tmp_path / 'hour.html')
    b.until('drumnb.media.duration > 7.9')
    b.run('drumnb.toggle()')
    b.until('drumnb.media.currentTime > .3')
    b.run('document.getElementById("mute-recording").click()')
    assert b.run('drumnb.media.volume') == 0
    b.run('drumnb.toggle()')
    b.press('e')
    b.press('.')
    began = time.monotonic()
    for _ in range(10):
        b.press('>')
    assert time.monotonic() - began < 10 and b.run('drumnb.edit.past.length') == 10
    assert b.errors == [] and all(u.startswith(('file:', 'blob:', 'data:')) for u in b.requests)
