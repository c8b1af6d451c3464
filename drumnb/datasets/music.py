"""Free music without drums: real accompaniments, and passages in which nothing is to be found."""
from pathlib import Path
import numpy as np
import pandas as pd
from .. import audio
from ..core import DrumnbError, content_key
from ..onsets import Onsets
from .core import Dataset, Track, register

@register
class Music(Dataset):
    "Stretches of free recordings that hold no drums, as folders of sound files with an `index.csv`; whole recordings are held out."
    name, title = 'music', 'Free music without drums'
    licence, citation, url, size_text = 'by file, see index.csv', 'see index.csv', '', 'some hours'
    how_to_get = 'put folders of drumless recordings with an index.csv there'
    folders, option_defaults = ('music',), dict(seconds=6.)

    def make_index(self) -> list:
        found = []
        for index in sorted(self.home.glob('*/index.csv')):
            for row in pd.read_csv(index).to_dict('records'):
                song = f"{row['package']}/{row['path']}"
                split = 'validation' if int(content_key('music', song), 16) % 7 == 0 else 'train'
                length = float(row['end_s']) - float(row['start_s'])
                if length >= self.options['seconds']: found.append(self.make_track(f"{index.parent.name}/{row['file']}", split, song, length, style=str(row.get('style', '')), licence=row['licence'], file=index.parent/row['file']))
        return found

    def files(self, track: Track) -> dict: return dict(audio=track.meta['file'])
    def load_audio(self, track: Track) -> np.ndarray: return audio.load(track.meta['file'])
    def load_accompaniment(self, track: Track) -> np.ndarray: return self.load_audio(track)
    def load_onsets(self, track: Track, vocabulary) -> Onsets:
        "None."
        return Onsets.make(np.zeros(0), np.zeros(0, int), np.zeros(0, np.float32), tuple(vocabulary))
