"Real music with drums, labelled by an earlier state of the network: confident frames count, the rest is masked; the student hears it harder."
import time
from pathlib import Path
import numpy as np
from drumnb.core import rng_for
from drumnb.frames import _curves, _rolled
HIGH, LOW, NEGATIVE = .6, .08, .5
def targets_of(p):
    "(T, K) targets and masks from probabilities."
    q = np.pad(p, ((2, 2), (0, 0)))
    top = np.max([q[i:i + len(p)] for i in range(5)], 0)
    peak = (p >= HIGH) & (p >= top)
    y, m = np.zeros(p.shape, np.float32), np.where(p < LOW, NEGATIVE, 0).astype(np.float32)
    near = np.zeros(p.shape, bool); near[1:] |= peak[:-1]; near[:-1] |= peak[1:]
    y[near] = .5; y[peak] = 1; m[near | peak] = 1
    return y, m
class Labelled:
    def __init__(self, folder, fraction, start, seed): self.folder, self.fraction, self.start, self.seed, self.pieces, self.source = folder, fraction, start, seed, None, None
    def load(self):
        self.pieces = []
        for f in sorted(self.folder.glob('*.npz')):
            with np.load(f) as z: x, p = z['x'], z['p'].astype(np.float32)
            if len(x) > 400: self.pieces.append((x, *targets_of(p)))
        self.odds = np.array([len(x) for x, _, _ in self.pieces], float); self.odds /= self.odds.sum()
    def __call__(self, batch, epoch, index):
        if epoch < self.start: return
        if self.pieces is None: self.load()
        if not self.pieces: return
        s, rng = self.source, rng_for('labelled', self.seed, epoch, index)
        n, t, spec = len(batch['features']), batch['features'].shape[1], self.source.sampler.spec
        for k in np.flatnonzero(rng.random(n) < self.fraction):
            x, y, m = self.pieces[rng.choice(len(self.pieces), p=self.odds)]
            a = int(rng.integers(0, len(x) - t))
            v = x[a:a + t].astype(np.float32)*_curves(rng, 1, x.shape[1], 3., 7)[0]
            v = _rolled(v[None], rng.integers(-2, 3, 1))[0]
            if rng.random() < .6:
                other = s._company(rng, t, [None]*s.windows.batch, np.ones(1, bool))[0]
                g = np.float32(10**(-rng.uniform(-3, 15)/20))
                v = np.sqrt(v*v + np.square(g*other))/np.sqrt(1 + g*g)
            v = v*np.float32((spec.rms or .1)*10**(rng.normal(0, 3)/20))
            batch['features'][k] = s.normaliser(spec.compress(v))
            batch['targets'][k], batch['mask'][k] = y[a:a + t], m[a:a + t]
