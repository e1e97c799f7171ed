"""A host of the original is taken over twice: as a copy that was made while it ran, and as it was some
minutes later, when it was stopped. Mail programs that have seen the first meet the second.

Run as `unshare --net --mount --fork python3 -P takeover.py FOLDER MOX`, as root, with the folder of the
fixtures in the variable FIXTURES.
"""

import gzip
import imaplib
import json
import os
import pathlib
import re
import subprocess
import tarfile

from labnet import *

FIXTURES = pathlib.Path(os.environ["FIXTURES"])
IP = "10.77.0.1"
HOST = at("host")
ADDRESS = "alice@takeover.example"


def expected(name):
    with gzip.open(FIXTURES / f"expected-{name}.json.gz") as file:
        return json.load(file)


class Host:
    """A fixture, unpacked to the one place, taken over and served."""

    def __init__(self, name):
        self.expected = expected(name)
        if HOST.exists():
            HOST.rename(HOST.with_suffix(".before"))
        HOST.mkdir(mode=0o755)
        with tarfile.open(FIXTURES / f"moxdata-{name}.tgz") as fixture:
            fixture.extractall(HOST)
        before = contents(HOST / "data")
        report = json.loads(self.mox("import", "moxdata", "-json"))
        taken = report["accounts"]["alice"]["taken"]["messages"]
        want(taken == len(self.messages()), taken)
        want(contents(HOST / "data.original") == before, "the original's data has changed")
        log = at(name + ".log")
        words = [MOX, "-config", "config/mox.conf", "serve"]
        with open(log, "w") as file:
            self.process = subprocess.Popen(words, cwd=HOST, stderr=file)
        STARTED.append(self.process)
        until(lambda: "ready to serve" in log.read_text(), "the server")

    def mox(self, *words):
        return run(MOX, "-config", "config/mox.conf", *words, cwd=HOST)

    def stop(self):
        self.mox("stop")
        want(self.process.wait(PATIENCE) == 0, "the end of the server")
        STARTED.remove(self.process)

    def mailboxes(self):
        return [one for one in self.expected["accounts"]["alice"]["mailboxes"] if not one["expunged"]]

    def messages(self, mailbox=None):
        return [
            one
            for one in self.expected["accounts"]["alice"]["messages"]
            if not one["expunged"] and mailbox in (None, one["mailbox_id"])
        ]

    def kept(self):
        """Mailbox and UID of what mbsync keeps: all but what is to be expunged."""
        kept = (one for one in self.messages() if "Deleted" not in (one["flags"] or []))
        return {(one["mailbox_id"], one["uid"]) for one in kept}

    def password(self):
        tests = self.expected["accounts"]["alice"]["passwords"][0]["tests"]
        return next(test["password"] for test in tests if test["scramsha256_ok"])


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# A program that keeps a copy of all mailboxes.


def sync():
    """Has mbsync fetch what is new. Returns the names of all its messages, which it gives once."""
    config = at("mbsyncrc")
    near = at("near")
    near.mkdir(exist_ok=True)
    config.write_text(
        f"""IMAPStore far
Tunnel "cd {HOST} && {MOX} -config config/mox.conf admin imapserve {ADDRESS}"

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel both
Far :far:
Near :near:
Patterns *
Sync Pull
Create Near
Expunge Near
SyncState *
"""
    )
    run("mbsync", "--config", config, "both", env=os.environ | {"HOME": str(config.parent)})
    # The name has the flags behind the colon.
    return {path.name.split(":")[0] for path in near.rglob("*,U=*")}


# A program that remembers modseqs.


def uid_set(text):
    uids = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition(":")
        uids.update(range(int(first), int(last or first) + 1))
    return uids


def resync(session, name, uidvalidity, modseq, uids):
    """Selects a mailbox as somebody who knows it. Returns what is told: UIDs that are gone, and those changed."""
    known = ",".join(str(uid) for uid in sorted(uids))
    known = f" {known}" if known else ""
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    session.untagged_responses.clear()
    tag = session._new_tag()
    line = tag + f" SELECT {quoted} (QRESYNC ({uidvalidity} {modseq}{known}))\r\n".encode()
    session.send(line)
    gone, changed = set(), set()
    while True:
        answer = session.readline()
        if answer.startswith(tag):
            want(b" OK " in answer, answer)
            return gone, changed
        if found := re.match(rb"\* VANISHED \(EARLIER\) (\S+)", answer):
            gone |= uid_set(found[1].decode())
        if re.match(rb"\* \d+ FETCH ", answer):
            changed.add(int(re.search(rb"UID (\d+)", answer)[1]))
        if found := re.search(rb"\[UIDVALIDITY (\d+)\]", answer):
            want(int(found[1]) == uidvalidity, answer)


def login(host):
    session = imaplib.IMAP4(IP, 143)
    plain = f"\0{ADDRESS}\0{host.password()}".encode()
    session.authenticate("PLAIN", lambda _challenge: plain)
    session.enable("QRESYNC UTF8=ACCEPT")
    return session


# The two hosts.


def case_mbsync_fetches_only_what_is_new(first, second, synced):
    before, after = first.kept(), second.kept()
    now = sync()
    want(len(now - synced) == len(after - before), len(now - synced), len(after - before))
    want(len(synced - now) == len(before - after), len(synced - now), len(before - after))
    want(sync() == now, "nothing was to be done")
    print(f"knew {len(before)} messages, fetched {len(now - synced)}, removed {len(synced - now)}")


def case_qresync_tells_only_what_changed(first, second, _synced):
    session = login(second)
    checked = 0
    for now in second.mailboxes():
        before = next((one for one in first.mailboxes() if one["id"] == now["id"]), None)
        if before is None:
            continue
        knew = {one["uid"] for one in first.messages(now["id"])}
        there = {one["uid"]: one["modseq"] for one in second.messages(now["id"])}
        # As it was at the first, and as it is.
        for modseq, known in [(before["modseq"], knew), (now["modseq"], set(there))]:
            modseq = max(modseq, 1)
            gone, changed = resync(session, now["name"], now["uidvalidity"], modseq, known)
            want(gone >= known - set(there), now["name"], gone, known - set(there))
            want(not gone & set(there), now["name"], gone)
            wanted = {uid for uid, at_modseq in there.items() if at_modseq > modseq}
            want(changed == wanted, now["name"], changed, wanted)
        checked += 1
    session.logout()
    want(checked > 10, checked)
    print(f"{checked} mailboxes")


def main():
    run("ip", "link", "set", "lo", "up")
    run("ip", "addr", "add", IP + "/32", "dev", "lo")
    first = Host("live")
    synced = sync()
    want(len(synced) == len(first.kept()), len(synced), len(first.kept()))
    first.stop()
    second = Host("rich")
    for case in (case_mbsync_fetches_only_what_is_new, case_qresync_tells_only_what_changed):
        case(first, second, synced)
        print(f"ok {case.__name__}")
    second.stop()


try:
    main()
finally:
    for process in STARTED:
        process.kill()
