"""A client of HTTP/3 by another library (aioquic), which sends what it is told, malformed or not.

The first argument is the gateway's port; the cases come as JSON on the standard input, and what became of each goes
to the standard output. A case has a connection of its own.
"""

import asyncio
import functools
import json
import socket
import ssl
import sys

import pylsqpack
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

PATIENCE = 15


# The gateway's control stream is the first that it opens.
CONTROL = 3


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, silent=False, **named):
        super().__init__(*arguments, **named)
        # Without it no stream is opened but those that the case names.
        self.http = None if silent else H3Connection(self._quic)
        self.control = b""
        self.changed = asyncio.Event()
        self.closed = None
        self.streams = {}

    def seen(self, stream):
        empty = {"status": None, "fields": [], "body": b"", "ended": False, "interim": []}
        return self.streams.setdefault(stream, empty | {"reset": None, "stopped": None})

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.closed = event.error_code
        elif isinstance(event, StreamReset):
            self.seen(event.stream_id)["reset"] = event.error_code
        elif isinstance(event, StopSendingReceived):
            self.seen(event.stream_id)["stopped"] = event.error_code
        elif isinstance(event, StreamDataReceived) and event.stream_id == CONTROL:
            self.control += event.data
        for heard in self.http.handle_event(event) if self.http else []:
            if isinstance(heard, HeadersReceived):
                seen = self.seen(heard.stream_id)
                fields = [[name.decode(), value.decode()] for name, value in heard.headers]
                status = dict(fields).get(":status")
                if status is not None and status.startswith("1"):
                    seen["interim"].append(int(status))
                elif status is not None:
                    seen["status"], seen["fields"] = int(status), fields
                seen["ended"] |= heard.stream_ended
            elif isinstance(heard, DataReceived):
                seen = self.seen(heard.stream_id)
                seen["body"] += heard.data
                seen["ended"] |= heard.stream_ended
        self.changed.set()

    async def until(self, holds):
        async def waiting():
            while not holds():
                self.changed.clear()
                await self.changed.wait()

        try:
            await asyncio.wait_for(waiting(), PATIENCE)
        except TimeoutError:
            pass


def frame(kind, payload):
    return encode_uint_var(kind) + encode_uint_var(len(payload)) + payload


def number(flags, bits, value):
    most = (1 << bits) - 1
    if value < most:
        return bytes([flags << bits | value])
    out, value = [flags << bits | most], value - most
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def section(fields):
    fields = [(name.encode(), value.encode()) for name, value in fields]
    if any(not name for name, _ in fields):
        # The library writes no empty names.
        lines = [
            number(0b00100, 3, len(name)) + name + number(0, 7, len(value)) + value
            for name, value in fields
        ]
        return bytes(2) + b"".join(lines)
    _, block = pylsqpack.Encoder().encode(0, fields)
    return block


def part(said):
    kind, value = said
    if kind == "headers":
        return frame(1, section(value))
    if kind == "data":
        return frame(0, value.encode())
    if kind == "zeros":
        return frame(0, bytes(value))
    if kind == "frame":
        return frame(value[0], bytes.fromhex(value[1]))
    if kind == "frames":
        return frame(value[0], bytes.fromhex(value[1])) * value[2]
    if kind == "bytes":
        return bytes.fromhex(value)
    raise ValueError(kind)


def configuration():
    it = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN)
    it.verify_mode = ssl.CERT_NONE
    it.server_name = "gateway.test"
    return it


async def half_open(port, count):
    """Begins handshakes and goes no further: how many were answered, and how many by a retry."""
    gateway = ("127.0.0.1", port)
    answered, retries = set(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.setblocking(False)
        for _ in range(count):
            now = asyncio.get_running_loop().time()
            quic = QuicConnection(configuration=configuration())
            quic.connect(gateway, now=now)
            for datagram, _ in quic.datagrams_to_send(now=now):
                there.sendto(datagram, gateway)
            await asyncio.sleep(0.002)
            while True:
                try:
                    packet = there.recv(4096)
                except BlockingIOError:
                    break
                # A long header says whom it is for; a retry is of the fourth kind (RFC 9000, section 17.2).
                if packet[0] & 0x80:
                    answered.add(packet[6 : 6 + packet[5]])
                    retries += packet[0] & 0xF0 == 0xF0
    return {"answered": len(answered), "retries": retries}


async def run(port, case):
    half = await half_open(port, case["half_open"]) if "half_open" in case else {}
    try:
        async with asyncio.timeout(PATIENCE):
            async with connect(
                "127.0.0.1",
                port,
                configuration=configuration(),
                create_protocol=functools.partial(Client, silent=case.get("silent", False)),
            ) as client:
                return await on(client, case) | half
    except (ConnectionError, TimeoutError) as error:
        return {"failed": repr(error)} | half


async def on(client, case):
    quic = client._quic
    if "one_way" in case:
        for hexadecimal in case["one_way"]:
            stream = quic.get_next_available_stream_id(is_unidirectional=True)
            quic.send_stream_data(stream, bytes.fromhex(hexadecimal), False)
    if "control" in case:
        # Behind the settings that the library has sent.
        quic.send_stream_data(2, bytes.fromhex(case["control"]), case.get("ends", False))
    if "stops_control" in case:
        await client.until(lambda: client.control)
        quic.stop_stream(CONTROL, case["stops_control"])
        client.transmit()
    for _ in range(case.get("only_resets", 0)):
        stream = quic.get_next_available_stream_id()
        # The library would send it even where the gateway does not let it be opened yet, and tells no one that it does.
        while stream // 4 >= quic._remote_max_streams_bidi and client.closed is None:
            await asyncio.sleep(0.002)
        if client.closed is not None:
            break
        quic.reset_stream(stream, 0x10C)
        client.transmit()
    outcomes = []
    for request in case.get("requests", []):
        stream = quic.get_next_available_stream_id()
        parts = [part(said) for said in request["parts"]]
        for at, payload in enumerate(parts):
            last = at == len(parts) - 1
            try:
                quic.send_stream_data(stream, payload, request.get("ends", True) and last)
            except ValueError:
                # The gateway has told it to stop.
                break
            if request.get("asks") and not last:
                # The body follows when the gateway has said that it may, or not at all.
                client.transmit()
                seen = client.seen(stream)
                await client.until(
                    lambda: seen["interim"] or seen["ended"] or client.closed is not None
                )
                if not seen["interim"]:
                    break
            if request.get("apart"):
                client.transmit()
                await asyncio.sleep(request["apart"])
        if request.get("resets") is not None:
            client.transmit()
            quic.reset_stream(stream, request["resets"])
            quic.stop_stream(stream, request["resets"])
            outcomes.append({})
            if client.closed is not None:
                break
            continue
        client.transmit()
        seen = client.seen(stream)
        await client.until(
            lambda: seen["ended"] or seen["reset"] is not None or client.closed is not None
        )
        seen["body"] = seen["body"].decode(errors="replace")
        outcomes.append(seen)
        if client.closed is not None:
            break
    client.transmit()
    if case.get("until_closed"):
        await client.until(lambda: client.closed is not None)
    return {"requests": outcomes, "closed": client.closed, "control": client.control.hex()}


async def main():
    port = int(sys.argv[1])
    for case in json.load(sys.stdin):
        print(json.dumps(await run(port, case)), flush=True)


asyncio.run(main())
