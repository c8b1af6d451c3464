"""Automatic drum transcription: `from drumnb import transcribe, write_formats` is all that a song needs."""

__version__ = "0.2.0"
__all__ = ['transcribe', 'transcribe_files', 'write_formats']


def __getattr__(name):
    "What a song needs, imported when it is asked for: `import drumnb` alone takes no time."
    if name == 'transcribe':
        from drumnb.transcription.score import transcribe

        return transcribe
    if name in __all__:
        from drumnb.transcription import formats

        return getattr(formats, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted({*globals(), *__all__})
