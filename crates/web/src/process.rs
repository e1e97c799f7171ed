//! What the operating system says of the process: Linux's `/proc`.

use std::fs;

use mox_base::UnixSeconds;
use mox_metrics::process::Sample;

/// Parts of a second in which Linux tells times, on all of its machines.
const TICKS_PER_SEC: f64 = 100.0;

/// The size of a page of memory where the system tells none.
const PAGE_BYTES: u64 = 4_096;

/// What can be read; the rest is 0. Blocks.
///
/// - `started`: when the server was.
pub(crate) fn sample(started: UnixSeconds) -> Sample {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let open_fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let mut sample = from_texts(&read("stat"), &read("limits"));
    // Looking at them opens one.
    sample.open_fds = u64::try_from(open_fds).unwrap_or(u64::MAX).saturating_sub(1);
    // Exact until the year 2100 and long after.
    sample.start_secs = f64::from(u32::try_from(started.0).unwrap_or(0));
    sample
}

/// proc_pid_stat(5) and proc_pid_limits(5).
fn from_texts(stat: &str, limits: &str) -> Sample {
    // The name of the program is in parentheses and may have anything in it.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // The first here is the third there.
    let field = |number: usize| -> u64 {
        fields.get(number - 3).and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let ticks = u32::try_from(field(14).saturating_add(field(15))).unwrap_or(u32::MAX);
    let max_fds = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let max_fds = max_fds.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    Sample {
        cpu_secs: f64::from(ticks) / TICKS_PER_SEC,
        resident_bytes: field(24).saturating_mul(PAGE_BYTES),
        virtual_bytes: field(23),
        max_fds: max_fds.unwrap_or(0),
        threads: field(20),
        ..Sample::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_program_is_called() {
        let stat = "4242 (a) (b 7) S 1 4242 4242 0 -1 4194560 900 0 3 0 250 50 0 0 20 0 12 0 \
                    5000 987654321 2560 18446744073709551615 1 1";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        let want = Sample {
            cpu_secs: 3.0,
            resident_bytes: 2_560 * 4_096,
            virtual_bytes: 987_654_321,
            max_fds: 1_024,
            threads: 12,
            ..Sample::default()
        };
        assert_eq!(from_texts(stat, limits), want);
        assert_eq!(from_texts("", ""), Sample::default());
        assert_eq!(from_texts("1 (x) R", "Max open files unlimited"), Sample::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_files() {
        let sample = sample(UnixSeconds(1_000));
        assert!(sample.resident_bytes > 100_000 && sample.virtual_bytes > sample.resident_bytes);
        assert!(sample.open_fds >= 3 && sample.threads >= 1);
        assert!((sample.start_secs - 1_000.0).abs() < 0.5);
    }
}
