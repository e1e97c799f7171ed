"""An account of Dovecot and what became of it here. Run as `python3 - FUNCTION PORT USER PASSWORD NAME COUNT`."""

import email.utils
import imaplib
import os
import re
import sys

PORT, USER, PASSWORD, NAME, COUNT = sys.argv[2:7]
COUNT = int(COUNT)

# As it is called there, and here: a dot in between, and letters beyond ASCII (RFC 3501 §5.1.3).
FOLDERS = {
    "INBOX": "Inbox",
    "INBOX.%s": "%s",
    "INBOX.%s.Entw&APw-rfe": "%s/Entw&APw-rfe",
    "INBOX.Sent": "Sent",
}
WHEN = '"17-Jul-2016 02:44:25 -0700"'


def ok(answer):
    status, data = answer
    if status != "OK":
        raise AssertionError(status, data)
    return data


def there():
    client = imaplib.IMAP4("127.0.0.1", int(PORT), timeout=60)
    ok(client.login(USER, PASSWORD))
    return client


def here():
    client = imaplib.IMAP4("127.0.0.1", int(os.environ["IMAP"]), timeout=60)
    ok(client.login(os.environ["ADDRESS"], os.environ["PASSWORD"]))
    return client


def named(folder):
    return folder % NAME if "%s" in folder else folder


def message(number, folder):
    lines = "".join("Line %d of %d.\r\n" % (line, number) for line in range(number % 7))
    head = "From: Ann <a@dovecot.example>\r\nMessage-ID: <%s.%d.%s@dovecot.example>\r\n"
    # A line over 998 bytes, bytes that are no UTF-8, and a line with a dot.
    odd = b"x" * 2000 + b"\r\n\xff\xfe\x80\r\n.\r\n" if number % 5 == 0 else b""
    head = head % (NAME, number, re.sub(r"\W", "", folder))
    return (head + "Subject: %s %d\r\n\r\n" % (NAME, number) + lines).encode() + odd


def add(client, folder, number):
    flags = ["\\Seen"] * (number % 2) + ["\\Flagged"] * (number % 3 == 0)
    flags += ["\\Answered"] * (number % 4 == 0) + ["$Forwarded", "Work"] * (number % 6 == 0)
    ok(client.append(folder, "(%s)" % " ".join(flags), WHEN, message(number, folder)))


def fill():
    client = there()
    for folder in FOLDERS:
        if "%s" in folder:
            ok(client.create(named(folder)))
    ok(client.subscribe(named("INBOX.%s")))
    for number in range(COUNT):
        add(client, "INBOX", number)
        add(client, named("INBOX.%s"), number)
    # UIDs with gaps.
    ok(client.select(named("INBOX.%s")))
    ok(client.store("3,5,7:9", "+FLAGS", "(\\Deleted)"))
    ok(client.expunge())
    for number in range(4):
        add(client, named("INBOX.%s.Entw&APw-rfe"), number)
        add(client, "INBOX.Sent", number)
    client.logout()


def more():
    client = there()
    for number in range(100, 103):
        add(client, named("INBOX.%s"), number)
    client.logout()


def told(client, folder):
    """Text, flags and time of the messages of a test."""
    ok(client.select('"%s"' % folder, readonly=True))
    numbers = ok(client.search(None, "SUBJECT", NAME))[0].split()
    if not numbers:
        return []
    found = []
    data = ok(client.fetch(b",".join(numbers), "(FLAGS INTERNALDATE BODY.PEEK[])"))
    for part, after in zip(data[0::2], data[1::2]):
        head = part[0] + after
        flags = re.search(rb"FLAGS \(([^)]*)\)", head).group(1).lower().split()
        time = imaplib.Internaldate2tuple(head)
        # What an account marks by itself in mailboxes that are not for junk.
        found.append((part[1], sorted(set(flags) - {b"\\recent", b"$notjunk"}), time))
    return sorted(found)


def compare():
    one, other = there(), here()
    for folder, target in FOLDERS.items():
        want, got = told(one, named(folder)), told(other, named(target))
        differing = [pair for pair in zip(want, got) if pair[0] != pair[1]]
        if not want or len(want) != len(got) or differing:
            raise AssertionError(folder, len(want), len(got), differing[:1])
    subscribed = [line.decode() for line in ok(other.lsub('""', "*")) if line]
    if not any(line.endswith(NAME) or line.endswith('"%s"' % NAME) for line in subscribed):
        raise AssertionError("subscriptions", subscribed)
    listed = [line.decode() for line in ok(other.list('""', "*")) if line]
    if not any("Papierkorb" in line for line in listed):
        raise AssertionError("folders", listed)
    one.logout()
    other.logout()


globals()[sys.argv[1]]()
