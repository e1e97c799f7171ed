"""Deliveries to a server whose disk fails: what was acknowledged must be there in the end."""

import imaplib
import os
import smtplib
import ssl
import sys


def deliver(number, size):
    """Delivers one message; returns the code of its end, or of what was refused before."""
    body = ("%08d " % number) * (size // 9)
    lines = "\r\n".join(body[i : i + 72] for i in range(0, len(body), 72))
    message = "Subject: fault %d\r\nMessage-ID: <fault-%d@example.net>\r\n\r\n%s\r\n"
    try:
        with smtplib.SMTP("127.0.0.1", int(os.environ["SMTP"]), timeout=30) as client:
            client.sendmail("a@example.net", ["x@localhost"], message % (number, number, lines))
            return 250
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    except smtplib.SMTPRecipientsRefused as error:
        return list(error.recipients.values())[0][0]


def until_refused(size, most):
    """Delivers until the first refusal; prints how many were taken, and the code."""
    size, most = int(size), int(most)
    for number in range(most):
        code = deliver(number, size)
        if code != 250:
            print(number, code)
            return
    sys.exit("never refused")


def acknowledged(first, count, size):
    """Tries many deliveries; prints the numbers of those that were taken, then the other codes."""
    taken, codes = [], set()
    for number in range(int(first), int(first) + int(count)):
        code = deliver(number, int(size))
        if code == 250:
            taken.append(number)
        else:
            codes.add(code)
    print(",".join(map(str, taken)))
    print(",".join(map(str, sorted(codes))))


def present():
    """Prints the numbers of the messages in the Inbox, one for each copy."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with imaplib.IMAP4("127.0.0.1", int(os.environ["IMAP"])) as client:
        client.login(os.environ["ADDRESS"], os.environ["PASSWORD"])
        client.select("Inbox", readonly=True)
        _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        subjects = [part[1].decode() for part in found if isinstance(part, tuple)]
        print(",".join(subject.split()[-1] for subject in subjects))


globals()[sys.argv[1]](*sys.argv[2:])
