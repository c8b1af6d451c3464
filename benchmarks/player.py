"""What the player costs beside the transcription, in processor seconds on one thread, for a song as WAV and as MP3.

python benchmarks/player.py                 a song of four minutes, and the ways of packing it that were considered
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

from common import one_thread, write_results

one_thread()
import soundfile
from transcribe import write_song

PACKED = {
    'MP3': ('MP3', 'MPEG_LAYER_III', {}),
    'MP3, variable rate': ('MP3', 'MPEG_LAYER_III', dict(bitrate_mode='VARIABLE', compression_level=0.5)),
    'Vorbis': ('OGG', 'VORBIS', {}),
    'FLAC': ('FLAC', 'PCM_16', dict(compression_level=0.0)),
}


def seconds(work):
    "Processor time of a call, and what it returns."
    start = time.process_time()
    made = work()
    return time.process_time() - start, made


def pack(sound, rate, kind, subtype, options):
    "A recording in memory."
    out = io.BytesIO()
    with soundfile.SoundFile(out, 'w', rate, sound.shape[1], subtype, format=kind, **options) as f:
        for at in range(0, len(sound), 1 << 16):  # Vorbis overflows the stack on much more at once
            f.write(sound[at : at + (1 << 16)])
    return out.getvalue()


def main(minutes):
    from drumnb.notation.player import player_page
    from drumnb.transcription.score import transcribe

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        wav, mp3 = Path(folder, 'song.wav'), Path(folder, 'song.mp3')
        write_song(wav, 60 * minutes)
        sound, rate = soundfile.read(wav, dtype='float32', always_2d=True)
        mp3.write_bytes(pack(sound, rate, *PACKED['MP3']))
        for path in (wav, mp3):
            transcribe(path)  # loads what is loaded once
            whole, song = seconds(lambda path=path: transcribe(path))
            page, text = seconds(lambda song=song: player_page(song))
            row = dict(what=f'player of {path.suffix[1:].upper()}', transcription_s=round(whole, 2))
            rows.append(row | dict(page_s=round(page, 2), fraction=round(page / whole, 3), megabytes=len(text) / 1e6))
        for name, how in PACKED.items():
            spent, packed = seconds(lambda how=how: pack(sound, rate, *how))
            rows.append(dict(what=f'packing as {name}', page_s=round(spent, 2), megabytes=len(packed) / 1e6))
    write_results('player', rows)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=4.0)
    main(parser.parse_args().minutes)
