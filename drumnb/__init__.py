"""Automatic drum transcription: `from drumnb import transcribe, write_formats` is all that a song needs."""

import sys
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from warnings import warn

__version__ = "0.5.0"
__all__ = ['transcribe', 'transcribe_files', 'write_formats']


def __getattr__(name):
    "What a song needs, imported when it is asked for: `import drumnb` alone takes no time."
    if name == 'transcribe':
        from drumnb.transcription.score import transcribe

        return transcribe
    if name == 'transcribe_files':
        from drumnb.notation.batch_transcription import transcribe_files

        return transcribe_files
    if name == 'write_formats':
        from drumnb.notation.formats import write_formats

        return write_formats
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted({*globals(), *__all__})


# Names of version 0.1 keep working for one version. data/former_names.csv says where each one is now. A module that is
# gone is made of its names; one that lost names to others finds them there. Both warn, and import nothing until asked.


@cache
def _former_names():  # {module: {name: (module today, name today)}}
    rows, names = (Path(__file__).parent / 'data/former_names.csv').read_text(encoding='utf-8').splitlines()[1:], {}
    for module, name, *now in (row.split(',') for row in rows if row.count(',') == 3):
        names.setdefault(module, {})[name] = now
    return names


def _former(module):  # The `__getattr__` of a module
    def get(name):
        if name not in _former_names()[module]:
            raise AttributeError(f'module {module!r} has no attribute {name!r}')
        now, name_now = _former_names()[module][name]
        warn(f'{module}.{name} is now {now}.{name_now}; the old name will go', DeprecationWarning, stacklevel=2)
        return getattr(import_module(now), name_now)

    return get


class _FormerModule(ModuleType):
    def __call__(self, *args, **options):
        "`drumnb.transcribe` and `drumnb.search` are functions today: whoever calls the module means them."
        now, name = _former_names()[self.__name__][self.__name__.rpartition('.')[2]]
        return getattr(import_module(now), name)(*args, **options)


class _FormerModules:
    "Finds the modules of the table: those that are gone, and those that have names elsewhere."

    def find_spec(self, module, path=None, target=None):
        if not module.startswith('drumnb.') or module not in _former_names():
            return None
        spec = PathFinder.find_spec(module, path)
        if spec is None:
            return ModuleSpec(module, self)
        execute = spec.loader.exec_module

        def exec_module(made):
            execute(made)
            made.__getattr__ = _former(module)

        spec.loader.exec_module = exec_module
        return spec

    def create_module(self, spec):
        return _FormerModule(spec.name)

    def exec_module(self, made):
        names = _former_names()[made.__name__]
        made.__getattr__, made.__all__, made.__dir__ = _former(made.__name__), list(names), lambda: sorted(names)


if not any(type(finder).__name__ == '_FormerModules' for finder in sys.meta_path):
    sys.meta_path.insert(0, _FormerModules())
