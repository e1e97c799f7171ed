"""From nothing to mail: a machine without a mail server, on which quickstart makes one, step by step as its
text says; with DNS that is signed, an ACME server (pebble) in the place of Let's Encrypt, and a Postfix.

Run as `unshare --net --mount --uts --pid --mount-proc --fork python3 -P setup.py FOLDER MOX`, as root. The
configuration is used as it was made. What is sent is looked up where it must arrive.
"""

import http.server
import imaplib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

from labnet import *

A, P, ACME = "192.0.2.11", "192.0.2.13", "192.0.2.15"
HOST, DOMAIN, ADDRESS = "mx.a.test", "a.test", "you@a.test"
# The directory that quickstart writes; ours answers in its name.
ACME_HOST = "acme-v02.api.letsencrypt.org"
ACME_DIRECTORY = "/directory"
SERVER = at("server")
# How long certificates, which come 10 s apart, and the first message of a stranger may take.
LONG_PATIENCE = 120
# What is put in place of other text in the records that quickstart wrote.
CHANGED_RECORDS = {}
STARTED_AT = time.monotonic()


def told(text):
    print(f"# {time.monotonic() - STARTED_AT:6.1f} s  {text}", flush=True)


def until_long(look, what):
    end = time.monotonic() + LONG_PATIENCE
    while time.monotonic() < end:
        seen = look()
        if seen:
            return seen
        time.sleep(0.2)
    raise AssertionError(f"waited in vain for {what}\n{log_tail()}")


# The machine.


def make_machine():
    run("ip", "link", "set", "lo", "up")
    # Addresses on an interface that is not loopback are those of the internet.
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for interface in ("eth0", "eth1"):
        run("ip", "link", "set", interface, "up")
    for ip in (A, P, ACME):
        run("ip", "addr", "add", ip + "/32", "dev", "eth0")
    socket.sethostname(HOST)
    # A configuration of the system that can be changed: users, hosts, authorities.
    run("cp", "-a", "/etc", at("etc"))
    run("mount", "--bind", at("etc"), "/etc")
    # Where the package was installed once, its user may be left.
    for name in ("passwd", "shadow", "group", "gshadow"):
        path = pathlib.Path("/etc") / name
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("mox:")))
    pathlib.Path("/etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    resolv = pathlib.Path("/etc/resolv.conf")
    resolv.unlink(missing_ok=True)
    resolv.write_text(f"nameserver {DNS}\noptions trust-ad edns0\n")


def trust(pem):
    """Has the whole machine trust an authority."""
    with open("/etc/ssl/certs/ca-certificates.crt", "a") as file:
        file.write(pem)


# DNS.


def root_zone(com_ds):
    yield "$ORIGIN ."
    yield "$TTL 300"
    yield f". SOA ns.test. admin.test. {int(time.time())} 3600 600 86400 60"
    yield ". NS ns.test."
    yield "ns.test. A " + DNS
    # A name with nothing but names below it would have no NSEC3 record.
    yield 'test. TXT "lab"'
    yield "com. NS ns.test."
    yield from com_ds
    yield f"{ACME_HOST}. A {ACME}"
    for name, ip in ((HOST, A), ("mx.p.test", P)):
        yield f"{name}. A {ip}"
        yield f"{'.'.join(reversed(ip.split('.')))}.in-addr.arpa. PTR {name}."
    yield "p.test. MX 10 mx.p.test."
    yield 'p.test. TXT "v=spf1 mx -all"'
    yield 'mx.p.test. TXT "v=spf1 a -all"'
    yield '_dmarc.p.test. TXT "v=DMARC1; p=reject"'
    printed = SERVER / f"config/{DOMAIN}.zone"
    if printed.exists():
        text = printed.read_text()
        for old, new in CHANGED_RECORDS.items():
            text = text.replace(old, new)
        yield from text.splitlines()


def com_zone():
    yield "$ORIGIN com."
    yield "$TTL 300"
    yield "com. SOA ns.test. admin.test. 1 3600 600 86400 60"
    yield "com. NS ns.test."
    yield "gmail.com. MX 5 mx.gmail.com."
    yield f"mx.gmail.com. A {P}"


class Dns:
    def __init__(self):
        self.com_ds = sign_zone("com.", com_zone())
        self.anchor = sign_zone(".", root_zone(self.com_ds))[0]
        self.start()

    def start(self):
        self.process = start_unbound(self.anchor, (".", "com."))
        until(lambda: resolves(HOST), "the resolver")

    def publish(self):
        """Takes up the records that quickstart wrote. Whoever asked before them is to ask again."""
        sign_zone(".", root_zone(self.com_ds))
        STARTED.remove(self.process)
        self.process.terminate()
        self.process.wait()
        self.start()


def resolves(name):
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None


# Certificates.


class Directory(http.server.BaseHTTPRequestHandler):
    """The directory of pebble under the path that Let's Encrypt has; all else is on its own port."""

    def do_GET(self):
        want(self.path == ACME_DIRECTORY, self.path)
        text = fetch("/dir", 14000)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def fetch(path, port):
    context = ssl.create_default_context(cafile=at("ca.pem"))
    with urllib.request.urlopen(f"https://{ACME_HOST}:{port}{path}", context=context) as answer:
        return answer.read()


def start_acme():
    make_authority()
    make_certificate("acme", [ACME_HOST])
    config = {
        "listenAddress": f"{ACME}:14000",
        "managementListenAddress": f"{ACME}:15000",
        "certificate": str(at("acme.pem")),
        "privateKey": str(at("acme.key")),
        "httpPort": 80,
        "tlsPort": 443,
    }
    at("pebble.json").write_text(json.dumps({"pebble": config}))
    log = open(at("pebble.log"), "w")
    words = ["pebble", "-config", at("pebble.json"), "-dnsserver", DNS + ":53"]
    # No chance in it: nonces that are refused are for the tests of the client.
    environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    STARTED.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log))
    until(lambda: is_open(ACME, 15000), "pebble")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(at("acme.pem"), at("acme.key"))
    server = http.server.ThreadingHTTPServer((ACME, 443), Directory)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trust(at("ca.pem").read_text())
    # Pebble makes a new authority at each start.
    trust(fetch("/roots/0", 15000).decode())


# The server.


def mox(*words, **options):
    return run(SERVER / "mox", *words, cwd=SERVER, **options)


def quickstart():
    return mox("quickstart", ADDRESS)


def password(text):
    return re.findall(rf"password for {re.escape(ADDRESS)}: (\S+)", text)[-1]


class Served:
    def __init__(self):
        self.log = open(SERVER / "log", "a")
        words = [SERVER / "mox", "serve"]
        self.process = subprocess.Popen(words, cwd=SERVER, stderr=self.log)
        STARTED.append(self.process)
        until(self.has_started, f"the server\n{log_tail()}")

    def has_started(self):
        want(self.process.poll() is None, f"the server ended\n{log_tail()}")
        return is_open(A, 25) and is_open(A, 993)

    def kill(self):
        self.process.kill()
        self.process.wait()
        until(lambda: not processes(), "the end of all its processes")


def log_tail():
    path = SERVER / "log"
    return "\n".join(path.read_text().splitlines()[-30:]) if path.exists() else ""


def processes():
    """The processes that run the program, with what the kernel says of them."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(path / "exe").removesuffix(" (deleted)") == str(SERVER / "mox"):
                lines = (path / "status").read_text().splitlines()
                found[int(path.name)] = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        except OSError:
            pass
    return found


def imap():
    session = imaplib.IMAP4_SSL("mail.a.test", 993, ssl_context=ssl.create_default_context(), timeout=PATIENCE)
    session.login(ADDRESS, PASSWORD)
    return session


def has_certificate(host, port):
    try:
        with socket.create_connection((host, port), timeout=5) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname=host).close()
        return True
    except OSError:
        return False


def wait_for_certificates():
    ports = ((HOST, 993), ("mail.a.test", 993), ("mta-sts.a.test", 443), ("autoconfig.a.test", 443))
    for host, port in ports:
        until_long(lambda: has_certificate(host, port), f"the certificate of {host}")


def find(subject):
    session = imap()
    for mailbox in ("Inbox", "Rejects", "Junk"):
        if session.select(mailbox, readonly=True)[0] != "OK":
            continue
        found = session.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
        if found:
            want(mailbox == "Inbox", mailbox, found)
            whole = session.fetch(found[0], "(BODY.PEEK[])")[1][0][1]
            session.logout()
            return whole
    session.logout()
    return None


def submit(message):
    with smtplib.SMTP_SSL(
        "mail.a.test", 465, context=ssl.create_default_context(), timeout=PATIENCE
    ) as session:
        session.login(ADDRESS, PASSWORD)
        session.send_message(message)


# Cases, in their order.


def clear():
    """Leaves nothing in the directory of the server but the program."""
    for path in SERVER.iterdir():
        if path.name != "mox":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def case_nothing_is_left_after_a_kill():
    """Killed at a moment that differs from run to run, and started again, quickstart completes."""
    for wait in (0.05, 0.1, 0.2, 0.4):
        process = subprocess.Popen(
            [SERVER / "mox", "quickstart", ADDRESS], cwd=SERVER, stdout=subprocess.DEVNULL
        )
        time.sleep(wait)
        process.kill()
        process.wait()
        if (SERVER / "config/mox.conf").exists():
            # It was quicker: a finished set-up is not to be touched.
            clear()
    process = subprocess.Popen(
        [SERVER / "mox", "quickstart", ADDRESS], cwd=SERVER, stdout=subprocess.PIPE, text=True
    )
    # It listens to signals before it says anything.
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=PATIENCE)
    if process.returncode != 0:
        left = sorted(path.name for path in SERVER.iterdir())
        want(left == ["mox", "quickstart.log"], left, text)


def case_quickstart():
    global PASSWORD, STARTED_AT
    clear()
    STARTED_AT = time.monotonic()
    text = quickstart()
    told("quickstart is done")
    print("\n".join("    " + line for line in text.splitlines() if line[:8] in ("Checking", "WARNING:")))
    want("WARNING" not in text.replace("WARNING: mail", ""), text)
    PASSWORD = password(text)
    useradd = re.search(r"useradd .*", text)
    want(useradd, text)
    run(*useradd.group().split())
    again = subprocess.run([SERVER / "mox", "quickstart", ADDRESS], cwd=SERVER, capture_output=True, text=True)
    want(again.returncode == 1 and "there is a set-up already" in again.stderr, again)
    want("config OK" in mox("config", "test"))


def case_records_are_published():
    dns.publish()
    want(resolves("mail.a.test") == A, resolves("mail.a.test"))
    told("the records are in DNS")


def case_serve():
    global server
    server = Served()
    told("the server runs")
    until_long(lambda: has_certificate(HOST, 993), "the certificate of the host")
    told("it has the certificate of its name")


def case_first_mail():
    postfix.submit(message("box@p.test", ADDRESS, "the first"))
    # Mail programs use a name of their own.
    until_long(lambda: has_certificate("mail.a.test", 993), "the certificate for mail programs")
    whole = until_long(lambda: find("the first"), "the first message")
    told("FROM NOTHING TO THE FIRST MAIL (15 s of which are for strangers, 10 s between certificates)")
    check_tls(whole)
    results = header(whole)["Authentication-Results"]
    for part in ("spf=pass", "dmarc=pass"):
        want(part in results, part, results)


def case_mail_goes_out():
    submit(message(ADDRESS, "box@p.test", "going out"))
    whole = postfix.arrived("going out")
    check_tls(whole)
    want(header(whole)["DKIM-Signature"], whole)
    told("mail goes out")


def case_verified_by_others():
    """Postfix verifies the server by its TLSA records."""
    postfix.submit(message("box@p.test", ADDRESS, "by DANE"))
    postfix.logged("Verified TLS connection established to mx.a.test")
    until_long(lambda: find("by DANE"), "the message")


def case_dnscheck():
    wait_for_certificates()
    told("it has all certificates")
    lines = [line for line in mox("config", "dnscheck", DOMAIN).splitlines() if line.strip()]
    # What a new policy is told; the advice is followed.
    want(len(lines) == 2 and "kept for 24 hours only" in lines[1], lines)
    path = SERVER / "config/domains.conf"
    text = path.read_text()
    old = re.search(r"PolicyID: (\S+)", text).group(1)
    text = text.replace("MaxAge: 24h", "MaxAge: 168h").replace(f"PolicyID: {old}", "PolicyID: 20990101T000000")
    path.write_text(text)
    CHANGED_RECORDS[f"id={old}"] = "id=20990101T000000"
    dns.publish()
    until(lambda: not mox("config", "dnscheck", DOMAIN).strip(), "dnscheck without a word")


def case_doctor():
    done = subprocess.run([SERVER / "mox", "doctor"], cwd=SERVER, capture_output=True, text=True)
    print("\n".join("    " + line for line in done.stdout.splitlines()))
    want(done.returncode == 0, done.stdout, done.stderr)


def case_no_rights():
    user = pwd.getpwnam("mox")
    found = processes()
    want(found, "no process")
    for pid, status in found.items():
        ids = {int(part) for part in (status["Uid"] + "\t" + status["Gid"]).split()}
        want(ids == {user.pw_uid, user.pw_gid}, pid, status["Uid"], status["Gid"])
        rights = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
        want(all(int(value, 16) == 0 for value in rights.values()), pid, rights)
        want(status["NoNewPrivs"] == "1", pid)
    keys = list((SERVER / "config/hostkeys").iterdir())
    want(len(keys) == 2, keys)
    for path in (SERVER / "config", SERVER / "data"):
        want(path.stat().st_mode & 0o007 == 0, oct(path.stat().st_mode))


def case_no_files_of_others():
    text = control("confinement")
    print("\n".join("    " + line for line in text.splitlines()))
    want("could open" not in text and "not confined" not in text, text)


def control(command):
    """A command without parameters, by the control socket: `ok`, then a stream of lengths and bytes."""
    with socket.socket(socket.AF_UNIX) as session:
        session.settimeout(PATIENCE)
        session.connect(str(SERVER / "data/ctl"))
        lines = session.makefile("rwb")
        want(lines.readline() == b"ctlv0\n")
        lines.write(command.encode() + b"\n")
        lines.flush()
        status = lines.readline()
        want(status == b"ok\n", status)
        text = b""
        while size := int(lines.readline()):
            text += lines.read(size)
            lines.write(b"ok\n")
            lines.flush()
        return text.decode()


def case_after_a_kill():
    global server
    submit(message(ADDRESS, "box@p.test", "before the kill"))
    server.kill()
    server = Served()
    wait_for_certificates()
    want(find("the first") and find("by DANE"), "mail is lost")
    # An attempt that the kill cut off counts: the next is later, unless somebody is in a hurry.
    mox("queue", "schedule", "-now", "0s")
    postfix.arrived("before the kill")
    postfix.submit(message("box@p.test", ADDRESS, "after the kill"))
    until_long(lambda: find("after the kill"), "the message")
    submit(message(ADDRESS, "box@p.test", "out again"))
    postfix.arrived("out again")


def case_stop():
    mox("stop")
    want(server.process.wait(PATIENCE) == 0, server.process.returncode)
    STARTED.remove(server.process)
    want(not processes(), processes())


def main():
    global dns, postfix
    FOLDER.chmod(0o755)
    make_machine()
    SERVER.mkdir(mode=0o755)
    # With room, however full the disk of the tests is.
    run("mount", "-t", "tmpfs", "-o", "size=1g,mode=755", "tmpfs", SERVER)
    shutil.copy(MOX, SERVER / "mox")
    dns = Dns()
    start_acme()
    make_certificate("p", ["mx.p.test"])
    postfix = Postfix(P, ["p.test"])
    failed = 0
    cases = {name: case for name, case in globals().items() if name.startswith("case_")}
    try:
        for name in sys.argv[3:] or cases:
            try:
                cases[name]()
                print("ok", name, flush=True)
            except Exception as error:
                failed += 1
                print("FAIL", name, type(error).__name__, str(error)[-3000:], flush=True)
    finally:
        if failed:
            print(log_tail())
        postfix.stop()
        for process in STARTED:
            process.terminate()
            process.wait()
    sys.exit(1 if failed else 0)


main()
