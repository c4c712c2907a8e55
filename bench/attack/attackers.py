"""Cameras that attack: each answers requests as a camera does, and then sends what does not end."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

DESCRIPTION = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
)


def packets(payload: bytes, *, stamp: Callable[[int], int], marker: bool) -> Iterator[bytes]:
    """RTP packets without end, interleaved, a hundred at once (RFC 2326 §10.12)."""
    second = 0x80 | 96 if marker else 96
    number = 0
    while True:
        batch = bytearray()
        for _ in range(100):
            counted = (number & 0xFFFF).to_bytes(2) + stamp(number).to_bytes(4)
            header = bytes([0x80, second]) + counted + bytes([0, 0, 0, 9])
            batch += b"$\0" + (len(header) + len(payload)).to_bytes(2) + header + payload
            number += 1
        yield bytes(batch)


def endless_header() -> Iterator[bytes]:
    """One header line of an answer."""
    yield b"RTSP/1.0 200 OK\r\nX-Name: "
    while True:
        yield b"a" * 65_536


def tiny_units() -> Iterator[bytes]:
    """Aggregation packets of NAL units of one byte (RFC 6184 §5.7.1)."""
    return packets(b"\x78" + b"\0\1\6" * 450, stamp=lambda _: 0, marker=False)


def endless_unit() -> Iterator[bytes]:
    """Slices of one picture."""
    return packets(b"\x65" + b"\7" * 1_400, stamp=lambda _: 0, marker=False)


def no_picture() -> Iterator[bytes]:
    """Supplemental information, each marked as the end of an access unit that it cannot end."""
    return packets(b"\6" + b"\7" * 60_000, stamp=lambda number: number & 0xFFFF_FFFF, marker=True)


ATTACKS: dict[str, tuple[Callable[[], Iterator[bytes]], str]] = {
    "a header line without end": (endless_header, "DESCRIBE"),
    "tiny NAL units without end": (tiny_units, "PLAY"),
    "an access unit without end": (endless_unit, "PLAY"),
    "units that make no picture": (no_picture, "PLAY"),
}


class Attacker:
    """Serves one attack until the process ends."""

    def __init__(self, attack: str) -> None:
        self.begins, self.after = ATTACKS[attack]
        self.sessions = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self.listener.getsockname()[1]}/gate"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            self.sessions += 1
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection: socket.socket) -> None:
        # Whoever is attacked closes the connection: that is how an attack ends.
        with suppress(OSError), connection, connection.makefile("rb") as requests:
            while request := requests.readline().split():
                headers = {}
                while line := requests.readline().strip():
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                method = request[0].decode("latin-1")
                if self.after == "PLAY":
                    connection.sendall(answer(method, headers.get("cseq", "0")))
                if method == self.after:
                    for more in self.begins():
                        connection.sendall(more)


def answer(method: str, number: str) -> bytes:
    headers, body = "Session: 1\r\n", ""
    if method == "DESCRIBE":
        headers, body = "Content-Type: application/sdp\r\n", DESCRIPTION
    if method == "SETUP":
        headers += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
    return f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()
