//! When each step ran, as bars in one measure of time.
//!
//! Invariant: pure; every bar lies between 0 and 100 percent and is wide enough to be seen.

use chrono::{DateTime, Utc};
use domain::StepStatus;
use domain::wire::StepView;

use crate::components::status::{Tone, step_tone, step_word};
use crate::components::svg::Svg;
use crate::components::time::{between_ms, duration_text};
use crate::data::RunView;

/// The narrowest bar, in percent.
const THIN: f64 = 0.35;

/// The stretch of time that a timeline shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) start: f64,
    pub(super) width: f64,
    pub(super) tone: Tone,
    pub(super) said: String,
}

impl Stretch {
    pub(super) fn of(view: &RunView, now: DateTime<Utc>) -> Self {
        let summary = &view.run.summary;
        let from = summary.started_at.unwrap_or(summary.created_at);
        let last = view.steps.iter().filter_map(|step| step.ended_at).max();
        let to = summary.ended_at.unwrap_or(now).max(last.unwrap_or(from));
        // A run without length still needs a measure.
        Self { from, to: to.max(from + chrono::TimeDelta::milliseconds(1)) }
    }

    fn percent(self, at: DateTime<Utc>) -> f64 {
        let whole = (self.to - self.from).num_microseconds().unwrap_or(i64::MAX).max(1);
        let part = (at - self.from).num_microseconds().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
        let share = part as f64 / whole as f64 * 100.0;
        share.clamp(0.0, 100.0)
    }

    /// One bar an attempt. A step without attempts, or with items, whose attempts lie over each other, has one bar where
    /// it has times at all.
    pub(super) fn bars(self, step: &StepView, now: DateTime<Utc>) -> Vec<Bar> {
        let single: &[_] = if step.items.is_empty() { &step.attempt_list } else { &[] };
        let mut bars: Vec<Bar> = single
            .iter()
            .map(|attempt| {
                let name = format!("Attempt {}", attempt.number);
                self.bar(attempt.started_at, attempt.ended_at, attempt.status, now, &name)
            })
            .collect();
        if bars.is_empty()
            && let Some(started) = step.started_at
        {
            bars.push(self.bar(started, step.ended_at, step.status, now, "Run"));
        }
        bars
    }

    fn bar(
        self,
        started: DateTime<Utc>,
        ended: Option<DateTime<Utc>>,
        status: StepStatus,
        now: DateTime<Utc>,
        name: &str,
    ) -> Bar {
        let end = ended.unwrap_or(now);
        let width = (self.percent(end) - self.percent(started)).max(THIN);
        let start = self.percent(started).min(100.0 - width);
        let word = step_word(status).to_lowercase();
        Bar {
            start,
            width,
            tone: step_tone(status),
            said: format!("{name}, {word}, {}", duration_text(between_ms(started, end))),
        }
    }

    /// Where the measure's marks stand, with what they say: the start, quarters, the end.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        let whole = between_ms(self.from, self.to);
        [0_u32, 25, 50, 75, 100]
            .into_iter()
            .map(|percent| {
                let at = whole * u64::from(percent) / 100;
                (f64::from(percent), if percent == 0 { "0".to_owned() } else { duration_text(at) })
            })
            .collect()
    }
}

/// The bars of one step, drawn. Failed attempts are hatched, waits between attempts are a dotted line.
pub(super) fn draw(bars: &[Bar]) -> String {
    let mut svg = Svg::fluid("bars");
    for percent in [0, 25, 50, 75, 100] {
        let place = format!("{percent}%");
        svg.element("line", &[("class", &"tick"), ("x1", &place), ("x2", &place), ("y1", &"-50%"), ("y2", &"150%")]);
    }
    for pair in bars.windows(2) {
        let (from, to) = (pair[0].start + pair[0].width, pair[1].start);
        if to > from {
            svg.element(
                "line",
                &[
                    ("class", &"pause"),
                    ("x1", &format!("{from:.2}%")),
                    ("x2", &format!("{to:.2}%")),
                    ("y1", &"50%"),
                    ("y2", &"50%"),
                ],
            );
        }
    }
    for bar in bars {
        let (x, width) = (format!("{:.2}%", bar.start), format!("{:.2}%", bar.width));
        svg.start("g", &[]);
        svg.tip(&bar.said);
        svg.rect(&x, "20%", &width, "60%", 3, &format!("run {}", bar.tone.class()));
        if bar.tone == Tone::Bad {
            svg.element(
                "rect",
                &[
                    ("x", &x),
                    ("y", &"20%"),
                    ("width", &width),
                    ("height", &"60%"),
                    ("rx", &3),
                    ("fill", &"url(#failed)"),
                ],
            );
        }
        svg.end("g");
    }
    let said: Vec<&str> = bars.iter().map(|bar| bar.said.as_str()).collect();
    svg.labelled(&if said.is_empty() { "Not run".to_owned() } else { said.join("; ") }).finish()
}

/// The scale above the bars, and the pattern they share.
pub(super) fn draw_axis(ticks: &[(f64, String)]) -> String {
    let mut svg = Svg::fluid("bars");
    svg.own(
        "<defs><pattern id=\"failed\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0v6\"/></pattern></defs>",
    );
    for (percent, said) in ticks {
        let anchor = match percent {
            0.0 => "start",
            100.0 => "end",
            _ => "middle",
        };
        svg.text(&[("x", &format!("{percent}%")), ("y", &15), ("text-anchor", &anchor)], said);
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn stretch() -> Stretch {
        let from = DateTime::from_timestamp(1_795_348_800, 0).expect("a valid moment");
        Stretch { from, to: from + TimeDelta::seconds(10) }
    }

    #[test]
    fn a_bar_stands_where_its_time_stands() {
        let Stretch { from, to } = stretch();
        let at = |seconds| from + TimeDelta::seconds(seconds);
        let bar = stretch().bar(at(2), Some(at(7)), StepStatus::Succeeded, to, "Attempt 1");
        assert!((bar.start - 20.0).abs() < 0.01 && (bar.width - 50.0).abs() < 0.01, "{bar:?}");
        assert_eq!(bar.said, "Attempt 1, succeeded, 5.0 s");
    }

    #[test]
    fn the_shortest_step_is_seen_even_at_the_very_end() {
        let Stretch { to, .. } = stretch();
        let bar = stretch().bar(to, Some(to), StepStatus::Failed, to, "Attempt 1");
        assert!(bar.width >= THIN && bar.start + bar.width <= 100.0, "{bar:?}");
    }

    #[test]
    fn what_goes_on_reaches_to_now() {
        let Stretch { from, to } = stretch();
        let bar = stretch().bar(from, None, StepStatus::Running, to, "Attempt 1");
        assert!((bar.width - 100.0).abs() < 0.01);
        assert_eq!(bar.tone, Tone::Going);
    }
}
