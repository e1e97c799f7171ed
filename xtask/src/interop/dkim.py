"""Verifies the signatures of messages with dkimpy, another implementation of DKIM."""
import re
import sys

import dkim


def record(path):
    """The text of a TXT record from a line of a zone file."""
    with open(path) as file:
        return "".join(re.findall(r'"([^"]*)"', file.read())).encode()


def passes(message, index, dnsfunc):
    """Whether one signature is good; dkimpy raises an exception for some that are not."""
    try:
        return dkim.DKIM(message).verify(idx=index, dnsfunc=dnsfunc)
    except dkim.DKIMException:
        return False


def verify(path, *keys):
    """All signatures pass, one for each key; a message that was changed on its way does not."""
    records = dict(key.split("=", 1) for key in keys)

    def dnsfunc(name, timeout=5):
        text = name.decode().rstrip(".") if isinstance(name, bytes) else name.rstrip(".")
        return record(records[text.split("._domainkey.")[0]])

    with open(path, "rb") as file:
        message = file.read()
    signed = re.findall(rb"(?im)^dkim-signature:(?:.*\n(?:[ \t].*\n)*)", message)
    found = set()
    for index, field in enumerate(signed):
        selector = re.search(rb"\bs=([^;\s]+)", field).group(1).decode()
        assert passes(message, index, dnsfunc), f"{path}: {selector} fails"
        found.add(selector)
    assert found == set(records), f"{path}: signed by {found}, not {set(records)}"
    changes = [
        message.replace(b"\r\n\r\n", b"\r\n\r\nmore\r\n", 1),
        message.replace(b"Subject: ", b"Subject: x", 1),
        # Sealed: no field of a signed name can be added.
        b"Subject: another\r\n" + message,
        b"Cc: someone@example.org\r\n" + message,
    ]
    for changed in changes:
        for index in range(len(signed)):
            good = passes(changed, index, dnsfunc)
            assert not good, f"{path}: signature {index} is good for a changed message"


verify(*sys.argv[1:])
