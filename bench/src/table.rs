//! The figures and how they are printed.

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// There is none: the figure explains others.
    None,
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// Whether a figure is what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has no target.
    None,
    /// It is.
    Met,
    /// It is not.
    Missed,
    /// It is not, but the target only counts where the disk is the limit, and here it was the CPU.
    CpuBound,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    target: Target,
    raw_per_s: Option<f64>,
    cpu_us: Option<f64>,
    is_cpu_bound: bool,
}

impl Figure {
    /// A figure without a target.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let (name, target) = (name.into(), Target::None);
        Self { name, value, unit, target, raw_per_s: None, cpu_us: None, is_cpu_bound: false }
    }

    /// With a target in the same unit.
    pub(crate) fn target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// With the raw rate of syncs beside it.
    pub(crate) fn raw(self, per_s: f64) -> Self {
        Self { raw_per_s: Some(per_s), ..self }
    }

    /// With the server's CPU time for one operation, in microseconds.
    pub(crate) fn cpu(self, us: f64) -> Self {
        Self { cpu_us: Some(us), ..self }
    }

    /// The target counts only where the CPU is not the limit.
    pub(crate) fn unless_cpu_bound(self, is_cpu_bound: bool) -> Self {
        Self { is_cpu_bound, ..self }
    }

    /// Whether it is what it should be.
    pub(crate) fn verdict(&self) -> Verdict {
        let met = match self.target {
            Target::None => return Verdict::None,
            Target::AtMost(most) => self.value <= most,
            Target::AtLeast(least) => self.value >= least,
        };
        match (met, self.is_cpu_bound) {
            (true, _) => Verdict::Met,
            (false, true) => Verdict::CpuBound,
            (false, false) => Verdict::Missed,
        }
    }

    fn cells(&self) -> [String; 6] {
        let with_unit = |value| format!("{} {}", number(value), self.unit).trim_end().to_owned();
        let target = match self.target {
            Target::None => String::new(),
            Target::AtMost(most) => format!("<= {}", with_unit(most)),
            Target::AtLeast(least) => format!(">= {}", with_unit(least)),
        };
        let verdict = match self.verdict() {
            Verdict::None => "",
            Verdict::Met => "ok",
            Verdict::Missed => "MISSED",
            Verdict::CpuBound => "cpu-bound",
        };
        let raw = self.raw_per_s.map(number).unwrap_or_default();
        let cpu = self.cpu_us.map(|us| format!("{} us", number(us))).unwrap_or_default();
        [self.name.clone(), with_unit(self.value), target, verdict.to_owned(), raw, cpu]
    }

    fn json(&self) -> Value {
        let (kind, target) = match self.target {
            Target::None => (None, None),
            Target::AtMost(most) => (Some("at_most"), Some(most)),
            Target::AtLeast(least) => (Some("at_least"), Some(least)),
        };
        let verdict = match self.verdict() {
            Verdict::None => None,
            Verdict::Met => Some("met"),
            Verdict::Missed => Some("missed"),
            Verdict::CpuBound => Some("cpu_bound"),
        };
        json!({
            "name": self.name, "value": self.value, "unit": self.unit, "target": target,
            "target_kind": kind, "verdict": verdict, "raw_syncs_per_s": self.raw_per_s,
            "server_cpu_us": self.cpu_us,
        })
    }
}

const HEADINGS: [&str; 6] =
    ["figure", "measured", "target", "verdict", "raw syncs/s", "server CPU/op"];

/// All figures as text, a line each.
pub(crate) fn text(figures: &[Figure]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(figures.iter().map(Figure::cells));
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..HEADINGS.len()).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            // Names and verdicts begin, numbers end at the same column.
            if matches!(column, 0 | 3) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// All figures as JSON.
pub(crate) fn json_text(figures: &[Figure]) -> String {
    format!("{:#}\n", Value::Array(figures.iter().map(Figure::json).collect()))
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let exact = format!("{value:.places$}");
    // A target such as 0.50 is shown as 0.5, as it is written elsewhere.
    if exact.contains('.') {
        exact.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        exact
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_number(value: f64, want: &str) {
        assert_eq!(number(value), want);
    }

    #[test]
    fn numbers_have_three_digits() {
        check_number(12_345.6, "12346");
        check_number(99.96, "100");
        check_number(99.94, "99.9");
        check_number(9.994, "9.99");
        check_number(0.5, "0.5");
        check_number(0.123_4, "0.123");
        check_number(0.0, "0");
        check_number(100.0, "100");
    }

    #[track_caller]
    fn check_verdict(value: f64, target: Target, is_cpu_bound: bool, want: Verdict) {
        let figure = Figure::new("x", value, "").target(target).unless_cpu_bound(is_cpu_bound);
        assert_eq!(figure.verdict(), want, "{value} {target:?}");
    }

    #[test]
    fn a_target_itself_is_met() {
        check_verdict(1.0, Target::None, true, Verdict::None);
        check_verdict(1.0, Target::AtMost(1.0), false, Verdict::Met);
        check_verdict(1.1, Target::AtMost(1.0), false, Verdict::Missed);
        check_verdict(1.0, Target::AtLeast(1.0), true, Verdict::Met);
        check_verdict(0.9, Target::AtLeast(1.0), false, Verdict::Missed);
        check_verdict(0.9, Target::AtLeast(1.0), true, Verdict::CpuBound);
        check_verdict(f64::NAN, Target::AtMost(1.0), false, Verdict::Missed);
    }

    #[test]
    fn columns_stand_below_one_another() {
        let figures = [
            Figure::new("rate", 812.3, "/s").raw(1_100.0).cpu(420.0),
            Figure::new("of raw", 0.74, "").target(Target::AtLeast(0.5)),
        ];
        let want = "\
figure  measured  target  verdict  raw syncs/s  server CPU/op
rate      812 /s                          1100         420 us
of raw      0.74  >= 0.5  ok";
        assert_eq!(text(&figures), want);
        assert_eq!(text(&[]), HEADINGS.join("  "));
    }

    #[test]
    fn json_has_every_figure() {
        let figures = [
            Figure::new("a", 2.0, "ms").target(Target::AtMost(1.0)),
            Figure::new("b", 1.0, "").raw(3.0),
        ];
        let parsed: Value = serde_json::from_str(&json_text(&figures)).unwrap();
        assert_eq!(parsed[0]["verdict"], "missed");
        assert_eq!(parsed[0]["target"], 1.0);
        assert_eq!(parsed[1]["raw_syncs_per_s"], 3.0);
        assert_eq!(parsed[1]["verdict"], Value::Null);
    }
}
