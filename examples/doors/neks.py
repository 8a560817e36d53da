"""A client of Neks in Python, without dependencies: set, get, delete and transactions.

    python3 neks.py 127.0.0.1 9999
"""

import socket
import struct
import sys


def blob(data):
    return b"\xc6" + struct.pack(">I", len(data)) + data


def array(items):
    return b"\xdd" + struct.pack(">I", len(items)) + b"".join(items)


def get(key):
    return array([b"\x00", blob(key)])


def put(key, value):
    return array([b"\x01", blob(key), blob(value)])


def delete(key):
    return array([b"\x02", blob(key)])


def atomic(*requests):
    """All of them at once: nobody sees a part of them."""
    return array([b"\x03", array(requests)])


class Server:
    def __init__(self, host, port):
        self.file = socket.create_connection((host, port)).makefile("rwb")

    def send(self, *requests):
        """Sends a frame and returns a value, or None, for each get in it."""
        payload = array(requests)
        self.file.write(struct.pack(">Q", len(payload)) + payload)
        self.file.flush()
        (length,) = struct.unpack(">Q", self.file.read(8))
        return decode(self.file.read(length))


def number(data, at, width):
    return int.from_bytes(data[at : at + width], "big"), at + width


def decode(data):
    widths = {0xDC: 2, 0xDD: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}
    if data[0] & 0xF0 == 0x90:
        count, at = data[0] & 0x0F, 1
    else:
        count, at = number(data, 1, widths[data[0]])
    values = []
    for _ in range(count):
        if data[at] == 0x91:
            values.append(None)
            at += 2
        else:
            length, at = number(data, at + 3, widths[data[at + 2]])
            values.append(data[at : at + length])
            at += length
    return values


if __name__ == "__main__":
    host, port = (sys.argv[1:] + ["127.0.0.1", "9999"])[:2] if len(sys.argv) > 2 else ("127.0.0.1", 9999)
    server = Server(host, int(port))
    server.send(put(b"hello", b"goodbye"))
    print(server.send(get(b"hello"), get(b"missing")))
    print(server.send(atomic(get(b"hello"), put(b"hello", b"again"), get(b"hello"))))
    server.send(delete(b"hello"))
    print(server.send(get(b"hello")))
