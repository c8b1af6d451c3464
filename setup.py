"""Packaging for pip; everything is read from `settings.ini`, the one place where the project is described."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
parser = ConfigParser(delimiters=['='], interpolation=None)
parser.read(HERE / 'settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']
readme = HERE / 'README.md'
extras = {name: cfg[f'{name}_requirements'].split() for name in ('sheet', 'study', 'book', 'dev')}
extras['book'] += extras['sheet'] + extras['study']
extras['dev'] += extras['book']

setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    author=cfg['author'],
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else cfg['description'],
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords=cfg['keywords'].split(),
    python_requires=f">={cfg['min_python']}",
    packages=find_packages(include=['drumnb*']),
    package_data={'drumnb': ['data/*', 'data/weights/*', 'data/grooves/*', 'data/beats/*']},
    install_requires=cfg['requirements'].split(),
    extras_require=extras,
    entry_points={'console_scripts': cfg['console_scripts'].split()},
    zip_safe=False,
    classifiers=[
        'Development Status :: 3 - Alpha',
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Operating System :: OS Independent',
        'Topic :: Multimedia :: Sound/Audio :: Analysis',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
