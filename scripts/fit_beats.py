#!/usr/bin/env python3
"""Fit how readings of beats are chosen and how sure they are: drumnb/data/beats/choice.json.

    python scripts/fit_beats.py

A conditional logit on the terms of every reading of every validation song, each group of songs with the same weight;
then two logistic regressions, for beats and for the bars where beats are right, on readings chosen by weights that were
fitted without the fifth of the songs to which theirs belongs. It reads validation sets only.
"""

import json
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')
import numpy as np
from scipy.optimize import minimize

FOLDS, RIDGE = 5, 0.0002
DRAWS = {'grid validation': 2, 'composed validation': 3, 'rules validation': 3}  # seeds that are drawn of a group


def readings_of(case, weights) -> dict:
    "Terms of all readings of a case, the chain of each, and which are right in beats and in bars."
    from drumnb.studies.beat_study import RIGHT, score_beats
    from drumnb.tatum import beats as tb

    odds = tb.beat_odds(tb.beat_activations(case.onsets, weights))
    out = dict(terms=[], chain=[], beats=[], bars=[], clear=[], octaves=[])
    for j, (_, frames) in enumerate(tb.candidate_chains(tb.decode_chain(odds), 40.0, 250.0)):
        seconds = tb.refine_chain(odds, frames)
        readings, terms = tb.chain_readings(odds, case.onsets, weights, frames)
        places = [np.c_[seconds, (np.arange(len(frames)) - first) % n + 1] for n, first in readings]
        good = score_beats(case, places[0])['beat'] >= RIGHT
        down = [score_beats(case, p)['downbeat'] if good and case.bars else float(good) for p in places]
        clear = tb.chain_score(odds, frames, tb.BarModel(tempo=0)) / len(frames)
        out['terms'].append(terms)
        out['bars'] += [d >= RIGHT for d in down]
        octaves = abs(np.log2(60 / np.median(np.diff(seconds)) / tb.USUAL_BPM))
        for name, value in dict(chain=j, beats=good, clear=clear, octaves=octaves).items():
            out[name] += [value] * len(readings)
    return {k: np.concatenate(v) if k == 'terms' else np.array(v) for k, v in out.items()}


def fit_choice(songs: list, share: np.ndarray) -> np.ndarray:
    "Weights that make the right readings most probable; songs without a right one say nothing."
    mine = [(s, w) for s, w in zip(songs, share) if s['bars'].any()]
    terms, right = (np.concatenate([s[name] for s, _ in mine]) for name in ('terms', 'bars'))
    sizes, w = [len(s['bars']) for s, _ in mine], np.array([w for _, w in mine])
    starts, song = np.cumsum([0, *sizes[:-1]]), np.repeat(np.arange(len(mine)), sizes)

    def cost(b):
        z = terms @ b
        p = np.exp(z - np.maximum.reduceat(z, starts)[song])
        every, good = np.add.reduceat(p, starts), np.add.reduceat(p * right, starts) + 1e-300
        slope = (w[song] * (p / every[song] - p * right / good[song])) @ terms
        return w @ np.log(every / good) + 0.5 * RIDGE * b @ b, slope + RIDGE * b

    return minimize(cost, np.zeros(songs[0]['terms'].shape[1]), jac=True, method='L-BFGS-B').x


def chosen(song: dict, b: np.ndarray) -> dict:
    "The best reading of a song, and what its confidences are computed from."
    from drumnb.tatum.beats import log_odds

    z = song['terms'] @ b
    k = int(z.argmax())
    mine = song['chain'] == song['chain'][k]
    mass = np.logaddexp.reduce(z[mine])
    margin, phase = log_odds(np.exp(mass - np.logaddexp.reduce(z))), log_odds(np.exp(z[k] - mass))
    told = {name: song[name][k] for name in ('clear', 'octaves', 'beats', 'bars')}
    return dict(constant=1.0, margin=margin, phase=phase, **told)


def fit_confidence(rows: list, names: tuple, right: str, share: np.ndarray) -> dict:
    "A logistic regression."
    x, y = np.array([[r[n] for n in names] for r in rows], float), np.array([2.0 * r[right] - 1 for r in rows])

    def cost(b):
        return (share * np.logaddexp(0, -y * (x @ b))).sum() + RIDGE / 2 * b[1:] @ b[1:]

    b = minimize(cost, np.zeros(len(names)))
    return dict(zip(names, b.x.round(4).tolist()))


def fit_all(cases: list, songs: list) -> dict:  # Cases, and what `readings_of` says of each
    "What the file holds."
    from drumnb.tatum.beats import READING_TERMS

    groups = list(dict.fromkeys(c.group for c in cases))
    size = {g: sum(c.group == g for c in cases) for g in groups}
    share = np.array([1 / size[c.group] / len(groups) for c in cases])
    names = {g: sorted({c.name for c in cases if c.group == g}) for g in groups}
    fold = np.array([names[c.group].index(c.name) % FOLDS for c in cases])  # a name's seeds stay together
    rows = [None] * len(songs)
    for k in range(FOLDS):
        b = fit_choice([s for s, f in zip(songs, fold) if f != k], share[fold != k])
        for i in np.flatnonzero(fold == k):
            rows[i] = chosen(songs[i], b)
    for g in groups:
        right = [np.mean([r[name] for r, c in zip(rows, cases) if c.group == g]) for name in ('beats', 'bars')]
        print(f'{g}: beats right {right[0]:.3f}, bars as well {right[1]:.3f}, by weights fitted without the song')
    return dict(
        how='python scripts/fit_beats.py',
        songs=size,
        reading=dict(zip(READING_TERMS, fit_choice(songs, share).round(4).tolist())),
        beats=fit_confidence(rows, ('constant', 'margin', 'clear', 'octaves'), 'beats', share),
        bars=fit_confidence(rows, ('constant', 'phase'), 'bars', share * [r['beats'] for r in rows]),
    )


def main():
    from drumnb.core import data_file, write_text
    from drumnb.models.beat_network import beat_weights
    from drumnb.studies.beat_study import BEAT_GROUPS
    from drumnb.tatum.beats import CHOICE_FILE

    groups = [g for g in BEAT_GROUPS if g.endswith('validation')]
    cases = [c for g in groups for seed in range(DRAWS.get(g, 1)) for c in BEAT_GROUPS[g](g, seed)]
    told = fit_all(cases, [readings_of(case, beat_weights()) for case in cases])
    write_text(data_file(CHOICE_FILE), json.dumps(told, indent=1, ensure_ascii=False) + '\n')


if __name__ == '__main__':
    main()
