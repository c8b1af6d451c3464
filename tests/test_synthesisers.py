"""Synthesisers: sums of sines, and every instrument and drum sounds."""

import numpy as np
import pytest

from drumnb.core import rng_for
from drumnb.rendering.accompaniment import SYNTHS, Instrument, synth_note
from drumnb.rendering.synthesisers import drum_sounds, partials


def test_partials_equal_the_sum_of_sines():
    rng = rng_for('partials')
    f, a, d, ph = rng.uniform(30, 15000, 20), rng.random(20), rng.uniform(0, 9, 20), rng.uniform(0, 6, 20)
    t = np.arange(5000) / 44100
    np.testing.assert_allclose(
        partials(f, a, d, ph, 5000),
        sum(a[k] * np.exp(-d[k] * t) * np.sin(2 * np.pi * f[k] * t + ph[k]) for k in range(20)),
        atol=1e-3,
    )


@pytest.mark.parametrize('kind', list(SYNTHS))
def test_instruments_are_functions_of_their_seed(kind):
    a, b, other = (synth_note(Instrument(kind, seed=s), 60, 1) for s in (3, 3, 4))
    assert a.dtype == np.float32 and np.array_equal(a, b) and not np.array_equal(a, other)


@pytest.mark.parametrize('seed', range(5))
def test_every_drum_sounds(seed):
    sounds = drum_sounds(rng_for('test drums', seed))
    assert len(sounds) == 19
    assert all(np.isfinite(x).all() and np.abs(x).max() > 0.05 for x in sounds.values())
