//! Statuses as a shape and a word; colour only repeats what these say.

use domain::{RunStatus, StepStatus};
use leptos::prelude::*;

use super::svg::Svg;
use crate::icon::Icon;

/// How a status feels, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Warn,
    Going,
    Calm,
}

impl Tone {
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Going => "going",
            Self::Calm => "calm",
        }
    }
}

pub(crate) const fn run_tone(status: RunStatus) -> Tone {
    match status {
        RunStatus::Succeeded => Tone::Good,
        RunStatus::Failed | RunStatus::TimedOut => Tone::Bad,
        RunStatus::NeedsAttention => Tone::Warn,
        RunStatus::Running => Tone::Going,
        RunStatus::Queued | RunStatus::Waiting | RunStatus::Cancelled | RunStatus::Killed => Tone::Calm,
    }
}

pub(crate) const fn run_word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Queued => "Queued",
        RunStatus::Running => "Running",
        RunStatus::Waiting => "Waiting",
        RunStatus::NeedsAttention => "Needs attention",
        RunStatus::Succeeded => "Succeeded",
        RunStatus::Failed => "Failed",
        RunStatus::TimedOut => "Timed out",
        RunStatus::Cancelled => "Cancelled",
        RunStatus::Killed => "Killed",
    }
}

const fn run_icon(status: RunStatus) -> Icon {
    match status {
        RunStatus::Queued => Icon::CircleDashed,
        RunStatus::Running => Icon::LoaderCircle,
        RunStatus::Waiting => Icon::Hourglass,
        RunStatus::NeedsAttention => Icon::TriangleAlert,
        RunStatus::Succeeded => Icon::CircleCheck,
        RunStatus::Failed => Icon::CircleX,
        RunStatus::TimedOut => Icon::Clock,
        RunStatus::Cancelled => Icon::Ban,
        RunStatus::Killed => Icon::CircleStop,
    }
}

pub(crate) const fn step_tone(status: StepStatus) -> Tone {
    match status {
        StepStatus::Succeeded | StepStatus::Cached => Tone::Good,
        StepStatus::Failed | StepStatus::TimedOut => Tone::Bad,
        StepStatus::NeedsAttention | StepStatus::RetryWait => Tone::Warn,
        StepStatus::Running => Tone::Going,
        StepStatus::Pending
        | StepStatus::Ready
        | StepStatus::Queued
        | StepStatus::Waiting
        | StepStatus::Cancelled
        | StepStatus::Skipped => Tone::Calm,
    }
}

pub(crate) const fn step_word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Pending => "Pending",
        StepStatus::Ready => "Ready",
        StepStatus::Queued => "Queued",
        StepStatus::Running => "Running",
        StepStatus::RetryWait => "Waiting to retry",
        StepStatus::Waiting => "Waiting",
        StepStatus::Succeeded => "Succeeded",
        StepStatus::Failed => "Failed",
        StepStatus::TimedOut => "Timed out",
        StepStatus::Cancelled => "Cancelled",
        StepStatus::Skipped => "Skipped",
        StepStatus::Cached => "From cache",
        StepStatus::NeedsAttention => "Needs attention",
    }
}

const fn step_icon(status: StepStatus) -> Icon {
    match status {
        StepStatus::Pending | StepStatus::Ready | StepStatus::Queued => Icon::CircleDashed,
        StepStatus::Running => Icon::LoaderCircle,
        StepStatus::RetryWait => Icon::RotateCcw,
        StepStatus::Waiting => Icon::Hourglass,
        StepStatus::Succeeded | StepStatus::Cached => Icon::CircleCheck,
        StepStatus::Failed => Icon::CircleX,
        StepStatus::TimedOut => Icon::Clock,
        StepStatus::Cancelled => Icon::Ban,
        StepStatus::Skipped => Icon::CircleSlash,
        StepStatus::NeedsAttention => Icon::TriangleAlert,
    }
}

fn shown(tone: Tone, icon: Icon, word: &'static str, pill: bool) -> AnyView {
    let class = format!("status {}{}", tone.class(), if pill { " pill" } else { "" });
    view! { <span class=class>{icon.view()}{word}</span> }.into_any()
}

pub(crate) fn run_status(status: RunStatus) -> AnyView {
    shown(run_tone(status), run_icon(status), run_word(status), false)
}

pub(crate) fn run_pill(status: RunStatus) -> AnyView {
    shown(run_tone(status), run_icon(status), run_word(status), true)
}

pub(crate) fn step_status(status: StepStatus) -> AnyView {
    shown(step_tone(status), step_icon(status), step_word(status), false)
}

pub(crate) fn step_pill(status: StepStatus) -> AnyView {
    shown(step_tone(status), step_icon(status), step_word(status), true)
}

/// The shape alone, with the word said to those who do not see it.
pub(crate) fn step_mark(status: StepStatus) -> AnyView {
    let class = format!("status {}", step_tone(status).class());
    view! { <span class=class>{step_icon(status).view()}<span class="said">{step_word(status)}</span></span> }
        .into_any()
}

const DOTS: usize = 20;

/// The newest runs as twenty bars, oldest on the left, with the same told in words.
pub(crate) fn recent_dots(newest_first: &[RunStatus]) -> AnyView {
    let shown = &newest_first[..newest_first.len().min(DOTS)];
    let mut svg = Svg::new(DOTS * 6 - 2, 18, "dots");
    for slot in 0..DOTS {
        // Slot 0 is the oldest; bars stand at the right when there are fewer than twenty.
        let status = shown.get(DOTS - 1 - slot);
        let tone = status.map(|&status| run_tone(status));
        let (class, y, height) = match tone {
            None => ("none", 8, 3),
            Some(Tone::Good) => ("good", 5, 9),
            Some(Tone::Bad) => ("bad", 1, 16),
            Some(Tone::Going) => ("going", 5, 9),
            Some(Tone::Warn | Tone::Calm) => ("calm", 7, 6),
        };
        svg.rect(slot * 6, y, 4, height, 1, class);
    }
    let text = dots_text(shown);
    svg.labelled(&text).into_view("dots-wrap")
}

fn dots_text(shown: &[RunStatus]) -> String {
    if shown.is_empty() {
        return "No runs yet".to_owned();
    }
    let good = shown.iter().filter(|&&status| run_tone(status) == Tone::Good).count();
    let bad = shown.iter().filter(|&&status| run_tone(status) == Tone::Bad).count();
    format!("Of the last {} runs {good} succeeded and {bad} failed", shown.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_are_told_in_words() {
        use RunStatus::{Failed, Running, Succeeded, TimedOut};
        assert_eq!(dots_text(&[]), "No runs yet");
        assert_eq!(dots_text(&[Succeeded, Failed, TimedOut, Running]), "Of the last 4 runs 1 succeeded and 2 failed");
    }
}
