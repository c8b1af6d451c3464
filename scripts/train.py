"""Train a recipe of the ear in two processes: one samples, one learns. usage: train.py PROFILE SEED [LABELLED_FOLDER FRACTION FROM_EPOCH]"""
import multiprocessing as mp, os, sys, time
from pathlib import Path
import numpy as np, torch
from drumnb import experiments as E
from drumnb.core import rng_for

class Ahead:
    "A source whose batches another process makes, in the order and with the seeds of its own."
    def __init__(self, source, more=None): self.source, self.more, self.normaliser, self.weights = source, more, source.normaliser, source.weights
    def __len__(self): return len(self.source)
    def __getattr__(self, name): return getattr(self.source, name)
    def batches(self, epoch):
        context = mp.get_context('fork'); q = context.Queue(12)
        def work():
            torch.set_num_threads(1)
            for i, b in enumerate(self.source.batches(epoch)):
                b = {k: v.numpy() for k, v in b.items()}
                b['mask'] = np.ones(b['targets'].shape, np.float32)
                if self.more: self.more(b, epoch, i)
                q.put(b)
        p = context.Process(target=work, daemon=True); p.start()
        try:
            for _ in range(len(self.source)): 
                while True:
                    try: b = q.get(timeout=5); break
                    except Exception:
                        if not p.is_alive(): raise RuntimeError('the sampling process ended')
                yield {k: torch.from_numpy(v) for k, v in b.items()}
        finally: p.kill(); p.join()

if __name__ == '__main__':
    profile, seed = sys.argv[1], int(sys.argv[2])
    more = None
    if len(sys.argv) > 3:
        from labelled import Labelled
        more = Labelled(Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]), seed)
    make = E.make_source
    def make_source(exp, data):
        s = make(exp, data)
        if more: more.source = s
        return Ahead(s, more)
    E.make_source = make_source
    exp = E.experiment(architecture='crnn', profile=profile, seed=seed)
    print(exp.run, flush=True)
    E.run_experiment(exp)
