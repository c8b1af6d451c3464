"""Train the networks that find beats in drum onsets, or go on with it: `python scripts/train_beats.py [FOLDER]`."""

import sys
from pathlib import Path

from drumnb.core import data_file, runs_home
from drumnb.models.beat_network import BEAT_WEIGHTS_FILE
from drumnb.tatum.beat_training import save_beat_weights, train_beats, train_levels, train_profiles

if __name__ == '__main__':
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else runs_home() / 'beats'
    folder.mkdir(parents=True, exist_ok=True)
    net, profiles = train_beats(folder), train_profiles()
    print(save_beat_weights(net, profiles, train_levels(profiles), data_file(BEAT_WEIGHTS_FILE)))
