#!/bin/sh
# Installs the package $1 twice, removes and purges it, in a copy of the system that nobody sees. As root, in a mount
# namespace of its own.
set -eu
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t proc proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
cp "$1" /mnt/root/mox.deb
chroot /mnt/root sh -eu <<'INSIDE'
dpkg -i /mox.deb
test "$(stat -c %U:%G:%a /var/lib/mox)" = root:mox:751
mox version
bash -n /usr/share/bash-completion/completions/mox
gzip -dc /usr/share/man/man1/mox-queue-list.1.gz | grep -q '^.SH SYNOPSIS'
grep -q '^ExecStart=/usr/bin/mox serve$' /usr/lib/systemd/system/mox.service
systemd-analyze verify --man=no /usr/lib/systemd/system/mox.service
echo mail >/var/lib/mox/mail
dpkg -i /mox.deb
dpkg -r mox
test ! -e /usr/bin/mox
dpkg -P mox
grep -q mail /var/lib/mox/mail
echo "installed, upgraded, removed"
INSIDE
