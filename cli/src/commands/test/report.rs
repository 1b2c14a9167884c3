//! What became of the cases, for people, scripts and build servers.
//!
//! Invariant: every form tells of every case.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

/// One case that was run.
#[derive(Debug)]
pub(super) struct Result {
    pub(super) flow: String,
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) took: Duration,
    /// What was not as expected; empty for a case that passed.
    pub(super) differences: Vec<String>,
}

impl Result {
    pub(super) fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    pub(super) fn line(&self) -> String {
        let word = if self.passed() { "ok  " } else { "FAIL" };
        let mut text = format!("{word} {} · {} ({} ms)", self.flow, self.name, self.took.as_millis());
        for difference in &self.differences {
            let _ = write!(text, "\n       {difference}");
        }
        text
    }
}

pub(super) fn json(results: &[Result]) -> Value {
    let one = |result: &Result| {
        json!({
            "flow": result.flow, "name": result.name, "file": result.file, "passed": result.passed(),
            "duration_ms": u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX), "differences": result.differences,
        })
    };
    let failed = results.iter().filter(|result| !result.passed()).count();
    json!({"tests": results.iter().map(one).collect::<Vec<_>>(), "passed": results.len() - failed, "failed": failed})
}

/// The form that build servers read.
pub(super) fn junit(results: &[Result]) -> String {
    let failed = |results: &[&Result]| results.iter().filter(|result| !result.passed()).count();
    let seconds = |results: &[&Result]| results.iter().map(|result| result.took.as_secs_f64()).sum::<f64>();
    let all: Vec<&Result> = results.iter().collect();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"weir\" tests=\"{}\" failures=\"{}\" time=\"{:.3}\">\n",
        all.len(),
        failed(&all),
        seconds(&all)
    );
    let mut flows: Vec<&str> = results.iter().map(|result| result.flow.as_str()).collect();
    flows.dedup();
    for flow in flows {
        let own: Vec<&Result> = results.iter().filter(|result| result.flow == flow).collect();
        let (name, count, broken, time) = (escaped(flow), own.len(), failed(&own), seconds(&own));
        let _ =
            writeln!(text, "  <testsuite name=\"{name}\" tests=\"{count}\" failures=\"{broken}\" time=\"{time:.3}\">");
        for result in own {
            let file = escaped(&result.file.display().to_string());
            let (case, time) = (escaped(&result.name), result.took.as_secs_f64());
            let _ =
                write!(text, "    <testcase classname=\"{name}\" name=\"{case}\" file=\"{file}\" time=\"{time:.3}\"");
            match result.differences.first() {
                None => text.push_str("/>\n"),
                Some(first) => {
                    let (first, whole) = (escaped(first), escaped(&result.differences.join("\n")));
                    let _ = write!(text, ">\n      <failure message=\"{first}\">{whole}</failure>\n    </testcase>\n");
                }
            }
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            // XML has no way to write these.
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_for_build_servers_holds_every_case_and_no_text_breaks_out_of_it() {
        let result = |name: &str, differences: &[&str]| Result {
            flow: "a<b".to_owned(),
            name: name.to_owned(),
            file: "tests/x.yaml".into(),
            took: Duration::from_millis(12),
            differences: differences.iter().map(|text| (*text).to_owned()).collect(),
        };
        let text = junit(&[result("fine", &[]), result("\"broken\"", &["x is 1\u{1} & <2>", "y"])]);
        assert!(text.contains("<testsuite name=\"a&lt;b\" tests=\"2\" failures=\"1\" time=\"0.024\">"), "{text}");
        assert!(text.contains("name=\"fine\" file=\"tests/x.yaml\" time=\"0.012\"/>"), "{text}");
        assert!(
            text.contains("<failure message=\"x is 1  &amp; &lt;2&gt;\">x is 1  &amp; &lt;2&gt;&#10;y</failure>"),
            "{text}"
        );
    }
}
