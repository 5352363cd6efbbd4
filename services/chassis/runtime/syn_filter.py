"""Makes the kernel ignore who wants to connect to a listening socket from certain addresses.

A small program of the Berkeley Packet Filter at the socket drops the first packet of a connection
(SYN). Linux lets every process attach one to its own sockets; it costs the process nothing.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address

#: The most addresses that are barred: a socket has 20 KB for programs of up to 4,096 instructions.
MOST_ADDRESSES = 200
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
#: Codes of instructions: load a byte or a word, AND, shift, jump if equal, skip, return.
_BYTE, _WORD, _AND, _SHIFT, _JUMP, _SKIP, _RETURN = 0x30, 0x20, 0x54, 0x74, 0x15, 0x05, 0x06
#: Offsets from here count from the header of IP; others from the header of TCP.
_IP = -0x100000 & 0xFFFF_FFFF
_TCP_FLAGS, _SYN = 13, 0x02
_V4_SOURCE, _V6_SOURCE = 12, 8
_PASS, _DROP = 0xFFFF_FFFF, 0


def attach(listening: socket.socket, addresses: Collection[str]) -> None:
    """Ignore connections from groups of addresses, such as `address_group` returns, and no others.

    Of more than MOST_ADDRESSES, some are not ignored. Elsewhere than on Linux nothing happens.
    Raises OSError.
    """
    if sys.platform != "linux":
        return
    if addresses:
        code = program(list(addresses)[:MOST_ADDRESSES])
        buffer = ctypes.create_string_buffer(code, len(code))
        head = struct.pack("HL", len(code) // 8, ctypes.addressof(buffer))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)
        return
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except OSError as error:
        if error.errno != errno.ENOENT:  # there is none
            raise


def program(addresses: Collection[str]) -> bytes:
    """Return the program that drops the first packets from addresses; of IPv6, from their /64."""
    parsed = [ip_address(each) for each in addresses]
    v4 = [int(each) for each in parsed if each.version == 4]
    v6 = [int(each) for each in parsed if isinstance(each, IPv6Address)]
    for_v4 = [_step(_WORD, _IP + _V4_SOURCE)]
    for address in v4:
        for_v4 += [_step(_JUMP, address, if_false=1), _step(_RETURN, _DROP)]
    for_v4.append(_step(_RETURN, _PASS))
    for_v6 = []
    for address in v6:
        for_v6 += [
            _step(_WORD, _IP + _V6_SOURCE),
            _step(_JUMP, address >> 96, if_false=3),
            _step(_WORD, _IP + _V6_SOURCE + 4),
            _step(_JUMP, address >> 64 & 0xFFFF_FFFF, if_false=1),
            _step(_RETURN, _DROP),
        ]
    for_v6.append(_step(_RETURN, _PASS))
    head = [
        _step(_BYTE, _TCP_FLAGS),
        _step(_AND, _SYN),
        _step(_JUMP, _SYN, if_true=1),
        _step(_RETURN, _PASS),
        _step(_BYTE, _IP),
        _step(_SHIFT, 4),
        _step(_JUMP, 4, if_false=1),
        _step(_SKIP, len(for_v6)),
    ]
    return b"".join([*head, *for_v6, *for_v4])


def _step(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one instruction; jumps skip a number of instructions."""
    return struct.pack("HBBI", code, if_true, if_false, value)
