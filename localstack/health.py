"""Ports and health of what `run` starts.

free                      print a free port whose next one is free too
unused PORT               fail when something listens on PORT or on the next one
wait EMULATOR PORT PID... wait until the emulator on PORT and Athena on the next one answer, while the processes live
"""

import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterable
from http.client import HTTPException

DEADLINE_S = 60.0
SERVICES = ("s3", "sqs", "firehose", "sts")


def is_unused(port: int) -> bool:
    """Tells whether a server may listen on a port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free() -> int:
    """Finds a free port whose next one is free too."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port < 65_535 and is_unused(port) and is_unused(port + 1):
            return port


def answer(url: str) -> dict[str, object] | None:
    """Asks for a health report; none where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return dict(json.load(response))
    except (OSError, HTTPException, ValueError):
        return None


def is_ready(emulator: str, port: int) -> bool:
    """Tells whether the emulator answers for all services; moto has them all from the start."""
    if emulator == "moto":
        return answer(f"http://127.0.0.1:{port}/moto-api/data.json") is not None
    services = (answer(f"http://127.0.0.1:{port}/_localstack/health") or {}).get("services")
    return isinstance(services, dict) and all(services.get(name) == "running" for name in SERVICES)


def is_healthy(emulator: str, port: int) -> bool:
    """Tells whether both servers answer."""
    return is_ready(emulator, port) and answer(f"http://127.0.0.1:{port + 1}/health") is not None


def is_alive(pid: int) -> bool:
    """Tells whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait(emulator: str, port: int, pids: Iterable[int]) -> None:
    """Waits until both servers are healthy, at most a minute."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if is_healthy(emulator, port):
            return
        if not all(is_alive(pid) for pid in pids):
            sys.exit("localstack: a server ended while it started")
        time.sleep(0.2)
    sys.exit(f"localstack: not healthy on port {port} after {DEADLINE_S:.0f} s")


def main() -> None:
    """Does what the first argument says."""
    match sys.argv[1:]:
        case ["free"]:
            print(free())
        case ["unused", port]:
            used = [number for number in (int(port), int(port) + 1) if not is_unused(number)]
            if used:
                sys.exit(f"localstack: something listens on port {used[0]}: stop it, or choose with --port")
        case ["wait", emulator, port, *pids]:
            wait(emulator, int(port), [int(pid) for pid in pids])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
