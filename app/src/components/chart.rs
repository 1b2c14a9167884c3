//! Runs a day as stacked bars, with a table that says the same.

use leptos::prelude::*;

use super::svg::Svg;
use crate::data::DayView;
use crate::icon::Icon;

/// In pixels; the style sheet gives the drawing this height. Across, everything is in percent.
const HEIGHT: u64 = 168;
const BASE: u64 = HEIGHT - 22;
const TOP: u64 = 4;
const ROOM: u64 = BASE - TOP;
/// What the scale's numbers take at the left.
const AXIS_PERCENT: f64 = 4.0;

/// The bars; failures stand on top of what succeeded and are hatched, so that they differ without colour too.
pub(crate) fn runs_by_day(days: &[DayView]) -> AnyView {
    let drawn = draw(days);
    let rows = days.to_vec();
    view! {
        <div class="chart-box" inner_html=drawn></div>
        <div class="row chart-foot">
            <div class="legend" inner_html=legend()></div>
            <details class="disclosure">
                <summary>{Icon::ChevronRight.view()}"Show as a table"</summary>
                <div class="table-wrap">
                    <table class="table">
                        <caption class="said">"Runs by day"</caption>
                        <thead><tr>
                            <th scope="col">"Day"</th>
                            <th scope="col" class="number">"Succeeded"</th>
                            <th scope="col" class="number">"Failed"</th>
                            <th scope="col" class="number">"Other"</th>
                        </tr></thead>
                        <tbody>
                            {rows.into_iter().map(|day| view! {
                                <tr>
                                    <td class="main">{day.day}</td>
                                    <td class="number" data-label="Succeeded">{day.succeeded}</td>
                                    <td class="number" data-label="Failed">{day.failed}</td>
                                    <td class="number" data-label="Other">{day.other}</td>
                                </tr>
                            }).collect_view()}
                        </tbody>
                    </table>
                </div>
            </details>
        </div>
    }
    .into_any()
}

const HATCH: &str = "<defs><pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path d=\"M0 0v5\" stroke=\"#fff\" stroke-opacity=\".55\" stroke-width=\"2\"/></pattern></defs>";

fn legend() -> &'static str {
    "<span><svg aria-hidden=\"true\" viewBox=\"0 0 12 12\"><rect class=\"good\" width=\"12\" height=\"12\"/></svg>Succeeded</span>\
     <span><svg aria-hidden=\"true\" viewBox=\"0 0 12 12\"><rect class=\"bad\" width=\"12\" height=\"12\"/><path d=\"M0 9 9 0M3 12 12 3\" stroke=\"#fff\" stroke-opacity=\".55\" stroke-width=\"2\"/></svg>Failed</span>\
     <span><svg aria-hidden=\"true\" viewBox=\"0 0 12 12\"><rect class=\"calm\" width=\"12\" height=\"12\"/></svg>Other</span>"
}

fn draw(days: &[DayView]) -> String {
    let top = scale_top(days.iter().map(|day| day.succeeded + day.failed + day.other).max().unwrap_or(0));
    let succeeded: u64 = days.iter().map(|day| day.succeeded).sum();
    let failed: u64 = days.iter().map(|day| day.failed).sum();
    let mut svg = Svg::fluid("chart");
    svg.own(HATCH);
    for (place, value) in [(BASE, 0), (BASE - ROOM / 2, top / 2), (TOP, top)] {
        svg.element("line", &[("class", &"grid"), ("x1", &"0"), ("x2", &"100%"), ("y1", &place), ("y2", &place)]);
        svg.text(&[("x", &"0"), ("y", &(place + 12))], &if value == 0 { String::new() } else { value.to_string() });
    }
    let slots = u32::try_from(days.len().max(1)).unwrap_or(u32::MAX);
    let slot = (100.0 - AXIS_PERCENT) / f64::from(slots);
    let bar = slot * 0.48;
    for (index, day) in (0_u32..).zip(days) {
        let middle = AXIS_PERCENT + (f64::from(index) + 0.5) * slot;
        let (x, width) = (format!("{:.2}%", middle - bar / 2.0), format!("{bar:.2}%"));
        svg.start("g", &[]);
        svg.tip(&format!("{}: {} succeeded, {} failed, {} other", day.day, day.succeeded, day.failed, day.other));
        let mut y = BASE;
        for (count, class) in [(day.succeeded, "good"), (day.failed, "bad"), (day.other, "calm")] {
            let tall = height(count, top);
            if tall == 0 {
                continue;
            }
            y -= tall;
            svg.rect(&x, y, &width, tall, 2, class);
            if class == "bad" {
                svg.element(
                    "rect",
                    &[("x", &x), ("y", &y), ("width", &width), ("height", &tall), ("rx", &2), ("fill", &"url(#hatch)")],
                );
            }
        }
        // Every day's name would crowd the axis; the last one is always there.
        if (slots - 1 - index).is_multiple_of(3) {
            let label = day.day.get(5..).unwrap_or(&day.day).replace('-', "/");
            svg.text(&[("x", &format!("{middle:.2}%")), ("y", &(HEIGHT - 4)), ("text-anchor", &"middle")], &label);
        }
        svg.end("g");
    }
    svg.labelled(&format!("Runs by day: {succeeded} succeeded and {failed} failed in {} days", days.len())).finish()
}

/// Units of height for a count; what is there at all is at least two high.
fn height(count: u64, top: u64) -> u64 {
    let units = count.saturating_mul(ROOM) / top.max(1);
    if count > 0 { units.max(2) } else { 0 }
}

/// The smallest round number that holds the tallest bar, even so that its half is whole.
fn scale_top(most: u64) -> u64 {
    let mut step = 2;
    loop {
        for factor in [1, 2, 3, 4, 5, 6, 8] {
            if step * factor >= most.max(2) {
                return step * factor;
            }
        }
        step *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_even_number() {
        assert_eq!(scale_top(0), 2);
        assert_eq!(scale_top(3), 4);
        assert_eq!(scale_top(11), 12);
        assert_eq!(scale_top(54), 60);
        assert_eq!(scale_top(101), 120);
    }

    #[test]
    fn a_single_failure_among_thousands_is_still_seen() {
        let day = DayView { day: "2026-11-22".into(), succeeded: 10_000, failed: 1, other: 0 };
        assert!(draw(&[day]).contains("height=\"2\" rx=\"2\" class=\"bad\""));
    }
}
