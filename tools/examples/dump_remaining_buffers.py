#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks wardend's allocation server what is allocated still, and prints it: a small client of DUMP_REMAINING.

usage: dump_remaining_buffers.py [SOCKET]
"""
import socket
import struct
import sys
from collections import defaultdict

SOCKET_PATH = "/tmp/tt_allocation_server.sock"
# type, device, size, buffer type, process, buffer, timestamp; then of a record how often it was allocated, the number
# its process calls itself, that process's name; then what only other messages use.
MESSAGE = struct.Struct("<B3xiQB3xiQQQQ16s72x")
ALLOC, RESPONSE, DUMP_REMAINING = 1, 4, 5
KINDS = ["DRAM", "L1", "SYSTEM_MEMORY", "L1_SMALL", "TRACE", "CB", "KERNEL"]
COLUMNS = 62


def read_message(connection):
    data = b""
    while len(data) < MESSAGE.size:
        piece = connection.recv(MESSAGE.size - len(data))
        if not piece:
            raise ConnectionError("the allocation server hung up before its answer ended; ask again")
        data += piece
    return MESSAGE.unpack(data)


def ask(path):
    """Yields (pid, own pid, process name, device, kind, bytes) for each buffer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(path)
        connection.sendall(MESSAGE.pack(DUMP_REMAINING, 0, 0, 0, 0, 0, 0, 0, 0, b""))
        while True:
            kind_of_message, device, size, kind, pid, _, _, references, own_pid, name = read_message(connection)
            if kind_of_message == RESPONSE:
                return
            size *= 1 if kind_of_message == ALLOC else references
            yield pid, own_pid, name.rstrip(b"\0").decode(errors="replace"), device, KINDS[kind], size


def megabytes(size):
    return f"{size / (1024 * 1024):.2f} MB"


def title(pid, own_pid, name):
    text = f"PID {pid}" + (f" ({name})" if name else "")
    return text + (f", {own_pid} to itself" if own_pid not in (0, pid) else "")


def print_report(buffers):
    print("╔" + "═" * COLUMNS + "╗")
    print("║" + "           REMAINING ALLOCATED BUFFERS".ljust(COLUMNS) + "║")
    print("╚" + "═" * COLUMNS + "╝")
    print(f"Total tracked allocations: {len(buffers)}")
    if not buffers:
        print("\n✓ No buffers remaining - perfect cleanup!")
        return
    print(f"Total size: {megabytes(sum(buffer[5] for buffer in buffers))}")
    titles, sizes = {}, defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for pid, own_pid, name, device, kind, size in buffers:
        titles[pid] = title(pid, own_pid, name)
        sizes[pid][device][kind].append(size)
    for pid, devices in sorted(sizes.items()):
        of_process = [size for kinds in devices.values() for list_ in kinds.values() for size in list_]
        print(f"\n{titles[pid]}: {len(of_process)} buffers, {megabytes(sum(of_process))}")
        for device, kinds in sorted(devices.items()):
            print(f"  Device {device}:")
            for kind, list_ in sorted(kinds.items()):
                print(f"    {kind}: {len(list_)} buffers, {megabytes(sum(list_))}")


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and sys.argv[1].startswith("-")):
        print(__doc__.strip(), file=sys.stderr)
        return 0 if sys.argv[1] == "--help" else 2
    path = sys.argv[1] if len(sys.argv) == 2 else SOCKET_PATH
    try:
        print_report(list(ask(path)))
    except OSError as error:
        print(f"dump_remaining_buffers.py: {path}: {error}; is allocation_server_poc or "
              "wardend --allocation-server running?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
