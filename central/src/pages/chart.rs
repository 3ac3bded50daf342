//! Counters over time as an SVG drawn here: no script, nothing loaded from elsewhere, readable by a screen reader. Pure.

use std::fmt::Write;

use jiff::{Timestamp, ToSpan, Unit, Zoned, civil::Date, tz::TimeZone};

use super::words::grouped;
use crate::store::History;

/// For which screen a chart is drawn: texts keep their size, so that a phone gets a smaller drawing and not a shrunken one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A desk.
    Wide,
    /// A phone.
    Narrow,
}

impl Size {
    const fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }

    const fn width(self) -> f64 {
        match self {
            Self::Wide => 1_080.0,
            Self::Narrow => 360.0,
        }
    }

    /// Points of one line; more are thinned evenly, first and last kept.
    const fn points_max(self) -> usize {
        match self {
            Self::Wide => 400,
            Self::Narrow => 120,
        }
    }

    /// Marks on the axis of time.
    const fn marks_max(self) -> i64 {
        match self {
            Self::Wide => 6,
            Self::Narrow => 3,
        }
    }
}

const HEIGHT: f64 = 280.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// A digit's width and what is left of the axis, in units of the drawing.
const DIGIT: f64 = 6.6;
const AXIS: f64 = 14.0;

/// 2000-01-01: an earlier reading has the time of a clock that nobody had set, and would press all others into one line.
const CLOCKS_BEGIN: i64 = 946_684_800;

/// The counters that are drawn, with the class that gives the line its colour.
const LINES: [(&str, &str, &str); 3] = [
    ("system.impressions", "Total", "line-total"),
    ("system.monochrome_impressions", "Mono", "line-mono"),
    ("system.full_color_impressions", "Colour", "line-color"),
];

/// A drawn chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// The whole `<svg>` element; all text in it is ours.
    pub svg: String,
    /// Name and style class of each line that is in it.
    pub legend: Vec<(&'static str, &'static str)>,
}

/// One counter's way through time.
struct Line {
    name: &'static str,
    class: &'static str,
    points: Vec<(Timestamp, u64)>,
}

/// Draws what there is; `None` with fewer than two readings, where a line would say nothing.
pub fn draw(history: &[History], size: Size) -> Option<Chart> {
    let lines: Vec<Line> = LINES
        .iter()
        .map(|(key, name, class)| Line { name, class, points: thinned(points(history, key), size.points_max()) })
        .filter(|line| line.points.len() > 1)
        .collect();
    let times = || lines.iter().flat_map(|line| line.points.iter().map(|(at, _)| *at));
    let values = || lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value));
    let (first, last) = (times().min()?, times().max()?);
    if first == last {
        return None;
    }
    let (low, high, step) = scale(values().min()?, values().max()?);
    let seconds = last.duration_since(first).as_secs_f64();
    let (width, left) = (size.width(), grouped(high).chars().count() as f64 * DIGIT + AXIS);
    let x = |at: Timestamp| left + at.duration_since(first).as_secs_f64() / seconds * (width - left - RIGHT);
    let y = |value: u64| {
        let part = (value.saturating_sub(low)) as f64 / (high - low) as f64;
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    };

    let mut svg = format!(
        r#"<svg class="chart {}" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="Lifetime counters from {} to {}, {} readings">"#,
        size.class(),
        day(first),
        day(last),
        history.len()
    );
    for value in (low..=high).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let height = y(value);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{left:.1}" x2="{:.1}" y1="{height:.1}" y2="{height:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            width - RIGHT,
            left - 8.0,
            height + 4.0,
            grouped(value)
        );
    }
    for (at, text) in days(first, last, size.marks_max()) {
        let place = x(at);
        // A date below the right end would be cut in its middle.
        let anchor = if place > width - 40.0 { "end" } else { "middle" };
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{place:.1}" x2="{place:.1}" y1="{TOP}" y2="{:.1}"/><text class="tick" x="{place:.1}" y="{:.1}" text-anchor="{anchor}">{text}</text>"#,
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0
        );
    }
    for Line { name, class, points } in &lines {
        let _ = write!(svg, r#"<g class="{class}"><title>{name}</title><polyline points=""#);
        for (at, value) in points {
            let _ = write!(svg, "{:.1},{:.1} ", x(*at), y(*value));
        }
        svg.push_str(r#""/>"#);
        if let Some((at, value)) = points.last() {
            let _ = write!(svg, r#"<circle cx="{:.1}" cy="{:.1}" r="3.5"/>"#, x(*at), y(*value));
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    Some(Chart { svg, legend: lines.iter().map(|line| (line.name, line.class)).collect() })
}

/// Impressions a day between the first and the last reading, and the days between them; `None` below two days, or when the
/// total went down.
pub fn daily(history: &[History]) -> Option<(u64, u64)> {
    let points = points(history, LINES[0].0);
    let ((first, low), (last, high)) = (points.first()?, points.last()?);
    let days = u64::try_from(last.duration_since(*first).as_hours() / 24).ok().filter(|days| *days >= 2)?;
    Some((high.checked_sub(*low)? / days, days))
}

/// The values of one counter in the order of their batches, the newest last. Where a clock went back the line goes
/// straight up or down: order is by sequence and not by time (`standards.md` 2.9).
fn points(history: &[History], key: &str) -> Vec<(Timestamp, u64)> {
    let mut latest = Timestamp::MIN;
    let read = history.iter().filter(|reading| reading.at.as_second() >= CLOCKS_BEGIN);
    read.filter_map(|reading| {
        let value = reading.counters.get(key)?.value;
        latest = latest.max(reading.at);
        Some((latest, value))
    })
    .collect()
}

fn thinned(points: Vec<(Timestamp, u64)>, most: usize) -> Vec<(Timestamp, u64)> {
    if points.len() <= most {
        return points;
    }
    let last = points.len() - 1;
    (0..most).map(|index| points[index * last / (most - 1)]).collect()
}

/// Bounds and distance of the grid lines: three to six of them, at 1, 2 or 5 times a power of ten.
fn scale(low: u64, high: u64) -> (u64, u64, u64) {
    let range = (high - low).max(4);
    let mut step = 1u64;
    let mut factors = [2, 5, 10].into_iter().cycle();
    let mut decade = 1u64;
    while range / step > 5 {
        let factor = factors.next().unwrap_or(10);
        step = decade.saturating_mul(factor);
        if factor == 10 {
            decade = step;
        }
    }
    let low = low / step * step;
    let high = high.div_ceil(step).saturating_mul(step).max(low + step);
    (low, high, step)
}

/// So many marks on the axis of time at most: midnights, or the two ends when they lie within a day.
fn days(first: Timestamp, last: Timestamp, most: i64) -> Vec<(Timestamp, String)> {
    let (from, to) = (local(first), local(last));
    let length = i64::from((to.date() - from.date()).total((Unit::Day, from.date())).unwrap_or(0.0) as i32);
    if length < 2 {
        return vec![(first, from.strftime("%H:%M").to_string()), (last, to.strftime("%H:%M").to_string())];
    }
    let step = ((length + most - 1) / most).max(1);
    let mut marks = Vec::new();
    let mut date: Date = from.date();
    while let Ok(next) = date.checked_add(step.days()) {
        date = next;
        match date.to_zoned(TimeZone::system()) {
            Ok(midnight) if midnight.timestamp() < last => {
                let written = if length > 300 { "%-d %b %Y" } else { "%-d %b" };
                marks.push((midnight.timestamp(), date.strftime(written).to_string()));
            }
            _ => break,
        }
    }
    marks
}

fn day(at: Timestamp) -> String {
    local(at).strftime("%Y-%m-%d").to_string()
}

fn local(at: Timestamp) -> Zoned {
    at.to_zoned(TimeZone::system())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::CountRow;

    fn history(totals: &[u64]) -> Vec<History> {
        totals
            .iter()
            .zip(0i64..)
            .map(|(total, day)| History {
                at: Timestamp::from_second(1_800_000_000 + day * 86_400).expect("a time"),
                counters: BTreeMap::from([(
                    "system.impressions".to_owned(),
                    CountRow { value: *total, basis: "actual".to_owned() },
                )]),
            })
            .collect()
    }

    #[test]
    fn one_reading_makes_no_line() {
        assert_eq!(draw(&history(&[]), Size::Wide), None);
        assert_eq!(draw(&history(&[100]), Size::Wide), None);
    }

    #[test]
    fn only_counters_that_were_read_are_drawn() {
        let chart = draw(&history(&[100, 150, 220]), Size::Wide).expect("a chart");
        assert_eq!(chart.legend, [("Total", "line-total")]);
        let document = roxmltree::Document::parse(&chart.svg).expect("well-formed");
        let line = document.descendants().find(|node| node.has_tag_name("polyline")).expect("a line");
        assert_eq!(line.attribute("points").expect("points").split_whitespace().count(), 3);
    }

    #[test]
    fn a_counter_that_stands_still_is_a_flat_line() {
        let chart = draw(&history(&[5, 5]), Size::Wide).expect("a chart");
        assert!(roxmltree::Document::parse(&chart.svg).is_ok());
    }

    #[test]
    fn a_daily_figure_needs_two_days_and_a_total_that_rises() {
        assert_eq!(daily(&history(&[100, 150])), None);
        assert_eq!(daily(&history(&[100, 150, 301])), Some((100, 2)));
        assert_eq!(daily(&history(&[100, 150, 50])), None);
    }

    #[test]
    fn thousands_of_readings_are_thinned() {
        let totals: Vec<u64> = (0..3_000).collect();
        let chart = draw(&history(&totals), Size::Wide).expect("a chart");
        assert!(chart.svg.len() < 20_000, "{}", chart.svg.len());
    }

    fn ends(chart: &Chart) -> Vec<f64> {
        let document = roxmltree::Document::parse(&chart.svg).expect("well-formed");
        let circle = document.descendants().find(|node| node.has_tag_name("circle")).expect("a dot");
        ["cx", "cy"].map(|name| circle.attribute(name).expect(name).parse().expect("a number")).to_vec()
    }

    #[test]
    fn the_dot_is_the_newest_batch_even_where_a_clock_went_back() {
        let mut turned = history(&[100, 150, 220]);
        turned[2].at = turned[0].at;
        let chart = draw(&turned, Size::Wide).expect("a chart");
        let straight = draw(&history(&[100, 150, 220]), Size::Wide).expect("a chart");
        assert_eq!(ends(&chart), ends(&straight), "at the right end, as high as the newest value");
    }

    #[test]
    fn a_clock_that_was_never_set_does_not_squeeze_the_rest() {
        let mut unset = history(&[90, 100, 150, 220]);
        unset[0].at = Timestamp::from_second(3_600).expect("1970");
        let chart = draw(&unset, Size::Narrow).expect("a chart");
        assert!(!chart.svg.contains("1970"), "{}", chart.svg);
        assert!(chart.svg.starts_with(r#"<svg class="chart narrow""#), "{}", chart.svg);
    }

    #[test]
    fn grid_lines_are_few_and_round() {
        for (low, high, expected) in [
            (0, 0, (0, 1, 1)),
            (100, 220, (100, 250, 50)),
            (0, 4_294_967_295, (0, 5_000_000_000, 1_000_000_000)),
            (7, 9, (7, 9, 1)),
        ] {
            assert_eq!(scale(low, high), expected, "{low} {high}");
        }
    }
}
