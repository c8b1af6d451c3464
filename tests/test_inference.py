"Chunks, decoding, thresholds and scoring."

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb import audio
from drumnb.core import DrumnbError, rng_for
from drumnb.experiments.inference import (
    Calibration,
    VelocityModel,
    _logit,
    _sigmoid,
    activations,
    calibration_error,
    choose_threshold,
    chunk_windows,
    decode,
    onset_levels,
    score_activations,
    threshold_counts,
)
from drumnb.metrics import count, micro_f1
from drumnb.models.registry import make_model
from drumnb.onsets import Onsets, PeakPicking, to_targets
from drumnb.spectrograms import LogSpec


class Neighbours(torch.nn.Module):
    "A model whose reach is exactly three frames."

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(6, 2, 7, padding=3)

    def forward(self, x):
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 400), chunk=st.integers(1, 90), overlap=st.integers(0, 40))
def test_windows_tile_the_recording(n, chunk, overlap):
    kept, starts, length = chunk_windows(n, chunk, overlap)
    assert (starts >= 0).all() and (starts + length <= n).all()
    if len(kept) == 1:
        assert length == n or chunk >= n
    else:
        ends = np.minimum(kept + chunk, n)
        assert kept[0] == 0 and ends[-1] == n and (kept[1:] == ends[:-1]).all()
        assert ((kept - starts >= overlap) | (starts == 0)).all() and (
            (starts + length - ends >= overlap) | (starts + length == n)
        ).all()


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 300), chunk=st.integers(1, 90), overlap=st.integers(3, 20), batch=st.integers(1, 5))
def test_chunks_equal_one_pass_when_the_margin_covers_the_reach(n, chunk, overlap, batch):
    torch.manual_seed(0)
    model, x = Neighbours(), np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32)
    got = activations(model, x, chunk, overlap, batch)
    assert got.shape == (n, 2) and got.dtype == np.float32
    if n:
        with torch.no_grad():
            whole = torch.sigmoid(model(torch.tensor(x)[None]))[0].numpy()
        np.testing.assert_allclose(got, whole, atol=1e-5)


def test_too_small_a_margin_shows():
    torch.manual_seed(0)
    model, x = Neighbours(), np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    assert np.abs(activations(model, x, 50, 0) - activations(model, x, 200, 0)).max() > 1e-3


def test_memory_map_float16_and_mode(tmp_path):
    x = np.random.default_rng(0).random((700, 84)).astype(np.float16)
    np.save(tmp_path / 'x.npy', x)
    model = make_model('crnn', front='conv1d', channels=(8, 8), layers=1, hidden=4).train()
    a = activations(model, np.load(tmp_path / 'x.npy', mmap_mode='r'), chunk=100, overlap=50)
    assert model.training
    np.testing.assert_allclose(a, activations(model, x.astype(np.float32), chunk=700), atol=1e-4)


def test_bad_arguments():
    model = Neighbours()
    for kw, text in ((dict(chunk=0), 'chunk=0'), (dict(overlap=-1), 'overlap=-1')):
        with pytest.raises(DrumnbError, match=text):
            activations(model, np.zeros((5, 6)), **kw)
    with pytest.raises(DrumnbError, match=r'expected \(frames, bins\)'):
        activations(model, np.zeros(5))


def random_tracks(seed, n=3, frames=500):
    rng = np.random.default_rng(seed)

    def make():
        return Onsets.make(np.round(rng.uniform(0, frames / 100 - 0.1, 30), 2), rng.integers(0, 5, 30))

    return [
        (
            (0.7 * rng.random((frames, 5)) * to_targets(r, frames) + 0.6 * rng.random((frames, 5)) ** 4).astype(
                np.float32
            ),
            r,
        )
        for r in (make() for _ in range(n))
    ]


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    picking=st.sampled_from(
        (
            PeakPicking(),
            PeakPicking(threshold=0.0, mean_pre=0, mean_post=0),
            PeakPicking(threshold=0.05, max_pre=3, max_post=3, wait=3),
        )
    ),
)
def test_picking_once_equals_picking_for_each_threshold(seed, picking):
    pairs, grid = random_tracks(seed), (0.1, 0.25, 0.5)
    fast = threshold_counts(pairs, grid, picking).set_index(['threshold', 'drum'])
    for t in grid:
        slow = (
            pd.concat([count(r, decode(y, t, picking=picking)) for y, r in pairs])
            .groupby('drum')[['tp', 'fp', 'fn']]
            .sum()
        )
        assert (fast.loc[t].loc[slow.index] == slow).all().all()


def test_plateaus_survive():
    y = np.zeros((40, 5), np.float32)
    y[10:13, 0] = 0.6
    y[20:22, 0] = 0.4
    pairs = [(y, Onsets.make([0.1], ['KD']))]
    fast = threshold_counts(pairs, (0.3, 0.5)).set_index(['threshold', 'drum'])
    for t in (0.3, 0.5):
        assert fast.loc[(t, 'KD')].tolist() == count(pairs[0][1], decode(y, t)).iloc[0][['tp', 'fp', 'fn']].tolist()


def test_chosen_threshold_is_the_best():
    pairs = random_tracks(1)
    t, curve = choose_threshold(pairs, grid=(0.1, 0.3, 0.5))
    f = {g: micro_f1(score_activations(pairs, g)) for g in (0.1, 0.3, 0.5)}
    assert f[t] == max(f.values()) and curve.micro[t] == pytest.approx(f[t])
    each, _ = choose_threshold(pairs, grid=(0.1, 0.3, 0.5), per_drum=True)
    rows = score_activations(pairs, each)
    assert len(each) == 5 and micro_f1(rows) >= f[t] - 0.02 and set(rows.track) == {'0', '1', '2'}


def test_calibration_is_monotone_and_right_on_average():
    rng = rng_for('calibration')
    truth = {'KD': (2.0, 1.0), 'CY': (0.7, -1.0)}
    tables = []
    for drum, (a, b) in truth.items():
        p = rng.uniform(0.05, 0.95, 4000)
        tables.append(pd.DataFrame(dict(drum=drum, activation=p, true=rng.random(4000) < _sigmoid(a * _logit(p) + b))))
    peaks = pd.concat(tables)
    c = Calibration.fit(peaks)
    for drum, w in truth.items():
        assert np.allclose(c.drums[drum], w, atol=0.2)
    assert calibration_error(c(peaks.activation, peaks.drum), peaks.true) < 0.02
    assert Calibration()([0.3], ['KD'])[0] == pytest.approx(0.3)


def test_velocity_follows_loudness():
    t = np.arange(8 * audio.SAMPLE_RATE) / audio.SAMPLE_RATE
    hard = np.where((t // 0.5).astype(int) % 2 == 0, 1.0, 0.25)
    x = (0.6 * hard * np.exp(-(t % 0.5) * 25) * np.sin(2 * np.pi * 60 * (t % 0.5))).astype(np.float32)
    linear = LogSpec().linear(x)
    o = Onsets.make(np.arange(1, 16) * 0.5, ['KD'] * 15)
    levels = onset_levels(linear, o, LogSpec())
    assert np.diff(levels)[::2].min() > 8 and VelocityModel()(levels, o.names)[1] > VelocityModel()(levels, o.names)[0]
