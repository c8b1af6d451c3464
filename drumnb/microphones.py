"""Real kits recorded with several microphones, as a filter bank hears them: faders are drawn for each crop."""
import json
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from .core import DrumnbError, content_key
from .audio import SAMPLE_RATE, load
from .band_kits import BandStroke, band_stroke
from .drums import ARTICULATIONS
from .kits import SHORTEST, OneShot, one_set

MICROPHONES = ('over', 'close', 'bleed', 'room')
MOST = 16                                     # strokes of an articulation that are kept
HELD_OUT = ('sams-sonor', 'virtuosity')       # sample sources of validation
NOT_PLAYED = ('wires off',)                   # details of strokes that are no stroke of their drum as it is played

@dataclass(frozen=True, eq=False)
class MicrophoneStroke:
    "One stroke as each microphone hears it, all from the same instant on."
    mics: np.ndarray   # (M, PHASES, frames, bands) float16 magnitudes
    names: tuple       # (M,) of `MICROPHONES`
    rms: np.ndarray    # (M,) of the first 100 ms
    energies: np.ndarray # (M,) sums of squared samples, s
    velocity: float


@dataclass(frozen=True, eq=False)
class FadedStroke:
    "A `MicrophoneStroke` at a desk, made into bands when it is played: energies of the microphones add, and its first 100 ms come to an RMS of 0.1, as one-shots have it."
    stroke: MicrophoneStroke
    faders: dict       # microphone → gain

    @property
    def velocity(self): return self.stroke.velocity
    @property
    def bands(self): return self        # `bands[phase]` as a `BandStroke` has it
    @property
    def gains(self) -> np.ndarray: # (M,) of the energy
        g = np.array([self.faders[n] for n in self.stroke.names])
        if not (g*self.stroke.rms).any(): g = np.ones(len(g))
        return np.square(g*.1/max(float(np.sqrt(np.sum(np.square(g*self.stroke.rms)))), 1e-9))
    @property
    def energy(self): return float(np.sum(self.gains*self.stroke.energies))
    def __getitem__(self, phase: int) -> np.ndarray: # (frames, bands)
        total = 0.
        for gain, x in zip(self.gains, self.stroke.mics[:, phase]):
            if gain > 0: total = total + np.float32(gain)*np.square(x.astype(np.float32))
        return np.sqrt(total)

def draw_faders(rng: np.random.Generator, balance: dict) -> dict: # microphone → gain; `balance` holds the levels of the kit's own mix in dB
    "A desk: the kit's own mix varied, overheads or the room alone, close microphones alone."
    kind = rng.random()
    open_ = dict(over=1, room=1) if kind < .15 else dict(over=1) if kind < .3 else dict(room=1) if kind < .35 else dict(close=1, bleed=.3) if kind < .45 else dict.fromkeys(MICROPHONES, 1)
    return {m: open_.get(m, 0)*10**((balance.get(m, -20.) + rng.normal(0, 8))/20) for m in MICROPHONES}

def _trimmed(sounds: dict): # microphone → (n,) samples
    "All microphones from one onset on: that of their sum."
    n = max(map(len, sounds.values()))
    padded = {m: np.pad(x, (0, n - len(x))) for m, x in sounds.items()}
    level = np.sqrt(sum(np.square(x) for x in padded.values()))
    if not level.max() > 1e-4 or not np.isfinite(level).all(): return None
    start = int(np.argmax(level > .01*level.max()))
    onset = start + int(np.argmax(level[start:] >= .1*level[start:start + int(.02*SAMPLE_RATE)].max()))
    cut = {m: x[onset:onset + int(2.5*SAMPLE_RATE)].astype(np.float32) for m, x in padded.items()}
    return cut if n - onset > SHORTEST*SAMPLE_RATE else None

def _rms(x): return float(np.sqrt(np.sum(np.square(x[:SAMPLE_RATE//10], dtype=np.float64))/(SAMPLE_RATE/10)))

def microphone_stroke(sounds: dict, velocity: float, spec):
    "Measure a stroke; `BandStroke` for one microphone, None for silence."
    cut = _trimmed(sounds)
    if cut is None: return None
    if len(cut) == 1:
        x = next(iter(cut.values()))
        return band_stroke(OneShot(x*np.float32(.1/max(_rms(x), 1e-6)), velocity), spec)
    made = {m: band_stroke(OneShot(x, velocity), spec, floor=0) for m, x in cut.items()}
    frames = min(s.bands.shape[1] for s in made.values())
    bands = np.stack([s.bands[:, :frames] for s in made.values()])
    loud = np.flatnonzero((bands/np.maximum(bands.max((1, 2, 3), keepdims=True), 1e-9)).max((0, 1, 3)) > 1e-3)
    return MicrophoneStroke(bands[:, :, :loud[-1] + 1].astype(np.float16), tuple(made), np.array([_rms(x) for x in cut.values()]),
                            np.array([s.energy for s in made.values()]), velocity)

@dataclass(frozen=True, eq=False)
class PackedKit:
    "A kit of a folder with a `kit.json`, in bands."
    name: str
    source: str
    several: bool    # Microphones
    machine: bool
    strokes: dict    # articulation → tuple of strokes
    balance: dict    # dB of the kit's own mix

    def drawn(self, rng: np.random.Generator) -> dict: # articulation → tuple of `BandStroke`, one for each velocity
        "The kit as one crop uses it: faders, one recording of each velocity."
        faders = draw_faders(rng, self.balance)
        return {a: faded(self.strokes[a], faders, rng) for a in self.strokes}

def faded(strokes: tuple, faders: dict, rng: np.random.Generator) -> tuple:
    "One recording of each velocity, through the faders where there are several microphones."
    return tuple(FadedStroke(s, faders) if isinstance(s, MicrophoneStroke) else s for s in one_set(strokes, rng))

def read_kit(folder: Path) -> dict:
    try: return json.loads((Path(folder)/'kit.json').read_text(encoding='utf-8'))
    except (OSError, ValueError) as e: raise DrumnbError(f'{folder}: no kit with microphones ({e})') from None

def kit_sources(home: Path) -> dict: # kit → sample source
    import csv
    with open(Path(home)/'kits.csv', newline='', encoding='utf-8') as f: return {r['kit']: r['sample_source'] for r in csv.DictReader(f)}

def packed_kit(folder: Path, spec, source: str) -> PackedKit:
    "Load a folder of one-shots that `kit.json` lists, at most `MOST` strokes an articulation, spread over its velocities."
    folder, told = Path(folder), read_kit(folder)
    strokes = {}
    for s in told['samples']:
        if s['articulation'] not in ARTICULATIONS or s['detail'] in NOT_PLAYED or s['mic'] == 'lofi': continue
        stem = s['file'].removesuffix(f"-{s['mic']}.flac")
        strokes.setdefault((s['articulation'], stem), []).append(s)
    mics = {s['mic'] for g in strokes.values() for s in g}
    several = len(mics & set(MICROPHONES)) > 1
    by = {}
    for (a, _), group in strokes.items(): by.setdefault(a, []).append(group)
    made = {}
    for a, groups in by.items():
        groups = sorted(groups, key=lambda g: (g[0]['velocity'], g[0]['file']))
        groups = [groups[i] for i in np.unique(np.linspace(0, len(groups) - 1, MOST).round().astype(int))] if len(groups) > MOST else groups
        found = []
        for g in groups:
            wanted = [s for s in g if s['mic'] in MICROPHONES] if several else g[:1]
            if x := microphone_stroke({s['mic']: load(folder/s['file']) for s in wanted}, float(s_velocity(wanted)), spec): found.append(x)
        if found: made[a] = tuple(found)
    return PackedKit(told['name'], source, several, folder.name.startswith(('m-', 'w-', 'tr808')), made, told.get('mix_gains_db') or {})

def s_velocity(group): return min(max(group[0]['velocity'], .05), 1.)

def packed_kits(home: Path, spec, split: str) -> list: # of `PackedKit`
    "All kits of a split below a folder; other folders (snares or percussion only) are left out."
    from .core import progress
    sources, found = kit_sources(home), []
    folders = [f for f in sorted(Path(home).iterdir()) if (f/'kit.json').is_file() and f.name in sources and ('validation' if sources[f.name] in HELD_OUT else 'train') == split]
    for f in progress(folders, 'kits with microphones', leave=False):
        kit = packed_kit(f, spec, sources[f.name])
        if {'kick', 'snare', 'hat_closed'} <= set(kit.strokes): found.append(kit)
    return found

def snare_pack(home: Path, spec) -> dict: # drum → PackedKit-like strokes of one snare
    "Single snares in place of a kit's own: folder frankensnares, one voice for each `detail`."
    folder = Path(home)/'frankensnares'
    told, by = read_kit(folder), {}
    for s in told['samples']:
        if s['articulation'] in ('snare', 'snare_rim') : by.setdefault((s['detail'], s['articulation'], s['file'].removesuffix(f"-{s['mic']}.flac")), []).append(s)
    drums = {}
    for (detail, a, _), g in sorted(by.items()):
        if x := microphone_stroke({s['mic']: load(folder/s['file']) for s in g}, s_velocity(g), spec): drums.setdefault(detail, {}).setdefault(a, []).append(x)
    return {d: {a: tuple(v) for a, v in x.items()} for d, x in drums.items() if 'snare' in x}

def percussion_pack(home: Path, spec) -> dict: # kind → tuple of `BandStroke`
    "Hand percussion that nobody shall transcribe."
    folder = Path(home)/'percussion'
    told, by = read_kit(folder), {}
    for s in told['samples']: by.setdefault(s['articulation'], []).append(s)
    made = {}
    for a, group in by.items():
        found = [x for s in group[:16] if (x := microphone_stroke({s['mic']: load(folder/s['file'])}, s_velocity([s]), spec))]
        if found: made[a] = tuple(found)
    return made

def kits_key(home: Path) -> str:
    "Changes when an index of the pack does."
    return content_key([(f.parent.name, f.read_bytes()) for f in sorted(Path(home).glob('*/kit.json'))])
