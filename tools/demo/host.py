# SPDX-License-Identifier: Apache-2.0
"""A simulated card, wardend, and programs on top of them: what the demonstration and `make up` both start."""

import ctypes
import os
import signal
import subprocess
import threading

# Generous: whoever hits it has failed.
DEADLINE_S = 30
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """Something that had to be seen was not seen."""


def die_with_parent():
    """Runs in the child: even when the demonstration itself is killed, nothing of it stays behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """A running program whose lines can be awaited. Every line is also handed to `echo`."""

    def __init__(self, name, command, environment=None, echo=None, keep_fds=()):
        self.name = name
        self.echo = echo
        self.lines = []
        self.changed = threading.Condition()
        self.ended = False
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", pass_fds=keep_fds, preexec_fn=die_with_parent)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if self.echo:
                self.echo(line)
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, text, after=0):
        """The first line from number `after` on that contains `text`, and its number."""

        def found():
            return next((i for i in range(after, len(self.lines)) if text in self.lines[i]), None)

        with self.changed:
            self.changed.wait_for(lambda: found() is not None or self.ended, DEADLINE_S)
            number = found()
        if number is None:
            last = self.lines[-1] if self.lines else "nothing"
            raise Failure(f"'{text}' awaited from {self.name}; the last that came was: {last}")
        return self.lines[number], number

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(DEADLINE_S)


def start_ready(name, command, **options):
    """Starts a program that takes --ready-fd, and returns when it is ready."""
    read_end, write_end = os.pipe()
    try:
        program = Program(name, command + ["--ready-fd", str(write_end)], keep_fds=(write_end,), **options)
    finally:
        os.close(write_end)
    with os.fdopen(read_end, "rb") as ready:
        if ready.read(1):
            return program
    program.stop()
    raise Failure(f"{name} did not start: {' / '.join(program.lines[-3:]) or 'it said nothing'}")


def simulator_command(binaries, directory):
    return [f"{binaries}/warden-sim", "--board", "n150", "--dir", f"{directory}/sim"]


def daemon_command(binaries, directory):
    return [f"{binaries}/wardend", "--socket", f"{directory}/warden.sock", "--state", f"{directory}/state",
            "--device", f"vfio-user:{directory}/sim/chip0.sock"]
