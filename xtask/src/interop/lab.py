"""Mail between servers: two of ours and a Postfix, with DNS that is signed, in a network of their own.

Run as `unshare --net --mount python3 -P lab.py FOLDER MOX CASE...`, as root. Each case is a function whose
name begins with `case_`; without names all are run. What is sent is looked up where it must arrive.

Hosts, each on an address of its own: a.test and b.test (mox), p.test (Postfix), and a web server
for policies of MTA-STS. A resolver (unbound) checks the signatures of the one zone there is.
"""

import base64
import email.message
import email.policy
import email.utils
import hashlib
import http.server
import imaplib
import os
import pathlib
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time

FOLDER = pathlib.Path(sys.argv[1])
MOX = sys.argv[2]

A, B, P, WEB, DNS = "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "127.0.0.53"
PASSWORD = "correct horse battery"
# How long anything may take that takes no time on an idle machine.
PATIENCE = 60

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


def run(*words, **options):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=PATIENCE, **options
    )
    if done.returncode != 0:
        raise AssertionError(f"{words[0]}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def want(condition, *shown):
    if not condition:
        raise AssertionError(*shown)


def until(look, what):
    """Looks until there is something to see."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        seen = look()
        if seen:
            return seen
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def at(name):
    return FOLDER / name


# Keys and certificates.


def make_certificates():
    run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-out", at("ca.key"))
    subject = ["-subj", "/CN=authority of the lab", "-days", "30"]
    run("openssl", "req", "-x509", "-key", at("ca.key"), "-out", at("ca.pem"), *subject)
    policies = ["mta-sts." + domain for domain in POLICIES]
    for owner, ip in (("a", A), ("b", B), ("p", P), ("web", WEB)):
        names = policies if owner == "web" else [name for name, has in HOSTS.items() if has == ip]
        make_certificate(owner, names)


def make_certificate(owner, names):
    key, request, cert = at(owner + ".key"), at(owner + ".csr"), at(owner + ".pem")
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    run("openssl", "req", "-new", "-key", key, "-subj", "/CN=" + names[0], "-out", request)
    at(owner + ".ext").write_text("subjectAltName=" + ",".join("DNS:" + name for name in names))
    authority = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial"]
    extensions = ["-extfile", at(owner + ".ext"), "-days", "20"]
    run("openssl", "x509", "-req", "-in", request, *authority, *extensions, "-out", cert)
    key.chmod(0o644)


def spki_sha256(owner):
    """The public key of a certificate, as TLSA 3 1 1 has it. RFC 6698 section 2.1."""
    pem = run("openssl", "x509", "-in", at(owner + ".pem"), "-pubkey", "-noout")
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    return hashlib.sha256(der).hexdigest()


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
    at("root.zone").write_text("\n".join(zone()) + "\n")
    for kind in ([], ["-k"]):
        run("ldns-keygen", "-a", "ECDSAP256SHA256", *kind, ".", cwd=FOLDER)
    keys = sorted(path.stem for path in FOLDER.glob("K.*.private"))
    run("ldns-signzone", "-n", "-o", ".", "-f", at("root.signed"), at("root.zone"), *keys, cwd=FOLDER)
    anchor = next(FOLDER.glob("K.*.ds")).read_text().replace("\t", " ").strip()
    at("unbound.conf").write_text(
        f"""server:
  directory: "{FOLDER}"
  username: ""
  chroot: ""
  pidfile: "{at('unbound.pid')}"
  use-syslog: no
  logfile: "{at('unbound.log')}"
  interface: {DNS}
  access-control: 127.0.0.0/8 allow
  module-config: "validator iterator"
  trust-anchor: "{anchor}"
  local-zone: "test." nodefault
  local-zone: "in-addr.arpa." nodefault
  local-zone: "2.0.192.in-addr.arpa." nodefault
  do-not-query-localhost: no
auth-zone:
  name: "."
  zonefile: "{at('root.signed')}"
  for-upstream: yes
  for-downstream: no
"""
    )
    at("resolv.conf").write_text(f"nameserver {DNS}\noptions trust-ad edns0\n")
    run("mount", "--bind", at("resolv.conf"), pathlib.Path("/etc/resolv.conf").resolve())
    STARTED.append(subprocess.Popen(["unbound", "-d", "-c", at("unbound.conf")]))
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
        until(lambda: is_open(ip, 25), f"mox {name}\n" + (self.folder / "log").read_text())
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


def is_open(ip, port):
    try:
        socket.create_connection((ip, port), timeout=1).close()
        return True
    except OSError:
        return False


# Postfix.


class Postfix:
    def __init__(self):
        self.folder = at("postfix")
        for name in ("etc", "spool", "data", "mail"):
            (self.folder / name).mkdir(parents=True)
        ours = " ".join(domain for domain in DOMAINS if domain.endswith("p.test"))
        self.log = self.folder / "log"
        (self.folder / "etc/main.cf").write_text(
            f"""compatibility_level = 3.6
queue_directory = {self.folder}/spool
data_directory = {self.folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {self.log}
maillog_file_prefixes = {FOLDER}
myhostname = mx.p.test
mydomain = p.test
mydestination =
myorigin = p.test
mynetworks = 127.0.0.0/8, {P}/32
inet_interfaces = {P}
inet_protocols = ipv4
smtp_bind_address = {P}
virtual_mailbox_domains = {ours}
virtual_mailbox_base = {self.folder}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
local_recipient_maps =
smtpd_tls_cert_file = {at('p.pem')}
smtpd_tls_key_file = {at('p.key')}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtp_tls_security_level = dane
smtp_dns_support_level = dnssec
smtp_host_lookup = dns
smtp_tls_loglevel = 1
smtputf8_enable = yes
"""
        )
        services = """smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
        (self.folder / "etc/master.cf").write_text(services)
        run("chown", "nobody:nogroup", self.folder / "mail")
        run("chown", "postfix", self.folder / "data")
        run("postfix", "-c", self.folder / "etc", "start")
        until(lambda: is_open(P, 25), "Postfix")

    def stop(self):
        run("postfix", "-c", self.folder / "etc", "stop")

    def submit(self, message):
        with smtplib.SMTP(P, 25, timeout=PATIENCE, source_address=(P, 0)) as session:
            session.send_message(message)

    def arrived(self, subject):
        return until(lambda: self.look(subject), f"{subject!r} at Postfix")

    def look(self, subject):
        for path in (self.folder / "mail").glob("box/new/*"):
            whole = path.read_bytes()
            if f"Subject: {subject}".encode() in whole:
                return whole
        return None

    def logged(self, *parts):
        def look():
            lines = self.log.read_text().splitlines() if self.log.exists() else []
            return next((line for line in lines if all(part in line for part in parts)), None)

        return until(look, f"{parts} in the log of Postfix")


# Cases.


def message(sender, rcpt, subject):
    made = email.message.EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"], made["Subject"] = sender, rcpt, subject
    made["Message-ID"] = f"<{subject.replace(' ', '-')}@{sender.split('@')[1]}>"
    made["Date"] = email.utils.formatdate()
    made.set_content("Good day.\r\n\r\n.a line with a dot\r\n")
    return made


def header(whole):
    return email.message_from_bytes(whole)


def check_tls(whole):
    first = header(whole).get_all("Received")[0].replace("\r\n", "")
    want("TLS1.3" in first.replace("v1.3", "1.3"), first)


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


STARTED = []


def main():
    global a, b, postfix
    run("ip", "link", "set", "lo", "up")
    for ip in (A, B, P, WEB):
        run("ip", "addr", "add", ip + "/32", "dev", "lo")
    FOLDER.chmod(0o755)
    make_certificates()
    start_dns()
    start_web()
    a, b, postfix = Mox("a", A), Mox("b", B), Postfix()
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
