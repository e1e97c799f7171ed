//! The service unit for systemd.

use std::path::Path;

/// The text of `mox.service` for a server that lives in one directory.
///
/// The server starts as root: it repairs permissions, binds its ports and then gives up all rights. What
/// the unit takes from it, it never needs: other people's files, devices, new rights, changing the kernel.
///
/// - `program`: the binary, an absolute path.
/// - `dir`: an absolute path; `config` and `data` lie in it.
#[must_use]
pub fn service(program: &Path, dir: &Path) -> String {
    let work = dir.to_string_lossy().replace('%', "%%");
    let (program, dir) = (escaped(program), escaped(dir));
    format!(
        "\
[Unit]
Description=mox mail server
Documentation=man:mox(1)
After=network-online.target
Wants=network-online.target

[Service]
# Ready is said when all ports are served, and \"alive\" as long as connections are.
Type=notify
NotifyAccess=main
WatchdogSec=60s
TimeoutStartSec=5min
WorkingDirectory={work}
ExecStart=\"{program}\" serve
ExecReload=/bin/kill -HUP $MAINPID
ExecStop=\"{program}\" stop
Restart=always
RestartSec=5s
UMask=007
LimitNOFILE=65535
SyslogFacility=mail

# The file system: read only but for what is the server's own.
ProtectSystem=strict
ReadWritePaths=\"{dir}/config\" \"{dir}/data\"
PrivateDevices=yes
PrivateTmp=yes
ProtectProc=invisible
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes

# Rights: those to start with, none that could be had later.
AmbientCapabilities=
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_NET_BIND_SERVICE CAP_CHOWN CAP_FSETID CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_KILL
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RemoveIPC=yes
MemoryDenyWriteExecute=yes
LockPersonality=yes
DevicePolicy=closed
SystemCallArchitectures=native
# The server confines itself further.
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self

[Install]
WantedBy=multi-user.target
"
    )
}

/// A path as it stands between double quotes in a unit file, systemd.syntax(7).
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            // Specifiers begin with it.
            '%' => text.push_str("%%"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_names_the_program_and_its_directories() {
        let unit = service("/home/mox/mox".as_ref(), "/home/mox".as_ref());
        for line in [
            "WorkingDirectory=/home/mox",
            "ExecStart=\"/home/mox/mox\" serve",
            "ExecStop=\"/home/mox/mox\" stop",
            "ReadWritePaths=\"/home/mox/config\" \"/home/mox/data\"",
        ] {
            assert!(unit.lines().any(|one| one == line), "{line} in\n{unit}");
        }
    }

    #[test]
    fn odd_paths_are_quoted() {
        let unit = service("/srv/a \"b\"/mox".as_ref(), "/srv/50% \"".as_ref());
        assert!(unit.contains("ExecStart=\"/srv/a \\\"b\\\"/mox\" serve\n"), "{unit}");
        assert!(unit.contains("WorkingDirectory=/srv/50%% \"\n"), "{unit}");
    }
}
