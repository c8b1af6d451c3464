"""Recordings and performances made by hand, and a detector that needs no training."""

import numpy as np
import soundfile
import torch

from drumnb import audio
from drumnb.drums import DRUMS5
from drumnb.experiments.inference import ONSET_BANDS
from drumnb.onsets import Onsets, PeakPicking
from drumnb.spectrograms import LogSpec
from drumnb.transcription.transcribe import Transcriber, Transcription

SR = audio.SAMPLE_RATE


class Rise(torch.nn.Module):
    "A detector made by hand: an onset is a rise of energy in the bands of a drum."

    chunk, overlap = 500, 20

    def __init__(self):
        super().__init__()
        hz = torch.tensor(LogSpec().frequencies.copy())
        bands = torch.stack([((hz >= a) & (hz < b)).float() for a, b in map(ONSET_BANDS.get, DRUMS5)], 1)
        self.bands = torch.nn.Parameter(bands / bands.sum(0), requires_grad=False)

    def forward(self, x):
        level = x @ self.bands
        rise = level - torch.nn.functional.pad(level, (0, 0, 2, 0))[:, :-2]
        return 40 * rise - 6


HAND = Transcriber(
    Rise(),
    LogSpec(mul=3, rms=0.1),
    None,
    DRUMS5,
    PeakPicking(mean_pre=10, mean_post=10),
    0.5,
    name='by hand',
    key='hand',
)


def kicks(seconds=4.0, every=0.5, sample_rate=SR, channels=1):
    "A decaying 60 Hz tone every half second."
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    x = (0.6 * np.exp(-(t % every) * 25) * np.sin(2 * np.pi * 60 * (t % every))).astype(np.float32)
    return x if channels == 1 else np.repeat(x[:, None], channels, 1)


def mp3(path, x):
    with soundfile.SoundFile(path, 'w', SR, 1, 'MPEG_LAYER_III', format='MP3') as f:
        f.write(x)
    return path.read_bytes()


def bad_files(folder):
    "Files that cannot be transcribed, by name."
    whole = mp3(folder / 'whole.mp3', kicks(6.0))
    (folder / 'whole.mp3').unlink()
    return {
        'truncated.mp3': whole[: len(whole) // 2],
        'text.wav': b'this is a letter, not a song',
        'video.mp4': b'\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41' + b'\0' * 2000,
        'empty.wav': b'',
        'half.wav': b'RIFF\xff\xff\0\0WAVEfmt ' + b'\0' * 10,
    }


def performed(times, drums, duration=None):
    o = Onsets.make(times, drums, np.full(len(times), 0.7))
    return Transcription(o, np.full(len(o), 0.9, np.float32), duration or float(max(times) + 1))
