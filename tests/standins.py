"""The data sets' own stand-ins under the names that tests use."""

from drumnb.datasets.enst_mdb import _noise as noise
from drumnb.datasets.enst_mdb import standin_enst as write_enst
from drumnb.datasets.enst_mdb import standin_mdb as write_mdb
from drumnb.datasets.groove import standin_groove as write_groove

__all__ = ['noise', 'write_enst', 'write_groove', 'write_mdb']
