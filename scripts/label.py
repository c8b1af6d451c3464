"Label real music with drums by a checkpoint's averaged weights. usage: label.py CHECKPOINT OUT [SECONDS_LIMIT]"
import csv, sys
from pathlib import Path
import numpy as np, torch
from drumnb import experiments as E
from drumnb.core import rng_for
from drumnb.frames import _curves
from drumnb.inference import activations
from drumnb.spectrograms import feature_spec
from drumnb.training import load_checkpoint
sys.path.insert(0, '/work/main/scripts')
from fetch_music import pieces_of, read
torch.set_num_threads(1)
exp = E.experiment(architecture='crnn', profile='ear-1', seed=1)
model, normaliser = E.build_model(exp), E.initial(exp)[1]
state, info = load_checkpoint(Path(sys.argv[1]))
part = {k.removeprefix('average/'): v for k, v in state.items() if k.startswith('average/')}
model.load_state_dict(part); model.eval()
spec, out = feature_spec(exp.features), Path(sys.argv[2]); out.mkdir(parents=True, exist_ok=True)
rows = [r for r in csv.DictReader(open('/work/shared/music/segments.csv', newline='')) if r['kind'] == 'drums' and r['licence'].startswith(('CC', 'MIT'))]
pieces = [p for r in rows for p in pieces_of(r, 40, 8)]
rng_for('label', 0).shuffle(pieces)
total, limit = 0., float(sys.argv[3]) if len(sys.argv) > 3 else 1e9
print(len(pieces), sum(p['end_s'] - p['start_s'] for p in pieces)/60, 'min', flush=True)
counts = 0
for p in pieces:
    if total > limit: break
    to = out/(p['file'][:-5] + '.npz')
    if to.exists(): continue
    source = Path('/root/ear/music-src')/p['package']/p['path']
    if not source.is_file(): continue
    x = read(source, p['start_s'], p['end_s'])
    level = np.sqrt(np.mean(np.square(x)))
    if level < 1e-3: continue
    v = spec.linear(x); v = v/np.float32(spec.rms or .1) if spec.rms else v/level
    rng, views = rng_for('label', p['file']), []
    for k in range(2):
        w = v*(_curves(rng, 1, v.shape[1], 3., 7)[0] if k else 1)*np.float32((spec.rms or .1))
        views.append(activations(model, normaliser(spec.compress(w)), batch=8))
    q = np.mean(views, 0)
    np.savez(to.with_suffix('.part.npz'), x=v.astype(np.float16), p=q.astype(np.float16)); to.with_suffix('.part.npz').rename(to)
    total += len(x)/44100; counts = counts + (q > .6).sum(0)
    if int(total) % 600 < 40: print(int(total), counts, flush=True)
print('labelled', total/60, 'min', counts)
