#!/usr/bin/env bash
# Install the free drum kits and SoundFonts that Debian and Ubuntu carry. Optional: without them the renderer plays the
# small SoundFont that comes with pretty_midi and its own procedural kits, and everything works; with them training
# hears more kits and scores better on recordings.
#   avldrums.lv2-soundfont   two sampled acoustic kits
#   fluid-soundfont-gm       General MIDI, several kits, and the instruments of the accompaniment
#   musescore-general-soundfont-lossless   another one, with kits and instruments of its own (330 MB)
#   hydrogen-drumkits, hydrogen-data, lmms-common, sonic-pi-samples   one-shots in folders
# Run as root, or as a user who may use sudo.
set -euo pipefail
packages=(avldrums.lv2-soundfont fluid-soundfont-gm musescore-general-soundfont-lossless hydrogen-drumkits hydrogen-data lmms-common sonic-pi-samples)

if ! command -v apt-get >/dev/null; then
    echo "apt-get not found: this is not Debian or Ubuntu. Put SoundFonts in a folder and name it in DRUMNB_SOUNDFONTS instead." >&2
    exit 1
fi
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "Already installed: ${packages[*]}"
    exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "run this as root, or install sudo: ${missing[*]} need apt-get install" >&2; exit 1; }
    as_root=(sudo)
fi
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
${as_root[@]+"${as_root[@]}"} apt-get update -qq
${as_root[@]+"${as_root[@]}"} apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "Installed ${missing[*]}"
