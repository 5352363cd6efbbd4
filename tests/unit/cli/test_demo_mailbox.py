"""Tests the mail server of the demo with the client that activation sends mails with."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage

import aiosmtplib

from services.cli.demo.mailbox import Mailbox


async def test_mailbox_has_the_mails_of_each_receiver_as_they_were_sent() -> None:
    async with Mailbox() as mailbox:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=mailbox.port, start_tls=False)
        async with client:
            for text in ("您好\n", "a\n.\n..b\n"):
                mail = EmailMessage()
                mail["From"], mail["To"] = "shop@x.example", "li@x.example"
                mail.set_content(text, cte="8bit" if text.isascii() else "base64")
                await client.send_message(mail)
            await client.rset()
            await client.noop()
    mails = mailbox.mails["li@x.example"]
    texts = [mail.get_content().replace("\r\n", "\n") for mail in mails]
    assert texts == ["您好\n", "a\n.\n..b\n"]
    assert list(mailbox.mails) == ["li@x.example"]


async def test_client_that_leaves_early_or_sends_too_long_a_line_ends_its_connection() -> None:
    async with Mailbox() as mailbox:
        _, writer = await asyncio.open_connection("127.0.0.1", mailbox.port)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", mailbox.port)
        await reader.readline()
        writer.write(b"EHLO " + b"x" * 100_000 + b"\r\n")
        await writer.drain()
        assert await reader.read() == b""
        writer.close()
    assert not mailbox.mails
