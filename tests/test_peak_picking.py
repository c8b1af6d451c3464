"""Targets and peak picking: encoder and decoder undo each other; peaks are those of madmom."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, project_root, rng_for
from drumnb.drums import DRUMS3
from drumnb.onsets import Onsets, PeakPicking, find_peaks, frames_of, pick_peaks, to_targets

strokes = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 4), st.integers(1, 127)), max_size=40)
quick = settings(max_examples=30, deadline=None)


def made(strokes):
    t, d, v = zip(*strokes) if strokes else ((), (), ())
    return Onsets.make(t, d, np.array(v) / 127)


# --- targets


@quick
@given(strokes, st.integers(0, 2000))
def test_targets_against_a_loop(s, n):
    o = made(s)
    slow = np.zeros((n + 2, 5), np.float32)
    for value, steps in ((0.5, (-1, 1)), (1, (0,))):
        for f, d in zip(frames_of(o.times), o.drums):
            for k in steps:
                if 0 <= f + k < n + 2:
                    slow[f + k, d] = value
    assert np.array_equal(to_targets(o, n), slow[:n])


@quick
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4)), max_size=60, unique=True))
def test_targets_and_peaks_undo_each_other(cells):
    kept = [(f, d) for f, d in cells if (f - 1, d) not in cells and (f + 1, d) not in cells]
    o = Onsets.make([f / 100 for f, _ in kept], [d for _, d in kept])
    back = pick_peaks(to_targets(o, 402))
    assert back.equals(o, atol=1e-9) and (not len(o) or back.velocities.min() == 1)


# --- peak picking

activations = st.integers(0, 10**6).flatmap(
    lambda seed: st.tuples(st.just(seed), st.integers(1, 300), st.sampled_from(['smooth', 'steps', 'sparse']))
)
window = st.integers(0, 5)


def activation(seed, n, kind, k=3):
    "Random activations: smooth, quantised so that plateaus occur, or mostly zero."
    rng = np.random.default_rng(seed)
    y = rng.random((n, k))
    if kind == 'steps':
        y = np.floor(y * 5) / 4
    if kind == 'sparse':
        y = y * (rng.random((n, k)) < 0.2)
    return np.clip(y, 0, 1).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(activations, st.floats(0, 0.8), window, window, window, window)
def test_peaks_equal_madmom(madmom, a, threshold, max_pre, max_post, mean_pre, mean_post):
    from madmom.features.onsets import peak_picking

    y = activation(*a)
    theirs = peak_picking(y, threshold, None, mean_pre, mean_post, max_pre, max_post)
    ours = pick_peaks(y, PeakPicking(threshold, max_pre, max_post, mean_pre, mean_post, wait=0), DRUMS3)
    assert sorted(zip(*(x.tolist() for x in theirs))) == list(zip(frames_of(ours.times).tolist(), ours.drums.tolist()))
    assert np.array_equal(ours.velocities, y[frames_of(ours.times), ours.drums])


@settings(max_examples=50, deadline=None)
@given(activations, st.floats(0, 0.5), st.integers(0, 3), st.integers(2, 9))
def test_waiting_equals_madmoms_processor(madmom, a, threshold, m, wait):
    """At least `wait` frames after the last onset is what madmom's processor does when it combines onsets up to
    `wait - 1` frames apart."""
    from madmom.features.onsets import OnsetPeakPickingProcessor

    y = activation(*a, k=1)
    processor = OnsetPeakPickingProcessor(
        threshold=threshold,
        pre_avg=0.02,
        post_avg=0.02,
        pre_max=m / 100,
        post_max=m / 100,
        combine=(wait - 1) / 100,
        fps=100,
    )
    ours = find_peaks(y[:, 0], PeakPicking(threshold, m, m, 2, 2, wait))
    assert np.allclose(processor.process_offline(y[:, 0]), ours / 100, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(activations, st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 1), window, window), min_size=3, max_size=3))
def test_settings_by_drum_are_those_of_each_drum_alone(a, by_drum):
    y = activation(*a)
    threshold, floor, m, wait = zip(*by_drum)
    together = pick_peaks(y, PeakPicking(threshold=threshold, floor=floor, max_pre=m, wait=wait), DRUMS3)
    for i, (t, f, k, w) in enumerate(by_drum):
        alone = find_peaks(y[:, i], PeakPicking(threshold=t, floor=f, max_pre=k, wait=w))
        assert np.array_equal(frames_of(together.of(DRUMS3[i])), alone)
        assert (y[alone, i] >= f).all() and (np.diff(alone) >= w).all()


@pytest.mark.parametrize(
    'y, word',
    [
        (np.zeros((10, 4)), '(10, 4)'),
        (np.zeros(10), '(10,)'),
        (np.full((10, 5), np.nan), 'not all of them are numbers'),
    ],
)
def test_bad_activations_are_refused(y, word):
    with pytest.raises(DrumnbError) as e:
        pick_peaks(y)
    assert word in str(e.value) and '\n' not in str(e.value)


def test_the_sliders_of_the_chapter_pick_as_the_library_does(tmp_path):
    node = shutil.which('node')
    if not node:
        pytest.skip('node is not installed: the script of the chapter on peak picking is not run')
    cells = [
        ''.join(c['source'])
        for c in json.loads((project_root() / 'nbs/05_onsets.ipynb').read_text(encoding='utf-8'))['cells']
    ]
    script = re.search(r'<script>(.*?)</script>', next(c for c in cells if c.startswith('SLIDERS')), re.S)[1]
    y = np.round(np.convolve(rng_for('sliders').random(150) ** 6, [0.3, 0.7, 1, 0.6, 0.3], 'same'), 3)
    settings_ = [(d, m, a, w) for d in (0.05, 0.2) for m in (0, 2, 7) for a in (0, 2, 9) for w in (1, 2, 15)]
    page = (
        'const knobs = [], parts = {}, part = () => ({setAttribute() {}, append(label, input) { knobs.push(input); '
        '}});\n'
        'const box = {querySelector: s => parts[s] ??= part()}; globalThis.document = {querySelectorAll: () => '
        '[box], createElement: () => ({setAttribute() {}})};\n'
        + script.replace('DATA', json.dumps(y.tolist())).replace('TOP', str(y.max()))
        + f'\nconsole.log(JSON.stringify({json.dumps(settings_)}.map(s => {{ s.forEach((v, i) => {{ knobs[i].value = '
        'String(v); knobs[i].oninput(); }); return parseInt(parts.b.textContent); })));'
    )
    (tmp_path / 'sliders.js').write_text(page, encoding='utf-8')
    found = json.loads(
        subprocess.run([node, tmp_path / 'sliders.js'], capture_output=True, text=True, check=True).stdout
    )
    assert (
        found == [len(find_peaks(y, PeakPicking(d, m, m, a, a, w))) for d, m, a, w in settings_] and len(set(found)) > 5
    )
