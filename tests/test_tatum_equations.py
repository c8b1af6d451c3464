"""Equations 1 to 10 of Ishizuka et al. (2020), written again with numbers and loops, against the library's tensors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drumnb.drums import DRUMS3
from drumnb.onsets import pick_peaks
from drumnb.tatum.beats import beat_scores
from drumnb.tatum.crnn import segment_max, tatum_batch
from drumnb.tatum.grid import TatumGrid, even_beats
from drumnb.tatum.language_models import GRULanguageModel, SkipBigram
from drumnb.tatum.regularised_training import (
    BETA,
    PAPER_PICKING,
    frame_loss,
    gumbel_sigmoid,
    language_loss,
    transcription_loss,
)

torch.set_num_threads(1)
SEEDS = st.integers(0, 10_000)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def cross_entropy(y, p, weight=1.0):
    "Mean of −(w y log p + (1 − y) log(1 − p)) over all cells."
    total = 0.0
    for a, b in zip(np.ravel(y), np.ravel(p)):
        total -= weight * a * math.log(b) + (1 - a) * math.log(1 - b)
    return total / np.size(y)


def random_score(seed, tatums=70, density=0.3):
    return (np.random.default_rng(seed).random((tatums, 3)) < density).astype(np.uint8)


@given(SEEDS, st.floats(70, 200))
@example(seed=0, bpm=115.0)  # whose last tatums lie behind 5 s
@settings(max_examples=10, deadline=None)
def test_equation_1_largest_value_between_the_middles_of_neighbouring_tatums(seed, bpm):
    times = TatumGrid.from_beats(even_beats(4.7, bpm)).times
    n = math.ceil(100 * times[-1]) + 1  # frames for all tatums: the last beat may fall as late as 4.7 s and a beat
    x = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    middles = [(a + b) / 2 for a, b in zip(times, times[1:])]
    expected = []
    for before, after in zip(middles, middles[1:]):  # the first and last tatum have one neighbour only
        expected.append(np.max([x[t] for t in range(len(x)) if before - 1e-9 <= t / 100 < after - 1e-9], axis=0))
    b = tatum_batch([TatumGrid.from_beats(even_beats(4.7, bpm))])
    found = segment_max(torch.as_tensor(x)[None], b['edges'], b['centres'], torch.tensor([n]))
    assert np.array_equal(found[0, 1:-1].numpy(), expected)


def gru_by_hand(model, score):
    "Logits of `GRULanguageModel`, unit by unit; the state that answers for tatum m has read tatums before it only."
    w = {k: v.double().numpy() for k, v in model.state_dict().items()}
    hidden, layers = model.config['hidden'], model.config['layers']
    state, logits = [np.zeros(hidden) for _ in range(layers)], []
    for m in range(len(score)):
        x = np.concatenate([score[m - lag] if m >= lag else np.zeros(3) for lag in model.lags])
        for n in range(layers):
            gates_x = w[f'rnn.weight_ih_l{n}'] @ x + w[f'rnn.bias_ih_l{n}']
            gates_h = w[f'rnn.weight_hh_l{n}'] @ state[n] + w[f'rnn.bias_hh_l{n}']
            (rx, zx, nx), (rh, zh, nh) = gates_x.reshape(3, hidden), gates_h.reshape(3, hidden)
            z = sigmoid(zx + zh)
            state[n] = (1 - z) * np.tanh(nx + sigmoid(rx + rh) * nh) + z * state[n]
            x = state[n]
        logits.append(w['out.weight'] @ x + w['out.bias'])
    return np.array(logits)


@pytest.mark.parametrize('lags', [(1,), (1, 16)])
def test_equation_2_recurrent_language_model(lags):
    torch.manual_seed(0)
    model, score = GRULanguageModel(hidden=5, layers=2, lags=lags).eval(), random_score(1, 40)
    with torch.no_grad():
        found = model(torch.as_tensor(score, dtype=torch.float32)[None])[0]
    assert np.allclose(found, gru_by_hand(model, score), atol=1e-6)


def bigram_by_hand(scores, score, lag=16, smoothing=1.0):
    "p(y_m | y_(m−16)) of each drum by counting, the plain frequency in the first bar."
    p = np.zeros(score.shape)
    for k in range(score.shape[1]):
        struck, seen, first, n = {0: smoothing, 1: smoothing}, {0: 2 * smoothing, 1: 2 * smoothing}, smoothing, 0
        for s in scores:
            for m in range(len(s)):
                first, n = first + s[m, k], n + 1
                if m >= lag:
                    struck[s[m - lag, k]] += s[m, k]
                    seen[s[m - lag, k]] += 1
        for m in range(len(score)):
            then = score[m - lag, k] if m >= lag else None
            p[m, k] = first / (n + 2 * smoothing) if then is None else struck[then] / seen[then]
    return p


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_equation_3_skip_bigram(seed):
    scores, score = [random_score(seed + i) for i in range(3)], random_score(seed + 3)
    found = torch.sigmoid(SkipBigram().fit(scores)(torch.as_tensor(score, dtype=torch.float32)[None])[0])
    assert np.allclose(found, bigram_by_hand(scores, score), atol=1e-6)


@given(SEEDS, st.floats(0.1, 2))
@settings(max_examples=10, deadline=None)
def test_equation_4_transcription(seed, gamma):
    logits, y = np.random.default_rng(seed).normal(size=(1, 20, 3)), random_score(seed, 20)[None]
    found = transcription_loss(
        torch.as_tensor(logits), torch.as_tensor(y, dtype=torch.float64), torch.ones(1, 20), gamma
    )
    assert found.item() == pytest.approx(cross_entropy(y, sigmoid(logits), gamma), rel=1e-6)


def sample_by_hand(logits, tau, uniform):
    "Equations 6 to 8, with the logit in the place of the probability."
    eta = [-math.log(-math.log(u)) for u in np.ravel(uniform)]
    first, second = np.reshape(eta, (2, *logits.shape))
    return sigmoid((logits + first - second) / tau)


@given(SEEDS, st.sampled_from([0.2, 0.5, 1.0]))
@settings(max_examples=10, deadline=None)
def test_equations_6_to_8_gumbel_sigmoid(seed, tau):
    logits = np.random.default_rng(seed).normal(size=(2, 8, 3))
    uniform = torch.rand((2, *logits.shape), generator=torch.Generator().manual_seed(seed)).clamp(1e-9, 1 - 1e-7)
    expected = sample_by_hand(logits, tau, uniform.double().numpy())
    found = gumbel_sigmoid(torch.as_tensor(logits, dtype=torch.float32), tau, torch.Generator().manual_seed(seed))
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('past', [0, 7, 30])
def test_equation_5_language_model_on_a_sample_after_its_past(past):
    scores, whole = [random_score(i) for i in range(3)], random_score(3, past + 24)
    logits = np.random.default_rng(4).normal(size=(24, 3))
    uniform = torch.rand((2, 1, 24, 3), generator=torch.Generator().manual_seed(5)).clamp(1e-9, 1 - 1e-7)[:, 0]
    sample, bigram = sample_by_hand(logits, 0.2, uniform.double().numpy()), SkipBigram().fit(scores)
    heard, struck = np.concatenate([whole[:past], sample]), bigram.struck.double().numpy()
    p = [
        bigram.first.double().numpy() if m < 16 else struck[0] + (struck[1] - struck[0]) * heard[m - 16]
        for m in range(len(heard))
    ]
    found = language_loss(
        torch.as_tensor(logits, dtype=torch.float32)[None],
        bigram,
        torch.ones(1, 24),
        generator=torch.Generator().manual_seed(5),
        past=[torch.as_tensor(whole[:past], dtype=torch.float32)] if past else None,
    )
    assert found.item() == pytest.approx(cross_entropy(sample, p[past:]), rel=1e-4)


@pytest.mark.parametrize('language', ['skip-bigram', 'gru'])
def test_excerpts_with_their_past_are_as_surprising_as_the_song(language):
    torch.manual_seed(0)
    song = random_score(7, 96)
    model = SkipBigram().fit([song]) if language == 'skip-bigram' else GRULanguageModel(hidden=6, layers=1).eval()
    y, cuts = torch.as_tensor(song, dtype=torch.float32), [(0, 32), (32, 64), (64, 96)]
    sure, generator = 60 * (2 * y - 1), torch.Generator().manual_seed(0)
    excerpts = [
        language_loss(sure[None, a:b], model, torch.ones(1, b - a), generator=generator, past=[y[:a]]) for a, b in cuts
    ]
    whole = language_loss(sure[None], model, torch.ones(1, 96), generator=generator)
    assert torch.stack(excerpts).mean().item() == pytest.approx(whole.item(), rel=1e-4)
    empty = [language_loss(sure[None, a:b], model, torch.ones(1, b - a), generator=generator) for a, b in cuts]
    assert torch.stack(empty).mean().item() != pytest.approx(whole.item(), rel=1e-3)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_equation_9_precision_recall_and_f_of_beats(seed):
    rng = np.random.default_rng(seed)
    reference = np.cumsum(rng.uniform(0.3, 0.7, 20))  # far enough apart for one partner each
    tracked = (reference + rng.normal(0, 0.06, 20))[rng.random(20) < 0.8]
    right = sum(any(abs(t - r) <= 0.05 for r in reference) for t in tracked)
    p, r = right / max(len(tracked), 1), right / len(reference)
    found = beat_scores(reference, tracked)
    assert (found['precision'], found['recall']) == pytest.approx((p, r))
    assert found['f1'] == pytest.approx(2 * p * r / (p + r) if p + r else 0.0)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_equation_10_frames(seed):
    logits, y = np.random.default_rng(seed).normal(size=(1, 30, 3)), random_score(seed, 30, 0.05)[None]
    found = frame_loss(torch.as_tensor(logits), torch.as_tensor(y, dtype=torch.float64))
    assert found.item() == pytest.approx(cross_entropy(y, sigmoid(logits), BETA), rel=1e-6)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_papers_rule_of_picking(seed):
    "The largest of the last three frames that exceed their mean by δ, more than two frames after the last peak."
    a = np.random.default_rng(seed).random(60)
    before = np.concatenate([[0, 0], a])
    high = [x if x >= before[t : t + 3].mean() + 0.2 else 0 for t, x in enumerate(a)]
    expected, last = [], -math.inf
    for t, x in enumerate(high):
        if x and x == max(high[max(0, t - 2) : t + 1]) and t - last > 2:
            expected.append(t)
            last = t
    found = pick_peaks(np.repeat(a[:, None], 3, 1), PAPER_PICKING, DRUMS3)
    assert (found.times[found.drums == 0] * 100).round().astype(int).tolist() == expected
