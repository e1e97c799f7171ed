"""Mail between servers: two of ours and a Postfix, with DNS that is signed, in a network of their own.

Run as `unshare --net --mount python3 -P lab.py FOLDER MOX CASE...`, as root. Each case is a function whose
name begins with `case_`; without names all are run. What is sent is looked up where it must arrive.

Hosts, each on an address of its own: a.test and b.test (mox), p.test (Postfix), and a web server
for policies of MTA-STS. A resolver (unbound) checks the signatures of the one zone there is.
"""

import http.server
import imaplib
import pathlib
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import threading

from labnet import *

A, B, P, WEB = "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14"
PASSWORD = "correct horse battery"

# Host names in certificates, and who has them.
HOSTS = {
    "mx.a.test": A,
    "dane.a.test": A,
    "baddane.a.test": A,
    "mx.b.test": B,
    "dane.b.test": B,
    "baddane.b.test": B,
    "sts.b.test": B,
    "mx.p.test": P,
    "dane.p.test": P,
    "baddane.p.test": P,
    "sts.p.test": P,
}
# Host names that are in no certificate.
UNNAMED = {"other.p.test": P}
# Domains, and the host that takes their mail.
DOMAINS = {
    "a.test": "mx.a.test",
    "dane-a.test": "dane.a.test",
    "baddane-a.test": "baddane.a.test",
    "b.test": "mx.b.test",
    "dane-b.test": "dane.b.test",
    "baddane-b.test": "baddane.b.test",
    "sts-b.test": "sts.b.test",
    "p.test": "mx.p.test",
    "dane-p.test": "dane.p.test",
    "baddane-p.test": "baddane.p.test",
    "sts-p.test": "sts.p.test",
    # The policy names another host.
    "badsts-p.test": "sts.p.test",
    # The policy names the host, which has no certificate with that name.
    "namelesssts-p.test": "other.p.test",
    # As badsts, but it is only a test.
    "teststs-p.test": "sts.p.test",
}
# Domains with a policy, its mode and the hosts it allows.
POLICIES = {
    "sts-b.test": ("enforce", "sts.b.test"),
    "sts-p.test": ("enforce", "sts.p.test"),
    "badsts-p.test": ("enforce", "elsewhere.p.test"),
    "namelesssts-p.test": ("enforce", "other.p.test"),
    "teststs-p.test": ("testing", "elsewhere.p.test"),
}


# Keys and certificates.


def make_certificates():
    make_authority()
    policies = ["mta-sts." + domain for domain in POLICIES]
    for owner, ip in (("a", A), ("b", B), ("p", P), ("web", WEB)):
        names = policies if owner == "web" else [name for name, has in HOSTS.items() if has == ip]
        make_certificate(owner, names)


# DNS.


def zone():
    yield "$ORIGIN ."
    yield "$TTL 300"
    yield ". SOA ns.test. admin.test. 1 3600 600 86400 60"
    yield ". NS ns.test."
    yield "ns.test. A " + DNS
    for host, ip in (HOSTS | UNNAMED).items():
        yield f"{host}. A {ip}"
        owner = host.split(".")[1]
        if host.startswith("dane."):
            yield f"_25._tcp.{host}. TLSA 3 1 1 {spki_sha256(owner)}"
        elif host.startswith("baddane."):
            yield f"_25._tcp.{host}. TLSA 3 1 1 {'00' * 32}"
    for ip, name in ((A, "mx.a.test"), (B, "mx.b.test"), (P, "mx.p.test")):
        reverse = ".".join(reversed(ip.split(".")))
        yield f"{reverse}.in-addr.arpa. PTR {name}."
        yield f'{name}. TXT "v=spf1 a -all"'
    for domain, host in DOMAINS.items():
        yield f"{domain}. MX 10 {host}."
        yield f'{domain}. TXT "v=spf1 mx -all"'
        yield f'_dmarc.{domain}. TXT "v=DMARC1; p=reject"'
    for domain in POLICIES:
        yield f"mta-sts.{domain}. A {WEB}"
        yield f'_mta-sts.{domain}. TXT "v=STSv1; id=1"'
    for selector in ("ed", "rsa"):
        text = run(MOX, "dkim", "txt", stdin=at(f"{selector}.dkim").open())
        quoted = " ".join(f'"{part}"' for part in text.split('"')[1::2])
        yield f"{selector}._domainkey.a.test. TXT {quoted}"


def start_dns():
    at("ed.dkim").write_text(run(MOX, "dkim", "gened25519"))
    at("rsa.dkim").write_text(run(MOX, "dkim", "genrsa"))
    anchors = sign_zone(".", zone())
    at("resolv.conf").write_text(f"nameserver {DNS}\noptions trust-ad edns0\n")
    run("mount", "--bind", at("resolv.conf"), pathlib.Path("/etc/resolv.conf").resolve())
    start_unbound(anchors[0])
    until(lambda: has_dns(), "the resolver")


def has_dns():
    try:
        return socket.gethostbyname("mx.a.test") == A
    except OSError:
        return False


# Policies of MTA-STS.


class Policy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        domain = self.headers["Host"].removeprefix("mta-sts.")
        mode, host = POLICIES[domain]
        text = f"version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: 86400\r\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def start_web():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(at("web.pem"), at("web.key"))
    server = http.server.ThreadingHTTPServer((WEB, 443), Policy)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


# Ours.


class Mox:
    def __init__(self, name, ip):
        self.name, self.ip, self.folder = name, ip, at("mox-" + name)
        (self.folder / "config").mkdir(parents=True)
        (self.folder / "data").mkdir()
        (self.folder / "config/mox.conf").write_text(self.mox_conf())
        (self.folder / "config/domains.conf").write_text(self.domains_conf())
        for file in (f"{name}.key", f"{name}.pem", "ca.pem", "ed.dkim", "rsa.dkim"):
            shutil.copy(at(file), self.folder / "config" / file)
        run("chown", "-R", "nobody:nogroup", self.folder)
        # As systemd would: no rights but the one for low ports.
        caps = ["--inh-caps=-all,+net_bind_service", "--ambient-caps=-all,+net_bind_service"]
        ids = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        words = ["setpriv", *ids, *caps, MOX, "--config", self.folder / "config/mox.conf", "serve"]
        self.log = open(self.folder / "log", "w")
        STARTED.append(subprocess.Popen([str(word) for word in words], stderr=self.log))
        # It listens before it takes commands.
        log = self.folder / "log"
        until(lambda: "ready to serve" in log.read_text(), f"mox {name}")
        self.mox("setaccountpassword", "box", input=PASSWORD + "\n" + PASSWORD + "\n")

    def mox(self, *words, **options):
        return run(MOX, "--config", self.folder / "config/mox.conf", *words, **options)

    def mox_conf(self):
        return f"""DataDir: ../data
LogLevel: debug
Hostname: mx.{self.name}.test
TLS:
	CA:
		AdditionalToSystem: true
		CertFiles:
			- ca.pem
NoOutgoingTLSReports: true
NoOutgoingDMARCReports: true
Listeners:
	public:
		IPs:
			- {self.ip}
		TLS:
			KeyCerts:
				-
					CertFile: {self.name}.pem
					KeyFile: {self.name}.key
		SMTP:
			Enabled: true
			FirstTimeSenderDelay: 0s
		Submission:
			Enabled: true
		IMAP:
			Enabled: true
Postmaster:
	Account: box
	Mailbox: Postmaster
"""

    def domains_conf(self):
        ours = [domain for domain, host in DOMAINS.items() if HOSTS.get(host) == self.ip]
        text = "Domains:\n"
        for domain in ours:
            text += f"\t{domain}:\n\t\tLocalpartCatchallSeparator: +\n"
            if domain == "a.test":
                text += "\t\tDKIM:\n\t\t\tSelectors:\n"
                for selector in ("ed", "rsa"):
                    text += f"\t\t\t\t{selector}:\n\t\t\t\t\tPrivateKeyFile: {selector}.dkim\n"
                text += "\t\t\tSign:\n\t\t\t\t- ed\n\t\t\t\t- rsa\n"
        text += f"Accounts:\n\tbox:\n\t\tDomain: {ours[0]}\n\t\tKeepRetiredMessagePeriod: 1h\n"
        text += "\t\tDestinations:\n" + "".join(f"\t\t\tbox@{domain}: nil\n" for domain in ours)
        return text

    def submit(self, message):
        context = ssl.create_default_context(cafile=at("ca.pem"))
        with smtplib.SMTP(f"mx.{self.name}.test", 587, timeout=PATIENCE) as session:
            session.starttls(context=context)
            session.login(f"box@{self.name}.test", PASSWORD)
            session.send_message(message)

    def arrived(self, subject):
        return until(lambda: self.look(subject), f"{subject!r} at mox {self.name}")

    def imap(self):
        context = ssl.create_default_context(cafile=at("ca.pem"))
        session = imaplib.IMAP4(f"mx.{self.name}.test", 143, timeout=PATIENCE)
        session.starttls(ssl_context=context)
        session.login(f"box@{self.name}.test", PASSWORD)
        return session

    def notice(self):
        """The newest delivery status notification."""
        session = self.imap()
        session.select("Inbox", readonly=True)
        found = session.search(None, "HEADER", "Content-Type", "delivery-status")[1][0].split()
        whole = session.fetch(found[-1], "(BODY.PEEK[])")[1][0][1] if found else None
        session.logout()
        return whole

    def look(self, subject):
        session = self.imap()
        for mailbox in ("Inbox", "Rejects"):
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

    def deferred(self, rcpt):
        """The line of the queue about a message that waits after an attempt that failed."""
        return until(
            lambda: next(
                (
                    line
                    for line in self.mox("queue", "list").splitlines()
                    if rcpt in line and "last -" not in line and 'error ""' not in line
                ),
                None,
            ),
            f"{rcpt} in the queue of mox {self.name}:\n{self.mox('queue', 'list')}",
        )


# Cases.


def check_deferred(sender, rcpt, *parts):
    sender.submit(message(f"box@{sender.name}.test", rcpt, "to be deferred"))
    line = sender.deferred(rcpt)
    want(any(part in line for part in parts), line)
    return line


def case_ours_to_ours_by_starttls():
    a.submit(message("box@a.test", "box@b.test", "a to b"))
    whole = b.arrived("a to b")
    check_tls(whole)
    results = header(whole)["Authentication-Results"]
    for part in ("spf=pass", "dkim=pass", "dmarc=pass"):
        want(part in results, part, results)
    b.submit(message("box@b.test", "box@a.test", "b to a"))
    check_tls(a.arrived("b to a"))


def case_ours_to_ours_by_dane():
    a.submit(message("box@a.test", "box@dane-b.test", "a to dane b"))
    check_tls(b.arrived("a to dane b"))


def case_ours_to_ours_by_mta_sts():
    a.submit(message("box@a.test", "box@sts-b.test", "a to sts b"))
    check_tls(b.arrived("a to sts b"))


def case_ours_to_postfix():
    for domain in ("p.test", "dane-p.test", "sts-p.test", "teststs-p.test"):
        subject = f"a to {domain}"
        a.submit(message("box@a.test", f"box@{domain}", subject))
        check_tls(postfix.arrived(subject))


def case_signatures_verify_elsewhere():
    import dkim

    a.submit(message("box@a.test", "box@p.test", "signed twice"))
    whole = postfix.arrived("signed twice")
    text = at("root.zone").read_text().splitlines()

    def txt(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        line = next(line for line in text if line.startswith(f"{name} TXT "))
        return "".join(line.split('"')[1::2]).encode()

    def passes(text, index):
        # Some signatures that are not good are told by an exception.
        try:
            return dkim.DKIM(text).verify(idx=index, dnsfunc=txt)
        except dkim.DKIMException:
            return False

    verifier = dkim.DKIM(whole)
    fields = [name for name, _ in verifier.headers if name.lower() == b"dkim-signature"]
    want(len(fields) == 2, fields)
    for index in range(2):
        want(passes(whole, index), f"signature {index} does not verify", whole)
        changed = whole.replace(b"Good day", b"Bad day")
        want(not passes(changed, index), "a changed message verifies")


def case_broken_dane_defers():
    check_deferred(a, "box@baddane-b.test", "dane", "DANE", "certificate")
    check_deferred(a, "box@baddane-p.test", "dane", "DANE", "certificate")
    want(b.look("to be deferred") is None, "arrived without DANE")
    want(postfix.look("to be deferred") is None, "arrived without DANE")


def case_broken_mta_sts_defers():
    check_deferred(a, "box@badsts-p.test", "mta-sts", "MTA-STS", "policy")
    check_deferred(a, "box@namelesssts-p.test", "certificate", "name", "tls", "TLS")
    want(postfix.look("to be deferred") is None, "arrived against the policy")


def case_postfix_to_ours():
    postfix.submit(message("box@p.test", "box@a.test", "p to a"))
    check_tls(a.arrived("p to a"))
    postfix.submit(message("box@p.test", "box@dane-a.test", "p to dane a"))
    check_tls(a.arrived("p to dane a"))
    postfix.logged("Verified TLS connection established to dane.a.test")
    postfix.submit(message("box@p.test", "box@baddane-b.test", "p to baddane b"))
    postfix.logged("to=<box@baddane-b.test>", "status=deferred")
    want(b.look("p to baddane b") is None, "arrived without DANE")


def case_bounces_come_back():
    a.submit(message("box@a.test", "nobody@b.test", "to nobody"))
    whole = until(lambda: a.notice(), "a notice")
    want(b"nobody@b.test" in whole and b"Action: failed" in whole, whole)


def main():
    global a, b, postfix
    run("ip", "link", "set", "lo", "up")
    for ip in (A, B, P, WEB):
        run("ip", "addr", "add", ip + "/32", "dev", "lo")
    FOLDER.chmod(0o755)
    make_certificates()
    start_dns()
    start_web()
    a, b = Mox("a", A), Mox("b", B)
    postfix = Postfix(P, [domain for domain in DOMAINS if domain.endswith("p.test")])
    failed = 0
    cases = {name: case for name, case in globals().items() if name.startswith("case_")}
    try:
        for name in sys.argv[3:] or cases:
            try:
                cases[name]()
                print("ok", name, flush=True)
            except Exception as error:
                failed += 1
                print("FAIL", name, str(error)[-3000:], flush=True)
    finally:
        postfix.stop()
        for process in STARTED:
            process.terminate()
            process.wait()
    sys.exit(1 if failed else 0)


main()
