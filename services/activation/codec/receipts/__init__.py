"""Decodes what providers report of messages: mails, and requests of providers of SMS."""
