"""What the labs of mail servers have in common: a resolver for a signed zone, an authority for
certificates, a Postfix, messages.

Goes beside the script of a lab, whose first two arguments are a folder for everything and the program mox.
"""

import base64
import email.message
import email.policy
import email.utils
import hashlib
import os
import pathlib
import smtplib
import socket
import subprocess
import sys
import time

FOLDER = pathlib.Path(sys.argv[1])
MOX = sys.argv[2]

DNS = "127.0.0.53"
# How long anything may take that takes no time on an idle machine.
PATIENCE = 60
# Processes that are to be ended with the lab.
STARTED = []


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


def make_authority():
    run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-out", at("ca.key"))
    subject = ["-subj", "/CN=authority of the lab", "-days", "30"]
    run("openssl", "req", "-x509", "-key", at("ca.key"), "-out", at("ca.pem"), *subject)


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


def sign_zone(origin, lines):
    """Writes and signs a zone. Returns the lines of its DS records."""
    name = "root" if origin == "." else origin.rstrip(".")
    zone = at(name + ".zone")
    zone.write_text("\n".join(lines) + "\n")
    keys = sorted(path.stem for path in FOLDER.glob(f"K{origin}+*.private"))
    if not keys:
        for kind in ([], ["-k"]):
            run("ldns-keygen", "-a", "ECDSAP256SHA256", *kind, origin, cwd=FOLDER)
        keys = sorted(path.stem for path in FOLDER.glob(f"K{origin}+*.private"))
    signed = at(name + ".signed")
    run("ldns-signzone", "-n", "-o", origin, "-f", signed, zone, *keys, cwd=FOLDER)
    return [path.read_text().replace("\t", " ").strip() for path in FOLDER.glob(f"K{origin}+*.ds")]


def start_unbound(anchor, origins=(".",)):
    """Starts a resolver that has the signed zones and validates them."""
    zones = "".join(
        f"""auth-zone:
  name: "{origin}"
  zonefile: "{at(("root" if origin == "." else origin.rstrip(".")) + ".signed")}"
  for-upstream: yes
  for-downstream: no
"""
        for origin in origins
    )
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
{zones}"""
    )
    process = subprocess.Popen(["unbound", "-d", "-c", at("unbound.conf")])
    STARTED.append(process)
    return process


def is_open(ip, port):
    try:
        socket.create_connection((ip, port), timeout=1).close()
        return True
    except OSError:
        return False


# Postfix.


class Postfix:
    def __init__(self, ip, domains):
        self.ip, self.folder = ip, at("postfix")
        for name in ("etc", "spool", "data", "mail"):
            (self.folder / name).mkdir(parents=True)
        ours = " ".join(domains)
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
mynetworks = 127.0.0.0/8, {ip}/32
inet_interfaces = {ip}
inet_protocols = ipv4
smtp_bind_address = {ip}
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
        until(lambda: is_open(ip, 25), "Postfix")

    def stop(self):
        run("postfix", "-c", self.folder / "etc", "stop")

    def submit(self, message):
        with smtplib.SMTP(self.ip, 25, timeout=PATIENCE, source_address=(self.ip, 0)) as session:
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


# Messages.


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
