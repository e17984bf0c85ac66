# SPDX-License-Identifier: Apache-2.0
"""The simulated card and the daemon that `up` leaves running and `down` stops: which processes they are."""

import json
import os

NAMES = ("wardend", "warden-sim")  # in the order of stopping


def state_path(binaries):
    """build/up/state.json for build/PRESET/bin: one playground, whatever it was built with."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(binaries))), "up", "state.json")


def start_time(pid):
    """When that process began, in clock ticks: with the pid it names a process for good. None: there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def running(binaries):
    """What `up` has left, as it wrote it, with only the processes that still live, perhaps none. None: nothing."""
    try:
        with open(state_path(binaries), encoding="utf-8") as file:
            state = json.load(file)
    except FileNotFoundError:
        return None
    state["processes"] = {name: who for name, who in state["processes"].items() if start_time(who["pid"]) == who["start"]}
    return state


def remember(binaries, directory, processes):
    path = state_path(binaries)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"directory": directory, "processes": processes}, file)
    os.replace(path + ".new", path)


def forget(binaries):
    try:
        os.remove(state_path(binaries))
    except FileNotFoundError:
        pass
