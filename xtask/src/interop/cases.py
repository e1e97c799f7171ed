"""Cases with Python's own mail libraries. Run as `python3 - FUNCTION [ARGUMENT...]`."""

import email
import email.message
import email.policy
import imaplib
import os
import smtplib
import ssl
import sys
import time

ADDRESS = os.environ["ADDRESS"]
PASSWORD = os.environ["PASSWORD"]


def port(name):
    return int(os.environ[name])


def tls():
    # Checks the certificate and its name, as a client would after trusting it once.
    return ssl.create_default_context(cafile=os.environ["CERTIFICATE"])


def want(condition, *shown):
    if not condition:
        raise AssertionError(*shown)


def ok(answer):
    status, data = answer
    want(status == "OK", status, data)
    return data


def imap():
    client = imaplib.IMAP4("127.0.0.1", port("IMAP"), timeout=60)
    client.login(ADDRESS, PASSWORD)
    return client


def message(subject, body="Hello.\r\n"):
    made = email.message.EmailMessage(policy=email.policy.SMTP)
    made["From"] = ADDRESS
    made["To"] = ADDRESS
    made["Subject"] = subject
    made["Message-ID"] = "<%s@client.example>" % subject.replace(" ", "-")
    made.set_content(body)
    return made


def token():
    return "t" + os.urandom(8).hex()


def arrived(subject):
    # Delivery is done before the sender is told, so this needs no patience; the wait is
    # for senders that are told before, as a queue would.
    end = time.monotonic() + 60
    while time.monotonic() < end:
        client = imap()
        client.select("INBOX", readonly=True)
        numbers = ok(client.uid("SEARCH", "SUBJECT", '"%s"' % subject))[0].split()
        client.logout()
        if numbers:
            want(len(numbers) == 1, numbers)
            return
        time.sleep(0.1)
    raise AssertionError("no message with subject " + subject)


def smtp():
    for how in ("plain", "starttls", "tls"):
        subject = token()
        if how == "tls":
            client = smtplib.SMTP_SSL("localhost", port("SUBMISSIONS"), context=tls(), timeout=60)
        else:
            client = smtplib.SMTP("localhost", port("SUBMISSION"), timeout=60)
        with client:
            client.ehlo("client.example")
            if how == "starttls":
                client.starttls(context=tls())
                client.ehlo("client.example")
            for word in ("SIZE", "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"):
                want(client.has_extn(word), word, client.esmtp_features)
            client.login(ADDRESS, PASSWORD)
            made = message(subject, "Grüße, größer als 7 Bit.\r\n")
            made.add_attachment(bytes(range(256)) * 300, maintype="application",
                                subtype="octet-stream", filename="ä.bin")
            # localserve is pedantic: 8-bit text needs to be announced, which smtplib leaves to us.
            want(client.send_message(made, mail_options=["BODY=8BITMIME"]) == {})
            # A second message in the same session, after a reset.
            client.rset()
            want(client.sendmail(ADDRESS, [ADDRESS], message(subject + "b").as_bytes()) == {})
        arrived(subject + "b")
        parsed = email.message_from_bytes(fetch(subject), policy=email.policy.default)
        attachment = next(parsed.iter_attachments())
        want(attachment.get_filename() == "ä.bin", attachment.get_filename())
        want(attachment.get_content() == bytes(range(256)) * 300)
    try:
        with smtplib.SMTP("localhost", port("SUBMISSION"), timeout=60) as client:
            client.login(ADDRESS, "wrong-password")
        raise AssertionError("a wrong password was accepted")
    except smtplib.SMTPAuthenticationError as refused:
        want(refused.smtp_code == 535, refused)


def fetch(token):
    client = imap()
    client.select("INBOX", readonly=True)
    found = ok(client.uid("SEARCH", "HEADER", "Message-ID", '"<%s@client.example>"' % token))[0]
    want(len(found.split()) == 1, found)
    fetched = ok(client.uid("FETCH", found, "(BODY.PEEK[])"))[0][1]
    client.logout()
    return fetched


def imap_login():
    client = imaplib.IMAP4("localhost", port("IMAP"), timeout=60)
    want("STARTTLS" in client.capabilities, client.capabilities)
    client.starttls(ssl_context=tls())
    want("STARTTLS" not in client.capabilities, client.capabilities)
    first = "\0%s\0%s" % (ADDRESS, PASSWORD)
    ok(client.authenticate("PLAIN", lambda _: first.encode()))
    want("IMAP4REV1" in client.capabilities, client.capabilities)
    ok(client.noop())
    want(client.logout()[0] == "BYE")

    client = imaplib.IMAP4_SSL("localhost", port("IMAPS"), ssl_context=tls(), timeout=60)
    ok(client.login(ADDRESS, PASSWORD))
    ok(client.namespace())
    client.logout()

    client = imaplib.IMAP4("127.0.0.1", port("IMAP"), timeout=60)
    try:
        client.login(ADDRESS, "wrong-password")
        raise AssertionError("a wrong password was accepted")
    except imaplib.IMAP4.error as refused:
        want("AUTHENTICATIONFAILED" in str(refused), refused)


def names(client, pattern="*"):
    # A set: imaplib adds the lines with which CREATE told of the new mailbox.
    return sorted({line.decode().rsplit(" ", 1)[1].strip('"')
                   for line in ok(client.list('""', pattern)) if line})


def imap_mailboxes():
    client = imap()
    name = token()
    ok(client.create(name))
    ok(client.create(name + "/under"))
    want(names(client, name + "*") == [name, name + "/under"], names(client, name + "*"))
    ok(client.subscribe(name))
    want(any(name in line.decode() for line in ok(client.lsub('""', name + "*")) if line))
    status = ok(client.status(name, "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"))[0].decode()
    want("MESSAGES 0" in status and "UIDNEXT 1" in status, status)
    want(client.create(name)[0] == "NO")
    ok(client.rename(name, name + "x"))
    want(names(client, name + "*") == [name + "x", name + "x/under"], names(client, name + "*"))
    ok(client.unsubscribe(name))
    ok(client.delete(name + "x/under"))
    ok(client.delete(name + "x"))
    want(client.select(name + "x")[0] == "NO")
    # Modified UTF-7, RFC 3501 section 5.1.3: the name is "Entwürfe" and a token.
    ok(client.create('"Entw&APw-rfe %s"' % name))
    want(names(client, '"Entw*"') != [])
    ok(client.delete('"Entw&APw-rfe %s"' % name))
    client.logout()


def imap_messages():
    client = imap()
    name = token()
    ok(client.create(name))
    when = '"20-Nov-2026 08:55:32 +0100"'
    for number in range(20):
        raw = message("number %d" % number, "Body %d.\r\n" % number).as_bytes()
        flags = "(\\Seen)" if number % 2 else None
        ok(client.append(name, flags, when, raw))
    want(ok(client.select(name)) == [b"20"])
    want(ok(client.search(None, "UNSEEN"))[0].split() == [b"%d" % n for n in range(1, 21, 2)])
    want(ok(client.search(None, "SUBJECT", '"number 19"', "SEEN"))[0] == b"20")
    want(ok(client.search(None, "BODY", '"Body 7."'))[0] == b"8")
    want(ok(client.search("UTF-8", "OR", "SUBJECT", "5", "1:2"))[0].split()[:2] == [b"1", b"2"])

    fetched = ok(client.fetch("1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"))
    want(len(fetched) == 20, len(fetched))
    want(b'INTERNALDATE "20-Nov-2026 08:55:32 +0100"' in fetched[0]
         or b'INTERNALDATE "20-Nov-2026 07:55:32 +0000"' in fetched[0], fetched[0])
    header = ok(client.fetch("3", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))[0][1]
    want(header == b"Subject: number 2\r\n\r\n", header)
    want(ok(client.fetch("3", "(BODY.PEEK[TEXT]<0.4>)"))[0][1] == b"Body")
    want(b"\\Seen" not in ok(client.fetch("3", "(FLAGS)"))[0])
    want(ok(client.fetch("3", "(BODY[TEXT])"))[0][1] == b"Body 2.\r\n")
    want(b"\\Seen" in ok(client.fetch("3", "(FLAGS)"))[0])

    ok(client.store("1:3", "+FLAGS", "(\\Flagged $Label1)"))
    want(ok(client.search(None, "KEYWORD", "$Label1"))[0] == b"1 2 3")
    ok(client.store("1:3", "-FLAGS", "($Label1)"))
    want(ok(client.search(None, "KEYWORD", "$Label1"))[0] == b"")

    other = name + "c"
    ok(client.create(other))
    ok(client.copy("1:5", other))
    ok(client.store("1:5", "+FLAGS.SILENT", "(\\Deleted)"))
    want(len(ok(client.expunge())) == 5)
    want(ok(client.search(None, "ALL"))[0].split()[-1] == b"15")
    ok(client.uid("MOVE", "6:7", other))
    want(ok(client.status(other, "(MESSAGES)"))[0].decode().endswith("(MESSAGES 7)"))
    want(ok(client.search(None, "ALL"))[0].split()[-1] == b"13")
    # A copy is the same bytes.
    ok(client.select(other, readonly=True))
    copied = ok(client.fetch("1", "(BODY.PEEK[])"))[0][1]
    want(copied == message("number 0", "Body 0.\r\n").as_bytes(), copied)
    # Refused, or without effect: RFC 9051 section 6.3.3 leaves it open.
    client.store("1", "+FLAGS", "(\\Draft)")
    want(b"\\Draft" not in ok(client.fetch("1", "(FLAGS)"))[0])
    ok(client.close())
    ok(client.delete(other))
    ok(client.delete(name))
    client.logout()


def imap_sessions():
    name = token()
    one, two = imap(), imap()
    ok(one.create(name))
    ok(one.select(name))
    ok(two.select(name))
    ok(two.append(name, None, None, message("from two").as_bytes()))
    ok(one.noop())
    want(one.response("EXISTS")[1][-1] == b"1")
    ok(one.store("1", "+FLAGS", "(\\Answered)"))
    two.untagged_responses.clear()
    ok(two.noop())
    want(b"\\Answered" in two.response("FETCH")[1][0])
    ok(one.store("1", "+FLAGS", "(\\Deleted)"))
    ok(one.expunge())
    two.untagged_responses.clear()
    ok(two.noop())
    want(two.response("EXPUNGE")[1] == [b"1"])
    ok(one.close())
    ok(two.close())
    ok(one.delete(name))
    one.logout()
    two.logout()


def fill(name, count):
    client = imap()
    ok(client.create(name))
    for number in range(int(count)):
        ok(client.append(name, None, None, message("far %d" % number, "x" * (number % 977)).as_bytes()))
    client.logout()


def state(name):
    """Prints what changes when anything in the mailbox does."""
    client = imap()
    items = "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)"
    print(ok(client.status(name, items))[0].decode())
    client.logout()


def flag(name, uid):
    client = imap()
    ok(client.select(name))
    ok(client.uid("STORE", uid, "+FLAGS", "(\\Flagged)"))
    client.logout()


def remove(name, uid):
    client = imap()
    ok(client.select(name))
    ok(client.uid("STORE", uid, "+FLAGS", "(\\Deleted)"))
    ok(client.expunge())
    client.logout()


globals()[sys.argv[1]](*sys.argv[2:])
