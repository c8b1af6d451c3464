"""What a score hides: how weights stand up to coincidences, drumless music, fast strokes, hiss, MP3 and other trials.

    python benchmarks/stress.py drumnb-5                    shipped weights by name
    python benchmarks/stress.py drumnb-5 runs/x/y.safetensors --adtof
    python benchmarks/stress.py drumnb-5 --music FOLDER --only drumless --quick

Every sound is played with fixed seeds on kits that no weights were trained on: computed kits of numbers that belong to
no split, and the held-out kits of the pack that DRUMNB_KITS names. The rows go to results/stress/WEIGHTS.csv.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common import one_thread

one_thread()
import numpy as np  # noqa: E402  after the threads are set
import pandas as pd  # noqa: E402
import scipy.signal  # noqa: E402
import soundfile  # noqa: E402
import soxr  # noqa: E402

from drumnb import audio  # noqa: E402
from drumnb.core import DrumnbError, atomic_path, data_home, results_home, rng_for  # noqa: E402
from drumnb.datasets.music import read_music_index  # noqa: E402
from drumnb.datasets.synthetic import active_level  # noqa: E402
from drumnb.drums import DRUMS5  # noqa: E402
from drumnb.metrics import count, match  # noqa: E402
from drumnb.onsets import Hits, Onsets  # noqa: E402
from drumnb.rendering.accompaniment import accompaniment  # noqa: E402
from drumnb.rendering.drum_parts import compose_part  # noqa: E402
from drumnb.rendering.effects import drum_room, finish  # noqa: E402
from drumnb.rendering.kits import GM_PITCHES, Kit, procedural_kit, render_hits, trim_shot  # noqa: E402
from drumnb.rendering.microphones import (  # noqa: E402
    HELD_OUT_SOURCES,
    cut_together,
    grouped,
    pack_home,
    pack_sources,
    read_kit_list,
    spread_over,
)
from drumnb.transcription.transcribe import shipped_weights, transcribe_performance  # noqa: E402

COLUMNS = ('weights', 'test', 'condition', 'piece', 'drum', 'tp', 'fp', 'fn', 'n', 'seconds', 'rate')
FIRST_KIT = 300_000  # computed kits from this number on belong to no split
WINDOW = 0.05  # s
PLAYED = dict(
    KD=('kick',),
    SD=('snare',),
    TT=('tom_high', 'tom_mid', 'tom_low', 'tom_floor'),
    HH=('hat_closed', 'hat_closed', 'hat_open'),
    CY=('crash', 'ride'),
)
STYLES = dict(guitar='guitar stems', orchestral='orchestral', acoustic='orchestral', electronic='electronic')


@dataclass(frozen=True)
class Size:
    "How much of everything is played."

    kits: int = 4  # computed ones, beside those of the pack
    songs: int = 6
    seconds: float = 24.0  # of a song
    repeats: int = 6
    pieces: int = 1000  # of drumless music


QUICK = Size(kits=1, songs=1, seconds=8.0, repeats=1, pieces=2)


# ---- what is played


def pack_kit(folder: Path, microphone: str = 'mix', most: int = 12) -> Kit:
    "A kit of a pack as one microphone hears it, or all of them at the levels of its own mix."
    listed = read_kit_list(folder)
    levels, shots = listed.get('mix_gains_db') or {}, {}
    for articulation, groups in grouped(listed['samples']).items():
        for group in spread_over(groups, most):
            heard = [s for s in group if microphone in ('mix', s['mic'])] or group[:1]
            cut = cut_together({s['mic']: audio.load(Path(folder) / s['file']) for s in heard}) or {}
            sound = sum(np.float32(10 ** (levels.get(m, 0) / 20)) * x for m, x in cut.items()) if cut else np.zeros(0)
            if shot := trim_shot(sound, min(max(float(group[0]['velocity']), 0.05), 1.0)):
                shots.setdefault(articulation, []).append(shot)
    return Kit(listed['name'], Path(folder).name, {a: tuple(shots[a]) for a in shots})


def held_out_folders() -> list[Path]:
    "The kits of the pack that no training uses."
    home = pack_home()
    return [f for f, source in pack_sources(home).items() if source in HELD_OUT_SOURCES] if home else []


@cache
def kits(size: Size) -> dict[str, Kit]:
    "Unseen kits by name."
    made = {f'computed-{i}': procedural_kit(FIRST_KIT + i) for i in range(size.kits)}
    return made | {f.name: pack_kit(f) for f in held_out_folders()}


def performance(rows: list) -> Hits:
    "Hits from (time, articulation, velocity)."
    times, names, velocities = zip(*rows)
    return Hits.make(times, [GM_PITCHES[a] for a in names], np.array(velocities, np.float32), 'gm')


def played(rows: list, kit: Kit, *seed) -> tuple[np.ndarray, Onsets]:
    "Sound and onsets of (time, articulation, velocity) on a kit, at its own levels."
    hits = performance(rows)
    return render_hits(hits, kit, rng_for('stress', *seed), variety=0), hits.onsets(DRUMS5)


def any_stroke(drum: str, rng: np.random.Generator) -> str:
    return str(rng.choice(PLAYED[drum]))


# ---- what is heard


class Listener:
    "A system that transcribes files."

    def __init__(self, name: str, transcribe):
        self.name, self.transcribe, self.folder = name, transcribe, Path(tempfile.mkdtemp())

    def file(self, path: Path) -> Onsets:
        return self.transcribe(path)

    def __call__(self, x: np.ndarray) -> Onsets:
        path = self.folder / 'sound.wav'
        audio.save(path, finish(x))
        return self.file(path)


def drumnb_listener(weights: str) -> Listener:
    "Shipped weights by name, or the path of a model."
    known = {p.stem: p for p in shipped_weights()}
    path = known.get(weights, Path(weights))
    if not path.is_file():
        raise DrumnbError(f'{weights}: no such weights; expected {", ".join(known) or "a path"} or a .safetensors file')
    return Listener(path.stem, lambda file: transcribe_performance(file, path).onsets.reduce(DRUMS5))


def listeners(args) -> list[Listener]:
    made = [drumnb_listener(w) for w in args.weights]
    if args.adtof:
        from peers import run_adtof

        made.append(Listener('adtof', run_adtof))
    return made


# ---- rows


def row(condition, piece, drum, tp=0, fp=0, fn=0, n=None, seconds=0.0, rate=None) -> dict:
    "A row; `rate` is recall where nothing else is given."
    n = tp + fn if n is None else n
    rate = (tp / n if n else np.nan) if rate is None else rate
    return dict(
        condition=condition, piece=piece, drum=drum, tp=tp, fp=fp, fn=fn, n=n, seconds=round(seconds, 2), rate=rate
    )


def f1_rows(condition, piece, ref: Onsets, est: Onsets, seconds: float) -> list[dict]:
    "Counts of each drum; the rate is F1."
    rows = []
    for r in count(ref, est, WINDOW).itertuples():
        total = 2 * r.tp + r.fp + r.fn
        f1 = 2 * r.tp / total if total else np.nan
        rows.append(row(condition, piece, r.drum, r.tp, r.fp, r.fn, seconds=seconds, rate=f1))
    return rows


def split_matches(ref: Onsets, est: Onsets, drum: str) -> tuple[np.ndarray, np.ndarray]:
    "Which onsets of a drum were found, and the times of those that were not played."
    r, e = ref.of(drum), est.of(drum)
    pairs = match(r, e, WINDOW)
    return np.isin(np.arange(len(r)), pairs[:, 0]), np.delete(e, pairs[:, 1])


def near(times: np.ndarray, events: np.ndarray) -> np.ndarray:
    "Which events have one of `times` within the window."
    return np.array([bool((np.abs(times - t) <= WINDOW).any()) for t in events], bool)


# ---- the tests: each gives rows for one listener


def coincidences(hear: Listener, size: Size, _) -> list[tuple[str, list]]:
    "Recall of each drum alone and with each other; false alarms by what was struck."
    kinds = [(d,) for d in DRUMS5] + [(a, b) for i, a in enumerate(DRUMS5) for b in DRUMS5[i + 1 :]]
    found, false = [], []
    for name, kit in kits(size).items():
        rng = rng_for('stress', 'coincidences', name)
        events = [kinds[i] for i in rng.permutation(np.repeat(np.arange(len(kinds)), size.repeats))]
        times = 0.5 + np.cumsum(rng.uniform(0.4, 0.7, len(events)))
        rows = [(t, any_stroke(d, rng), rng.uniform(0.5, 1)) for t, kind in zip(times, events) for d in kind]
        x, ref = played(rows, kit, 'coincidences', name)
        est = hear(x)
        for drum in DRUMS5:
            hit, wrong = split_matches(ref, est, drum)
            of = [kind for kind in events if drum in kind]
            for kind in kinds:
                struck = '+'.join(kind)
                if drum in kind:
                    mine = hit[[k == kind for k in of]]
                    found.append(row(struck, name, drum, int(mine.sum()), 0, int((~mine).sum())))
                else:
                    at = near(wrong, times[[k == kind for k in events]])
                    false.append(row(struck, name, drum, fp=int(at.sum()), n=len(at), rate=at.mean()))
    return [('coincidence', found), ('struck', false)]


def hats(hear: Listener, size: Size, _) -> list[tuple[str, list]]:
    "Hats on the off-beats only, and hats on kicks and snares only."
    rows = dict(off_beat_hats=[], hats_on_strokes=[])
    for name, kit in kits(size).items():
        for test, out in rows.items():
            part, start = [], 0.5
            for bpm in (90, 120, 150):
                beat = 60 / bpm
                for b in range(4 * size.repeats):
                    t, drum = start + b * beat, 'snare' if b % 2 else 'kick'
                    part += [(t, drum, 0.85), (t + (beat / 2 if test == 'off_beat_hats' else 0), 'hat_closed', 0.7)]
                start += 4 * size.repeats * beat + 1
            x, ref = played(part, kit, test, name)
            hit, wrong = split_matches(ref, hear(x), 'HH')
            for where, struck in (('kicks', ref.of('KD')), ('snares', ref.of('SD'))):
                if test == 'off_beat_hats':
                    at = near(wrong, struck)
                    out.append(row(where, name, 'HH', fp=int(at.sum()), n=len(at), rate=at.mean()))
                else:
                    mine = hit[near(struck, ref.of('HH'))]
                    out.append(row(where, name, 'HH', int(mine.sum()), 0, int((~mine).sum())))
            if test == 'off_beat_hats':
                out.append(row('off-beats', name, 'HH', int(hit.sum()), 0, int((~hit).sum())))
    return list(rows.items())


@cache
def songs(size: Size) -> list[tuple]:
    "(name, drums, accompaniment, onsets) of composed songs, drums and accompaniment equally loud."
    made, names = [], list(kits(size))
    for i in range(size.songs):
        part = compose_part(rng_for('stress', 'song', i), 'test', size.seconds)
        drums = render_hits(part.hits, kits(size)[names[i % len(names)]], rng_for('stress', 'drums', i), size.seconds)
        band = accompaniment(part.beats, part.meter, size.seconds, rng_for('stress', 'band', i), 'test')
        levels = [np.float32(0.1 / max(active_level(s), 1e-6)) for s in (drums, band)]
        made.append((f'song-{i}', drums * levels[0], band[: len(drums)] * levels[1], part.hits.onsets(DRUMS5)))
    return made


def looped(pieces: list[Path], n: int) -> np.ndarray:
    "Music of so many samples from several pieces, one after another."
    x = np.concatenate([audio.load(p) for p in pieces])
    x = np.resize(x, n)
    return x * np.float32(0.1 / max(active_level(x), 1e-6))


def balance(hear: Listener, size: Size, music: list) -> list[tuple[str, list]]:
    "Drums from 12 dB below to 12 dB above composed accompaniment, and real drumless music."
    composed, real = [], []
    files = [f for f, style, _ in music if style != 'guitar stems'] or [f for f, *_ in music]
    for i, (name, drums, band, ref) in enumerate(songs(size)):
        few = [files[(3 * i + k) % len(files)] for k in range(3)] if files else []
        others = [(composed, band)] + ([(real, looped(few, len(drums)))] if few else [])
        for db in (-12, -6, -3, 0, 3, 6, 12):
            for out, other in others:
                est = hear(drums * np.float32(10 ** (db / 20)) + other)
                out += f1_rows(db, name, ref, est, size.seconds)
    return [('balance_composed', composed), ('balance_music', real)]


def false_alarms(condition, piece, est: Onsets, seconds: float) -> list[dict]:
    "False alarms a minute of each drum where there are none."
    return [
        row(condition, piece, d, fp=len(est.of(d)), n=0, seconds=seconds, rate=60 * len(est.of(d)) / seconds)
        for d in DRUMS5
    ]


def drumless(hear: Listener, size: Size, music: list) -> list[tuple[str, list]]:
    "Onsets a minute in music without drums, by style and recording."
    rows = []
    for file, style, recording in music:
        rows += false_alarms(style, recording, hear.file(file), audio.duration(file))
    for name, _, band, _ in songs(size):
        rows += false_alarms('composed', name, hear(band), size.seconds)
    keys = ['condition', 'piece', 'drum']
    table = pd.DataFrame(rows).groupby(keys, sort=False)[['tp', 'fp', 'fn', 'n', 'seconds']].sum().reset_index()
    table['rate'] = 60 * table.fp / table.seconds
    return [('drumless', table.to_dict('records'))]


def doubles(hear: Listener, size: Size, _) -> list[tuple[str, list]]:
    "Double strokes of the kick: how often both are found."
    rows = []
    for name, kit in kits(size).items():
        rng, part, at = rng_for('stress', 'doubles', name), [], {}
        gaps = rng.permutation(np.repeat([50, 60, 75, 90, 100, 125, 150, 200], size.repeats))
        for i, gap in enumerate(gaps):
            t = 0.5 + i
            part += [(t, 'kick', 0.8), (t + gap / 1000, 'kick', rng.uniform(0.7, 0.9)), (t + 0.5, 'snare', 0.8)]
            at.setdefault(int(gap), []).append((t, t + gap / 1000))
        x, ref = played(part, kit, 'doubles', name)
        hit, _ = split_matches(ref, hear(x), 'KD')
        found = dict(zip(ref.of('KD').round(4), hit))
        for gap, pairs in sorted(at.items()):
            both = sum(found[round(a, 4)] and found[round(b, 4)] for a, b in pairs)
            rows.append(row(gap, name, 'KD', int(both), 0, len(pairs) - int(both)))
    return [('double_strokes', rows)]


def velocities(hear: Listener, size: Size, _) -> list[tuple[str, list]]:
    "Recall of strokes of a given velocity among louder ones."
    rows, steps = [], (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
    for name, kit in kits(size).items():
        rng = rng_for('stress', 'velocities', name)
        targets = [(d, v) for d in DRUMS5 for v in steps] * max(size.repeats // 2, 1)
        targets = [targets[i] for i in rng.permutation(len(targets))]
        part, times = [], 0.5 + 0.8 * np.arange(len(targets))
        for t, (d, v) in zip(times, targets):
            part += [(t, any_stroke(d, rng), v), (t + 0.4, any_stroke(str(rng.choice(DRUMS5)), rng), 0.8)]
        x, ref = played(part, kit, 'velocities', name)
        est = hear(x)
        for d in DRUMS5:
            hit, _ = split_matches(ref, est, d)
            found = dict(zip(ref.of(d).round(4), hit))
            for v in steps:
                mine = [found[round(t, 4)] for t, target in zip(times, targets) if target == (d, v)]
                rows.append(row(v, name, d, int(sum(mine)), 0, len(mine) - int(sum(mine))))
    return [('velocity', rows)]


def tempi(hear: Listener, size: Size, _) -> list[tuple[str, list]]:
    "A rock beat with eighth hats and a sixteenth kick, from slow to fast."
    rows = []
    for name, kit in kits(size).items():
        for bpm in (60, 90, 120, 160, 200, 240):
            beat, bars = 60 / bpm, max(size.repeats * bpm // 240, 1)
            part = []
            for b in range(bars):
                t = 0.5 + 4 * b * beat
                part += [(t + k * beat, 'kick', 0.85) for k in (0, 1.75, 2)]
                part += [(t + k * beat, 'snare', 0.85) for k in (1, 3)]
                part += [(t + k * beat / 2, 'hat_closed', 0.7 if k % 2 else 0.85) for k in range(8)]
            x, ref = played(part, kit, 'tempi', name, bpm)
            rows += [r for r in f1_rows(bpm, name, ref, hear(x), len(x) / audio.SAMPLE_RATE) if r['n'] or r['fp']]
    return [('tempo', rows)]


def low_pass(x: np.ndarray, hz: float) -> np.ndarray:
    return scipy.signal.sosfiltfilt(scipy.signal.butter(8, hz, fs=audio.SAMPLE_RATE, output='sos'), x).astype('f4')


def with_hiss(x: np.ndarray, db: float, rng: np.random.Generator) -> np.ndarray:
    "White noise so many dB below full scale, under drums whose RMS lies 20 dB below it."
    return finish(x) + np.float32(10 ** (db / 20)) * rng.standard_normal(len(x)).astype(np.float32)


def in_room(x: np.ndarray, decay: float, rng: np.random.Generator) -> np.ndarray:
    "In a room whose sound is as strong as the direct one."
    return x + scipy.signal.oaconvolve(x, drum_room(rng, decay))[: len(x)].astype(np.float32)


def as_mp3(x: np.ndarray, kilobits: int, path: Path) -> np.ndarray:
    "Through an MP3 of a constant rate and back, without the coder's delay; raises where there is no encoder."
    rate = 22050 if kilobits < 64 else audio.SAMPLE_RATE  # as encoders choose it for low rates
    least, most = (8, 160) if rate == 22050 else (32, 320)
    x = finish(x, peak=0.9)
    level = (most - kilobits) / (most - least)
    options = dict(format='MP3', subtype='MPEG_LAYER_III', bitrate_mode='CONSTANT', compression_level=level)
    with soundfile.SoundFile(path, 'w', rate, 1, **options) as file:
        file.write(np.clip(soxr.resample(x, audio.SAMPLE_RATE, rate), -1, 1))
    y = audio.load(path)
    n = min(len(x), len(y))
    late = int(scipy.signal.correlate(y[:n], x[:n], method='fft').argmax()) - n + 1
    return np.pad(y[max(late, 0) :], (0, max(late, 0)))[:n]


def chain(hear: Listener, size: Size, _) -> list[tuple[str, list]]:
    "The recording chain, on drums alone: band limits, low sampling rates, hiss, rooms and MP3."
    rows = dict(clean=[], band_limit=[], sampling_rate=[], hiss=[], room=[], mp3=[])
    for name, drums, _, ref in songs(size):

        def score(test, condition, est, name=name, ref=ref):
            rows[test].extend(f1_rows(condition, name, ref, est, size.seconds))

        score('clean', 'clean', hear(drums))
        for khz in (4, 6, 8, 10, 12, 16):
            score('band_limit', khz, hear(low_pass(drums, 1000 * khz)))
        for rate in (8000, 16000, 22050):
            low = soxr.resample(finish(drums), audio.SAMPLE_RATE, rate)
            path = hear.folder / 'low.wav'
            audio.save(path, np.clip(low, -1, 1), rate)
            score('sampling_rate', rate, hear.file(path))
        for db in (-55, -45, -35, -25):
            score('hiss', db, hear(with_hiss(drums, db, rng_for('stress', 'hiss', name, db))))
        for decay in (0.1, 0.2, 0.4, 0.8):
            score('room', decay, hear(in_room(drums, decay, rng_for('stress', 'room', name, decay))))
        for kilobits in (16, 24, 32, 64, 128):
            try:
                decoded = as_mp3(drums, kilobits, hear.folder / 'sound.mp3')
            except (soundfile.LibsndfileError, TypeError, ValueError):
                continue  # no encoder here
            score('mp3', kilobits, hear(decoded))
    return list(rows.items())


def microphones(hear: Listener, size: Size, _) -> list[tuple[str, list]]:
    "Kicks of each microphone of the held-out kits: heard as kicks, and also as toms."
    rows = []
    for folder in held_out_folders():
        found = {s['mic'] for s in read_kit_list(folder)['samples'] if s['mic'] != 'lofi'}
        for microphone in sorted(found | ({'mix'} if len(found) > 1 else set())):
            rng, part = rng_for('stress', 'microphones', folder.name), []
            for i in range(12 * size.repeats):
                t = 0.5 + 0.5 * i
                drum = ('kick', 'hat_closed', 'kick', 'snare')[i % 4]
                part.append((t, drum, rng.uniform(0.3, 1)))
            x, ref = played(part, pack_kit(folder, microphone, 16), 'microphones', folder.name)
            est, kicks = hear(x), ref.of('KD')
            hit, _ = split_matches(ref, est, 'KD')
            toms = near(est.of('TT'), kicks)
            rows.append(row(microphone, folder.name, 'KD', int(hit.sum()), 0, int((~hit).sum())))
            rows.append(row(microphone, folder.name, 'TT', fp=int(toms.sum()), n=len(toms), rate=toms.mean()))
    return [('kick_microphones', rows)]


TESTS = dict(
    coincidences=coincidences,
    hats=hats,
    doubles=doubles,
    velocities=velocities,
    tempi=tempi,
    microphones=microphones,
    drumless=drumless,
    balance=balance,
    chain=chain,
)


# ---- music without drums


def style_of(text: str) -> str:
    return next((style for word, style in STYLES.items() if word in text), 'ambient')


def drumless_music(folders: list[Path], size: Size) -> list[tuple[Path, str, str]]:
    "(file, style, recording) of the held-out recordings of folders with an index.csv, or with such folders in them."
    found = []
    for index in [i for f in folders for i in [f / 'index.csv', *sorted(f.glob('*/index.csv'))] if i.is_file()]:
        for r in read_music_index(index).itertuples():
            if r.split == 'validation' and (index.parent / r.file).is_file():
                found.append((index.parent / r.file, style_of(r.style), r.recording))
    return found[: size.pieces]


# ---- the run


def measure(hear: Listener, size: Size, music: list, only: list) -> pd.DataFrame:
    "All rows of one listener."
    tables = []
    for name, test in TESTS.items():
        if only and name not in only:
            continue
        start = time.process_time()
        for kind, rows in test(hear, size, music):
            if rows:
                tables.append(pd.DataFrame(rows).assign(test=kind, weights=hear.name))
        print(f'{hear.name}: {name}, {time.process_time() - start:.0f} s', file=sys.stderr, flush=True)
    if not tables:
        raise DrumnbError('nothing was measured: neither DRUMNB_KITS nor music is here for the tests chosen')
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)].round({'rate': 4, 'seconds': 2})


def merged(path: Path, table: pd.DataFrame, only: list) -> pd.DataFrame:
    "With `--only`, what was measured before stays."
    if not (only and path.is_file()):
        return table
    old = pd.read_csv(path)
    return pd.concat([old[~old.test.isin(set(table.test))], table], ignore_index=True)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights', nargs='*', help='names of shipped weights, or paths of .safetensors files')
    parser.add_argument('--adtof', action='store_true', help='ADTOF as well, where adtof_pytorch is installed')
    parser.add_argument('--music', type=Path, nargs='+', help='folders with an index.csv; `music` in the data home')
    parser.add_argument('--only', nargs='+', choices=list(TESTS), default=[], help='these tests only')
    parser.add_argument('--quick', action='store_true', help='a little of everything, to try the script out')
    parser.add_argument('--to', type=Path, help='folder of the rows; stress in the results home')
    args = parser.parse_args(argv)
    if not args.weights and not args.adtof:
        parser.error('name the weights, such as drumnb-5')
    size, folder = QUICK if args.quick else Size(), args.to or results_home() / 'stress'
    try:
        music = drumless_music(args.music or [data_home() / 'music'], size)
        for hear in listeners(args):
            table = measure(hear, size, music, args.only)
            with atomic_path(folder / f'{hear.name}.csv') as tmp:
                merged(folder / f'{hear.name}.csv', table, args.only).to_csv(tmp, index=False, lineterminator='\n')
            print(table.groupby('test', sort=False)[['tp', 'fp', 'fn', 'n']].sum().to_string())
    except DrumnbError as e:
        print(f'stress: {e}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
