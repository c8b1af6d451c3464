"""Drums sampled in the filter bank: labels follow what is played, and what is played is what rendering would give."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, rng_for
from drumnb.drums import ARTICULATIONS, DRUMS5
from drumnb.experiments.batches import Augmentation, Performance, SampledSource, Windows
from drumnb.experiments.features import Entry, FrameStore
from drumnb.onsets import Hits
from drumnb.rendering.drum_parts import compose_part
from drumnb.rendering.drum_sampler import (
    BandStroke,
    BandVoice,
    DrumSampler,
    Sampling,
    Send,
    band_kit,
    band_voices,
    draw_send,
    play_bands,
    resonance_bands,
    with_send,
)
from drumnb.rendering.grooves import EDITS, ArticulatedHits, ScoreEdits, edit_score, vary_score
from drumnb.rendering.kits import HELD_OUT, LEVELS, choked, procedural_kit, render_hits
from drumnb.rendering.microphones import HELD_OUT_SOURCES
from drumnb.spectrograms import FPS, LogSpec

SPEC = LogSpec()
CODE = {a: i for i, a in enumerate(ARTICULATIONS)}
PLAIN = Sampling(score=0, room=0, compression=0)


@pytest.fixture(scope='module')
def kits():
    return [band_kit(procedural_kit(i), SPEC) for i in (1, 2)]


def hits_of(*strokes):  # (time, articulation, velocity)
    return ArticulatedHits(
        np.array([t for t, *_ in strokes], float),
        np.array([CODE[a] for _, a, _ in strokes], int),
        np.array([v for *_, v in strokes], np.float32),
    )


def test_a_stroke_rises_where_it_is_labelled(kits):
    """The loudest rise of each crop lies within a frame of the onset, whatever the instrument and the place between
    two frames."""
    for i, t in enumerate(np.linspace(0.5, 0.53, 12)):
        rng = rng_for('place', i)
        voices = band_voices(kits, {'snare'}, rng, PLAIN, SPEC.frequencies)
        loud = play_bands(hits_of((t, 'snare', 1.0)), voices, 150, SPEC.n_bins, rng).sum(1)
        assert abs(int(np.argmax(np.diff(np.sqrt(loud)))) - t * FPS) <= 2


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_labels_of_an_unvaried_crop_are_those_of_the_performance(kits, seed):
    rng = rng_for('labels', seed)
    part = compose_part(rng, 'train', 12.0)
    sampler, whole, start = DrumSampler(SPEC, PLAIN, kits=kits), ArticulatedHits.of(part.hits), float(rng.uniform(0, 9))
    magnitudes, played = sampler.crop(whole, 12.0, start, 200, rng)
    assert magnitudes.shape == (200, SPEC.n_bins) and np.isfinite(magnitudes).all()
    expected, found = part.hits.onsets().crop(start, start + 1.9), played.onsets().crop(0.0, 1.9)
    assert found.counts() == expected.counts()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_varied_score_keeps_its_times_and_adds_nothing(seed):
    rng = rng_for('score', seed)
    hits = ArticulatedHits.of(compose_part(rng, 'train', 12.0).hits)
    varied = vary_score(hits, rng)
    assert set(varied.times) <= set(hits.times) and len(varied.times) <= len(hits.times)
    assert ((varied.velocities >= 0.02) & (varied.velocities <= 1)).all()


def test_drums_resonate_when_something_is_struck_and_leave_the_labels(kits):
    """Wires under a kick and a tom, a hi-hat beside a snare: softer than a stroke of their own, none before it, and
    not in the labels."""
    rng = rng_for('resonance')
    voices = band_voices(kits, {'kick', 'tom_low', 'snare', 'hat_closed', 'ride'}, rng, PLAIN, SPEC.frequencies)
    own = {
        a: play_bands(hits_of((0.5, a, 1.0)), voices, 150, SPEC.n_bins, rng_for('own')).sum()
        for a in ('snare', 'hat_closed')
    }
    for struck, resonating in (('kick', 'snare'), ('tom_low', 'snare'), ('snare', 'hat_closed')):
        energy = resonance_bands(hits_of((0.5, struck, 1.0)), voices, 150, SPEC.frequencies, rng, 1.0)
        assert energy[:45].max() == 0 and 0 < energy.sum() < own[resonating]
    assert not resonance_bands(hits_of((0.5, 'ride', 1.0)), voices, 150, SPEC.frequencies, rng, 1.0).any()
    hits, crop = hits_of((1.0, 'kick', 0.9), (1.5, 'snare', 0.9)), dict(seconds=3.0, start=0.0, n=250, speed=1.0)
    alone, together = (
        DrumSampler(SPEC, replace(PLAIN, resonance=share, effects_send=share), kits=kits).crop(
            hits, rng=rng_for('crop'), **crop
        )[1]
        for share in (0.0, 1.0)
    )
    assert alone.onsets().equals(together.onsets())


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_an_effect_adds_its_part_of_the_energy_behind_the_stroke(seed):
    rng = rng_for('sends', seed)
    send, n = draw_send(rng, 5), int(rng.integers(4, 60))
    stroke = (rng.random((n, 5)) * np.exp(-np.arange(n) / 4)[:, None]).astype(np.float32)
    heard = with_send(stroke, send)
    np.testing.assert_allclose(heard.sum(0), stroke.sum(0) * (1 + send.wet), rtol=2e-3)
    np.testing.assert_allclose(heard[0], stroke[0], rtol=1e-6)  # the room answers, it does not know beforehand
    assert (heard[:n] >= stroke * (1 - 1e-6)).all()


def test_a_gate_shuts():
    stroke = np.zeros((3, 2), np.float32)
    stroke[0] = 1
    ring = with_send(stroke, Send(np.ones(2, np.float32), 0.98, 10.0))[1:]
    assert (ring[:10] > 0).all() and ring[9, 0] > 0.8 * ring[0, 0] and np.abs(ring[10:]).max() < 1e-6


def test_cymbals_stay_dry(kits):
    for i in range(6):
        voices = band_voices(
            kits,
            {'kick', 'snare', 'tom_low', 'hat_closed', 'ride', 'crash'},
            rng_for('sent', i),
            replace(PLAIN, effects_send=1.0),
            SPEC.frequencies,
        )
        assert not any(voices[a].send for a in ('hat_closed', 'ride', 'crash'))
        dry = band_voices(kits, {'kick', 'snare'}, rng_for('sent', i), PLAIN, SPEC.frequencies)
        assert not any(v.send for v in dry.values())


def test_loudness_adds_as_energy_does(kits):
    voices = {
        'kick': BandVoice(
            kits[0]['kick'][-1:], np.ones(SPEC.n_bins, np.float32), 0, np.inf, np.zeros(SPEC.n_bins, np.float32), 1.0
        )
    }

    def quiet():
        return type('Calm', (), dict(normal=lambda self, m, s, shape: np.zeros(shape)))()

    one = play_bands(hits_of((0.3, 'kick', 1.0)), voices, 100, SPEC.n_bins, quiet())
    two = play_bands(hits_of((0.3, 'kick', 1.0), (0.3, 'kick', 1.0)), voices, 100, SPEC.n_bins, quiet())
    half = play_bands(hits_of((0.3, 'kick', 0.5)), voices, 100, SPEC.n_bins, quiet())
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
    np.testing.assert_allclose(half, one / 4, rtol=1e-5)


def test_an_open_hat_is_damped_as_by_the_sampler_of_waveforms(kits):
    flat, calm = np.ones(SPEC.n_bins, np.float32), np.zeros(SPEC.n_bins, np.float32)
    ring = BandStroke(np.ones((3, 120, SPEC.n_bins), np.float32), 1.0, 1.0)
    silent = BandStroke(np.zeros((3, 4, SPEC.n_bins), np.float32), 1.0, 1.0)
    voices = {a: BandVoice((s,), flat, 0, np.inf, calm, 1.0) for a, s in (('hat_open', ring), ('hat_closed', silent))}
    out = play_bands(
        hits_of((0.1, 'hat_open', 1.0), (0.5, 'hat_closed', 1.0)), voices, 100, SPEC.n_bins, rng_for('hat')
    ).sum(1)
    end = choked(['hat_open', 'hat_closed'], np.array([10, 50]))[0]
    assert end == 50 and (out[12:end] > 0).all() and (out[end:] == 0).all()


def test_sampled_and_rendered_drums_look_alike():
    "The same part on the same strokes; phases differ, so the pictures agree closely and not exactly."
    part, kit = compose_part(rng_for('alike'), 'train', 8.0), procedural_kit(5)
    rendered = SPEC.linear(render_hits(part.hits, kit, rng_for('alike', 'play'), 8.0, variety=0))[:800]
    flat, calm = np.ones(SPEC.n_bins), np.zeros(SPEC.n_bins)
    voices = {
        a: BandVoice(s, (flat * 10 ** (LEVELS[a][0] / 20)).astype(np.float32), 0, np.inf, calm, 1.0)
        for a, s in band_kit(kit, SPEC).items()
    }
    sampled = np.sqrt(play_bands(ArticulatedHits.of(part.hits), voices, 800, SPEC.n_bins, rng_for('alike', 'play')))

    def look(m):
        return np.log10(1 + 300 * m / m.max()).ravel()

    assert np.corrcoef(look(rendered), look(sampled))[0, 1] > 0.95


def test_a_sampler_without_kits_says_so():
    with pytest.raises(DrumnbError, match='alll'):
        DrumSampler(SPEC, Sampling(kits='alll'))


def test_every_class_can_sound(kits):
    "Each of the five drums is reached by some articulation that a kit plays."
    names = {a for kit in kits for a in kit}
    one_each = ArticulatedHits(
        np.arange(len(names)) * 0.1, np.array(sorted(CODE[a] for a in names)), np.ones(len(names), np.float32)
    )
    assert set(one_each.onsets().names) == set(DRUMS5)


def test_an_accompaniment_of_its_own_keeps_time_with_the_drums(kits, tmp_path):
    "Every stroke has a flash in the song's accompaniment: after any change of tempo it still is where the stroke is."
    rng = rng_for('flashes')
    times = np.cumsum(rng.uniform(0.3, 0.6, 60))
    hits = Hits.make(times, np.full(60, 36), np.full(60, 0.8))
    song = Performance('flashes', 'toy:a', 30.0, ArticulatedHits.of(hits), hits.onsets())
    flashes = np.full((3000, SPEC.n_bins), 1e-3, np.float16)
    frames = np.floor(times * FPS).astype(int)
    flashes[frames[frames < 3000], -1] = 1
    np.save(tmp_path / 'flashes.npy', flashes)
    np.save(tmp_path / 'other.npy', np.full((3000, SPEC.n_bins), 1e-3, np.float16))
    entry = Entry(
        'flashes',
        'toy:b',
        'train',
        3000,
        dict(composed=tmp_path / 'flashes.npy'),
        dict(composed=1.0),
        song.onsets,
        ('flashes',),
    )
    other = replace(entry, track='other', arrays=dict(composed=tmp_path / 'other.npy'), onsets=song.onsets.shift(1.0))
    company, silent = FrameStore([other, entry], SPEC), Sampling(room=0, compression=0)
    found = {}
    for together in (0.0, 1.0):
        source = SampledSource(
            [song],
            DrumSampler(SPEC, silent, kits=kits),
            company,
            Windows(mode='crops', frames=300, batch=8, batches=4),
            Augmentation(drums_only=0, ratio=(-40, -40), aligned=together),
        )
        near = []
        for batch in source.batches(0):
            loud = batch['features'][..., -1].numpy()
            for x, y in zip(loud, batch['targets'].numpy().max(-1)):
                strokes = np.flatnonzero(y == 1)
                strokes = strokes[(strokes > 2) & (strokes < 297)]
                near += [x[s - 2 : s + 3].max() > 0.5 * loud.max() for s in strokes]
        found[together] = np.mean(near)
    assert found[1.0] > 0.95 and found[0.0] < 0.5, found


def test_kits_held_out_of_the_pack_are_held_out_among_installed_kits_too():
    "The pack lies in `DRUMNB_KITS`, where other kits are looked for as well."
    assert {HELD_OUT.get(source) for source in HELD_OUT_SOURCES} == {'validation'}


EDIT_NAMES = list(EDITS)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(EDIT_NAMES))
def test_edits_keep_the_order_and_never_double_a_stroke(seed, name):
    "Whatever is edited, hits stay in order, and no two strokes of one articulation are nearer than before."
    rng = rng_for('edits', seed)
    part = ArticulatedHits.of(compose_part(rng, 'train', 8.0).hits)
    edited = edit_score(part, rng, ScoreEdits(**{name: 1.0}))
    assert (np.diff(edited.times) >= 0).all() and edited.velocities.dtype == np.float32
    assert ((edited.velocities > 0) & (edited.velocities <= 1)).all()
    for a in ('kick', 'crash'):
        gaps = [np.diff(h.times[h.on(a)]).min(initial=1.0) for h in (part, edited)]
        assert gaps[1] >= min(gaps[0], 0.04)


def test_cymbals_survive_where_hats_leave_kicks_and_snares_bare():
    score = hits_of((0.5, 'kick', 1.0), (0.51, 'hat_closed', 0.5), (0.52, 'crash', 1.0), (1.0, 'hat_closed', 0.5))
    bare = edit_score(score, rng_for('bare'), ScoreEdits(bare=1.0))
    assert [ARTICULATIONS[s] for s in bare.strokes] == ['kick', 'crash', 'hat_closed']


def test_distractors_have_no_label_and_are_heard(kits):
    class Hands:
        snares, percussion = [], [kits[0]['clap']]

        def draw_percussion(self, rng):
            return self.percussion[0]

    score, rests = hits_of((0.5, 'kick', 1.0)), replace(PLAIN, sampled=1.0)
    heard = {}
    for name, chance in dict(without=0.0, with_claps=1.0).items():
        sampler = DrumSampler(SPEC, replace(rests, distractors=chance), kits=kits, pack=Hands())
        heard[name], played = sampler.crop(score, 2.0, 0.0, 200, rng_for('hands'), 1.0)
        assert [ARTICULATIONS[s] for s in played.strokes] == ['kick']
    quiet = slice(150, 200)  # long after the kick
    assert np.square(heard['with_claps'][quiet]).sum() > 10 * np.square(heard['without'][quiet]).sum()
