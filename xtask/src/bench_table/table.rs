//! The table as text: nothing here measures or reads files.

use std::fmt;

use serde_json::Value;

use super::machine::Machine;

/// The algorithms, each with a column for the time and one for the ratio.
pub(super) const COLUMNS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

const BEGIN: &str = "<!-- bench-table: written by `cargo xtask bench-table` -->\n";
const END: &str = "<!-- bench-table: end -->\n";

/// What stands between the markers.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    pub(super) look_ups: LookUps,
    pub(super) machine: Machine,
}

/// One subject's medians, for each of [`COLUMNS`].
#[derive(Debug)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) nanoseconds: [Option<f64>; COLUMNS.len()],
    /// The row that the ratios are to.
    pub(super) is_floor: bool,
}

/// What a cache costs whoever has one, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct LookUps {
    pub(super) hash: Option<f64>,
    /// By the number of entries.
    pub(super) maps: [(&'static str, Option<f64>); 3],
}

impl Table {
    /// Was nothing measured?
    pub(super) fn is_empty(&self) -> bool {
        self.rows.iter().flat_map(|row| row.nanoseconds).all(|median| median.is_none())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| µs a request |")?;
        for column in COLUMNS {
            write!(f, " {column} | × |")?;
        }
        writeln!(f, "\n|---|{}", "--:|--:|".repeat(COLUMNS.len()))?;
        let floor = self.rows.iter().find(|row| row.is_floor).map(|row| row.nanoseconds);
        for row in &self.rows {
            write!(f, "| {} |", row.label)?;
            for (median, floor) in row.nanoseconds.into_iter().zip(floor.unwrap_or_default()) {
                let ratio = median.zip(floor).map(|(median, floor)| median / floor);
                write!(f, " {} | {} |", cell(median.map(|median| median / 1000.0)), cell(ratio))?;
            }
            writeln!(f)?;
        }
        write!(f, "\n{}.", self.machine)?;
        let LookUps { hash, maps } = &self.look_ups;
        if let Some(hash) = hash {
            write!(f, " Hashing a token there (`HighwayHash-128`) takes {} µs", cell(Some(hash / 1000.0)))?;
            for (live, median) in maps {
                if let Some(median) = median {
                    let median = cell(Some(median / 1000.0));
                    write!(f, ",\na look-up among {live} entries (`quick_cache`) {median} µs")?;
                }
            }
            write!(f, ".")?;
        }
        writeln!(f)
    }
}

/// Three digits where there are that many; a dash for what was not measured.
fn cell(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value >= 99.95 => format!("{value:.0}"),
        Some(value) if value >= 9.995 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// The text with `table` between the markers; `None` if it has not exactly one pair.
pub(super) fn replace(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let is_one_pair = [before, old, after].iter().all(|part| !part.contains(BEGIN) && !part.contains(END));
    is_one_pair.then(|| format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// The median in criterion's `estimates.json`, in nanoseconds.
pub(super) fn median(estimates: &str) -> Option<f64> {
    let estimates: Value = serde_json::from_str(estimates).ok()?;
    estimates.pointer("/median/point_estimate")?.as_f64()
}

/// The version of a package in a `Cargo.lock`; the first if there are more.
pub(super) fn locked_version<'l>(lock: &'l str, package: &str) -> Option<&'l str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, is_floor: bool, nanoseconds: [Option<f64>; 3]) -> Row {
        Row { label: label.to_owned(), nanoseconds, is_floor }
    }

    fn table(rows: Vec<Row>, look_ups: LookUps) -> Table {
        let machine = Machine { processor: "Some CPU".to_owned(), cores: 2, rustc: "1.95.0".to_owned() };
        Table { rows, look_ups, machine }
    }

    #[test]
    fn every_median_stands_beside_its_ratio_to_the_floor() {
        let rows = vec![
            row("bare", false, [Some(800.0), Some(800.0), Some(800.0)]),
            row("raw", true, [Some(20_000.0), Some(60_000.0), Some(40_000.0)]),
            row("peer 1.2.3", false, [Some(40_000.0), Some(150_000.0), None]),
        ];
        let maps = [("100", Some(150.0)), ("10,000", Some(400.0)), ("100,000", None)];
        let rendered = table(rows, LookUps { hash: Some(300.0), maps }).to_string();
        let expected = "\
| µs a request | RS256 | × | ES256 | × | EdDSA | × |
|---|--:|--:|--:|--:|--:|--:|
| bare | 0.80 | 0.04 | 0.80 | 0.01 | 0.80 | 0.02 |
| raw | 20.0 | 1.00 | 60.0 | 1.00 | 40.0 | 1.00 |
| peer 1.2.3 | 40.0 | 2.00 | 150 | 2.50 | – | – |

Some CPU, 2 cores, rustc 1.95.0. Hashing a token there (`HighwayHash-128`) takes 0.30 µs,
a look-up among 100 entries (`quick_cache`) 0.15 µs,
a look-up among 10,000 entries (`quick_cache`) 0.40 µs.
";
        assert_eq!(rendered, expected);
    }

    #[test]
    fn without_a_floor_there_are_no_ratios() {
        let rows = vec![row("peer", false, [Some(1000.0), None, None])];
        let rendered = table(rows, LookUps::default()).to_string();
        assert!(rendered.contains("| peer | 1.00 | – | – | – | – | – |\n"), "{rendered}");
        assert!(rendered.ends_with("rustc 1.95.0.\n"), "{rendered}");
    }

    #[test]
    fn a_table_without_medians_is_empty() {
        assert!(table(vec![row("peer", false, [None; 3])], LookUps::default()).is_empty());
        assert!(!table(vec![row("peer", false, [None, None, Some(1.0)])], LookUps::default()).is_empty());
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.123, "0.12"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (99.94, "99.9"),
            (99.96, "100"),
            (1234.5, "1234"),
        ] {
            assert_eq!(cell(Some(value)), text);
        }
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let text = format!("before\n{BEGIN}old\nrows\n{END}after\n");
        let replaced = replace(&text, "new\n").unwrap();
        assert_eq!(replaced, format!("before\n{BEGIN}\nnew\n\n{END}after\n"));
        assert_eq!(replace(&replaced, "new\n").unwrap(), replaced, "again");
    }

    #[test]
    fn a_text_without_one_pair_of_markers_stays() {
        for (name, text) in [
            ("no markers", "text".to_owned()),
            ("no end", BEGIN.to_owned()),
            ("no beginning", END.to_owned()),
            ("the wrong order", format!("{END}{BEGIN}")),
            ("two pairs", format!("{BEGIN}{END}{BEGIN}{END}")),
        ] {
            assert_eq!(replace(&text, "new"), None, "{name}");
        }
    }

    #[test]
    fn a_median_is_read_from_estimates() {
        let estimates = r#"{"mean":{"point_estimate":2.0},"median":{"point_estimate":1.5}}"#;
        assert_eq!(median(estimates), Some(1.5));
        for other in ["", "{}", r#"{"median":{}}"#, r#"{"median":{"point_estimate":"1"}}"#] {
            assert_eq!(median(other), None, "{other}");
        }
    }

    #[test]
    fn a_version_is_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"a\"\nversion = \"2.0.0\"\n";
        assert_eq!(locked_version(lock, "a"), Some("2.0.0"));
        assert_eq!(locked_version(lock, "a-b"), Some("1.0.0"));
        assert_eq!(locked_version(lock, "b"), None);
    }
}
