//! Running other programs with an end to each.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// A command that only works if something is there, and the Debian package that brings it.
pub(super) type Needed = (&'static [&'static str], &'static str);

/// Installs what is missing.
pub(super) fn install(needed: &[Needed]) -> Result<()> {
    let missing: Vec<&str> =
        needed.iter().filter(|(probe, _)| !works(probe)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        println!("installing {}", missing.join(", "));
        apt(&["update", "-qq"])?;
        let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
        arguments.extend(&missing);
        apt(&arguments)?;
    }
    let still: Vec<_> = needed.iter().filter(|(probe, _)| !works(probe)).collect();
    ensure!(still.is_empty(), "still missing: {still:?}");
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=5"]);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut command, "", Duration::from_secs(1_800)).map(|_| ())
}

fn works(probe: &[&str]) -> bool {
    let Some((program, arguments)) = probe.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments);
    run(&mut command, "", Duration::from_secs(60)).is_ok()
}

/// Runs a program with `input` and returns its standard output; fails if it does, or if it runs
/// longer than `limit`.
pub(super) fn run(command: &mut Command, input: &str, limit: Duration) -> Result<String> {
    let output = finish(command, input, limit)?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}\n{}", name(command), output.status, tail(&stdout), tail(&stderr));
    }
    Ok(stdout)
}

/// Runs a program that must fail with this exit code.
pub(super) fn run_failing(command: &mut Command, code: i32, limit: Duration) -> Result<String> {
    let output = finish(command, "", limit)?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.code() == Some(code),
        "{}: wanted exit code {code}, got {}\n{}",
        name(command),
        output.status,
        tail(&stdout)
    );
    Ok(stdout)
}

/// The coreutils program `timeout` ends a program that hangs; its exit code is then 124.
fn finish(command: &mut Command, input: &str, limit: Duration) -> Result<Output> {
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=5", &limit.as_secs().to_string()]);
    bounded.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(key, value),
            None => bounded.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bounded.current_dir(folder);
    }
    bounded.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = bounded.spawn().with_context(|| format!("start {}", name(command)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads no input closes it; that is no fault.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().context("wait for program")?;
    ensure!(output.status.code() != Some(124), "{}: longer than {limit:?}", name(command));
    Ok(output)
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// The last lines of a longer text.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// A number that no other run has, to find one's own message again.
pub(super) fn token() -> Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("t{:016x}", u64::from_ne_bytes(bytes)))
}
